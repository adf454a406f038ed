"""The commands of the paid loop: order, cancel, export, import, answer."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edsel_assets.cli.options import HomeOption, StudyOption
from edsel_assets.store import Home

if TYPE_CHECKING:
    from edsel_assets.desk import Desk
    from edsel_assets.desk.freezing import Draft
    from edsel_assets.planning.cells import Scope
    from edsel_assets.running.local import Listener
    from edsel_assets.study import Study

_OF_ORDERS = {"purchased_adapter", "purchased_scores", "spend_curve"}
_SHOWN = 5  # prompts of an order that is only looked at


def order(
    strategy: Annotated[str, typer.Option("--strategy", help="Whose next picks to order.")],
    study: StudyOption = "demo",
    budget: Annotated[int | None, typer.Option("--budget", help="How many prompts to order.")] = None,
    spend: Annotated[
        float | None,
        typer.Option("--spend", help="For how much money: the picks in order, each that can still be paid."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Order as many as were rejected, in their place.")
    ] = False,
    validate: Annotated[
        int | None,
        typer.Option(
            "--validate",
            help="Of them, so many random prompts to validate, never to train on. Default: the study's "
            "annotation.validation.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Choose and show the prompts, and order nothing.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Freeze the next picks, given all that was asked before; the last line is the order's name."""
    from edsel_assets.desk import Asking, curve_needs, place, preview
    from edsel_assets.terminal import progress

    asking, experiment = Asking(strategy, budget, spend, replace, validate), _study(study)
    asking.check(experiment)
    with progress() as listener, _desk(experiment, Home.at(home), listener) as desk:
        needs = curve_needs(experiment, desk.store, asking.sample(experiment))
        for need in filter(None, (asking.fewer(experiment), *needs)):
            typer.echo(f"Note: {need}")
        if dry_run:
            _show(preview(desk, asking))
            return
        placed = place(desk, asking)
    typer.echo(f"Ordered {placed.words}: {placed.file}")
    export = _next("export", study, home, placed.name, "--format", "csv")
    typer.echo(f"Hand them out: {export} --out FILE")
    typer.echo(placed.name)


def _show(draft: "Draft") -> None:
    """An order that was not placed."""
    typer.echo(f"This would order {draft.words}. The first of them:")
    for row in draft.table().slice(0, _SHOWN).to_pylist():
        typer.echo(f"  {row['prompt_id'][:12]}  {' '.join(row['prompt'].split())[:90]}")
    typer.echo("Nothing was ordered.")


def cancel(
    name: Annotated[str, typer.Argument(metavar="ORDER", help="Name of the order.")],
    study: StudyOption = "demo",
    home: HomeOption = None,
) -> None:
    """Cancel an order of which nothing is answered yet; its prompts may be ordered again."""
    from edsel_assets import desk

    with _desk(_study(study), Home.at(home)) as opened:
        prompts = desk.cancel(opened, name)
    typer.echo(f"Cancelled {name}: its {prompts} prompts may be ordered again.")


def export(
    name: Annotated[str, typer.Argument(metavar="ORDER", help="Name of the order.")],
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    study: StudyOption = "demo",
    style: Annotated[str, typer.Option("--format", help="jsonl, csv, label-studio or argilla.")] = "jsonl",
    home: HomeOption = None,
) -> None:
    """Write the prompts of an order for those who answer them."""
    from edsel_assets.desk import export

    with _desk(_study(study), Home.at(home)) as desk:
        for file in export(desk, name, style, out):
            typer.echo(f"Wrote {file}")


def import_answers(
    file: Annotated[Path, typer.Argument(help="Answers, in any of the formats of export.")],
    study: StudyOption = "demo",
    name: Annotated[str | None, typer.Option("--order", help="Only answers to this order.")] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", help="first or last of several answers to one prompt.")
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out ids that were never asked for.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Take answers back: checked against what was asked, entered once, nothing written if one is wrong."""
    from edsel_assets.desk import curve_needs, take_back

    experiment = _study(study)
    with _desk(experiment, Home.at(home)) as desk:
        counts = take_back(desk, file, order=name, keep=keep, skip_unknown=skip_unknown)
    typer.echo(", ".join(f"{count} {kind}" for kind, count in counts.items()) + ".")
    for need in curve_needs(experiment, desk.store):
        typer.echo(f"Note: {need}")
    typer.echo(f"Train on them: {_next('run', study, home, '--only', 'spend_curve')}")


def answer(
    name: Annotated[str | None, typer.Argument(metavar="[ORDER]", help="The order; all without it.")] = None,
    study: StudyOption = "demo",
    home: HomeOption = None,
) -> None:
    """Let the study's annotator answer what is open; it goes on where an earlier call was stopped."""
    from edsel_assets.desk import answer

    with _desk(_study(study), Home.at(home)) as desk:
        found = answer(desk, name)
    for remark in found.remarks:
        typer.echo(remark)
    typer.echo(
        f"{found.answered} answered, {found.rejected} rejected, {found.late} late, {found.open} open; "
        f"paid {found.paid:g}."
    )


def curve_notes(study: "Study", home: Home, scope: "Scope") -> list[str]:
    """What the curve by money needs, where a run would train on orders."""
    store = home.store(study.name)
    if not store.order_names() or (scope.assets and not scope.assets & _OF_ORDERS):
        return []
    from edsel_assets.desk import curve_needs

    return curve_needs(study, store)


def _study(name: str) -> "Study":
    from edsel_assets.study import Study

    return Study.load(name)


@contextmanager
def _desk(study: "Study", home: Home, listener: "Listener | None" = None) -> Iterator["Desk"]:
    """What commands about orders work on."""
    from edsel_assets.defs.build import build_definitions
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.running.instance import open_instance
    from edsel_assets.running.ordering import open_desk

    check_store(home.store(study.name))
    with open_instance(home, study.name) as instance:
        yield open_desk(study, build_definitions(study, home=home), instance, home, listener)


def _next(command: str, study: str, home: Path | None, *words: str) -> str:
    """A command on the same study and home that works as typed."""
    from edsel_assets.next_steps import program

    where = ["--study", study, *(["--home", str(home)] if home else [])]
    return shlex.join([*program(), command, *words, *where])
