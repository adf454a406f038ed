"""Batches by token budget over prompts sorted by length, and what happens when memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class TokenBudget:
    """How many tokens, padding included, one batch may hold. It only ever shrinks."""

    def __init__(self, tokens: int):
        if isinstance(tokens, bool) or not isinstance(tokens, (int, np.integer)) or tokens < 1:
            raise ValueError(f"batch_tokens must be a whole number of at least 1; got {tokens!r}.")
        self.tokens = int(tokens)
        self.halvings = 0

    def halve(self) -> None:
        self.tokens = max(1, self.tokens // 2)
        self.halvings += 1


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """(n,) order of decreasing length, so that the batch that needs the most memory comes first."""
    return np.argsort(-lengths, kind="stable")


def batch_end(lengths: np.ndarray, start: int, tokens: int) -> int:
    """Where the batch from ``start`` on ends: ``lengths`` never increase, rows are padded to the first."""
    return start + max(1, min(len(lengths) - start, tokens // max(1, int(lengths[start]))))


def in_batches(
    lengths: np.ndarray, budget: TokenBudget, multiple: int, process: Callable[[np.ndarray], Result]
) -> Iterator[tuple[np.ndarray, Result]]:
    """Call ``process`` with the row numbers of one batch after the other; yield rows and result.

    A batch holds up to ``multiple`` times the budget. Where ``process`` runs out of memory the
    budget is halved, for good, and the batch is cut anew; a single row that does not fit raises.
    """
    order = longest_first(lengths)
    ordered = lengths[order]
    start = 0
    while start < len(order):
        stop = batch_end(ordered, start, multiple * budget.tokens)
        rows = order[start:stop]
        done, result = _attempt(process, rows)
        if done:
            yield rows, result  # type: ignore[misc]
            start = stop
            continue
        # Outside the handler, so that the failed frames and their tensors are gone.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(rows) == 1 and budget.tokens <= ordered[start]:
            raise MemoryError(
                f"one prompt of {ordered[start]} tokens does not fit into memory. "
                "Lower max_prompt_tokens or max_new_tokens, or use a device with more memory."
            )
        budget.halve()
        logger.warning(
            "out of memory on %d rows; going on with batches of %d tokens", len(rows), budget.tokens
        )


def _attempt(process: Callable[[np.ndarray], Result], rows: np.ndarray) -> tuple[bool, Result | None]:
    try:
        return True, process(rows)
    except (torch.OutOfMemoryError, MemoryError):
        return False, None
    except RuntimeError as error:
        # The CPU allocator has no exception class of its own.
        if "can't allocate memory" in str(error) or "not enough memory" in str(error):
            return False, None
        raise
