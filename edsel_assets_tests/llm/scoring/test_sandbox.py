"""Hostile programs do no harm and are reported; without isolation nothing runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edsel_assets.llm.scoring.sandbox import Limits, SandboxError, run_program, sandbox_refusal

REFUSAL = sandbox_refusal()
pytestmark = pytest.mark.skipif(REFUSAL is not None, reason=str(REFUSAL))
SHORT = Limits(wall=2, cpu=1)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os\nwhile True:\n    os.fork()", "BlockingIOError"),
        ("import threading\nthreading.Thread(target=print).start()", "can't start new thread"),
        ("kept = bytearray(2 << 30)", "MemoryError"),
        ("while True: pass", "more than 1 seconds of CPU"),
        ("import time; time.sleep(60)", "longer than 2 seconds"),
        ("import os, time; os.close(1); os.close(2); time.sleep(60)", "longer than 2 seconds"),
        ("while True: print('x' * 1000)", "printed more than 1048576 bytes"),
        ("file = open('big', 'wb')\nwhile True: file.write(bytes(1 << 20))", "File too large"),
        ("for i in range(99): open(f'{i}', 'wb').write(bytes(1 << 20))", "No space left"),
        ("for i in range(999): open(f'{i}', 'wb').close()", "No space left"),
        ("import os\nkept = [os.dup(1) for _ in range(999)]", "Too many open files"),
        ("import os\nos.kill(0, 9)", "SIGKILL"),
        ("import os\nos._exit(0)", "before its last line"),
        ("raise SystemExit(0)", "before its last line"),
        ("assert 1 == 2, 'one is not two'", "AssertionError: one is not two"),
        ("def broken(:", "SyntaxError"),
        ("import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", ""),
    ],
)
def test_a_bad_program_ends_within_its_limits_and_says_why(program: str, reason: str) -> None:
    started = time.monotonic()
    result = run_program(program, limits=SHORT)
    assert not result.passed
    assert reason in result.reason
    assert time.monotonic() - started < 30


def test_a_good_program_passes_and_what_it_printed_is_kept() -> None:
    result = run_program("import math\nprint(math.pi)\nprint('ü' * 10)")
    assert result == type(result)(True, "", "3.141592653589793\n" + "ü" * 10 + "\n")
    assert run_program("print('x' * 5000)").output == "x" * 1999 + "\n"


def test_no_network_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run_program(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not result.passed
    assert "Address family not supported" in result.reason


def test_files_outside_its_folder_are_neither_seen_written_nor_deleted(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    program = f"""
import os, shutil
paths = [{str(kept)!r}, {str(tmp_path)!r}, {str(Path.home() / "x")!r}, "/etc/passwd", "/proc/self/environ"]
assert not any(os.path.exists(path) for path in paths)
assert os.listdir(".") == []
for target in [{str(tmp_path / "new")!r}, "/new", "/usr/new", "../new", os.__file__]:
    try:
        open(target, "w")
    except OSError:
        continue
    raise AssertionError(target)
for folder in [{str(tmp_path)!r}, os.path.dirname(os.__file__) + "/json", "/box"]:
    shutil.rmtree(folder, ignore_errors=True)
assert os.path.exists(os.__file__)
open("own", "w").write("x")
"""
    result = run_program(program)
    assert result.passed, result
    assert kept.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_nothing_of_ours_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    with open(__file__) as file:
        os.set_inheritable(file.fileno(), True)
        result = run_program("""
import os
assert sorted(os.environ) == ["HOME", "LANG", "OMP_NUM_THREADS", "PATH", "TMPDIR"], os.environ
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
assert [number for number in range(64) if is_open(number)] == [0, 1, 2]
assert os.read(0, 10) == b""
""")
    assert result.passed, result


def test_it_kills_neither_its_parent_nor_anybody_else() -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    program = f"""
import os
for process in [os.getppid(), 1, -1, {os.getpid()}, {bystander.pid}]:
    for number in range(1, 65):
        try:
            os.kill(process, number)
        except OSError:
            pass
"""
    try:
        result = run_program(program, limits=SHORT)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert result.passed or result.reason


def test_it_regains_no_rights() -> None:
    result = run_program("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
assert all(libc.unshare(flag) == -1 for flag in (0x10000000, 0x20000, 0x40000000))
assert libc.mount(b"tmpfs", b"/box", b"tmpfs", 0, b"") == -1
assert libc.ptrace(16, 1, 0, 0) == -1
assert libc.shmget(5, 1 << 20, 0o1600) == libc.msgget(5, 0o1600) == libc.semget(5, 1, 0o1600) == -1
assert os.getuid() != 0
""")
    assert result.passed, result


