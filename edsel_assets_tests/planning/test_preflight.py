"""What a study lacks or is refused for, said before anything runs: embeddings, prices, metrics."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.planning import preflight
from edsel_assets.planning.cells import Cell
from edsel_assets.store import Home
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.planning.fake_store import lineage_for, put

COHERE = {"source": "cohere", "name": "m"}
KINDS = {"pool", "embeddings", "other_embeddings"}


@pytest.mark.parametrize(
    ("embeddings", "others", "kinds", "said"),
    [
        (COHERE, {}, KINDS, "embeddings.source: cohere needs a key in the environment: set COHERE_API_KEY."),
        (COHERE, {}, {"pool"}, ""),
        (
            {},
            {"second": COHERE},
            KINDS,
            "other_embeddings.second.source: cohere needs a key in the environment: set COHERE_API_KEY.",
        ),
        ({}, {"second": COHERE}, {"embeddings"}, ""),
        ({}, {"second": {**COHERE, "base_url": "http://h"}}, KINDS, ""),
        (
            {**COHERE, "base_url": "http://h", "key_variable": "MINE"},
            {},
            KINDS,
            "embeddings.source: cohere needs a key in the environment: set MINE.",
        ),
        ({"key_variable": "MINE"}, {}, KINDS, ""),  # the base model needs none
        (
            {},
            {"second": {"source": "sentence_transformers", "name": "./nowhere"}},
            KINDS,
            "other_embeddings.second.name: there is no folder ./nowhere",
        ),
        ({"source": "file", "path": "no.npy"}, {}, KINDS, "embeddings: there is no file no.npy."),
    ],
)
def test_what_embeddings_lack_is_said(embeddings, others, kinds, said, tmp_path, monkeypatch) -> None:
    for variable in ("COHERE_API_KEY", "MINE"):
        monkeypatch.delenv(variable, raising=False)
    study = tiny_study(embeddings=embeddings, other_embeddings=others)
    found = list(preflight.problems(study, Home.at(tmp_path), kinds))
    assert [problem.startswith(said) for problem in found] == ([True] if said else [])


def test_the_package_of_sentence_transformers_is_looked_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    section = {"source": "sentence_transformers", "name": str(tmp_path)}
    study = tiny_study(other_embeddings={"second": section})
    (found,) = preflight.problems(study, Home.at(tmp_path), KINDS)
    assert found.startswith("other_embeddings.second.source: sentence_transformers needs the package")


def test_prompts_without_a_vector_are_named_once_the_pool_is_there(tmp_path) -> None:
    file = tmp_path / "vectors.parquet"
    pq.write_table(pa.table({"prompt_id": ["a"], "embedding": [[1.0, 2.0]]}), file)
    study = tiny_study(embeddings={"source": "file", "path": str(file)})
    assert not list(preflight.problems(study, Home.at(tmp_path), {"pool", "embeddings"})), "unknown yet"
    lineage = lineage_for(study, tmp_path)
    put(study, tmp_path, lineage, Cell("pool"), "the pool")
    pq.write_table(pa.table({"prompt_id": ["a", "b", "c"]}), tmp_path / "store" / "tiny" / "pool.parquet")
    said = r"embeddings: .* none for 2 of the pool's 3 prompts \(first: b, c"
    with pytest.raises(preflight.NotReady, match=said):
        preflight.check_sizes(study, Home.at(tmp_path), {"embeddings"})


@pytest.mark.parametrize("by_price", [False, True])
def test_a_price_that_no_column_gives_is_said_whatever_is_made(by_price, tmp_path) -> None:
    selection = {"strategies": ["random"], "budgets": [6], "by_price": by_price}
    lacking = tiny_study(selection=selection, annotation={"price_by": "column"})
    for kinds in ({"pool"}, {"rankings"}, {"embeddings"}):
        (found,) = preflight.problems(lacking, Home.at(tmp_path), kinds)
        assert found.startswith("annotation.price_by: column, and no column of the pool is its price.")
    assert not list(preflight.problems(lacking, Home.at(tmp_path), set())), "nothing is to be made"
    priced = tiny_study(
        selection=selection,
        annotation={"price_by": "column"},
        pool={"columns": {"prompt": "prompt", "price": "cost"}},
    )
    assert not list(preflight.problems(priced, Home.at(tmp_path), {"rankings"}))


@pytest.mark.parametrize("kind", ["benchmark_scores", "label_efficiency"])
def test_a_metric_of_which_less_is_better_is_refused(tmp_path: Path, kind: str) -> None:
    """Also where the scores are there and only the report is made again, by another metric."""
    study = tiny_study(evaluation={"tasks": [{"name": "wikitext", "metric": "word_perplexity"}]})
    (found,) = (
        text for text in preflight.problems(study, Home.at(tmp_path), {kind}) if "evaluation.tasks" in text
    )
    assert found.startswith("evaluation.tasks: of wikitext's metric word_perplexity a lower value is better")
    assert "Name another metric" in found


@pytest.mark.parametrize("content", ["{", "[]", "", "\xff"])
def test_a_damaged_configuration_of_a_model_is_one_line(content, tmp_path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(content, encoding="latin-1")
    (folder / "tokenizer_config.json").write_text("{}")
    evaluation = {"held_out": 2, "held_out_answers": ["rouge_l"]}
    study = tiny_study(model={"path": str(folder)}, evaluation=evaluation)
    (found,) = preflight.problems(study, Home.at(tmp_path), {"token_probabilities", "base_scores"})
    assert found == (
        f"model.path: {folder / 'config.json'} is not a JSON object. Copy the model's own file again."
    )


def test_answers_that_the_model_has_no_room_for_are_said(tmp_path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    text = "task: edsel_test_long\noutput_type: generate_until\ngeneration_kwargs: {max_gen_toks: 2048}\n"
    (folder / "t.yaml").write_text(text)
    tasks = {"include_path": str(folder), "tasks": ["edsel_test_long"]}

    def said(**more) -> str:
        study = tiny_study(evaluation={**tasks, **more})
        return " ".join(preflight.problems(study, Home.at(tmp_path), {"base_scores"}))

    assert "edsel_test_long: the task generates up to 2048 tokens, and the model has room for 256" in said()
    assert "room for 100" in said(max_length=100)
    assert "room for" not in said(tasks=[{"name": "edsel_test_long", "max_new_tokens": 8}])
