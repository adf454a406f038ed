"""``edsel rehearse``: the whole of a study on stand-ins, and what the full one needs."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edsel_assets.cli.options import HomeOption
from edsel_assets.store import Home

if TYPE_CHECKING:
    from edsel_assets.rehearsal.needs import Need
    from edsel_assets.rehearsal.stand_ins import Rehearsal


def rehearse(
    study: Annotated[str, typer.Argument(help="Name of a shipped study, or a YAML file.")] = "demo",
    prompts: Annotated[int, typer.Option(min=40, help="Prompts of the rehearsal's pool.")] = 240,
    data: Annotated[
        Path | None, typer.Option("--data", help="Benchmark data, laid out as the hub is.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, as in edsel run.")] = 1,
    home: HomeOption = None,
) -> None:
    """Run the whole of a study on stand-ins, offline and in minutes; then list what the full study needs."""
    from edsel_assets.cli.making import make
    from edsel_assets.planning.cells import Scope
    from edsel_assets.rehearsal.judge_server import judge_server
    from edsel_assets.rehearsal.needs import load_with_gaps, needs_of
    from edsel_assets.rehearsal.scaled import Size
    from edsel_assets.rehearsal.stand_ins import set_up

    start = time.perf_counter()
    full, unset = load_with_gaps(study)
    place = Home.at(home).rehearsal(full.name)
    with judge_server() as judge:
        rehearsal = set_up(full, place.folder, Size(prompts=prompts), data, judge)
        outcome, _ = make(rehearsal.study, Scope(), place, workers)
    rehearsal.finish()
    needs = needs_of(full, rehearsal, unset)
    _show(rehearsal, needs, len(outcome.made), time.perf_counter() - start)


def _show(rehearsal: "Rehearsal", needs: Sequence["Need"], made: int, seconds: float) -> None:
    """What was rehearsed, and what the full study needs: what is missing first."""
    from edsel_assets.planning.cells import Cell
    from edsel_assets.rehearsal.needs import State
    from edsel_assets.rehearsal.stand_ins import STUDY_FILE

    study, folder = rehearsal.study, rehearsal.folder
    typer.echo(f"Rehearsed {rehearsal.full.name}: {made} cells in {seconds / 60:.1f} min.")
    report = Home(folder).store(study.name).text(Cell("label_efficiency"), ".html")
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
