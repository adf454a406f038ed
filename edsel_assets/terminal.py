"""What a person sees on the terminal: a plan, the progress of a run, its end."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from edsel_assets.planning.cells import Cell, cell_path, with_suffix
from edsel_assets.planning.plan import Plan, Step
from edsel_assets.rehearsal.needs import Need, State
from edsel_assets.rehearsal.stand_ins import STUDY_FILE, Rehearsal
from edsel_assets.running.local import Listener, Outcome
from edsel_assets.running.progress import listening
from edsel_assets.study import Study

_PROMPTS_SHOWN = 5


def show_end(study: Study, outcome: Outcome, home: Path, seconds: float, named: str) -> None:
    """What was made, where it lies, and what to do next."""
    fresh = f"{len(outcome.fresh)} fresh"
    store = home / "store" / study.name
    if outcome.made:
        typer.echo(f"Made {len(outcome.made)} cells ({fresh}) in {seconds / 60:.1f} min; results in {store}.")
    elif not outcome.waiting:
        typer.echo(f"Nothing to do: {fresh}, checked in {seconds:.1f} s.")
    cells = [*outcome.made, *outcome.fresh]
    selections = sorted(cell for cell in cells if cell.asset in ("selections", "iterative_selections"))
    if selections and not any(cell.asset == "label_efficiency" for cell in cells):
        _show_selection(store, selections[0], len(selections))
    if any(cell.asset == "spend_curve" for cell in cells):
        _show_spend(store)
    if outcome.lacking:
        _show_waiting(study, outcome, named)
    if any(cell.asset == "label_efficiency" for cell in cells):
        _show_report(study, home)
    typer.echo(f"Open the UI: edsel ui --study {named} --home {home}")


def _show_selection(store: Path, cell: Cell, count: int) -> None:
    """Where selections lie, and the first prompts of one."""
    from edsel_assets.store import read_table

    file = with_suffix(cell_path(store, cell), ".parquet")
    ids = read_table(file, ["prompt_id"])["prompt_id"].to_pylist()[:_PROMPTS_SHOWN]
    pool = read_table(with_suffix(cell_path(store, Cell("pool")), ".parquet"), ["prompt_id", "prompt"])
    prompts = dict(zip(pool["prompt_id"].to_pylist(), pool["prompt"].to_pylist(), strict=True))
    typer.echo(f"{count} selections under {file.parent.parent}; the first prompts of {cell}:")
    for prompt_id in ids:
        text = " ".join(prompts.get(prompt_id, "(not in the pool any more)").split())
        typer.echo(f"  {prompt_id[:12]}  {text[:90]}")


def _show_spend(store: Path) -> None:
    """The scores after each order, and what the next one is expected to bring."""
    from edsel_assets.stages.buying import advice
    from edsel_assets.store import read_table

    table = read_table(store / "spend_curve.parquet")
    rows = table.to_pylist()
    for row in rows:
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.4f}"
        typer.echo(
            f"  {row['order'] or 'base model':12} {row['answered']:6} answered {row['spent']:10g} spent  "
            f"{row['task']} {row['metric']} {row['value']:.4f}{error}"
        )
    orders = read_table(store / "orders.parquet", ["order"])["order"].to_pylist()
    typer.echo(advice(table, orders.count(max(orders))))


def _show_waiting(study: Study, outcome: Outcome, named: str) -> None:
    """Which training sets lack answers, and how to get them."""
    lines = [f"{cell} lacks {count}" for cell, count in sorted(outcome.lacking.items())]
    shown = "; ".join(lines[:_PROMPTS_SHOWN]) + ("; ..." if len(lines) > _PROMPTS_SHOWN else "")
    typer.echo(f"{len(outcome.waiting)} cells wait for answers: {shown}.")
    first = next(iter(sorted(outcome.lacking)))
    strategy = (first.partition or "|").split("|")[1]
    if strategy in study.selection.names:
        typer.echo(f"Ask for them: edsel order --study {named} --strategy {strategy} --budget N")


def show_plan(found: Plan, every: bool) -> None:
    """The steps, those of one asset for the same reasons on one line unless ``every``."""
    rows: dict[tuple[Any, ...], list[Step]] = {}
    for step in [*found.certain, *found.possible]:
        alike = (step.cell.asset, step.state, step.certain, step.reasons)
        rows.setdefault((step.cell,) if every else alike, []).append(step)
    for steps in rows.values():
        first = steps[0]
        name = str(first.cell) if len(steps) == 1 else f"{first.cell.asset} ({len(steps)} cells)"
        known = [step.seconds for step in steps if step.seconds is not None]
        time_ = f"{_duration(sum(known))}" if len(known) == len(steps) else "time unknown"
        word = first.state.value if first.certain else "perhaps"
        typer.echo(f"{word:8} {name}: {'; '.join(first.reasons)}  [{time_}]")
    lacking = [f"{step.cell} lacks {step.lacking} answers" for step in found.waiting if step.lacking]
    for line in lacking if every else lacking[:_PROMPTS_SHOWN]:
        typer.echo(f"waits    {line}")
    if found.waiting:
        typer.echo(f"{len(found.waiting)} cells wait for answers to {len(lacking)} training sets.")
    certain, possible = found.certain, found.possible
    if not found.steps:
        typer.echo(f"Nothing to do: {len(found.fresh)} cells are fresh.")
        return
    more = f", and up to {len(possible)} more where these come out with other content" if possible else ""
    typer.echo(f"To make: {len(certain)} cells{more}; {len(found.fresh)} are fresh.")
    seconds = [step.seconds for step in [*certain, *possible]]
    known = [s for s in seconds if s is not None]
    least = f"for {len(known)} of {len(seconds)} cells " if len(known) < len(seconds) else ""
    if known:
        typer.echo(f"Expected {least}in one process: at most {_duration(sum(known))}, by earlier ledgers.")


def show_rehearsal(rehearsal: Rehearsal, needs: Sequence[Need], made: int, seconds: float) -> None:
    """What was rehearsed, and what the full study needs: what is missing first."""
    study, folder = rehearsal.study, rehearsal.folder
    typer.echo(f"Rehearsed {rehearsal.full.name}: {made} cells in {seconds / 60:.1f} min.")
    report = folder / "store" / study.name / "label_efficiency.html"
    typer.echo(f"Its report, whose numbers say nothing: {report}")
    typer.echo(f"Open the UI: edsel ui --study {folder / STUDY_FILE} --home {folder}")
    typer.echo("The full study:")
    for need in sorted(needs, key=lambda need: list(State).index(need.state)):
        typer.echo(f"  {need.state.value:8} {need.what}: {need.text}")
    counts = Counter(need.state for need in needs)
    typer.echo(
        f"{counts[State.MISSING]} things are missing, {counts[State.UNKNOWN]} cannot be checked without a "
        f"network, {counts[State.HERE]} are here."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


@contextmanager
def progress() -> Iterator[Listener]:
    """A bar over the cells of the run, on a terminal; a line per made cell elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("planning", total=None)
        begun: dict[Cell, float] = {}

        def started(cell: Cell) -> None:
            begun[cell] = time.perf_counter()
            bar.update(task, description=str(cell))

        def finished(cell: Cell, was_fresh: bool) -> None:
            bar.advance(task)
            if not was_fresh and not console.is_terminal:
                console.print(
                    f"{cell} {time.perf_counter() - begun[cell]:.1f} s", markup=False, highlight=False
                )

        inner = bar.add_task("", visible=False)

        def step(what: str, done: int, total: int) -> None:
            bar.update(inner, visible=done < total, description=what, completed=done, total=total)

        with listening(step):
            yield Listener(
                planned=lambda cells: bar.update(task, total=cells), started=started, finished=finished
            )


def _show_report(study: Study, home: Path) -> None:
    """The report as its asset wrote it."""
    file = home / "store" / study.name / "label_efficiency.txt"
    typer.echo(file.read_text(encoding="utf-8"))
    typer.echo(f"The whole report: {file.with_suffix('.html')}")
