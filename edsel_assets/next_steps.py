"""The end of a run on the terminal: what was made, what it cost, and what a person does next."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from edsel_assets.kinds.assets import strategy_of
from edsel_assets.llm.training.settings import LEAST_FALL
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.running.local import Outcome
from edsel_assets.stages.checks.training import REMEDY, training_fall
from edsel_assets.store import Home, Store
from edsel_assets.study import Study

_SHOWN = 5
_COMPARED = 20  # selections of which each has a line
_SELECTIONS = ("selections", "iterative_selections")
_OF_ORDERS = ("purchased_training_set",)


@dataclass(frozen=True)
class Finished:
    """A run that has ended.

    Attributes:
        named: the study as it was typed, a name or a file.
        home_typed: whether the home has to be typed too, as it is not the default one.
        read: prompts read by the model now and before, by asset: (new, reused).
        seconds: that it took.
    """

    study: Study
    outcome: Outcome
    home: Home
    home_typed: bool
    named: str
    read: dict[str, tuple[int, int]]
    seconds: float

    @property
    def store(self) -> Store:
        return self.home.store(self.study.name)

    @property
    def cells(self) -> list[Cell]:
        return [*self.outcome.made, *self.outcome.fresh]

    def has(self, asset: str) -> bool:
        return any(cell.asset == asset for cell in self.cells)

    def command(self, *words: str) -> str:
        """A command of edsel on this study and home that works as typed."""
        where = ["--home", str(self.home)] if self.home_typed else []
        return shlex.join([*program(), *words, "--study", self.named, *where])


def program() -> list[str]:
    """How this process's command was called."""
    called = Path(sys.argv[0])
    if called.suffix == ".py":  # python -m edsel_assets.cli
        return [sys.executable, "-m", "edsel_assets.cli"]
    if not called.exists():  # called by its name alone, in a process of another
        return [called.name]
    found = shutil.which(called.name)
    return [called.name] if found and Path(found).samefile(called) else [str(called)]


def show_end(run: Finished) -> None:
    """What was made, where it lies, and what to do next."""
    outcome = run.outcome
    fresh = f"{len(outcome.fresh)} fresh"
    if run.has("label_efficiency"):
        _show_report(run)
    if outcome.made:
        minutes = f"{run.seconds / 60:.1f} min"
        typer.echo(f"Made {len(outcome.made)} cells ({fresh}) in {minutes}; results in {run.store}.")
        _show_cost(run)
        _warn_of_trainings(run)
    elif not outcome.waiting:
        typer.echo(f"Nothing to do: {fresh}, checked in {run.seconds:.1f} s.")
    for asset, lines in outcome.remarks.items():
        for line in lines:
            typer.echo(f"{asset}: {line}")
    chosen = _shown_selection(run)
    if chosen is not None:
        _show_selection(run, chosen)
    _show_against_random(run)
    if run.has("spend_curve"):
        _show_spend(run.store)
    if outcome.lacking:
        _show_waiting(run)
    if chosen is not None:
        budget, strategy = _budget_and_strategy(run, chosen)
        rule = "--spend" if run.study.selection.by_price else "--budget"
        words = ("order", "--strategy", strategy, rule, str(budget))
        typer.echo(f"Order them: {run.command(*words)}")
    typer.echo(f"Open the UI: {run.command('ui')}")


def _show_cost(run: Finished) -> None:
    """Work of the machine, and prompts that the model did not have to read again."""
    ledgers = [read_ledger(run.store, cell) for cell in run.outcome.made]
    work = sum(ledger.seconds for ledger in ledgers if ledger is not None)
    devices = sorted({ledger.device for ledger in ledgers if ledger is not None})
    typer.echo(f"Cost: {work / 60:.1f} min of work on {', '.join(devices)}; nothing was ordered or paid.")
    for asset, (new, reused) in run.read.items():
        typer.echo(f"Read for {asset}: {new} prompts new, {reused} reused.")


def _warn_of_trainings(run: Finished) -> None:
    """Trainings of this run that have learnt next to nothing, and the remedy."""
    read = [(cell, training_fall(run.store.adapter(cell))) for cell in run.outcome.made]
    falls = {cell: fall for cell, fall in read if fall is not None}
    idle = {cell: fall for cell, fall in falls.items() if fall < LEAST_FALL}
    if not idle:
        return
    first, fall = next(iter(idle.items()))
    typer.echo(
        f"Warning: in {len(idle)} of {len(falls)} trainings the loss fell by less than {LEAST_FALL:.0%} "
        f"({first}: {fall:.1%}), so next to nothing was learnt. {REMEDY}."
    )