ESCAPES = {
    "memfd_create": "os.memfd_create('x')",
    "a huge anonymous file": "os.truncate(os.memfd_create('x'), 8 << 30)",
    "memfd_secret": "system(447, 0)",
    "vmsplice": "system(278 if x86 else 75, os.pipe()[1], 0, 0, 0)",
    "a large pipe": "import fcntl; fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)",
    "io_uring": "system(425, 4, ctypes.create_string_buffer(120))",
    "bpf": "system(321 if x86 else 280, 0, 0, 0)",
    "userfaultfd": "system(323 if x86 else 282, 1)",
    "perf": "system(298 if x86 else 241, ctypes.create_string_buffer(128), 0, -1, -1, 0)",
    "keyctl": "system(250 if x86 else 219, 0, -3, 1)",
    "add_key": "system(248 if x86 else 217, b'user', b'x', b'y', 1, -3)",
    "ptrace": "system(101 if x86 else 117, 0, 0, 0, 0)",
    "pidfd_open": "os.pidfd_open(os.getpid())",
    "unshare": "system(272 if x86 else 97, 0x10000000)",
    "clone into a namespace": "system(56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3": "system(435, ctypes.create_string_buffer(88), 88)",
    "mount": "system(165 if x86 else 40, b'none', b'/box', b'tmpfs', 0, 0)",
    "open_tree": "system(428, -100, b'/', 1)",
    "fsopen": "system(430, b'tmpfs', 0)",
    "a call of the future": "system(470, 0)",
    "the 32-bit numbers of x86": "system(0x40000000 + 319, b'x', 0)",
    **{f"socket family {n}": f"socket.socket({n}, socket.SOCK_DGRAM)" for n in (2, 10, 16, 17, 38, 40, 44)},
    "stream over AF_VSOCK": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "a pair of sockets": "socket.socketpair(socket.AF_INET)",
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_no_way_around_the_walls_or_the_limit_of_memory(escape: str) -> None:
    result = run_program(f"""
import ctypes, errno, os, platform, socket
x86 = platform.machine() == "x86_64"
libc = ctypes.CDLL(None, use_errno=True)
def system(number, *arguments):
    if libc.syscall(number, *arguments) == -1:
        raise OSError(ctypes.get_errno(), "refused")
try:
    {escape}
except OSError as error:
    assert error.errno in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT), error
else:
    raise AssertionError("it was let through")
""")
    assert result.passed, result


def test_what_programs_do_goes_on() -> None:
    result = run_program("""
import asyncio, decimal, hashlib, json, mmap, os, random, shutil, sqlite3, tempfile, threading, time, zlib
async def main():
    await asyncio.sleep(0.01)
    return 1
assert asyncio.run(main()) == 1
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "a")
    open(path, "w").write("x" * 100000)
    shutil.copy(path, path + "b")
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as kept:
        assert kept[0] == 120
with sqlite3.connect(":memory:") as base:
    assert base.execute("select 1").fetchone() == (1,)
time.sleep(0.01); random.seed(); os.urandom(4); os.getpid(); os.stat("."); os.cpu_count()
read, write = os.pipe()
os.write(write, b"x"); assert os.read(read, 1) == b"x"
assert hashlib.sha256(zlib.compress(b"x")).hexdigest()
""")
    assert result.passed, result
    children = "import os, subprocess\nassert subprocess.run(['/bin/true']).returncode == 0\n"
    threads = "import threading\nt = threading.Thread(target=print); t.start(); t.join()\n"
    for program in (children, threads):
        result = run_program(program, limits=Limits(processes=3))
        assert result.passed, result


def test_on_a_machine_of_unknown_calls_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(SandboxError, match="for x86_64 and aarch64 alone; this is riscv64"):
        run_program("print(1)")


def test_processes_left_behind_are_killed() -> None:
    program = "import os\nif os.fork() == 0:\n    import time\n    time.sleep(60)\n"
    started = time.monotonic()
    assert run_program(program, limits=Limits(wall=20, processes=2)).passed
    assert time.monotonic() - started < 15


def test_nothing_runs_on_after_we_are_killed(tmp_path: Path) -> None:
    program = "import time; print(1, flush=True); time.sleep(60)"
    ours = (
        "from edsel_assets.llm.scoring.sandbox import Limits, run_program\n"
        f"run_program({program!r}, limits=Limits(wall=60))"
    )
    us = subprocess.Popen([sys.executable, "-c", ours], env={**os.environ, "TMPDIR": str(tmp_path)})

    def inside() -> list[str]:
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_text()
            except OSError:  # it has just ended
                continue
            if str(tmp_path) in line and "sandbox_inside" in line:
                found.append(line)
        return found

    def wait_for(*counts: int) -> None:
        until = time.monotonic() + 20
        while (found := len(inside())) not in counts and time.monotonic() < until:
            time.sleep(0.05)
        assert found in counts

    try:
        # The outermost process, process 1 inside, and for a moment the program before it is executed.
        wait_for(2, 3)
    finally:
        us.kill()
        us.wait()
    wait_for(0)


def test_many_run_side_by_side() -> None:
    results = {}

    def run(number: int) -> None:
        results[number] = run_program(f"print({number})")

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: result.output for number, result in results.items()} == {n: f"{n}\n" for n in range(4)}


def test_without_namespaces_nothing_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    inner = (
        "from edsel_assets.llm.scoring.sandbox import run_program, sandbox_refusal\n"
        "print(sandbox_refusal())\n"
        f"run_program({f'open({str(mark)!r}, chr(119))'!r})\n"
    )
    # A namespace in which no further one may be made.
    shell = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", shell, sys.executable, inner],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("the sandbox for generated programs cannot be had: leaving the parent's")
    assert done.stdout.count("\n") == 1
    assert "SandboxError" in done.stderr
    assert not mark.exists()


def test_on_another_system_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(SandboxError, match="this is darwin"):
        run_program("print(1)")


@pytest.mark.parametrize("change", [{"wall": 0}, {"cpu": 1.5}, {"memory": -1}, {"processes": True}])
def test_limits_are_checked(change: dict) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        Limits(**change)
