"""Batches by token budget over prompts sorted by length, and what happens when memory runs out."""

from __future__ import annotations

import gc
import logging
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from edsel_assets.machine import out_of_memory
from edsel_assets.threads import one_core_each

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


def batch_end(lengths: np.ndarray, start: int, tokens: int, longest: int = sys.maxsize) -> int:
    """Where the batch from ``start`` on ends: ``lengths`` never increase, rows are padded to the first.

    A row above ``longest`` stands alone.
    """
    if lengths[start] > longest:
        return start + 1
    return start + max(1, min(len(lengths) - start, tokens // max(1, int(lengths[start]))))


def in_batches(
    lengths: np.ndarray,
    budget: TokenBudget,
    multiple: int,
    workers: int,
    process: Callable[[np.ndarray, int], Result],
    longest: int = sys.maxsize,
) -> Iterator[tuple[np.ndarray, Result]]:
    """Call ``process(rows, tokens)`` with the row numbers of each batch; yield rows and result.

    ``workers`` threads share the budget: each has ``tokens`` of it, a batch holds up to ``multiple`` times
    as many, and products within a thread run on one core. Where ``process`` runs out of memory the budget is
    halved for all later batches, and the remaining rows are cut into batches again; a single row that does
    not fit raises ``MemoryError``. A row above ``longest`` has a batch of its own.
    """
    order = longest_first(lengths)
    if workers == 1 or len(order) < workers:
        yield from _one_by_one(lengths, order, budget, multiple, process, longest)
        return
    with one_core_each(workers) as pool:
        order = yield from _side_by_side(lengths, order, budget, multiple, workers, process, pool, longest)
    yield from _one_by_one(lengths, order, budget, multiple, process, longest)


def _side_by_side(
    lengths: np.ndarray,
    order: np.ndarray,
    budget: TokenBudget,
    multiple: int,
    workers: int,
    process: Callable[[np.ndarray, int], Result],
    pool: ThreadPoolExecutor,
    longest: int,
) -> Generator[tuple[np.ndarray, Result], None, np.ndarray]:
    """Batches in as many threads; returns the rows from the first batch on that found no memory."""
    tokens = max(1, budget.tokens // workers)
    ordered = lengths[order]
    cuts = _even_cuts(ordered, workers * -(-int(ordered.sum()) // (multiple * tokens * workers)))
    running: deque[tuple[int, np.ndarray, Future[tuple[bool, Result | None]]]] = deque()
    start = 0
    while running or start < len(order):
        # Two batches per thread at a time, so that no thread waits while an earlier batch is running.
        while start < len(order) and len(running) < 2 * workers:
            end = batch_end(ordered, start, multiple * tokens, longest)
            stop = min(end, int(cuts[cuts > start][0]))
            running.append(
                (start, order[start:stop], pool.submit(_attempt, process, order[start:stop], tokens))
            )
            start = stop
        first, rows, attempt = running.popleft()
        done, result = attempt.result()
        if not done:
            for _, _, other in running:
                other.cancel()
            return order[first:]
        yield rows, result  # type: ignore[misc]
    return order[:0]


def _even_cuts(lengths: np.ndarray, parts: int) -> np.ndarray:
    """Increasing ends of ``parts`` ranges with about as many tokens each, so that threads end together."""
    so_far = np.cumsum(lengths)
    ends = np.searchsorted(so_far, so_far[-1] * np.arange(1, parts + 1) / parts) + 1
    return np.minimum(ends, len(lengths))


def _one_by_one(
    lengths: np.ndarray,
    order: np.ndarray,
    budget: TokenBudget,
    multiple: int,
    process: Callable[[np.ndarray, int], Result],
    longest: int,
) -> Iterator[tuple[np.ndarray, Result]]:
    ordered = lengths[order]
    start = 0
    while start < len(order):
        stop = batch_end(ordered, start, multiple * budget.tokens, longest)
        rows = order[start:stop]
        done, result = _attempt(process, rows, budget.tokens)
        if done:
            yield rows, result  # type: ignore[misc]
            start = stop
            continue
        # Here the exception is no longer held, and so neither are the failed call's tensors.
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


def _attempt(
    process: Callable[[np.ndarray, int], Result], rows: np.ndarray, tokens: int
) -> tuple[bool, Result | None]:
    try:
        return True, process(rows, tokens)
    except Exception as error:
        if out_of_memory(error):
            return False, None
        raise
