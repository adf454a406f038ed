"""Processes that make cells, each with its libraries and its base model loaded once.

A worker is ``python -m edsel_assets.worker``: it reads requests from its standard input, one JSON line
each, and answers each with one. It ends when its input does, so none outlives what started it by more
than the request at hand. The standard library's pool of processes would not do: where one of them is killed,
it gives up all that the others make, and takes nothing more.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from edsel_assets.planning.cells import Cell
from edsel_assets.running.devices import least_used, spread_over
from edsel_assets.running.local import RunFailed
from edsel_assets.store import Home
from edsel_assets.study import Study

_PATIENCE = 10.0  # seconds that a worker has to stop where it stands


class WorkerDied(RuntimeError):
    """A worker's process ended in the middle of a request."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the worker process ended (exit {code})")
        self.code = code


class Worker:
    """One worker process, which answers one request at a time.

    Args:
        gpu: the only one that it sees, as ``CUDA_VISIBLE_DEVICES`` names it; None for all.
    """

    def __init__(self, greeting: dict[str, Any], gpu: str | None = None) -> None:
        self.gpu = gpu
        seen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edsel_assets.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | seen,
            process_group=0,  # Ctrl-C is for the process that started it, which then ends its workers
        )
        self._send(greeting)

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], waiting: Callable[[str], None]) -> dict[str, Any]:
        """The answer to ``request``.

        Args:
            waiting: told what it waits for before it can answer.

        Raises:
            WorkerDied: with the exit code.
        """
        self._send(request)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if "waiting" not in answer:
                return answer
            waiting(answer["waiting"])
        raise WorkerDied(self._process.wait())

    def end(self, *, at_once: bool) -> None:
        """Tell it to end after the request at hand, or now."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            at_once = True  # it is gone already
        if at_once:
            self._process.terminate()

    def gone(self, *, patience: float | None) -> None:
        """Wait for its end; kill it where it takes more than ``patience`` seconds."""
        try:
            self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, content: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # it is gone, or was told to end meanwhile
            raise WorkerDied(self._process.wait()) from None


class WorkerPool:
    """Up to ``slots`` workers, each started when it is first needed and kept for the next request.

    Args:
        greeting: what a worker is told first: the study and its home.
        waiting: told what a worker waits for, such as a cell that another run makes.
    """

    def __init__(
        self, greeting: dict[str, Any], slots: int, waiting: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.slots, self._waiting = slots, waiting
        self._greeting = greeting
        self._gpus = spread_over((greeting["study"] or {}).get("model", {}))
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._guard = threading.Lock()
        self._ended: SimpleQueue[tuple[Sequence[Cell], dict[str, Any] | WorkerDied]] = SimpleQueue()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(at_once=kind is not None)

    def close(self, *, at_once: bool) -> None:
        """End every worker, and wait for it."""
        for worker in self.leave(at_once=at_once):
            worker.gone(patience=_PATIENCE if at_once else None)

    def leave(self, *, at_once: bool = False) -> list[Worker]:
        """Tell every worker to end, now or after the request at hand; those told."""
        with self._guard:
            workers = [*self._idle, *self._busy]
            self._idle = []
        for worker in workers:
            worker.end(at_once=at_once)
        return workers

    def submit(
        self,
        request: dict[str, Any],
        done: Callable[[dict[str, Any] | WorkerDied], None],
        began: Callable[[Worker], None] | None = None,
    ) -> None:
        """Have an idle or a new worker answer ``request``; ``done`` is called in a thread of its own."""
        worker = self._take()
        if began:
            began(worker)

        def drive() -> None:
            answer: dict[str, Any] | WorkerDied
            try:
                answer = worker.ask(request, self._waiting)
            except WorkerDied as death:
                answer = death
            with self._guard:
                self._busy.discard(worker)
                if not isinstance(answer, WorkerDied):
                    self._idle.append(worker)
            done(answer)

        threading.Thread(target=drive, daemon=True).start()

    def _take(self) -> Worker:
        with self._guard:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive():
                    break
            else:
                gpus = [worker.gpu for worker in self._busy]  # nobody is idle
                worker = Worker(self._greeting, least_used(self._gpus, gpus))
            self._busy.add(worker)
            return worker

    # -- as the pool of ``materialize``

    def start(self, batch: Sequence[Cell]) -> None:
        request = {"cells": [[cell.asset, cell.partition] for cell in batch]}
        self.submit(request, lambda answer: self._ended.put((batch, answer)))

    def wait(self) -> tuple[Sequence[Cell], Sequence[Cell]]:
        batch, answer = self._ended.get()
        if isinstance(answer, WorkerDied):
            killed = answer.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
            hint = "; is memory enough for --workers?" if killed else "; what it said stands above."
            raise RunFailed(f"{batch[0]}: {answer}{hint}", batch)
        if answer["failed"]:
            raise RunFailed(answer["failed"], batch)
        return batch, [Cell(*cell) for cell in answer["made"]]


def greeting(study: Study, home: Home) -> dict[str, Any]:
    """What a worker is told first: of the study what its file gives, as a variant takes the rest from it."""
    return {"study": study.model_dump(mode="json", exclude_unset=True), "home": str(home)}
