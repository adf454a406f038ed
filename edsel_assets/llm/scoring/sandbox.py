"""Programs that a model wrote, run where they can do no harm: no network, no files of ours, tight limits.

Linux only, by namespaces and a filter of system calls: the program sees the system's folders read-only, an
empty folder of its own in memory, no network, no process but its own, none of our environment and none of our
open files, and it can hold no memory beside its limit. Where any of that cannot be had, nothing is run. A
program may still say that it passed when it did not: the sandbox guards the machine, not the score.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sandbox_filter import system_call_filter

INSIDE = Path(__file__).with_name("sandbox_inside.py")
SYSTEM = ("/usr", "/lib", "/lib64", "/bin")
MIB = 1 << 20


class SandboxError(RuntimeError):
    """The sandbox cannot be had here, so that nothing was run; one line."""


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    ``wall``: seconds from start to end. ``cpu``: seconds of each process. ``memory``: bytes of address space
    of each process. ``processes``: at a time, threads included, so that all together have
    ``processes`` x ``memory``. ``disk``, ``files``: bytes and files in its folder, which lies in memory.
    ``file_size``: bytes of one file. ``open_files``: at a time. ``output``: bytes that it may print.
    """

    wall: float = 10.0
    cpu: int = 10
    memory: int = 1024 * MIB
    processes: int = 1
    disk: int = 16 * MIB
    files: int = 64
    file_size: int = 8 * MIB
    open_files: int = 64
    output: int = MIB

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not value > 0 or (name != "wall" and not isinstance(value, int)):
                raise ValueError(f"the sandbox's limit {name} must be a positive number; got {value!r}.")


@dataclass(frozen=True)
class Result:
    """``passed``: the program ran to its last line without an error. ``reason``: why not, else empty.

    ``output``: the last 2,000 characters of what it printed, errors included.
    """

    passed: bool
    reason: str
    output: str


def run_program(source: str, *, limits: Limits = Limits()) -> Result:
    """Run ``source``, a Python program of the standard library, in the sandbox.

    It runs by the interpreter that runs us, without installed packages. Whatever it leaves behind is killed
    when it ends, fails or reaches a limit.

    Raises ``SandboxError`` where the system does not give the isolation that is needed.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"generated programs run on Linux alone; this is {sys.platform}. Leave them out.")
    done = 64 + secrets.randbelow(60)
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder, tempfile.TemporaryFile() as report:
        program = Path(folder) / "program.py"
        program.write_text(source, encoding="utf-8", errors="backslashreplace")
        root = Path(folder) / "root"
        root.mkdir()
        order = _order(root, limits, done, report.fileno())
        with program.open("rb") as text:
            stopped, printed = _watched(order, text, report.fileno(), limits)
        report.seek(0)
        return _result(report.read(), stopped, printed, done, limits)


def sandbox_refusal() -> str | None:
    """Why generated programs cannot be run here, in one line; None where they can."""
    try:
        result = run_program("print(1)")
    except SandboxError as error:
        return str(error)
    return None if result.passed else f"no Python program runs in the sandbox: {result.reason}."


def _order(root: Path, limits: Limits, done: int, report: int) -> dict[str, Any]:
    python = os.path.realpath(sys.executable)
    own = [] if sys.base_prefix.startswith("/usr") else [os.path.realpath(sys.base_prefix)]
    return {
        "root": str(root),
        "python": python,
        "folders": [*SYSTEM, *own],
        "limits": asdict(limits),
        "done": done,
        "report": report,
        "filter": _filter().hex(),
    }


def _filter() -> bytes:
    try:
        return system_call_filter()
    except ValueError as error:
        raise SandboxError(f"the sandbox for generated programs cannot be had: {error}.") from None


def _watched(order: dict[str, Any], text: Any, report: int, limits: Limits) -> tuple[str, bytes]:
    """(the limit that we stopped it at or "", what it printed)."""
    process = subprocess.Popen(
        [order["python"], "-I", "-S", "-B", str(INSIDE), json.dumps(order)],
        stdin=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={},
        pass_fds=(report,),
        start_new_session=True,
    )
    try:
        return _read(process, limits)
    finally:
        # The outermost process is not in the sandbox: with it ends process 1 inside, and all the others.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _read(process: subprocess.Popen[bytes], limits: Limits) -> tuple[str, bytes]:
    assert process.stdout is not None
    deadline = time.monotonic() + limits.wall
    printed = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                return f"it took longer than {limits.wall:g} seconds", bytes(printed)
            some = os.read(process.stdout.fileno(), 1 << 16)
            if not some:
                return _ended(process, deadline, limits), bytes(printed)
            printed += some
            if len(printed) > limits.output:
                return f"it printed more than {limits.output} bytes", bytes(printed)


def _ended(process: subprocess.Popen[bytes], deadline: float, limits: Limits) -> str:
    """A program may close its output and go on."""
    while time.monotonic() < deadline:
        # Looked at, not reaped: the group's number stays ours until the group is killed.
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return ""
        time.sleep(0.002)
    return f"it took longer than {limits.wall:g} seconds"


def _result(report: bytes, stopped: str, printed: bytes, done: int, limits: Limits) -> Result:
    said: dict[str, Any] = {}
    for line in report.splitlines():  # process 1 reports too where the program's process refused
        said |= json.loads(line)
    if "refused" in said:
        raise SandboxError(
            f"the sandbox for generated programs cannot be had: {said['refused']}. Allow user namespaces, "
            "run on another machine, or leave such programs out."
        )
    output = printed[-8000:].decode(errors="replace")[-2000:]
    if stopped:
        return Result(False, stopped, output)
    if "status" not in said:
        # Neither refused nor ended: the inner side itself broke, or somebody killed it.
        raise SandboxError(f"the sandbox ended without a report: {_last_line(output) or 'killed'}.")
    status = said["status"]
    if status == done:
        return Result(True, "", output)
    return Result(False, _reason(status, output, limits), output)


def _reason(status: int, output: str, limits: Limits) -> str:
    if status == -signal.SIGXCPU:
        return f"it used more than {limits.cpu} seconds of CPU"
    if status < 0:
        return f"it was killed by signal {-status} ({signal.Signals(-status).name})"
    if status == 0 or not _last_line(output):
        return f"it ended with status {status} before its last line"
    return _last_line(output)


def _last_line(output: str) -> str:
    lines = output.strip().splitlines()
    return lines[-1][:300] if lines else ""
