"""Made-up items in the form of known data sets: a task's own prompts, filters and metrics run on them.

Each item is a little sum, written in the columns of the data set that it stands in for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Sum:
    """``question`` with its ``choices``, of which the one at ``right`` is right."""

    question: str
    choices: tuple[str, ...]
    right: int
    working: str

    @property
    def answer(self) -> str:
        return self.choices[self.right]


def sums(count: int) -> list[Sum]:
    """``count`` different sums with four choices each."""
    found = []
    for number in range(count):
        a, b = number % 10 + 1, number // 10 + 2
        place = number % 4
        choices = tuple(str(a + b + offset - place) for offset in range(4))
        found.append(Sum(f"What is {a} + {b}?", choices, place, f"{a} + {b} = {a + b}"))
    return found


def _mmlu(item: Sum) -> dict[str, Any]:
    return {"question": item.question, "subject": "sums", "choices": list(item.choices), "answer": item.right}


def _bbh(item: Sum) -> dict[str, Any]:
    return {"input": item.question, "target": item.answer}


def _gsm8k(item: Sum) -> dict[str, Any]:
    return {"question": item.question, "answer": f"{item.working}\n#### {item.answer}"}


def _arc(item: Sum) -> dict[str, Any]:
    choices = {"text": list(item.choices), "label": list("ABCD")}
    asked = {"id": item.question, "question": item.question}
    return {**asked, "choices": choices, "answerKey": "ABCD"[item.right]}


def _hellaswag(item: Sum) -> dict[str, Any]:
    context = {"ctx_a": item.question, "ctx_b": "the sum", "ctx": f"{item.question} the sum"}
    endings = [f"is {choice}." for choice in item.choices]
    return {"activity_label": "Sums", **context, "endings": endings, "label": str(item.right)}


def _truthfulqa(item: Sum) -> dict[str, Any]:
    wrong = [choice for choice in item.choices if choice != item.answer]
    targets = {"choices": [item.answer, *wrong], "labels": [1, *(0 for _ in wrong)]}
    return {"question": item.question, "mc1_targets": targets, "mc2_targets": targets}


def _plain(item: Sum) -> dict[str, Any]:
    choices = list(item.choices)
    return {"query": item.question, "choices": choices, "label": item.right, "answer": item.answer}


#: Data set of the hub to the columns of its items.
FORMS: dict[str, Callable[[Sum], dict[str, Any]]] = {
    "cais/mmlu": _mmlu,
    "SaylorTwift/bbh": _bbh,
    "openai/gsm8k": _gsm8k,
    "gsm8k": _gsm8k,
    "allenai/ai2_arc": _arc,
    "Rowan/hellaswag": _hellaswag,
    "truthfulqa/truthful_qa": _truthfulqa,
    "truthful_qa": _truthfulqa,
}

_QUERY = "{{query}}\nAnswer:"

#: What a task of another data set reads instead of its own columns, by its output type.
PLAIN: dict[str, dict[str, Any]] = {
    "multiple_choice": {"doc_to_text": _QUERY, "doc_to_choice": "choices", "doc_to_target": "label"},
    "generate_until": {"doc_to_text": _QUERY, "doc_to_target": "answer"},
}


def write_items(path: Path, data_set: str, count: int) -> None:
    """``count`` items in the form of ``data_set``, or plain ones, as a JSON list."""
    form = FORMS.get(data_set, _plain)
    path.write_text(json.dumps([form(item) for item in sums(count)]), encoding="utf-8")


def splits(items_file: str, items_splits: Sequence[str], **_: Any) -> dict[str, Any]:
    """What lm-eval takes as a task's data: the items of a file under the name of each split."""
    import datasets

    rows = json.loads(Path(items_file).read_text(encoding="utf-8"))
    return {name: datasets.Dataset.from_list(rows) for name in items_splits}


def problem() -> dict[str, str]:
    """A programming problem in HumanEval's columns."""
    return {
        "task_id": "MadeUp/0",
        "prompt": 'def add(a, b):\n    """The sum of two numbers."""\n',
        "canonical_solution": "    return a + b\n",
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
        "entry_point": "add",
    }
