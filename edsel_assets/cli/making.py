"""Make what is missing or stale of a study: what ``edsel run`` and ``edsel rehearse`` share."""

from dataclasses import replace

import typer

from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.running.local import Listener, Outcome
from edsel_assets.store import Home
from edsel_assets.study import Study


def make(study: Study, scope: Scope, home: Home, workers: int) -> tuple[Outcome, dict[str, tuple[int, int]]]:
    """What was made, and the prompts that the model read, new and before, by asset."""
    from edsel_assets.defs.build import build_definitions
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.running.instance import fail_orphaned_runs, open_instance, prompts_read, remarks
    from edsel_assets.running.local import materialize
    from edsel_assets.running.workers import WorkerPool, greeting
    from edsel_assets.terminal import progress

    check_store(home.store(study.name))
    with open_instance(home, study.name) as instance:
        fail_orphaned_runs(instance)
        definitions = build_definitions(study, home=home)
        with (
            progress() as listener,
            WorkerPool(greeting(study, home), workers, listener.waiting) as pool,
        ):
            chosen = pool if workers > 1 else None
            outcome = materialize(
                study, definitions, instance, home, scope, _announced(study, listener), pool=chosen
            )
        made = {cell.asset for cell in outcome.made}
        outcome.remarks = remarks(instance, study, made)
        return outcome, prompts_read(instance, study, made)


def _announced(study: Study, listener: Listener) -> Listener:
    """``listener``, which says what runs where once the pool is read; of a wrong pool, only its error."""
    from edsel_assets.running.devices import device_line

    told = False

    def started(cell: Cell) -> None:
        nonlocal told
        if cell.kind != "pool" and not told:
            told = True
            typer.echo(device_line(study), err=True)
        listener.started(cell)

    return replace(listener, started=started)
