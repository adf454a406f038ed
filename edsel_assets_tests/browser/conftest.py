"""A running ``edsel ui`` on a small study in a home of its own, and a browser to look at it.

Without chromium the tests are skipped; where ``EDSEL_BROWSER=required``, as in .ci/run, they fail.
``EDSEL_SCREENSHOTS=FOLDER`` keeps the pictures; ``make screenshots`` makes those of the README so.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from edsel_assets.store import Home, Store
from edsel_assets_tests.defs.conftest import TINY

STUDY: dict[str, Any] = {
    **TINY,
    "name": "prompts",
    "pool": {"path": "builtin:demo", "limit": 120},
    "clustering": {"counts": [4], "count": 4, "iterations": 10},
    "selection": {
        "strategies": ["random", "k_center", "iterative_kmq_perplexity"],
        "budgets": [10, 20],
        "gamma": 0.5,
        "gammas": [0.1, 1.0],
    },
}
_SECONDS = 180  # until the server answers: a busy machine takes long to import


@dataclass(frozen=True)
class Desk:
    """Where the UI is, and what it works on."""

    url: str
    home: Path
    study: Path

    @property
    def store(self) -> Store:
        return Home.at(self.home).store(STUDY["name"])

    def edsel(self, *words: str) -> None:
        """Run the command on the same study and home."""
        command = [sys.executable, "-m", "edsel_assets.cli", *words, "--study", str(self.study)]
        subprocess.run([*command, "--home", str(self.home)], check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's own browser; none is downloaded."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        text = "No chromium is installed (Debian: apt-get install -y chromium), so no page was looked at."
        if os.environ.get("EDSEL_BROWSER") == "required":
            pytest.fail(text)
        pytest.skip(text)
    return found


@pytest.fixture(scope="session")
def desk(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The UI of a study whose rankings are made already."""
    folder = tmp_path_factory.mktemp("browser")
    study = folder / "prompts.yaml"
    study.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    desk = Desk(f"http://127.0.0.1:{port}", folder / "home", study)
    desk.edsel("run", "--only", "rankings,base_scores")
    command = [sys.executable, "-m", "edsel_assets.cli", "ui", "--study", str(study), "--port", str(port)]
    with (folder / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--home", str(desk.home)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(desk.url, process)
        yield desk
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/server_info", timeout=10):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, "edsel ui ended by itself"
            assert time.monotonic() < deadline, "edsel ui did not come up"
            time.sleep(0.5)


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where the pictures go."""
    folder = Path(os.environ.get("EDSEL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
