"""Each scorer of quality against its engine called alone; kept by content; scales and thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets.demo import DEMO, model_folder
from edsel_assets.llm import CostStop, JudgeError, deita_complexity, deita_quality, load_model, perplexity
from edsel_assets.llm.judging.reward import load_reward_model, reward_scores
from edsel_assets.stages.scoring.columns import ColumnError
from edsel_assets.stages.scoring.kept import KeptScores
from edsel_assets.stages.scoring.quality import Sources, poor_below, quality_scores, shown_score, sigmoid
from edsel_assets.store import Home
from edsel_assets.study import Study
from edsel_assets_tests.llm.judging.server import completion, serving
from edsel_assets_tests.stages.scoring.models import CHAT, reward_folder

PROMPTS = ["Name a bird.", "What is 2 + 3?", "Say nothing.", "Write about a river and a boat, please."]
RESPONSES = ["An owl.", "5", "Well.", "The river is long."]
IDS = [f"{i:032x}" for i in range(4)]
#: Mid-ranks of the lengths 12, 14, 12, 39.
LENGTHS = [1 / 4, 5 / 8, 1 / 4, 7 / 8]


def study_of(**quality: Any) -> Study:
    return Study.model_validate(
        {
            "name": "scored",
            "model": {"dtype": "float32", "device": "cpu"},
            "forward": {"batch_tokens": 400, "shard_rows": 3},
            "quality": quality,
            "selection": {"strategies": ["random"], "budgets": [2]},
        }
    )


class Pool:
    """Four prompts as the assets give them; notes which columns were read."""

    def __init__(self, **columns: Any) -> None:
        self.table = pa.table({"prompt_id": IDS, "prompt": PROMPTS, "response": RESPONSES, **columns})
        self.read: set[str] = set()
        self.opened = 0

    def sources(self) -> Sources:
        def pool(columns: list[str]) -> pa.Table:
            self.read |= set(columns)
            return self.table.select(columns)

        def model() -> tuple[Any, Any]:
            self.opened += 1
            return load_model(model_folder(DEMO), dtype="float32", device="cpu")

        return Sources(pool, pool, model_folder(DEMO), model)


def scored(study: Study, home: Path, pool: Pool | None = None) -> tuple[pa.Table, dict[str, int]]:
    return quality_scores(study, study.quality.scorer, Home.at(home), (pool or Pool()).sources())


@pytest.mark.parametrize("responses", [False, True])
@pytest.mark.parametrize("template", [None, CHAT])
def test_reward_is_the_models_logit_as_odds(tmp_path: Path, responses: bool, template: str | None) -> None:
    folder = reward_folder(tmp_path / "reward", chat_template=template)
    given = {"scorer": "reward", "reward": {"model": str(folder)}}
    table, counts = scored(study_of(**given, input="prompt_response" if responses else "prompt"), tmp_path)
    model, tokenizer = load_reward_model(folder, device="cpu")
    expected = reward_scores(model, tokenizer, PROMPTS, RESPONSES if responses else None)
    np.testing.assert_allclose(table["reward"].to_numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(table["quality"].to_numpy(), 1 / (1 + np.exp(-expected)), atol=1e-4)
    assert table["complexity"].to_pylist() == pytest.approx(LENGTHS)
    assert counts == {"rows_new": 4, "rows_reused": 0, "without_score": 0}


def test_a_prompt_alone_is_read_without_an_answer(tmp_path: Path) -> None:
    folder = reward_folder(tmp_path / "reward", chat_template=CHAT)
    model, tokenizer = load_reward_model(folder, device="cpu")
    alone = reward_scores(model, tokenizer, PROMPTS, None)
    assert not np.allclose(alone, reward_scores(model, tokenizer, PROMPTS, [""] * 4))


def test_only_new_texts_are_scored_again(tmp_path: Path) -> None:
    folder = reward_folder(tmp_path / "reward")
    study = study_of(scorer="reward", reward={"model": str(folder)}, input="prompt_response")
    first, _ = scored(study, tmp_path)
    again, counts = scored(study, tmp_path)
    assert again.equals(first)
    assert counts["rows_reused"] == 4
    changed = Pool()
    changed.table = changed.table.set_column(2, "response", [["A hen.", *RESPONSES[1:]]])
    other, counts = scored(study, tmp_path, changed)
    assert (counts["rows_new"], counts["rows_reused"]) == (1, 3)
    assert other["reward"].to_pylist()[1:] == first["reward"].to_pylist()[1:]
    another = study_of(
        scorer="reward", reward={"model": str(reward_folder(tmp_path / "b", seed=4))}, input="prompt_response"
    )
    assert scored(another, tmp_path)[1]["rows_new"] == 4


def test_deita_is_the_expected_rating_of_both_models(tmp_path: Path) -> None:
    models = {"quality": {"model": DEMO}, "complexity": {"model": DEMO}}
    table, _ = scored(study_of(scorer="deita", deita=models, input="prompt_response"), tmp_path)
    model, tokenizer = load_model(model_folder(DEMO), dtype="float32", device="cpu")
    expected = deita_quality(model, tokenizer, PROMPTS, RESPONSES)
    np.testing.assert_allclose(table["quality"].to_numpy(), expected, atol=1e-5)
    expected = deita_complexity(model, tokenizer, PROMPTS)
    np.testing.assert_allclose(table["complexity"].to_numpy(), expected, atol=1e-5)
    assert 1 <= table["quality"].to_numpy().min() <= table["quality"].to_numpy().max() <= 6


def test_perplexity_of_responses_is_that_given_the_prompt(tmp_path: Path) -> None:
    pool, study = Pool(), study_of(scorer="perplexity", input="prompt_response")
    table, _ = scored(study, tmp_path, pool)
    model, tokenizer = load_model(model_folder(DEMO), dtype="float32", device="cpu")
    asked = [study.model.template.format(prompt=prompt) for prompt in PROMPTS]
    expected = perplexity(model, tokenizer, asked, RESPONSES, batch_tokens=400)
    np.testing.assert_allclose(table["perplexity"].to_numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(table["quality"].to_numpy(), 1 / expected, rtol=1e-5)
    opened = pool.opened
    assert opened
    scored(study, tmp_path, pool)
    assert pool.opened == opened  # nothing to score: the model is not loaded


def test_perplexity_of_prompts_is_that_of_the_forward_pass(tmp_path: Path) -> None:
    passed = Pool(prompt_logprob=[-8.0, -9.0, -2.0, 0.0], prompt_tokens=[5, 4, 3, 1])
    table, _ = scored(study_of(scorer="perplexity"), tmp_path, passed)
    # exp(8 / 4), exp(9 / 3), exp(2 / 2), and a prompt of one token, which has nothing before it.
    assert table["perplexity"].to_pylist() == pytest.approx([np.e**2, np.e**3, np.e, 1.0])
    assert "prompt" not in passed.read
    assert table["complexity"].to_pylist() == pytest.approx([5 / 8, 7 / 8, 3 / 8, 1 / 8])


@pytest.fixture
def quiet_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def rated(body: dict[str, Any]) -> str:
    asked = body["messages"][-1]["content"]
    if "Say nothing." in asked:
        return completion("I cannot say.")
    return completion(f"Fine. Rating: [[{9 if '[[Response]] An owl.' in asked else 4}]]")


@pytest.mark.usefixtures("quiet_proxy")
def test_a_judge_rates_and_an_unrated_prompt_is_chosen_last(tmp_path: Path) -> None:
    with serving(rated) as server:
        judge = {"model": "judge", "base_url": server.url, "concurrency": 2}
        study = study_of(scorer="judge", judge=judge, input="prompt_response")
        table, counts = scored(study, tmp_path)
        assert table["rating"].to_pylist() == [9.0, 4.0, None, 4.0]
        assert table["quality"].to_pylist() == [9.0, 4.0, 0.0, 4.0]
        assert counts["without_score"] == 1
        assert scored(study, tmp_path)[0].equals(table)
        assert len(server.asked) == 4
        prompts = study_of(scorer="judge", judge=judge)
        assert scored(prompts, tmp_path)[0]["rating"].to_pylist() == [4.0, 4.0, None, 4.0]
        assert len(server.asked) == 8
        assert "[[Response]]" not in server.asked[-1]["messages"][-1]["content"]


@pytest.mark.usefixtures("quiet_proxy")
@pytest.mark.parametrize(("on_error", "error"), [("stop", CostStop), ("leave_out", JudgeError)])
def test_a_judge_over_its_stop_ends_the_run_with_what_was_paid_for(
    tmp_path: Path, on_error: str, error: type[Exception]
) -> None:
    with serving(lambda body: completion("Rating: [[5]]", prompt=300, tokens=100)) as server:
        judge: dict[str, Any] = {"model": "judge", "base_url": server.url, "concurrency": 1}
        judge |= {"price_prompt": 1.0, "price_reply": 1.0, "reply_tokens": 100}
        judge |= {"on_error": on_error}
        with pytest.raises(error, match=r"the stop is 1\.3"):
            scored(study_of(scorer="judge", judge={**judge, "max_cost": 1.3}), tmp_path)
        paid = len(server.asked)
        assert 0 < paid < 4
        table, _ = scored(study_of(scorer="judge", judge={**judge, "max_cost": 9.0}), tmp_path)
        assert table["quality"].to_pylist() == [5.0] * 4
        assert len(server.asked) == 4


@pytest.mark.usefixtures("quiet_proxy")
def test_no_rating_at_all_is_an_error(tmp_path: Path) -> None:
    with serving(lambda body: completion("no")) as server:
        judge = {"model": "judge", "base_url": server.url}
        with pytest.raises(ValueError, match="gave none of the 4 prompts a score"):
            scored(study_of(scorer="judge", judge=judge), tmp_path)


def test_a_local_judge_without_ratings_stops_where_it_is_to(tmp_path: Path) -> None:
    judge = {"model": DEMO, "by": "local", "template": "{prompt}", "reply_tokens": 4, "on_invalid": "stop"}
    with pytest.raises(ValueError, match="3 of 3 replies of the judge builtin:demo have no rating"):
        scored(study_of(scorer="judge", judge=judge), tmp_path)


# -- columns


def test_a_column_of_the_pool_is_taken_as_it_is(tmp_path: Path) -> None:
    study = study_of(scorer="likelihood").model_copy(
        update={"pool": study_of().pool.model_copy(update={"columns": {"quality": "q", "complexity": "c"}})}
    )
    pool = Pool(quality=[1.0, 7.5, 0.0, 3.0], complexity=[4.0, 3.0, 2.0, 1.0])
    table, _ = quality_scores(study, "column", Home.at(tmp_path), pool.sources())
    assert table["quality"].to_pylist() == [1.0, 7.5, 0.0, 3.0]
    assert table["complexity"].to_pylist() == [4.0, 3.0, 2.0, 1.0]
    lacking = Pool(quality=[1.0, None, 0.0, 3.0], complexity=[4.0, 3.0, 2.0, 1.0])
    with pytest.raises(ColumnError, match=rf"1 of 4 prompts have no quality.*{IDS[1]}"):
        quality_scores(study, "column", Home.at(tmp_path), lacking.sources())


def test_a_pool_is_read_with_its_qualities(tmp_path: Path) -> None:
    from edsel_assets.pools import PoolError, PoolSource, read_pool

    file = tmp_path / "pool.jsonl"
    file.write_text('{"prompt": "a", "mine": 0.5}\n{"prompt": "b", "mine": 2}\n')
    table = read_pool(PoolSource(str(file), columns={"prompt": "prompt", "quality": "mine"})).table
    assert dict(zip(table["prompt"].to_pylist(), table["quality"].to_pylist(), strict=True)) == {
        "a": 0.5,
        "b": 2,
    }
    file.write_text('{"prompt": "a", "mine": -1}\n')
    with pytest.raises(PoolError, match="a quality is a number of at least 0"):
        read_pool(PoolSource(str(file), columns={"prompt": "prompt", "quality": "mine"}))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_column_of_a_file_is_joined_by_prompt(tmp_path: Path, suffix: str) -> None:
    rows = [{"prompt_id": i, "good": v, "hard": 2 * v} for i, v in zip(IDS[::-1], (4, 3, 2, 1), strict=True)]
    rows.append({"prompt_id": "of another pool", "good": 9, "hard": 9})
    file = tmp_path / f"scores{suffix}"
    write(file, rows)
    study = study_of(scorer="column", file=str(file), column="good", complexity_column="hard")
    table, _ = scored(study, tmp_path)
    assert table["quality"].to_pylist() == [1.0, 2.0, 3.0, 4.0]
    assert table["complexity"].to_pylist() == [2.0, 4.0, 6.0, 8.0]
    by_length, _ = scored(study_of(scorer="column", file=str(file), column="good"), tmp_path)
    assert by_length["complexity"].to_pylist() == pytest.approx(LENGTHS)


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    frame = pa.Table.from_pylist(rows).to_pandas()
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    elif file.suffix == ".jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"prompt_id": i, "quality": 1.0} for i in IDS[:3]], f"no row for 1 of 4 prompts.*{IDS[3]}"),
        ([{"prompt_id": i, "good": 1.0} for i in IDS], "has no column quality; it has prompt_id, good"),
        ([{"prompt_id": IDS[0], "quality": 1.0}] * 2, "once for each prompt"),
        ([{"prompt_id": i, "quality": -1.0} for i in IDS], "row 1: quality must be a number of at least 0"),
        ([{"prompt_id": i, "quality": None if i == IDS[2] else 1.0} for i in IDS], "row 3: quality must be"),
        ([{"prompt_id": i, "quality": "good"} for i in IDS], "of type .*string, not numbers"),
    ],
)
def test_a_wrong_file_of_scores_is_named(tmp_path: Path, rows: list[dict[str, Any]], words: str) -> None:
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "scores.parquet")
    with pytest.raises(ColumnError, match=words):
        scored(study_of(scorer="column", file=str(tmp_path / "scores.parquet")), tmp_path)


# -- scales


def test_the_sigmoid_neither_overflows_nor_turns_the_order_round() -> None:
    found = sigmoid(np.array([-800.0, -1.0, 0.0, 1.0, 800.0]))
    assert found.tolist() == pytest.approx([0.0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1.0])


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ({"scorer": "likelihood"}, 0.3),
        ({"scorer": "reward", "reward": {"model": "a/b"}}, 0.3),
        ({"scorer": "judge", "judge": {"model": "j"}}, 3.7),
        ({"scorer": "perplexity"}, 4.0),  # the quantile 0.3 of 1, 2, ..., 11
        ({"scorer": "perplexity", "threshold": 7.0}, 7.0),
        ({"scorer": "likelihood", "threshold_quantile": 0.5}, 6.0),
        ({"scorer": "likelihood", "threshold": 0.25}, 0.25),
    ],
)
def test_a_cluster_is_poor_below_a_mean_on_the_scorers_scale(
    quality: dict[str, Any], expected: float
) -> None:
    table = pa.table({"quality": np.arange(1.0, 12.0)})
    assert poor_below(study_of(**quality), table) == pytest.approx(expected)


def test_deitas_scale_begins_at_1() -> None:
    models = {"quality": {"model": "a/b"}, "complexity": {"model": "a/b"}}
    study = study_of(scorer="deita", deita=models, input="prompt_response")
    assert poor_below(study, pa.table({"quality": [1.0]})) == 2.5


def test_the_distribution_shown_is_of_the_scorers_own_number(tmp_path: Path) -> None:
    table = pa.table(
        {"prompt_id": ["a", "b"], "quality": [0.5, 0.0], "complexity": [1, 2], "rating": [5, None]}
    )
    name, values = shown_score(table)
    assert name == "rating"
    np.testing.assert_array_equal(values, [5.0, np.nan])
    assert shown_score(table.drop_columns(["rating"]))[0] == "quality"


def test_equal_texts_are_scored_once_and_an_infinite_score_is_refused(tmp_path: Path) -> None:
    asked: list[int] = []

    def score(rows: np.ndarray) -> np.ndarray:
        asked.extend(rows.tolist())
        return rows.astype(np.float64)

    kept = KeptScores(Home.at(tmp_path), {"kind": "test"})
    found = kept.compute(["a", "b", "a", "c"], score, shard_rows=2)
    assert found.values.tolist() == [0.0, 1.0, 0.0, 3.0]
    assert asked == [0, 1, 3]
    assert (found.rows_new, found.rows_reused) == (3, 0)
    with pytest.raises(ValueError, match="infinite score"):
        kept.compute(["d"], lambda rows: np.array([np.inf]))


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ({"scorer": "reward"}, "needs the section quality.reward"),
        ({"scorer": "judge"}, "needs the section quality.judge"),
        ({"scorer": "column"}, "name it in pool.columns as quality, or a file"),
        (
            {"scorer": "deita", "deita": {"quality": {"model": "a/b"}, "complexity": {"model": "a/b"}}},
            "deita rates responses; set quality.input to prompt_response",
        ),
        ({"threshold": 0.1, "threshold_quantile": 0.1}, "not both"),
        ({"scorer": "reward", "reward": {"model": "a/b", "template": "x"}}, "exactly once"),
        ({"scorer": "judge", "judge": {"model": "j", "max_cost": 1.0}}, "needs price_prompt and price_reply"),
        (
            {"scorer": "judge", "judge": {"model": "j", "by": "local", "base_url": "http://127.0.0.1:1"}},
            "base_url is of a server",
        ),
    ],
)
def test_a_study_that_lacks_what_its_scorer_needs_is_refused(quality: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        study_of(**quality)
