"""``edsel run`` on a disk that is full, or that cannot be written: run by ``test_full_disk`` as a process.

It mounts a small disk of memory as the home, which takes a mount namespace of its own (``unshare -rm``).
Words: the home, the study's file, and what is to happen. The last line is JSON: what each command said.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HOME, STUDY, CASE = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
EDSEL = [sys.executable, "-m", "edsel_assets.cli"]
ALL = ["run", "--only", "annotations,rankings"]
said: list[tuple[int, str, str]] = []


def edsel(*words: str) -> None:
    where = ["--study", STUDY, "--home", str(HOME)]
    done = subprocess.run([*EDSEL, *words, *where], capture_output=True, text=True)
    said.append((done.returncode, done.stdout, done.stderr))


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def fill(file: Path) -> None:
    """Take all the room that there is."""
    step = 1 << 20
    with file.open("wb", buffering=0) as filler:
        while step:
            try:
                filler.write(bytes(step))
            except OSError:
                step //= 2


def run_until_it_is_full(after: str) -> None:
    """Run, and fill the disk once the run says that it has made ``after``."""
    words = [*EDSEL, *ALL, "--study", STUDY, "--home", str(HOME)]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    lines = [""]
    while not lines[-1].startswith(after):
        lines.append(running.stderr.readline())
        assert lines[-1], lines
    fill(HOME / "filler")
    out, error = running.communicate(timeout=300)
    said.append((running.returncode, out, "".join(lines) + error))
    (HOME / "filler").unlink()


mount("-t", "tmpfs", "-o", "size=120m", "tmpfs", str(HOME))
if CASE == "full":
    run_until_it_is_full("pool ")
else:
    edsel("run", "--only", "pool")
    target = HOME / CASE if CASE != "home" else HOME
    mount("--bind", str(target), str(target))
    mount("-o", "remount,bind,ro", str(target))
    edsel(*ALL)
    # Back to where it can be written: the mount below is the writable one.
    os.chdir("/")
    subprocess.run(["umount", str(target)], check=True)
edsel("verify")
edsel(*ALL)
print(json.dumps(said))
