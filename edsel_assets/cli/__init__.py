"""The ``edsel`` command. A failure is one line and a non-zero exit, never a traceback."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

# Nothing heavier of edsel is imported here: Ctrl-C is answered as soon as ``main`` begins.
from edsel_assets.cli.diff import diff
from edsel_assets.cli.options import HomeOption, StudyOption
from edsel_assets.cli.orders import answer, cancel, curve_notes, export, import_answers, order
from edsel_assets.cli.power import power_lines, wide_budgets
from edsel_assets.cli.rehearse import rehearse
from edsel_assets.cli.report import report
from edsel_assets.cli.verify import verify
from edsel_assets.store import Home

if TYPE_CHECKING:
    from edsel_assets.planning.cells import Scope
    from edsel_assets.study import Study


class _Interrupted(Exception):
    """Typer makes an exit without a word of a KeyboardInterrupt, so it must not see one."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None


app = typer.Typer(
    help="Decide which prompts are worth paying to annotate.",
    no_args_is_help=True,
    add_completion=False,
    cls=_Commands,
)


def _show_version(asked: bool) -> None:
    if asked:
        from edsel_assets import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show edsel's version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Decide which prompts are worth paying to annotate."""


OnlyOption = Annotated[
    str, typer.Option("--only", help="Assets to make, comma-separated; what they need is made too.")
]
BudgetOption = Annotated[list[int] | None, typer.Option("--budget", help="Only this budget; repeatable.")]
StrategyOption = Annotated[
    list[str] | None, typer.Option("--strategy", help="Only this strategy; repeatable.")
]


@app.command()
def run(
    study: StudyOption = "demo",
    only: OnlyOption = "",
    budget: BudgetOption = None,
    strategy: StrategyOption = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that make independent cells at the same time, each with a model."
        ),
    ] = 1,
    home: HomeOption = None,
) -> None:
    """Make what is missing, stale or damaged of a study, and nothing else; then show the report."""
    experiment = _study(study)
    _make(experiment, _scope(experiment, only, budget, strategy), home, workers, study)


