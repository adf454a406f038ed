"""Several processes that make independent cells at the same time, each with its own base model.

A worker is this module run as a program: it reads a study and then batches of cells from its
standard input, one JSON line each, and answers each with one. It ends when its input does, so
none outlives a killed parent by more than the cell at hand; until then it holds the home's lock.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

import dagster as dg

from edsel_assets.defs.cells import Cell
from edsel_assets.defs.materialize import RunFailed, Runner
from edsel_assets.study import Study


class Workers:
    """A crew of ``count`` processes, started at the first use and ended with the block."""

    def __init__(self, study: Study, home: Path, count: int, lock: int) -> None:
        self._greeting = json.dumps({"study": study.model_dump(mode="json"), "home": str(home)})
        self._count, self._lock = count, lock
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            if kind is not None:
                process.terminate()
            process.wait()

    def run(
        self,
        batches: Sequence[Sequence[Cell]],
        started: Callable[[Cell], None],
        finished: Callable[[Sequence[Cell]], None],
    ) -> None:
        """Hand out the batches in order; RunFailed at the first failure, once the others are done."""
        waiting: SimpleQueue[Sequence[Cell]] = SimpleQueue()
        for batch in batches:
            waiting.put(batch)
        failures: list[RunFailed] = []
        told = threading.Lock()

        def drive(process: subprocess.Popen[str]) -> None:
            while not failures:
                try:
                    batch = waiting.get_nowait()
                except Empty:
                    return
                with told:
                    for cell in batch:
                        started(cell)
                reason = _ask(process, batch)
                with told:
                    if reason is None:
                        finished(batch)
                    else:
                        failures.append(RunFailed(reason))

        self._start(min(self._count, len(batches)))
        threads = [threading.Thread(target=drive, args=(p,), daemon=True) for p in self._processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _start(self, count: int) -> None:
        while len(self._processes) < count:
            process = subprocess.Popen(
                [sys.executable, "-m", "edsel_assets.defs.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=(self._lock,),
            )
            assert process.stdin is not None
            process.stdin.write(self._greeting + "\n")
            self._processes.append(process)


def _ask(process: subprocess.Popen[str], batch: Sequence[Cell]) -> str | None:
    """Have a worker run a batch; why it failed, or None."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps([[list(c.asset_key.path), c.partition] for c in batch]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        return (
            f"{batch[0]}: the worker process ended (exit {process.wait()}); is memory enough for --workers?"
        )
    return json.loads(answer)["failed"]


def main() -> None:
    """Answer batches until the input ends."""
    from edsel_assets.defs.build import build_definitions
    from edsel_assets.defs.instance import open_instance

    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    greeting = json.loads(sys.stdin.readline())
    home = Path(greeting["home"])
    study = Study.model_validate(greeting["study"])
    definitions = build_definitions(study, home=home)
    with open_instance(home, study.name) as instance:
        runner = Runner(definitions, instance)
        # The parent ends its workers by a signal when one of them failed.
        with suppress(KeyboardInterrupt):
            for line in sys.stdin:
                print(json.dumps({"failed": _attempt(runner, json.loads(line))}), file=answers, flush=True)


def _attempt(runner: Runner, cells: list[Any]) -> str | None:
    batch = [Cell(dg.AssetKey(path), partition) for path, partition in cells]
    try:
        runner.run_one(batch)
    except RunFailed as failure:
        return str(failure)
    return None


if __name__ == "__main__":
    main()
