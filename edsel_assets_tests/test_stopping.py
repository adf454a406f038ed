"""Ctrl-C and TERM: one line, the right exit code, no process left, and the same command goes on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from edsel_assets.running.instance import open_instance
from edsel_assets.store import Home
from edsel_assets_tests.defs.conftest import TINY


def _unignored() -> None:
    """A shell that starts commands in the background has them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _processes_of(session: int) -> list[str]:
    """Command lines of the living processes of a session; workers have a process group of their own."""
    listed = subprocess.run(["ps", "-eo", "sid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [row[2] for row in rows if int(row[0]) == session and not row[1].startswith("Z")]


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [(signal.SIGINT, 130, 1), (signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)],
)
def test_a_run_that_is_stopped_says_so_and_goes_on(number, code, workers, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    words = [sys.executable, "-m", "edsel_assets.cli", "run", "--study", str(study), "--home", str(tmp_path)]
    # The embeddings load a model and take seconds: the run is in the midst of a step when the signal comes.
    words += ["--only", "embeddings", "--workers", str(workers)]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_unignored,
    )
    assert process.stderr is not None
    said = ""
    while "pool " not in said:
        line = process.stderr.readline()
        assert line, f"the run ended by itself: {said}"
        said += line
    os.killpg(process.pid, number)  # as a terminal does
    out, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    last = error.splitlines()[-1]
    assert last.startswith("edsel: Interrupted." if number == signal.SIGINT else "edsel: Stopped by TERM.")
    assert "What is finished is kept; the same command goes on from there." in last
    for noise in ("Traceback", "Error", "dagster", "Dagster"):
        assert noise not in said + out + error
    assert _processes_of(process.pid) == []
    with open_instance(Home.at(tmp_path), "tiny") as instance:
        runs = instance.get_runs()
        assert {run.status for run in runs} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
    again = subprocess.run([*words, "--only", "annotations"], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    fresh = re.search(r"\((\d+) fresh\)", again.stdout)
    assert fresh, again.stdout
    assert int(fresh[1]) >= 1, "the pool was made before"


def test_an_interrupt_inside_an_exec_leaves_the_exit_code_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        "from edsel_assets import cli\n"
        "def app():\n"
        "    exec('raise KeyboardInterrupt')\n"
        "cli.app = app\n"
        "cli.main()\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    found = subprocess.run(
        [sys.executable, "-m", "interrupted"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
    )
    assert found.returncode == 130, found.stderr
    assert found.stderr.startswith("edsel: Interrupted.")


def test_an_interrupt_that_python_drops_is_sent_once_more(tmp_path: Path) -> None:
    (tmp_path / "dropped.py").write_text(
        "import time\n"
        "from edsel_assets.running.stopping import watch_signals\n"
        "class Given:\n"
        "    def __del__(self):\n"
        "        raise KeyboardInterrupt\n"
        "watch_signals()\n"
        "try:\n"
        "    Given()\n"
        "    time.sleep(20)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n",
        encoding="utf-8",
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    found = subprocess.run(
        [sys.executable, "-m", "dropped"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
    )
    assert (found.stdout, found.stderr) == ("stopped\n", "")
