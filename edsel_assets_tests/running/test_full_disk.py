"""A disk that is full or cannot be written: one line of place and remedy, and nothing half made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edsel_assets_tests.defs.conftest import TINY

_STUDY = {**TINY, "selection": {**TINY["selection"], "strategies": ["random"]}}


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The command that gives a process mounts of its own."""
    words = ["unshare", "--map-root-user", "--mount"]
    try:
        subprocess.run([*words, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine allows no mounts of one's own: {error}")
    return words


@pytest.mark.parametrize(
    ("case", "where", "remedy"),
    [
        ("full", "home", "Free some space or set EDSEL_HOME to a larger disk."),
        ("home", "home", "Set EDSEL_HOME to a writable folder."),
        ("store", "home/store/tiny", "Set EDSEL_HOME to a writable folder."),
    ],
)
def test_a_disk_that_takes_nothing_is_named_and_the_next_run_completes(
    case, where, remedy, namespace, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(_STUDY), encoding="utf-8")
    words = [sys.executable, "-m", "edsel_assets_tests.running.full_disk", str(tmp_path / "home")]
    words += [str(tmp_path / "tiny.yaml"), case]
    done = subprocess.run([*namespace, *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    *_, stopped, found, completed = said
    code, _, error = stopped
    last = error.splitlines()[-1]
    assert code == 1, error
    assert last.startswith("edsel: ")
    assert str(tmp_path / where) in last
    assert last.endswith(remedy)
    assert "Traceback" not in error
    assert "a fault of edsel's" not in error
    assert found[0] == 0, "what counts as made is whole"
    assert completed[0] == 0, completed
    assert "Made " in completed[1]
