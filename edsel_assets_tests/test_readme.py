"""The README's example runs, its study loads, and its commands exist."""

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from edsel_assets import cli
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study import Study

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    assert "of the best possible 500 prompts" in capsys.readouterr().out


def test_the_study_loads() -> None:
    (text,) = blocks("yaml")
    assert Study.model_validate(yaml.safe_load(text)).name == "mine"


def test_every_command_and_option_exists() -> None:
    commands = [line for block in blocks("bash") for line in block.splitlines() if "edsel " in line]
    assert commands
    for line in commands:
        words = line.split("#")[0].split("edsel ", 1)[1].split()
        shown = CliRunner().invoke(cli.app, [words[0], "--help"], env={"COLUMNS": "200"}).output
        assert "Usage" in shown, line
        for option in (word for word in words[1:] if word.startswith("--")):
            assert option in shown, line


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("bash")), flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_every_strategy_is_in_the_table() -> None:
    table = README[README.index("## Strategies") : README.index("## Measured")]
    assert set(re.findall(r"`([a-z_]+)`", table)) >= set(STRATEGIES)


def test_every_path_of_the_map_is_there() -> None:
    for path in re.findall(r"`((?:edsel_assets|benchmarks)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path
