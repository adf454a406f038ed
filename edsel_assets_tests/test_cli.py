"""The command line: one line per failure, and nothing else of Python's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edsel_assets_tests.defs.conftest import TINY


def edsel(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, in a process of its own.

    Dagster resets all logging when it makes its databases, which closes handlers of libraries that
    other tests imported, and with them a stream that is not this process's any more.
    """
    done = subprocess.run([sys.executable, "-m", "edsel_assets.cli", *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run", "--study", "nowhere"], "No study 'nowhere': give a YAML file or one of bhatt2024, demo"),
        (["run", "--study", "demo", "--budget", "7"], "The study has no budget 7; it has 30, 60, 180, 360"),
        (["run", "--study", "demo", "--strategy", "best"], "The study has no strategy best; it has"),
        (["run", "--study", "demo", "--only", "nonsense"], "No asset nonsense; the assets are annotations"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(words, reason, tmp_path) -> None:
    code, _, error = edsel(*words, "--home", str(tmp_path))
    assert code == 1
    assert reason in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_a_mistyped_setting_is_named(tmp_path, study_file) -> None:
    study_file.write_text(study_file.read_text().replace("budgets:", "budget:"), encoding="utf-8")
    code, _, error = edsel("run", "--study", str(study_file), "--home", str(tmp_path))
    assert code == 1
    assert "selection.budgets: is required" in error
    assert "selection.budget: no such setting" in error


def test_a_pool_that_cannot_be_read_fails_with_the_files_name(tmp_path, study_file) -> None:
    settings = yaml.safe_load(study_file.read_text())
    settings["pool"] = {"path": str(tmp_path / "absent.parquet")}
    study_file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    home = str(tmp_path / "home")
    code, _, error = edsel("run", "--study", str(study_file), "--home", home)
    assert code == 1
    assert "absent.parquet" in error
    assert "base_scores" not in error, "the pool is read before a model is loaded"
    assert "Traceback" not in error


def test_a_second_run_does_nothing_and_says_so(tmp_path, study_file) -> None:
    words = ["run", "--study", str(study_file), "--only", "pool", "--home", str(tmp_path / "home")]
    code, out, error = edsel(*words)
    assert "Made 1 cells" in out, (code, error)
    assert "Nothing to do: 1 fresh" in edsel(*words)[1]


def test_the_report_is_printed_or_opened_and_says_when_it_is_out_of_date(
    tmp_path, study_file, monkeypatch
) -> None:
    where = ("--study", str(study_file), "--home", str(tmp_path / "home"))
    code, _, error = edsel("report", *where)
    assert (code, error.count("\n")) == (1, 1)
    assert "has no report yet. Make it: edsel run --study" in error
    only = ("--only", "label_efficiency", "--strategy", "random", "--strategy", "k_center")
    assert edsel("run", *where, *only)[0] == 0
    code, text, error = edsel("report", *where)
    assert code == 0
    assert "Annotation saved against random" in text
    assert "A run would make it again" in error, "trials of other strategies are missing"
    csv = edsel("report", *where, "--format", "csv")[1]
    assert csv.startswith("task,strategy,budget,mean")
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    code, text, _ = edsel("report", *where, "--open")
    assert code == 0
    page = tmp_path / "home" / "store" / "tiny" / "label_efficiency.html"
    assert text == f"Opened {page}\n"
    assert opened.read_text().strip() == page.as_uri()


def test_another_study_in_the_same_home_leaves_this_one_fresh(tmp_path, study_file) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        yaml.safe_dump({**TINY, "name": "other", "pool": {"path": "builtin:demo", "limit": 20}}), "utf-8"
    )
    for file in (study_file, other):
        words = ["run", "--study", str(file), "--only", "pool", "--home", str(tmp_path / "home")]
        assert "Made 1 cells" in edsel(*words)[1]
    assert "Nothing to do: 1 fresh" in edsel(*words[:2], str(study_file), *words[3:])[1]


def test_two_runs_at_once_make_each_cell_once(tmp_path, study_file) -> None:
    words = ["run", "--study", str(study_file), "--only", "selections", "--strategy", "random"]
    command = [sys.executable, "-m", "edsel_assets.cli", *words, "--home", str(tmp_path)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in "ab"
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    made = [int(match[1]) for text in said for match in [re.search(r"Made (\d+) cells", text)] if match]
    assert sum(made) == 7, said  # pool, orders, purchases, annotations, the ranking and two cuts


def test_a_plan_says_what_why_and_changes_nothing(tmp_path, study_file) -> None:
    home = tmp_path / "home"
    code, out, error = edsel("plan", "--study", str(study_file), "--home", str(home))
    assert code == 0, error
    assert "never made" in out
    assert not home.exists()
    edsel("run", "--study", str(study_file), "--only", "pool", "--home", str(home))
    text = study_file.read_text()
    assert "limit: 80" in text
    study_file.write_text(text.replace("limit: 80", "limit: 70"))
    _, out, _ = edsel("plan", "--study", str(study_file), "--only", "pool", "--home", str(home))
    assert "stale    pool: pool.limit 80 -> 70" in out


def test_damage_is_found_named_and_mended(tmp_path, study_file) -> None:
    words = ["--study", str(study_file), "--home", str(tmp_path)]
    edsel("run", *words, "--only", "pool")
    file = tmp_path / "store" / "tiny" / "pool.parquet"
    content = bytearray(file.read_bytes())
    content[100:164] = bytes(64)
    file.write_bytes(content)
    code, out, _ = edsel("verify", *words)
    assert code == 1
    assert "pool: checksum of pool.parquet differs" in out
    assert "Made 1 cells" in edsel("run", *words, "--only", "pool")[1]
    assert edsel("verify", *words)[0] == 0


def test_a_home_of_an_earlier_version_is_refused_with_what_to_do(tmp_path, study_file) -> None:
    old = tmp_path / "store" / "tiny"
    old.mkdir(parents=True)
    (old / "pool.parquet").write_bytes(b"old")
    for command in ("plan", "run", "verify"):
        code, _, error = edsel(command, "--study", str(study_file), "--home", str(tmp_path))
        assert code == 1
        assert "kept no ledgers" in error
        assert error.count("\n") == 1
    assert (old / "pool.parquet").read_bytes() == b"old"


def test_a_home_that_cannot_be_written_is_named(tmp_path, study_file) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    code, _, error = edsel("run", "--study", str(study_file), "--home", str(blocked / "home"))
    assert code == 1
    assert str(blocked) in error
    assert "EDSEL_HOME" in error
    assert "Traceback" not in error


def test_the_command_is_installed_and_lists_the_studies() -> None:
    command = Path(sys.executable).with_name("edsel")
    done = subprocess.run([command, "studies"], capture_output=True, text=True, check=True, env=os.environ)
    assert {"demo", "t0", "bhatt2024", "yu2024"} <= set(done.stdout.split())
