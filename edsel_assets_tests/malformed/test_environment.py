"""A home, a machine or variables that are not as they should be: one line of the place and the remedy."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from edsel_assets.planning.ledger import FORMAT
from edsel_assets.store import Home
from edsel_assets.study import Study, StudyError
from edsel_assets_tests.malformed.conftest import assert_says


def file_at(*parts: str) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        path = home.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no folder", encoding="utf-8")

    return make


def store_format(content: str) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        Home.at(home).store("tiny").folder.mkdir(parents=True)
        (home / "store" / "tiny" / "edsel.json").write_text(content, encoding="utf-8")

    return make


def settings_of_dagster(text: str) -> Callable[[Path], None]:
    def make(home: Path) -> None:
        (home / "dagster" / "tiny").mkdir(parents=True)
        (home / "dagster" / "tiny" / "dagster.yaml").write_text(text, encoding="utf-8")

    return make


def database(home: Path) -> None:
    folder = home / "dagster" / "tiny"
    (folder / "history").mkdir(parents=True)
    (folder / "history" / "runs.db").write_bytes(b"no database at all" * 500)


def purchases(home: Path) -> None:
    Home.at(home).store("tiny").folder.mkdir(parents=True)
    (home / "store" / "tiny" / "edsel.json").write_text(json.dumps({"format": FORMAT}), encoding="utf-8")
    (home / "store" / "tiny" / "purchases.jsonl").write_text('{"event": "asked"}\n{"ev', encoding="utf-8")


HOMES: dict[str, tuple[Callable[[Path], None], str]] = {
    "the home is a file": (
        file_at(),
        "Cannot write in ... write in by --home or EDSEL_HOME.",
    ),
    "the store is a file": (file_at("store"), " ... away, or set EDSEL_HOME elsewhere."),
    "the study's store is a file": (
        file_at("store", "tiny"),
        " ... away, or set EDSEL_HOME elsewhere.",
    ),
    "the log's folder is a file": (
        file_at("dagster"),
        "Cannot write in ... write in by --home or EDSEL_HOME.",
    ),
    "the study's log is a file": (
        file_at("dagster", "tiny"),
        "Cannot write in ... write in by --home or EDSEL_HOME.",
    ),
    "the format of the store is no JSON": (
        store_format("{"),
        " ... version of edsel made the store.",
    ),
    "the format of the store is of a later version": (
        store_format('{"format": 99}'),
        " ... or set EDSEL_HOME to a new folder.",
    ),
    "the format of the store is a list": (
        store_format("[]"),
        " ... version of edsel made the store.",
    ),
    "dagster.yaml is no YAML": (
        settings_of_dagster("a: [1\n"),
        " ... or remove it: edsel writes it anew.",
    ),
    "dagster.yaml names what is not there": (
        settings_of_dagster("run_laucher: {}\n"),
        " ... or remove it: edsel writes it anew.",
    ),
    "a database is none": (
        database,
        "The log in ... hold no results, and are made anew.",
    ),
}


@pytest.mark.parametrize("case", HOMES)
def test_a_home_that_is_wrong_is_named(case, edsel, study_with, tmp_path) -> None:
    make, message = HOMES[case]
    home = tmp_path / "home"
    make(home)
    edsel.home = home
    said = edsel.refuses("run", "--study", study_with(), "--only", "annotations", "--home", str(home))
    assert_says(said, message)


PLACES: dict[str, tuple[str, str]] = {
    "below a file of the system": (
        "/dev/null/home",
        "Cannot write in /dev/null/home: Not a ... write in by --home or EDSEL_HOME.",
    ),
    "in a folder that takes none": (
        "/proc/edsel",
        "Cannot write in /proc/edsel: No such file or ... write in by --home or EDSEL_HOME.",
    ),
    "a name that is too long": ("/tmp/" + "x" * 300, "Cannot read ... Set EDSEL_HOME elsewhere."),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_home_that_cannot_be_made_is_named(case, edsel, study_with, monkeypatch) -> None:
    home, message = PLACES[case]
    monkeypatch.setenv("EDSEL_HOME", home)
    edsel.home = Path(home)
    said = edsel.refuses("run", "--study", study_with(), "--only", "pool")
    assert_says(said, message)


#: what: (the sections that are changed, the assets asked for, what the line says)
LACKING: dict[str, tuple[dict, str, str]] = {
    "a variable that is not set": (
        {"pool": {"path": "${EDSEL_TEST_ABSENT}/a.jsonl"}},
        "pool",
        "line 29: needs the environment variable ... set it and run again.",
    ),
    "a key that is not set": (
        {"embeddings": {"source": "openai", "name": "m"}},
        "embeddings",
        "(1) embeddings.source: openai needs a key in ... environment: set OPENAI_API_KEY.",
    ),
    "a key of its own name that is not set": (
        {"embeddings": {"source": "cohere", "name": "m", "key_variable": "EDSEL_TEST_KEY"}},
        "embeddings",
        "(1) embeddings.source: cohere needs a key in ... environment: set EDSEL_TEST_KEY.",
    ),
    "a model's folder that is not there": (
        {"model": {"path": "/nowhere/model"}},
        "embeddings",
        "(1) model.path: there is no folder ... of the hub is named OWNER/NAME.",
    ),
    "a model's folder that is empty": (
        {"model": {"path": "EMPTY"}},
        "embeddings",
        "(1) model.path: ... Name the folder of a whole model.",
    ),
    "a model of the hub, offline": (
        {"model": {"path": "nobody/no-such-model-1"}},
        "embeddings",
        "(1) model.path: nobody/no-such-model-1 is not ... that for once, or name a folder.",
    ),
    "a data set of the hub, offline": (
        {"pool": {"path": "nobody/no-such-set-1"}},
        "pool",
        "pool: Cannot load nobody/no-such-set-1 as a ... a file is meant, it does not exist.",
    ),
    "a GPU that is not there": (
        {"model": {"device": "cuda"}},
        "embeddings",
        "(1) model.device: cuda, but PyTorch has no NVIDIA GPU ... Set auto or cpu.",
    ),
    "a folder of tasks that is not there": (
        {"evaluation": {"include_path": "/nowhere/tasks"}},
        "base_scores",
        "(1) evaluation.tasks: no folder of task ... task definitions at /nowhere/tasks.",
    ),
    "a task that is not there": (
        {"evaluation": {"tasks": [{"name": "edsel_demo_choise"}]}},
        "base_scores",
        "(1) evaluation.tasks: no task ... edsel_demo_generate.",
    ),
    "modules that the model lacks": (
        {"finetuning": {"target_modules": ["q_prj"]}},
        "lora_adapters",
        "(1) finetuning.target_modules: the model has ... q_proj, up_proj, v_proj.",
    ),
    "a file of scores that is not there": (
        {"quality": {"scorer": "column", "file": "/nowhere/scores.csv"}},
        "quality_scores",
        "(1) quality: there is no file ... Check quality.file.",
    ),
    "no path of a pool": (
        {"pool": {"path": ""}},
        "pool",
        "(1) pool.path: path is empty; ... a directory, a URL or a data set.",
    ),
    "a training set cut to one token": (
        {"finetuning": {"max_length": 1}},
        "lora_adapters",
        "(1) finetuning.max_length: 1 tokens leave no ... Raise it.",
    ),
    "an asset that is not there": (
        {},
        "embedings",
        "No asset embedings; ... training_sets, uncertainty_scores.",
    ),
}


@pytest.mark.parametrize("case", LACKING)
def test_what_is_lacking_is_said_before_a_model_is_loaded(
    case, edsel, study_with, monkeypatch, tmp_path
) -> None:
    sections, only, message = LACKING[case]
    for name in ("OPENAI_API_KEY", "COHERE_API_KEY", "EDSEL_TEST_KEY", "EDSEL_TEST_ABSENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    sections = {
        name: {k: str(tmp_path / "empty") if v == "EMPTY" else v for k, v in part.items()}
        for name, part in sections.items()
    }
    said = edsel.refuses("run", "--study", study_with(**sections), "--only", only)
    assert_says(said, message)


def test_a_damaged_ledger_of_purchases_is_named(edsel, study_with, tmp_path) -> None:
    edsel.home = tmp_path / "home"
    purchases(edsel.home)
    (tmp_path / "a.jsonl").write_text('{"prompt_id": "x", "response": "y"}\n', encoding="utf-8")
    words = ["--study", study_with(), "--home", str(edsel.home)]
    said = edsel.refuses("import", str(tmp_path / "a.jsonl"), *words)
    assert "purchases.jsonl, line 1 is damaged" in said
    assert "Restore the file from a backup" in said


#: More than the pool holds, which is known once the pool is read, and before a model is.
TOO_MANY = {
    "a budget": ({"selection": {"budgets": [6, 5000]}}, "rankings", "5000, exceeds the 72 prompts"),
    "a count of clusters": ({"clustering": {"counts": [4, 5000]}}, "clusters", "5000 exceeds the 72 prompts"),
}


def test_where_nothing_can_be_scored_no_model_is_loaded_and_the_reason_is_said(
    edsel, study_with, tmp_path
) -> None:
    path, home = study_with(evaluation={"tasks": [], "held_out": 0}), tmp_path / "home"
    said = edsel("run", "--study", path, "--only", "base_scores", "--home", str(home))
    assert said.code == 0
    assert "base_scores: Nothing to score on, so no model was loaded" in said.out
    assert edsel.models == []
    assert pq.read_table(next(home.glob("store/*/base_scores.parquet"))).num_rows == 0


@pytest.mark.parametrize("case", TOO_MANY)
def test_more_than_the_pool_holds_is_said_before_a_model_is_loaded(case, edsel, study_with, tmp_path) -> None:
    sections, only, message = TOO_MANY[case]
    said = edsel("run", "--study", study_with(**sections), "--only", only, "--home", str(tmp_path / "home"))
    assert said.code == 1
    assert message in said.error
    assert "Lower" in said.error.splitlines()[-1]
    assert edsel.models == []


def test_a_study_named_by_the_environment_that_is_not_there(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("EDSEL_STUDY", str(tmp_path / "no.yaml"))
    with pytest.raises(
        StudyError, match=r"^No study '.*no\.yaml': give a YAML file or one of bhatt2024, demo"
    ):
        Study.from_env()


def test_a_model_is_not_even_imported_for_what_is_wrong_with_a_pool(study_with, tmp_path) -> None:
    (tmp_path / "a.jsonl").write_text("{", encoding="utf-8")
    study = study_with(pool={"path": str(tmp_path / "a.jsonl"), "limit": None})
    words = ["edsel", "run", "--only", "embeddings", "--study", study, "--home", str(tmp_path / "home")]
    script = (
        f"import sys\nfrom edsel_assets import cli\nsys.argv = {words!r}\n"
        "try:\n    cli.main()\nexcept SystemExit as ended:\n"
        "    print(ended.code, sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert "a.jsonl, row 1: not valid JSON" in done.stderr
    assert done.stdout == "1 []\n"
