"""``edsel report``: the report as it was made last, without making anything."""

import webbrowser
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from edsel_assets.cli.options import HomeOption, StudyOption
from edsel_assets.planning.cells import Cell
from edsel_assets.store import Home

if TYPE_CHECKING:
    from edsel_assets.study import Study


class Form(StrEnum):
    """Suffixes of the report's files."""

    TEXT = "txt"
    MARKDOWN = "md"
    LATEX = "tex"
    CSV = "csv"
    HTML = "html"


def report(
    study: StudyOption = "demo",
    form: Annotated[Form, typer.Option("--format", help="Of what is printed.")] = Form.TEXT,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser instead.")] = False,
    home: HomeOption = None,
) -> None:
    """Print the report of a study, or open it as a page; nothing is made, and what is out of date is said."""
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.study import Study

    experiment, root = Study.load(study), Home.at(home)
    store = root.store(experiment.name)
    check_store(store)
    file = store.text(Cell("label_efficiency"), f".{Form.HTML if show else form}")
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is not there: the study has no report yet. Make it: edsel run --study {study}."
        )
    for remark in _out_of_date(experiment, root):
        typer.secho(remark, err=True, fg="yellow")
    if not show:
        typer.echo(file.read_text(encoding="utf-8"))
    elif webbrowser.open(file.absolute().as_uri()):
        typer.echo(f"Opened {file.absolute()}")
    else:
        raise OSError(f"No browser could be started. Open the page yourself: {file.absolute()}")


def _out_of_date(study: "Study", home: Home) -> list[str]:
    """What a run would make before the report, or why it would make the report alone."""
    from edsel_assets.planning.cells import Scope
    from edsel_assets.planning.freshness import Freshness
    from edsel_assets.planning.lineage import lineage_of
    from edsel_assets.planning.plan import plan

    lineage = lineage_of(study, home)
    steps = plan(Freshness(study, lineage, home), Scope(assets=frozenset({"label_efficiency"}))).steps
    if not steps:
        return []
    states = Counter(step.state.value for step in steps if step.certain)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    return [
        f"A run would make it again: of the cells that it is made of {counts}; the first is {steps[0].cell} "
        f"({steps[0].why})."
    ]
