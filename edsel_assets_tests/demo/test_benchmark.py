"""The benchmark tasks load offline through lm-eval, reach every family evenly, and score a model."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from edsel_assets.demo import DEMO, choice_items, generate_items, local_path
from scripts.demo.families import FAMILIES
from scripts.demo.make_model import make_model, make_tokenizer
from scripts.demo.make_pool import HELD_OUT

TASKS = ("edsel_demo_choice", "edsel_demo_generate")


@pytest.mark.parametrize("items", [choice_items, generate_items])
def test_every_family_is_asked_equally_often(items: Any) -> None:
    rows = items()["test"]
    assert Counter(rows["task"]) == dict.fromkeys(FAMILIES, HELD_OUT)
    assert len(set(rows["prompt"])) == len(rows)
    assert rows.to_list() == items()["test"].to_list()


def test_the_two_tasks_ask_about_different_items() -> None:
    assert not set(choice_items()["test"]["prompt"]) & set(generate_items()["test"]["prompt"])


def test_each_choice_is_listed_once_and_the_label_is_not_always_the_same() -> None:
    rows = choice_items()["test"].to_list()
    for row in rows:
        assert len(set(row["choices"])) == len(row["choices"]) >= 2
        assert 0 <= row["label"] < len(row["choices"])
    assert len({row["label"] for row in rows}) == 4


def test_labels_point_at_the_right_answer() -> None:
    for row in choice_items()["test"].to_list():
        table = dict(FAMILIES[row["task"]].table or ())
        asked = [
            x
            for x in table
            if any(row["prompt"] == form.format(x=x) for form in FAMILIES[row["task"]].prompts)
        ]
        for x in asked:
            assert row["choices"][row["label"]] == table[x]


@pytest.mark.filterwarnings("ignore")
def test_lm_eval_scores_a_model_on_both_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tokenizer = make_tokenizer(vocabulary=600, corpus_size=500)
    model = make_model(tokenizer, hidden_size=32, intermediate_size=32, num_hidden_layers=1)
    results = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=64, device="cpu"),
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(local_path(DEMO, "tasks")), include_defaults=False),
        bootstrap_iters=0,
    )
    choice, generate = (results["results"][task] for task in TASKS)
    assert 0.1 < choice["acc,none"] < 0.7  # an untrained model guesses among two to four choices
    assert generate["exact_match,none"] == 0.0
    assert results["n-samples"]["edsel_demo_choice"]["effective"] == HELD_OUT * len(FAMILIES)
