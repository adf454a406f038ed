"""Exact match and ROUGE-L of answers to held-out prompts."""

from __future__ import annotations

import string
from itertools import combinations
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from edsel_assets.planning.preflight import problems
from edsel_assets.stages.evaluation.agreement import MEASURES, exact_match, rouge_l
from edsel_assets.stages.evaluation.items import ITEMS, item_values
from edsel_assets.stages.held_out import ANSWER_METRICS, HELD_OUT, loss_scores, losses
from edsel_assets.stages.trials import SCORES, evaluate_study
from edsel_assets.store import Home
from edsel_assets.study import EvaluationSettings, Study
from edsel_assets_tests.defs.conftest import tiny_study
from edsel_assets_tests.llm import tiny

END = 256
LEARNED, OTHER = ("Say red.", "Red it is."), ("Name a bird.", "A wren, of course.")


def test_the_studys_measures_are_those_there_are() -> None:
    annotation = EvaluationSettings.model_fields["held_out_answers"].annotation
    assert get_args(get_args(annotation)[0]) == ANSWER_METRICS == tuple(MEASURES)


def longest_common(one: list[str], other: list[str]) -> int:
    """By trying every subsequence of ``one``, longest first."""

    def is_within(words: tuple[str, ...]) -> bool:
        rest = iter(other)
        return all(word in rest for word in words)

    sizes = range(len(one), 0, -1)
    return next((n for n in sizes if any(is_within(each) for each in combinations(one, n))), 0)


def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        answer, response = (list(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(2))
        common = longest_common(answer, response)
        expected = 2 * common / (len(answer) + len(response))
        assert rouge_l(" ".join(answer), " ".join(response)) == pytest.approx(expected)


def test_rouge_l_is_the_librarys_on_ascii_and_knows_other_letters() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    library = RougeScorer(["rougeL"])
    rng = np.random.default_rng(1)
    letters = list("abAB01_ -.\n" + string.printable)
    for _ in range(200):
        answer, response = ("".join(rng.choice(letters, rng.integers(0, 40))) for _ in range(2))
        assert rouge_l(answer, response) == library.score(response, answer)["rougeL"].fmeasure
    assert rouge_l("Привет, мир", "привет мир!") == 1.0
    assert library.score("привет мир", "привет мир")["rougeL"].fmeasure == 0.0
    assert rouge_l("", "") == rouge_l("?", "?") == 0.0


@pytest.mark.parametrize(
    ("answer", "response", "value"),
    [
        ("yes", "yes", 1.0),
        (" yes\n", "yes", 1.0),
        ("a  b\tc", "a b c", 1.0),
        ("Yes", "yes", 0.0),
        ("yes.", "yes", 0.0),
        ("ab", "a b", 0.0),
        ("", "yes", 0.0),
        ("", " ", 1.0),
    ],
)
def test_exact_match_leaves_out_white_space_alone(answer: str, response: str, value: float) -> None:
    assert exact_match(answer, response) == value


def study_of(**evaluation: Any) -> Study:
    own = {"tasks": [], "held_out_max_new_tokens": 30, **evaluation}
    return tiny_study(model={"template": "{prompt}\n"}, evaluation=own)


@pytest.fixture(scope="module")
def memory() -> Any:
    """A tiny model that has learned one answer by heart."""
    model, tokenizer = tiny.byte_model(), tiny.byte_tokenizer()
    prompt, response = (tokenizer(text)["input_ids"] for text in (f"{LEARNED[0]}\n", LEARNED[1]))
    ids = torch.tensor([[*prompt, *response, END]])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


def held_out(*pairs: tuple[str, str]) -> pa.Table:
    rows = [
        {"prompt_id": f"{number:032x}", "task": "t", "prompt": prompt, "response": response}
        for number, (prompt, response) in enumerate(pairs)
    ]
    return pa.Table.from_pylist(rows, schema=HELD_OUT)


def answered(memory: Any, study: Study, *pairs: tuple[str, str]) -> Any:
    return evaluate_study(memory, tiny.byte_tokenizer(), study, held_out(*pairs))


def test_a_model_that_learned_an_answer_by_heart_gives_it(memory: Any) -> None:
    study = study_of(held_out_answers=["exact_match", "rouge_l"])
    rows = {row["metric"]: row for row in answered(memory, study, LEARNED).table.to_pylist()}
    assert [rows[name]["value"] for name in ("exact_match", "rouge_l")] == [1.0, 1.0]
    assert rows["token_mean"]["value"] > -0.1

    scored = answered(memory, study, LEARNED, OTHER)
    by_item = item_values(scored.items)
    rows = {row["metric"]: row for row in scored.table.to_pylist()}
    assert by_item["held_out/exact_match"].tolist() == [1.0, 0.0]
    for name in ("exact_match", "rouge_l"):
        values = by_item[f"held_out/{name}"]
        assert rows[name] == {
            "task": "held_out",
            "metric": name,
            "value": pytest.approx(values.mean()),
            "stderr": pytest.approx(values.std(ddof=1) / np.sqrt(2)),
            "n": 2,
        }
        assert len(values) == len(by_item["held_out/nll"]), "items pair with those of the loss"


def test_an_answer_that_leaves_no_room_for_its_prompt_is_refused_before_anything_runs(tmp_path: Path) -> None:
    def told(longest: int, **evaluation: Any) -> list[str]:
        study = study_of(held_out_max_new_tokens=longest, **evaluation)
        return [text for text in problems(study, Home.at(tmp_path), {"base_scores"}) if "held_out" in text]

    positions = 256  # of the demo's model
    assert told(positions) == told(positions - 1, held_out_answers=["rouge_l"]) == []
    (text,) = told(positions, held_out_answers=["rouge_l"])
    assert text.startswith("evaluation.held_out_max_new_tokens: 256 leaves no room")


def test_answers_are_kept_and_say_whether_they_were_cut(memory: Any) -> None:
    study = study_of(held_out_answers=["exact_match"], held_out_max_new_tokens=3)
    whole = study_of(held_out_answers=["exact_match"])
    cut, full = (answered(memory, each, LEARNED).items.to_pylist()[-1] for each in (study, whole))
    assert (cut["text"], cut["note"], cut["value"]) == (LEARNED[1][:3], "cut", 0.0)
    assert (full["text"], full["note"], full["value"]) == (LEARNED[1], None, 1.0)


def test_without_the_switch_scores_and_items_are_those_of_the_loss_alone(memory: Any) -> None:
    pairs = (LEARNED, OTHER)
    off, on = (
        answered(memory, study_of(held_out_answers=measures), *pairs) for measures in ([], ["rouge_l"])
    )
    nll, tokens = losses(memory, tiny.byte_tokenizer(), held_out(*pairs), "{prompt}\n", 16_384)
    assert off.table.equals(pa.Table.from_pylist(loss_scores(nll, tokens), schema=SCORES))
    rows = [
        {"task": "held_out", "subtask": "held_out", "item": f"{n:032x}", "metric": metric, "value": float(v)}
        for metric, values in (("nll", nll), ("tokens", tokens))
        for n, v in enumerate(values)
    ]
    assert off.items.equals(pa.Table.from_pylist(rows, schema=ITEMS))
    assert on.table.slice(0, 2).equals(off.table)
    assert on.items.slice(0, 4).equals(off.items)