def _shown_selection(run: Finished) -> Cell | None:
    """The selection of the smallest budget by the first strategy of the study that is not the control."""
    found = [cell for cell in run.cells if cell.asset in _SELECTIONS]
    names = run.study.selection.names

    def place(cell: Cell) -> tuple[bool, int, int]:
        budget, strategy = _budget_and_strategy(run, cell)
        return strategy == run.study.control, budget, names.index(strategy)

    return min(found, key=place, default=None)


def _budget_and_strategy(run: Finished, cell: Cell) -> tuple[int, str]:
    return int(cell.parts[0]), strategy_of(run.study, cell.partition) or ""


def _show_selection(run: Finished, cell: Cell) -> None:
    """Where selections lie, and the first prompts of one with their expected price."""
    from edsel_assets.store import read_table

    count = sum(cell.asset in _SELECTIONS for cell in run.cells)
    file = run.store.table(cell)
    table = read_table(file, ["replicate", "prompt_id"]).to_pylist()
    ids = [row["prompt_id"] for row in table if row["replicate"] == 0]
    pool = read_table(run.store.table(Cell("pool")))
    rows = {row["prompt_id"]: row for row in pool.to_pylist()}
    picked: Sequence[dict[str, Any]] = [rows[prompt_id] for prompt_id in ids if prompt_id in rows]
    typer.echo(f"{count} selections, such as {file}")
    typer.echo(f"{cell}: {len(ids)} prompts, {_expected(run.study, picked, pool)}. The first:")
    for row in picked[:_SHOWN]:
        typer.echo(f"  {row['prompt_id'][:12]}  {' '.join(row['prompt'].split())[:90]}")


def _show_against_random(run: Finished) -> None:
    """A line for each selection that was compared with random draws; of many, those that are worse."""
    from edsel_assets.store import read_table

    lines = []
    for cell in sorted(cell for cell in run.cells if cell.asset == "selection_checks"):
        for row in read_table(run.store.table(cell)).to_pylist():
            if row["strategy"] != run.study.control:
                worse = f" WORSE: {row['problem']}." if row["problem"] else ""
                name = f"{row['strategy']} at {int(cell.partition or 0)}"
                lines.append((f"  {name}: {row['words']}.{worse}", bool(worse)))
    if not lines:
        return
    shown = [line for line, worse in lines if worse or len(lines) <= _COMPARED]
    typer.echo(f"Against random ({len(lines)} selections; all in {run.store.path('selection_checks')}):")
    for line in shown:
        typer.echo(line)


def _expected(study: Study, picked: Sequence[dict[str, Any]], pool: Any) -> str:
    from edsel_assets.annotation import AnnotationError, rule_prices

    try:
        return f"expected to cost {sum(rule_prices(study.annotation, picked, pool)):g} to annotate"
    except AnnotationError as error:
        return f"of unknown cost ({error})"


def _show_spend(store: Store) -> None:
    """The scores after each order, and what the next one is expected to bring."""
    from edsel_assets.desk.spending import advice, last_batch
    from edsel_assets.store import read_table

    table = read_table(store.table(Cell("spend_curve")))
    rows = table.to_pylist()
    for row in rows:
        error = "" if row["stderr"] is None else f" ± {row['stderr']:.4f}"
        typer.echo(
            f"  {row['order'] or 'base model':12} {row['answered']:6} answered {row['spent']:10g} spent  "
            f"{row['task']} {row['metric']} {row['value']:.4f}{error}"
        )
    typer.echo(advice(table, last_batch(read_table(store.table(Cell("orders"))))))


def _show_waiting(run: Finished) -> None:
    """Which training sets lack answers, and how to get them."""
    outcome = run.outcome
    lines = [f"{cell} lacks {count}" for cell, count in sorted(outcome.lacking.items())]
    shown = "; ".join(lines[:_SHOWN]) + ("; ..." if len(lines) > _SHOWN else "")
    typer.echo(f"{len(outcome.waiting)} cells wait for answers: {shown}.")
    open_orders = sorted(cell.partition or "" for cell in outcome.lacking if cell.asset in _OF_ORDERS)
    if open_orders:
        export = run.command("export", open_orders[0], "--format", "csv")
        typer.echo(f"Hand {open_orders[0]} out: {export} --out FILE")
        typer.echo(f"Enter its answers: {run.command('import', 'FILE')}")
    strategies = [strategy_of(run.study, cell.partition) for cell in sorted(outcome.lacking)]
    strategy = next((name for name in strategies if name is not None), None)
    if strategy is not None:
        typer.echo(f"Ask for them: {run.command('order', '--strategy', strategy)} --budget N")


def _show_report(run: Finished) -> None:
    """The report as its asset wrote it."""
    file = run.store.text(Cell("label_efficiency"), ".txt")
    typer.echo(file.read_text(encoding="utf-8"))
    typer.echo(f"The whole report: {file.with_suffix('.html')}")
