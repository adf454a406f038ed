"""Parts of the script: each in a process, under a limit, with its result kept as soon as it is done."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What all parts are told.

    Attributes:
        small: sizes that a CPU goes through in seconds.
        model, pool: of the targeted part; the demo's own without them.
    """

    device: str
    small: bool
    model: Path | None = None
    pool: Path | None = None


@dataclass(frozen=True)
class Part:
    """``run(job)`` gives plain JSON values; it is killed after ``seconds``."""

    run: Callable[[Job], Result]
    seconds: int


class LeftOut(Exception):
    """A part has nothing to do here; the text says why."""


def run_all(job: Job, parts: Mapping[str, Part], out: Path) -> int:
    """Run the parts in order; 1 where one failed or ran out of time."""
    out.mkdir(parents=True, exist_ok=True)
    _import_libraries()
    done: dict[str, Result] = {}
    for name, part in parts.items():
        began = time.perf_counter()
        file = out / f"{name}.json"
        file.unlink(missing_ok=True)
        found = _in_process(part, job, file)
        found["seconds"] = round(time.perf_counter() - began, 2)
        _write(file, found)
        done[name] = found
        _write_page(out, job, done)
        print(f"{name}: {found['status']}, {found['seconds']} s. {found.get('why', '')}".rstrip(), flush=True)
    print(f"Results: {out}", flush=True)
    return int(any(found["status"] in ("failed", "out of time") for found in done.values()))


def _import_libraries() -> None:
    """Once, before processes are forked; nothing here touches a device, which no fork could share."""
    import numba  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers

    transformers.utils.logging.disable_progress_bar()


def _in_process(part: Part, job: Job, file: Path) -> Result:
    child = multiprocessing.get_context("fork").Process(target=_run, args=(part, job, file))
    child.start()
    child.join(part.seconds)
    if child.is_alive():
        child.kill()
        child.join()
        return {"status": "out of time", "why": f"It was ended after {part.seconds} s."}
    if not file.is_file():
        return {"status": "failed", "why": f"Its process ended with exit code {child.exitcode}."}
    return json.loads(file.read_text(encoding="utf-8"))


def _run(part: Part, job: Job, file: Path) -> None:
    try:
        found = {"status": "done", "found": part.run(job)}
    except LeftOut as reason:
        found = {"status": "left out", "why": str(reason)}
    except Exception as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        found = {"status": "failed", "why": why, "trace": traceback.format_exc()}
    _write(file, found)


def _write(file: Path, content: Result) -> None:
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, file)


def _write_page(out: Path, job: Job, done: Mapping[str, Result]) -> None:
    """The results of this run so far as one Markdown page."""
    lines = ["# Measured on this machine", "", f"Device: {job.device}{', small' if job.small else ''}.", ""]
    for name, found in done.items():
        lines += [f"## {name}: {found['status']}, {found['seconds']} s", "", found.get("why", "")]
        lines += _rows(found.get("found", {}))
    (out / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(found: Result) -> list[str]:
    if not found:
        return [""]
    return [
        "| what | value |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in found.items()),
        "",
    ]
