"""Other models of lm-eval, and chat templates: the same scores and texts as lm-eval's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edsel_assets.llm.scoring import backends
from edsel_assets.llm.scoring.evaluation import ItemScore, evaluate
from edsel_assets_tests.llm.scoring.test_evaluation import tasks
from edsel_assets_tests.llm.tiny import byte_model, byte_tokenizer

__all__ = ["tasks"]
CHAT = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
WRITES = """
include: choice.yaml
task: edsel_test_writes
output_type: generate_until
generation_kwargs: {until: ["e"], max_gen_toks: 9}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def folder(tasks: Path) -> Path:
    (tasks / "writes.yaml").write_text(WRITES, encoding="utf-8")
    return tasks


def chatting() -> Any:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT
    return tokenizer


def scored(folder: Path, **changes: Any) -> tuple[list[Any], list[ItemScore]]:
    items: list[ItemScore] = []
    settings: dict[str, Any] = {"tasks": ["edsel_test_choice", "edsel_test_writes"], "limit": 6}
    settings |= {"include_path": folder, "num_fewshot": 2, "items": items} | changes
    return evaluate(byte_model(), chatting(), **settings), items


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"chat_template": True},
        {"chat_template": True, "fewshot_as_multiturn": False},
        {"max_new_tokens": {"edsel_test_writes": 3}},
        {"seed": 7},
    ],
    ids=["plain", "turns", "one turn", "short", "seed"],
)
def test_the_hf_backend_gives_the_same_scores_and_texts(folder: Path, changes: dict[str, Any]) -> None:
    own, own_items = scored(folder, **changes)
    other, other_items = scored(folder, backend="hf", backend_arguments={"batch_size": 2}, **changes)
    assert own == other
    assert own_items == other_items
    assert {item.text for item in own_items if item.subtask == "edsel_test_writes"} != {None}


def test_settings_change_what_the_model_reads(folder: Path, tmp_path: Path) -> None:
    """Each of these settings changes a prompt or a text, so that the equality above is about something."""

    def prompts(**changes: Any) -> str:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        scored(folder, samples_path=path, **changes)
        return (path / "edsel_test_writes.jsonl").read_text()

    found = [
        prompts(),
        prompts(chat_template=True),
        prompts(chat_template=True, fewshot_as_multiturn=False),
        prompts(max_new_tokens=3),
        prompts(seed=7),
        prompts(chat_template="Q: {prompt}\nA: "),
    ]
    assert len(set(found)) == len(found)
    assert "<user>Is 0 even? Answer:<assistant>" in found[1]
    assert found[1].count("<assistant>") > found[2].count("<assistant>")
    assert "Q: Is 0 even? Answer:\\nA: " in found[5]  # as examples are trained on


def test_a_backend_that_reads_folders_is_given_a_whole_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval's own model, made to read a folder as vLLM does."""
    monkeypatch.setattr(backends, "READ_FOLDERS", frozenset({"hf"}))
    own, own_items = scored(folder)
    other, other_items = scored(folder, backend="hf", backend_arguments={"batch_size": 2, "device": "cpu"})
    assert own == other
    assert own_items == other_items


def test_values_by_item_carry_the_numbers_of_the_items(folder: Path) -> None:
    scores, items = scored(folder, limit=None, sample_share=0.2)
    chosen = [item for item in items if item.metric == "acc"]
    assert len(chosen) == 6
    numbers = [int(item.item) for item in chosen]
    assert numbers == sorted(set(numbers))
    assert numbers != list(range(6))
    (score,) = (score for score in scores if score.metric == "acc")
    assert sum(item.value for item in chosen) / 6 == pytest.approx(score.value)
