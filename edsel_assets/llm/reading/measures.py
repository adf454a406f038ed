"""How unsure a model is about a prompt, from the statistics of its greedy decoding.

Notation: a prompt's decoding has T steps (the end-of-sequence token is one of them); p is
the softmax over the vocabulary at a step, beta1 >= beta2 its two largest entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

Measure = Literal["mean_entropy", "least_confidence", "mean_margin", "min_margin", "mean_probability"]


def uncertainty(
    records: Sequence[Any] | Mapping[str, Sequence[Any]] | Any,
    measure: Measure,
    *,
    entropy_sign: Literal["entropy", "paper_literal"] = "entropy",
    length_normalised: bool = False,
) -> np.ndarray:
    """One score per prompt; higher is more uncertain (Bhatt et al. 2024, Section 3.1).

    - ``mean_entropy``: mean over steps of -sum p log p, in nats. ``entropy_sign="paper_literal"``
      drops the minus sign as the paper's formula does, which ranks the most certain prompts first.
    - ``least_confidence``: -sum over steps of log p(chosen token), in nats: the order of
      -prod p(chosen token) without its underflow. ``length_normalised`` takes the mean instead,
      so that long answers do not count as unsure for their length alone.
    - ``mean_margin``: -mean over steps of (beta1 - beta2).
    - ``min_margin``: -min over steps of (beta1 - beta2).
    - ``mean_probability``: -mean over steps of p(chosen token), in [-1, 0].

    Args:
        records: N prompts in pool order, either objects with the attributes of
            :class:`~edsel_assets.llm.PromptRecord`, or their columns (a mapping, a data frame or
            an Arrow table whose ``logprob``, ``top1``, ``top2``, ``entropy`` hold T values per prompt).
        measure: which of the five.
        entropy_sign: changes ``mean_entropy`` alone; the other measures are the same under both.
        length_normalised: changes ``least_confidence`` alone.

    Returns:
        (N,) float64.

    Raises:
        ValueError: an unknown measure or sign, a prompt without a decoding step, or a statistic that is
            not finite.

    Time and memory O(sum of T).
    """
    if measure not in _MEASURES:
        raise ValueError(f"measure must be one of {sorted(_MEASURES)}; got {measure!r}.")
    if entropy_sign not in ("entropy", "paper_literal"):
        raise ValueError(f"entropy_sign must be 'entropy' or 'paper_literal'; got {entropy_sign!r}.")
    if measure == "mean_entropy":
        sign = 1.0 if entropy_sign == "entropy" else -1.0
        return sign * _mean(*_steps(records, "entropy"))
    if measure == "least_confidence":
        reduce = _mean if length_normalised else _sum
        return -reduce(*_steps(records, "logprob"))
    if measure == "mean_probability":
        logprobs, starts = _steps(records, "logprob")
        return -_mean(np.exp(logprobs), starts)
    return -_MEASURES[measure](*_margins(records))


def _margins(records: Any) -> tuple[np.ndarray, np.ndarray]:
    top1, starts = _steps(records, "top1")
    top2, starts2 = _steps(records, "top2")
    if not np.array_equal(starts, starts2) or top1.shape != top2.shape:
        raise ValueError("top1 and top2 must hold the same number of steps for every prompt.")
    return top1 - top2, starts


def _steps(records: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """All prompts' values of one statistic end to end (float64), and where each prompt starts."""
    if isinstance(records, Mapping) or hasattr(records, "columns"):
        column = records[name]
        rows = column.to_numpy() if hasattr(column, "combine_chunks") else list(column)
    else:
        rows = [getattr(record, name) for record in records]
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    if not len(rows):
        return np.empty(0), counts
    if (counts == 0).any():
        empty = np.flatnonzero(counts == 0)
        raise ValueError(
            f"every prompt needs at least one decoding step; {empty.size} have none, rows "
            f"{empty[:5].tolist()} among them. Run forward_pool with max_new_tokens of 1 or more."
        )
    values = np.concatenate([np.asarray(row, dtype=np.float64) for row in rows])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(np.searchsorted(starts, bad[0], side="right") - 1)
        raise ValueError(
            f"{name} must be finite; {bad.size} steps are not, the first in row {row}. "
            "The model gave NaN or infinite logits there; try dtype float32."
        )
    return values, starts


def _sum(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, starts) if len(starts) else np.empty(0)


def _mean(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return _sum(values, starts) / np.diff(np.append(starts, len(values)))


def _least(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.minimum.reduceat(values, starts) if len(starts) else np.empty(0)


_MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean_entropy": _mean,
    "least_confidence": _sum,
    "mean_margin": _mean,
    "min_margin": _least,
    "mean_probability": _mean,
}
