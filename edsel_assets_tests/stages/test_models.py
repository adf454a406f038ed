"""What identifies a model, once for ledgers and kept rows, and rows that follow it."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from edsel_assets import store
from edsel_assets.demo import DEMO, local_path
from edsel_assets.kinds import KINDS, deciding, kept
from edsel_assets.llm import load_model
from edsel_assets.llm.models.identity import model_identity
from edsel_assets.planning.external import External
from edsel_assets.stages import kept_rows, signals
from edsel_assets.store import Home, content
from edsel_assets_tests.defs.conftest import tiny_study

IDS = [f"{number:032x}" for number in range(3)]
POOL = pa.table({"prompt_id": IDS, "prompt": ["one", "two words", "three more words"]})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(local_path(DEMO, "model"), folder)
    (folder / "own_code.py").write_text("A = 1\n")
    return folder


def rows_new(study, home: Home) -> int:
    path = study.model.path
    _, counts = signals.token_probabilities(study, home, POOL, path, lambda: load_model(path))
    return counts["rows_new"]


def test_rows_follow_libraries_and_their_version_as_the_ledger_does(model, tmp_path, monkeypatch) -> None:
    study, row = tiny_study(model={"path": str(model)}), KINDS["token_probabilities"]
    assert (rows_new(study, Home.at(tmp_path)), rows_new(study, Home.at(tmp_path))) == (3, 0)
    real = deciding.version
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "version", lambda name: "99" if name == "transformers" else real(name))
        assert rows_new(study, Home.at(tmp_path)) == 3, "the ledger would name the new version for old rows"
    assert rows_new(study, Home.at(tmp_path)) == 0
    raised = kept.Rows("forward_pass", kept.FORWARD_PASS.version + 1)
    monkeypatch.setattr(kept_rows, "FORWARD_PASS", raised)
    assert rows_new(study, Home.at(tmp_path)) == 3
    assert str(kept.FORWARD_PASS.version) in row.version.split(".")


def test_code_that_comes_with_a_model_counts_where_it_is_run(model, tmp_path) -> None:
    trusting = tiny_study(model={"path": str(model), "trust_remote_code": True})
    wary = tiny_study(model={"path": str(model)})
    before = [signals.base_identity(study, Home.at(tmp_path), str(model)) for study in (trusting, wary)]
    ledger = External(trusting, Home.at(tmp_path)).source("model")
    (model / "own_code.py").write_text("A = 22\n")
    after = [signals.base_identity(study, Home.at(tmp_path), str(model)) for study in (trusting, wary)]
    assert before[0] != after[0]
    assert before[1] == after[1]
    assert External(trusting, Home.at(tmp_path)).source("model") != ledger


def test_rows_and_ledger_name_the_same_files(model, tmp_path) -> None:
    study = tiny_study(model={"path": str(model)})
    files = signals.base_identity(study, Home.at(tmp_path), str(model))["files"]
    assert External(study, Home.at(tmp_path)).source("model") == {
        f"model/{n}": digest for n, digest in files.items()
    }


@pytest.mark.slow
def test_a_large_model_that_is_moved_is_the_same_and_is_read_once(model, tmp_path, monkeypatch) -> None:
    with (model / "large.safetensors").open("wb") as file:
        file.truncate((1 << 30) + 1)
    home = Home.at(tmp_path / "home")
    (tmp_path / "home").mkdir()
    for file in model.iterdir():  # hashes of files that are not changing just now are kept
        os.utime(file, (1e9, 1e9))
    before = model_identity(home, str(model), None, "auto", "cpu", {})
    read: list[Path] = []
    real = content.content_hash
    monkeypatch.setattr(store, "content_hash", lambda path: read.append(path) or real(path), raising=False)
    assert model_identity(home, str(model), None, "auto", "cpu", {}) == before
    assert not read
    moved = model.rename(tmp_path / "moved")
    (moved / "large.safetensors").touch()
    assert model_identity(home, str(moved), None, "auto", "cpu", {}) == before
