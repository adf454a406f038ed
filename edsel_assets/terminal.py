"""What a person sees on the terminal: a plan, the progress of a run."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from edsel_assets.planning.cells import Cell
from edsel_assets.planning.plan import Plan, Step
from edsel_assets.running.local import Listener
from edsel_assets.running.progress import listening

_PROMPTS_SHOWN = 5
_BY = "By earlier ledgers, else by tokens and the speed of this machine."
_PACE_SECONDS = 30.0  # between two lines of one step, where there is no terminal


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
        typer.echo(f"{word:8} {name}: {first.why}  [{time_}]")
    lacking = [
        f"{step.cell} lacks {step.lacking} answers"
        + ("" if step.cost is None else f", expected to cost {step.cost:g}")
        for step in found.waiting
        if step.lacking
    ]
    for line in lacking if every else lacking[:_PROMPTS_SHOWN]:
        typer.echo(f"waits    {line}")
    if found.waiting:
        typer.echo(f"{len(found.waiting)} cells wait for answers to {len(lacking)} training sets.")
    if found.unread:
        typer.echo(
            f"Left out, as nothing of the study reads them: {', '.join(found.unread)}. --only makes them."
        )
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
        typer.echo(f"Expected {least}in one process: about {_duration(sum(known))}. {_BY}")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


class Pace:
    """Lines on how far long steps are, at a sensible pace: done, rate, time left."""

    def __init__(self, say: Callable[[str], None], seconds: float = _PACE_SECONDS) -> None:
        self._say, self._seconds = say, seconds
        self._begun: dict[str, tuple[float, int]] = {}
        self._told: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if what not in self._begun or done < self._begun[what][1]:
            self._begun[what], self._told[what] = (now, done), now
            return
        if now - self._told[what] < self._seconds and done < total:
            return
        start, before = self._begun[what]
        rate = (done - before) / max(now - start, 1e-9)
        if now - start >= self._seconds:  # a short step needs no line of its own
            left = f", {_duration((total - done) / rate)} left" if rate and done < total else ""
            self._say(f"{what}: {done:,} of {total:,}, {rate:.3g} a second{left}")
        self._told[what] = now


@contextmanager
def progress() -> Iterator[Listener]:
    """A bar over the cells of the run, on a terminal; lines for cells and long steps elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("planning", total=None)

        def finished(cell: Cell, seconds: float | None) -> None:
            bar.advance(task)
            if seconds is not None and not console.is_terminal:
                console.print(f"{cell} {seconds:.1f} s", markup=False, highlight=False)

        inner = bar.add_task("", visible=False)

        pace = Pace(lambda line: console.print(line, markup=False, highlight=False))

        def step(what: str, done: int, total: int) -> None:
            if not console.is_terminal:
                pace(what, done, total)
            bar.update(inner, visible=done < total, description=what, completed=done, total=total)

        with listening(step):
            yield Listener(
                planned=lambda cells: bar.update(task, total=cells),
                started=lambda cell: bar.update(task, description=str(cell)),
                finished=finished,
                waiting=lambda reason: console.print(reason, markup=False, highlight=False),
            )
