"""The command, run in this process on one thing that is wrong: what it says, and what it leaves."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from edsel_assets import cli
from edsel_assets.running import stopping
from edsel_assets_tests.defs.conftest import TINY


@dataclass(frozen=True)
class Said:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    error: str


class Command:
    """``edsel`` in this process, with a home that several tests share, as making one takes seconds."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
        self.home = home
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self.models: list[str] = []

    def __call__(self, *words: str) -> Said:
        self._capfd.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["edsel", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, error = self._capfd.readouterr()
        return Said(int(ended.value.code or 0), out, error)

    def refuses(self, *words: str) -> str:
        """The one line that the command says of a mistake; it has done nothing else."""
        before = artifacts(self.home)
        said = self(*words)
        assert said.code == 1, said
        assert said.error.startswith("edsel: "), said
        assert said.error.count("\n") == 1, said
        for noise in ("Traceback", "a fault of edsel's", "Dagster"):
            assert noise not in said.out + said.error, said
        assert self.models == [], "a model was loaded before it was said"
        assert artifacts(self.home) == before, "something was written"
        return said.error.removeprefix("edsel: ").strip()


def assert_says(said: str, message: str) -> None:
    """``message`` is what stands in the line: the reason, and after " ... " the remedy at its end."""
    reason, _, remedy = message.partition(" ... ")
    assert reason in said
    assert said.endswith(remedy)


def artifacts(home: Path) -> set[str]:
    """All that lies in the stores of a home, but for locks and the format of a store."""
    if len(home.name) > 255 or not home.is_dir():
        return set()
    return {
        str(path.relative_to(home))
        for path in home.glob("store/**/*")
        if path.is_file() and ".leases" not in path.parts and path.name != "edsel.json"
    }


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("malformed") / "home"


@pytest.fixture
def edsel(shared_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Command:
    from edsel_assets.defs.resources import BaseModel

    command = Command(shared_home, monkeypatch, capfd)
    monkeypatch.setattr(BaseModel, "open", lambda self: command.models.append(self.path))
    monkeypatch.setattr(stopping, "watch_signals", lambda: lambda: stopping.Stopped(2))
    monkeypatch.setenv("EDSEL_HOME", str(shared_home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return command


@pytest.fixture
def study_with(tmp_path: Path) -> Callable[..., str]:
    """Writes the tiny study with sections changed; gives its path."""

    def write(**sections: Any) -> str:
        settings = {
            **TINY,
            **{k: {**TINY.get(k, {}), **v} if isinstance(v, dict) else v for k, v in sections.items()},
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return str(path)

    return write
