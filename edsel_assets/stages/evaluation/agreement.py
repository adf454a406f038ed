"""How far a trial's answers to held-out prompts agree with their responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.stages.evaluation.answers import greedy_answers
from edsel_assets.stages.evaluation.items import held_out_items
from edsel_assets.stages.held_out import TASK
from edsel_assets.study import Study

_WORD = re.compile(r"[^\W_]+")


def exact_match(answer: str, response: str) -> float:
    """1.0 where the texts are the same but for white space: at the ends, and how much of it; case counts."""
    return float(answer.split() == response.split())


def rouge_l(answer: str, response: str) -> float:
    """F-measure of the longest common subsequence of words, in [0, 1] (Lin 2004), by the library rouge_score.

    Words are runs of letters and digits in lower case, without a stemmer. 0 where a text has no word.
    """
    return float(_scorer().score(response, answer)["rougeL"].fmeasure)


#: Name of a measure to (answer, response) -> value; higher is better.
MEASURES: Mapping[str, Callable[[str, str], float]] = {"exact_match": exact_match, "rouge_l": rouge_l}


class _Words:
    """The words of a text. For texts in ASCII those of rouge_score, which drops all other letters."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())


def score_answers(
    model: Any, tokenizer: Any, study: Study, held_out: pa.Table
) -> tuple[list[dict[str, Any]], pa.Table]:
    """(rows of scores, table of items) of a model's answers by each of ``evaluation.held_out_answers``."""
    settings = study.evaluation
    prompts, responses = held_out["prompt"].to_pylist(), held_out["response"].to_pylist()
    answers = greedy_answers(model, tokenizer, study, prompts, settings.held_out_max_new_tokens)
    texts = [answer.text for answer in answers]
    values: dict[str, np.ndarray] = {
        name: np.array([MEASURES[name](*pair) for pair in zip(texts, responses, strict=True)])
        for name in settings.held_out_answers
    }
    rows = [_mean(name, column) for name, column in values.items()]
    return rows, held_out_items(held_out["prompt_id"].to_pylist(), values, answers)


def _mean(metric: str, values: np.ndarray) -> dict[str, Any]:
    count = len(values)
    error = values.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return {
        "task": TASK,
        "metric": metric,
        "value": float(values.mean()),
        "stderr": float(error),
        "n": count,
    }
