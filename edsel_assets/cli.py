"""The ``edsel`` command. A failure is one line and a non-zero exit, never a traceback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edsel_assets.study import Study

if TYPE_CHECKING:
    from edsel_assets.defs.cells import Cell, Scope
    from edsel_assets.defs.materialize import Listener

app = typer.Typer(
    help="Decide which prompts are worth paying to annotate.", no_args_is_help=True, add_completion=False
)

StudyOption = Annotated[str, typer.Option("--study", "-s", help="Name of a shipped study, or a YAML file.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Where results lie. Default: $EDSEL_HOME, else ./.edsel.")
]


@app.command()
def run(
    study: StudyOption = "demo",
    only: Annotated[
        str, typer.Option(help="Assets to make, comma-separated; what they need is made too.")
    ] = "",
    budget: Annotated[list[int] | None, typer.Option(help="Only this budget; repeatable.")] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only this strategy; repeatable.")] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes that make independent cells at the same time, each with a model."
        ),
    ] = 1,
    home: HomeOption = None,
) -> None:
    """Make what is missing or stale of a study, and nothing else; then show the report."""
    from edsel_assets.defs.cells import Scope

    experiment = Study.load(study)
    scope = Scope(
        assets=frozenset(name.strip() for name in only.split(",") if name.strip()),
        budgets=frozenset(budget or ()),
        strategies=frozenset(strategy or ()),
    )
    _check_scope(experiment, scope)
    _make(experiment, scope, _home(home), workers)


@app.command()
def ui(
    study: StudyOption = "demo",
    host: Annotated[
        str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 3000,
    home: HomeOption = None,
) -> None:
    """Start the Dagster UI and daemon on a study; Ctrl-C stops both."""
    name = Study.load(study).name
    from edsel_assets.defs.instance import dagster_home

    root = _home(home)
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "-m",
        "edsel_assets.definitions",
        "-h",
        host,
        "-p",
        str(port),
    ]
    environment = {
        **os.environ,
        "EDSEL_STUDY": str(Path(study).absolute()) if Path(study).is_file() else study,
        "EDSEL_HOME": str(root),
        "DAGSTER_HOME": str(dagster_home(root, name)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    typer.echo(f"Dagster UI on http://{host}:{port} for study {study!r}; Ctrl-C to stop.")
    raise typer.Exit(_in_own_session(command, environment))


@app.command()
def studies() -> None:
    """List the shipped studies."""
    from edsel_assets.study import shipped_studies

    for name in shipped_studies():
        typer.echo(name)


def main() -> None:
    """Entry point of the ``edsel`` command."""
    try:
        app()
    except KeyboardInterrupt:
        _fail("Interrupted. What is finished is kept; the same command goes on from there.", 130)
    except Exception as error:
        if os.environ.get("EDSEL_TRACEBACK"):
            raise
        text = " ".join(str(error).split())
        if not isinstance(error, (ValueError, OSError, RuntimeError, MemoryError)):
            text = f"{type(error).__name__}: {text} (a fault of edsel's; EDSEL_TRACEBACK=1 shows where)"
        _fail(text)


def _fail(reason: str, code: int = 1) -> NoReturn:
    typer.secho(f"edsel: {reason}", err=True, fg="red")
    sys.exit(code)


def _home(home: Path | None) -> Path:
    from edsel_assets.store import edsel_home

    return edsel_home(home)


def _check_scope(study: Study, scope: "Scope") -> None:
    """Names that the study does not have are caught before anything is loaded."""
    for what, asked, there in (
        ("budget", scope.budgets, set(study.selection.budgets)),
        ("strategy", scope.strategies, set(study.selection.strategies)),
    ):
        unknown = sorted(str(value) for value in asked - there)
        if unknown:
            _fail(
                f"The study has no {what} {', '.join(unknown)}; it has {', '.join(sorted(map(str, there)))}."
            )


def _make(study: Study, scope: "Scope", home: Path, workers: int) -> None:
    from edsel_assets.defs.build import build_definitions
    from edsel_assets.defs.graph import DEVICE_POOL
    from edsel_assets.defs.instance import bury_dead_runs, exclusive, open_instance
    from edsel_assets.defs.materialize import materialize
    from edsel_assets.defs.workers import Workers

    start = time.perf_counter()
    with exclusive(home) as lock, open_instance(home, study.name) as instance:
        bury_dead_runs(instance)
        # Workers share the device on purpose; with fewer slots they would wait for each other.
        instance.event_log_storage.set_concurrency_slots(DEVICE_POOL, workers)
        definitions = build_definitions(study, home=home)
        store = home / "store" / study.name
        with _progress() as listener, Workers(study, home, workers, lock) as crew:
            chosen = crew if workers > 1 else None
            outcome = materialize(study, definitions, instance, store, scope, listener, crew=chosen)
    seconds = time.perf_counter() - start
    fresh = f"{len(outcome.fresh)} fresh"
    if outcome.made:
        typer.echo(f"Made {len(outcome.made)} cells ({fresh}) in {seconds / 60:.1f} min; results in {home}.")
    else:
        typer.echo(f"Nothing to do: {fresh}, checked in {seconds:.1f} s.")
    if any(str(cell) == "label_efficiency" for cell in [*outcome.made, *outcome.fresh]):
        _show_report(study, home)


@contextmanager
def _progress() -> Iterator["Listener"]:
    """A bar over the cells of the run, on a terminal; a line per made cell elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from edsel_assets.defs.materialize import Listener
    from edsel_assets.defs.metadata import listening

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("planning", total=None)
        begun: dict[Cell, float] = {}

        def started(cell: "Cell") -> None:
            begun[cell] = time.perf_counter()
            bar.update(task, description=str(cell))

        def finished(cell: "Cell", was_fresh: bool) -> None:
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
    from edsel_assets.stages.summary import print_report

    print_report(study, home / "store" / study.name)
    typer.echo(f"Open the UI: edsel ui --study {study.name} --home {home}")


def _in_own_session(command: list[str], environment: dict[str, str]) -> int:
    """Run to the end, or until Ctrl-C or a TERM, then end the whole group: dagster dev has children."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        return process.wait()
    except KeyboardInterrupt:
        for ending, patience in ((signal.SIGINT, 20), (signal.SIGKILL, 5)):
            try:
                os.killpg(process.pid, ending)
                process.wait(timeout=patience)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        return 0


if __name__ == "__main__":
    main()