@app.command()
def plan(
    study: StudyOption = "demo",
    only: OnlyOption = "",
    budget: BudgetOption = None,
    strategy: StrategyOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="List every cell, not the first of each asset.")
    ] = False,
    power: Annotated[
        bool,
        typer.Option("--power", help="Say instead which savings the study can see, and what would see more."),
    ] = False,
    spread: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            help="For --power before any report: the standard deviation of a score over seeds, as a share of "
            "what twice the random prompts add to it.",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Say what a run would make, why, and what it is expected to take. Changes nothing."""
    from edsel_assets.planning import preflight
    from edsel_assets.planning.freshness import Freshness
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.planning.lineage import lineage_of
    from edsel_assets.planning.plan import plan as planned
    from edsel_assets.terminal import show_plan

    experiment, root = _study(study), Home.at(home)
    check_store(root.store(experiment.name))
    if power:
        for line in power_lines(experiment, root.store(experiment.name), spread):
            typer.echo(line)
        return
    lineage = lineage_of(experiment, root)
    scope = _scope(experiment, only, budget, strategy)
    found = planned(Freshness(experiment, lineage, root), scope)
    show_plan(found, every)
    for need in curve_notes(experiment, root, scope):
        typer.echo(f"needs    {need}")
    lacking = list(preflight.problems(experiment, root, {step.cell.kind for step in found.certain}))
    for problem in [*lacking, *preflight.annotator_problems(experiment, root)]:
        typer.echo(f"lacks    {problem}")
    for remark in wide_budgets(experiment):
        typer.echo(f"design   {remark}")


app.command()(verify)


@app.command()
def ui(
    study: StudyOption = "demo",
    host: Annotated[
        str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page.")] = 3000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="A further name that browsers reach the page by, such as that of a proxy; repeatable.",
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Start the Dagster UI and daemon on a study; Ctrl-C stops both. Runs under way go on to their end."""
    name = _study(study).name
    from edsel_assets.planning.ledger import check_store
    from edsel_assets.running.instance import dagster_home, fail_orphaned_runs, going_on, open_instance
    from edsel_assets.running.ui import services

    names, root = allow_host or [], Home.at(home)
    services.check_address(host, port, names)
    check_store(root.store(name))
    with open_instance(root, name) as instance:
        fail_orphaned_runs(instance)
        environment = {
            **os.environ,
            "EDSEL_STUDY": str(Path(study).absolute()) if Path(study).is_file() else study,
            "EDSEL_HOME": str(root),
            "DAGSTER_HOME": str(dagster_home(root, name)),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        typer.echo(f"Starting the UI of study {study!r}.")
        services.serve(
            environment,
            host,
            port,
            names,
            lambda: typer.echo(f"Dagster UI on http://{host}:{port} for study {study!r}; Ctrl-C to stop."),
        )
        for run_id, process in going_on(instance).items():
            typer.echo(f"Run {run_id[:8]} goes on to its end. To stop it now: kill {process}")


for command in (order, cancel, export, answer):
    app.command()(command)
app.command(name="import")(import_answers)
app.command()(diff)


app.command()(report)
app.command()(rehearse)


@app.command()
def studies() -> None:
    """List the shipped studies."""
    from edsel_assets.study import shipped_studies

    for name in shipped_studies():
        typer.echo(name)


def main() -> None:
    """Entry point of the ``edsel`` command."""
    from edsel_assets.running.asked import note_edsel
    from edsel_assets.running.stopping import watch_signals

    note_edsel()
    stopped = watch_signals()
    try:
        app()
    except (KeyboardInterrupt, _Interrupted):
        stop = stopped()
        # CPython notes an interrupt inside an ``exec`` (dataclasses are made by one), forgets it at the next
        # one only, and would otherwise end this process by SIGINT, whatever its exit code.
        exec("")
        _fail(str(stop), stop.code)
    except Exception as error:
        if os.environ.get("EDSEL_TRACEBACK"):
            raise
        text = " ".join(str(error).split())
        from edsel_assets.running.instance import log_failure

        if explained := log_failure(error):
            text = explained
        elif not isinstance(error, (ValueError, OSError, RuntimeError, MemoryError)):
            text = f"{type(error).__name__}: {text} (a fault of edsel's; EDSEL_TRACEBACK=1 shows where)"
        _fail(text)


def _fail(reason: str, code: int = 1) -> NoReturn:
    typer.secho(f"edsel: {reason}", err=True, fg="red")
    sys.exit(code)


def _study(name: str) -> "Study":
    from edsel_assets.study import Study

    return Study.load(name)


def _scope(study: "Study", only: str, budgets: list[int] | None, strategies: list[str] | None) -> "Scope":
    """What a person asked for; names that the study does not have are caught before anything is loaded."""
    from edsel_assets.planning.cells import Scope

    scope = Scope(
        assets=frozenset(name.strip() for name in only.split(",") if name.strip()),
        budgets=frozenset(budgets or ()),
        strategies=frozenset(strategies or ()),
    )
    for what, asked, there in (
        ("budget", scope.budgets, set(study.selection.every_budget)),
        ("strategy", scope.strategies, set(study.selection.names)),
    ):
        unknown = sorted(str(value) for value in asked - there)
        if unknown:
            _fail(
                f"The study has no {what} {', '.join(unknown)}; it has {', '.join(map(str, sorted(there)))}."
            )
    return scope


def _make(study: "Study", scope: "Scope", typed: Path | None, workers: int, named: str) -> None:
    from edsel_assets.cli.making import make
    from edsel_assets.next_steps import Finished, show_end
    from edsel_assets.planning.ledger import check_store

    start, home = time.perf_counter(), Home.at(typed)
    check_store(home.store(study.name))
    for need in curve_notes(study, home, scope):
        typer.echo(f"Note: {need}")
    outcome, read = make(study, scope, home, workers)
    seconds = time.perf_counter() - start
    show_end(Finished(study, outcome, home, typed is not None, named, read, seconds))
