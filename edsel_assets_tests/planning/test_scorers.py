"""Which cells a scorer's settings and files make stale, what each reads, and what is missing before a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edsel_assets.demo import DEMO
from edsel_assets.planning import preflight
from edsel_assets.planning.cells import Cell, Lineage
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import fill, freshness_of
from edsel_assets_tests.planning.test_freshness import expand, stale

SCORERS = ("reward", "deita", "judge", "perplexity", "column")
MODELS = ("reward", "quality", "complexity", "rounds")
BY = {scorer: f"quality_scores[{scorer}]" for scorer in SCORERS}


def scored(folder: Path, **changes: Mapping[str, Any]) -> Study:
    """A study that uses every scorer, on model folders and a file of its own under ``folder``."""
    scores = folder / "scores.csv"
    files = {scores: "prompt_id,quality\na,1\n"}
    files |= {folder / name / "config.json": "{}" for name in MODELS}
    for file, text in files.items():
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    models = {name: {"model": str(folder / name)} for name in MODELS}
    sections: dict[str, dict[str, Any]] = {
        "quality": {
            "input": "prompt_response",
            "reward": models["reward"],
            "deita": {"quality": models["quality"], "complexity": models["complexity"]},
            "judge": {"model": "judge", "base_url": "http://127.0.0.1:9/v1"},
            "file": str(scores),
        },
        "selection": {
            "strategies": [
                "random",
                "kmq",
                "iterative_kmq_perplexity",
                "iterative_kmq_reward",
                "iterative_kmq_judge",
            ],
            "variants": {f"kmq_{scorer}": {"strategy": "kmq", "quality": scorer} for scorer in SCORERS},
            "budgets": [6],
        },
        "rounds": {"reward": models["rounds"], "judge": {"model": "judge"}},
    }
    for name, change in changes.items():
        sections[name] = {**sections.get(name, {}), **change}
    return tiny_study(**sections)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def filled(tmp_path: Path, home: Path) -> Lineage:
    return fill(scored(tmp_path), home)


def weights(strategy: str) -> str:
    return f"round_1/weights[00006|{strategy}.s0]"


def test_nothing_is_stale_where_nothing_changed(filled, home, tmp_path) -> None:
    assert stale(scored(tmp_path), home) == set()


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("quality", {"reward": {"dtype": "bfloat16"}}, {BY["reward"]}),
        ("quality", {"reward": {"template": "{prompt}"}}, {BY["reward"]}),
        ("quality", {"reward": {"max_tokens": 9}}, {BY["reward"]}),
        ("quality", {"judge": {"model": "another"}}, {BY["judge"]}),
        ("quality", {"judge": {"base_url": "http://127.0.0.1:8/v1"}}, {BY["judge"]}),
        ("quality", {"judge": {"reply_tokens": 9}}, {BY["judge"]}),
        ("quality", {"judge": {"on_invalid": "stop"}}, {BY["judge"]}),
        ("quality", {"judge": {"concurrency": 9, "timeout": 9.0, "price_reply": 1.0}}, set()),
        ("quality", {"column": "good"}, {BY["column"]}),
        ("quality", {"complexity_column": "hard"}, {BY["column"]}),
        ("rounds", {"reward": {"label": "x"}}, {weights("iterative_kmq_reward")}),
        ("rounds", {"judge": {"model": "another"}}, {weights("iterative_kmq_judge")}),
        ("rounds", {"joint": True}, {weights("iterative_kmq_perplexity")}),
    ],
)
def test_a_setting_concerns_the_scorer_that_reads_it(
    filled, home, tmp_path, section, change, expected
) -> None:
    before = scored(tmp_path)
    part = getattr(before, section)
    for name, value in change.items():
        inner = getattr(part, name)
        new = inner.model_copy(update=value) if isinstance(value, dict) else value
        part = part.model_copy(update={name: new})
    assert stale(before.model_copy(update={section: part}), home) == expected


def test_the_base_models_settings_concern_perplexity_alone(filled, home, tmp_path) -> None:
    study = scored(tmp_path)
    model = study.model.model_copy(update={"dtype": "bfloat16"})
    found = stale(study.model_copy(update={"model": model}), home)
    assert {name for name in found if name.startswith("quality_scores")} == {BY["perplexity"]}


def test_quality_of_prompts_alone_concerns_those_that_read_texts(filled, home, tmp_path) -> None:
    study = scored(tmp_path)
    quality = study.quality.model_copy(update={"input": "prompt"})
    found = stale(study.model_copy(update={"quality": quality}), home)
    assert found == {BY[scorer] for scorer in ("reward", "deita", "judge", "perplexity")}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("reward/config.json", {BY["reward"]}),
        ("quality/config.json", {BY["deita"]}),
        ("complexity/config.json", {BY["deita"]}),
        ("rounds/config.json", {weights("iterative_kmq_reward")}),
        ("scores.csv", {BY["column"]}),
    ],
)
def test_a_file_concerns_the_scorer_that_reads_it(filled, home, tmp_path, file, expected) -> None:
    with (tmp_path / file).open("a") as handle:
        handle.write("\n")
    assert stale(scored(tmp_path), home) == expected


def test_a_chain_is_stale_by_what_trains_its_last_model(home, tmp_path) -> None:
    def study(**rounds: Any) -> Study:
        return tiny_study(rounds={"start": "continue", **rounds})

    lineage = fill(study(), home)
    last = "lora_adapters[00006|iterative_kmq_perplexity.s0]"
    parents = {str(p) for p in lineage.parents(Cell.parse(last))}
    assert parents == {
        "training_sets[00006|iterative_kmq_perplexity]",
        "round_1/checkpoint[00006|iterative_kmq_perplexity.s0]",
    }
    assert {str(p) for p in lineage.parents(Cell.parse("lora_adapters[00006|kmq.s0]"))} == {
        "training_sets[00006|kmq]"
    }
    found = stale(study(epochs=2), home)
    chained = {f"lora_adapters[{budget}|iterative_kmq_perplexity.s0]" for budget in ("00006", "00010")}
    assert found == expand(lineage, {"round_checkpoint", *chained})
    # Its last model trains for rounds.epochs, all others for finetuning.epochs.
    tuned = study().model_copy(update={"finetuning": study().finetuning.model_copy(update={"epochs": 9})})
    assert stale(tuned, home) == expand(lineage, {"lora_adapters"}) - chained


@pytest.mark.parametrize("scorer", [*SCORERS, "likelihood"])
def test_a_scorer_reads_the_forward_pass_or_the_pool(tmp_path, home, scorer) -> None:
    for given in ("prompt", "prompt_response"):
        study = scored(tmp_path)
        study = study.model_copy(update={"quality": study.quality.model_copy(update={"input": given})})
        by_pass = scorer == "likelihood" or (scorer == "perplexity" and given == "prompt")
        parents = freshness_of(study, home).lineage.parents(Cell("quality_scores", scorer))
        assert [str(p) for p in parents] == ["token_probabilities" if by_pass else "pool"]


# -- before a run


def problems(study: Study, home: Path, *kinds: str) -> str:
    return " ".join(preflight.problems(study, Home.at(home), kinds))


def test_what_a_scorer_lacks_is_said_before_anything_runs(tmp_path, home, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("MY_KEY", raising=False)
    assert problems(scored(tmp_path), home, "quality_scores") == ""
    gone = {"model": "./nowhere"}
    lacking = scored(
        tmp_path,
        quality={
            "reward": gone,
            "deita": {"quality": gone, "complexity": {"model": DEMO}},
            "judge": {"model": "judge", "key_variable": "MY_KEY"},
            "file": str(tmp_path / "none.csv"),
        },
        rounds={"reward": {"model": str(tmp_path)}},
    )
    said = problems(lacking, home, "quality_scores")
    assert "quality.reward.model: there is no folder ./nowhere" in said
    assert "quality.deita.quality.model: there is no folder ./nowhere" in said
    assert "quality.deita.complexity" not in said
    assert "quality.judge: the server needs a key in the environment: set MY_KEY" in said
    assert f"quality: there is no file {tmp_path / 'none.csv'}" in said
    said = problems(lacking, home, "round_weights")
    assert "rounds.judge: the server needs a key in the environment: set OPENAI_API_KEY" in said
    assert "has no config.json" in said
    assert problems(lacking, home, "selections") == ""


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"selection": {"strategies": ["iterative_kmq_reward"], "budgets": [6]}},
            "needs the section rounds.reward",
        ),
        (
            {"selection": {"strategies": ["iterative_kmq_judge"], "budgets": [6]}},
            "needs the section rounds.judge",
        ),
        (
            {
                "selection": {
                    "strategies": ["random"],
                    "variants": {"x": {"strategy": "kmq", "quality": "reward"}},
                    "budgets": [6],
                }
            },
            "needs the section quality.reward",
        ),
        ({"rounds": {"start": "continue"}, "finetuning": {"method": "dora"}}, "which dora's cannot be"),
    ],
)
def test_a_strategy_without_its_scorer_is_refused(sections, words) -> None:
    with pytest.raises(ValueError, match=words):
        tiny_study(**sections)
