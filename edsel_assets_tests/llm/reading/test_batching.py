from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from edsel_assets.llm.reading.batching import TokenBudget, in_batches

LENGTHS = np.random.default_rng(0).integers(1, 90, 200)


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("tokens", [1, 300, 100_000])
def test_every_row_is_in_one_batch_within_the_budget(workers, tokens) -> None:
    seen, threads = [], set()

    def process(rows: np.ndarray, share: int) -> int:
        threads.add(threading.get_ident())
        assert share == max(1, tokens // workers)
        assert len(rows) == 1 or LENGTHS[rows].max() * len(rows) <= 3 * share
        assert workers == 1 or torch.get_num_threads() == 1
        return int(LENGTHS[rows].sum())

    before = torch.get_num_threads()
    for rows, total in in_batches(LENGTHS, TokenBudget(tokens), 3, workers, process):
        assert total == LENGTHS[rows].sum()
        seen.extend(rows.tolist())
    assert sorted(seen) == list(range(200))
    assert (np.diff(LENGTHS[seen]) <= 0).all()  # longest first, in order
    assert torch.get_num_threads() == before
    assert (threading.get_ident() in threads) == (workers == 1)


def test_few_rows_stay_in_the_callers_thread_with_all_cores() -> None:
    idents = [
        ident for _, ident in in_batches(LENGTHS[:3], TokenBudget(9), 1, 4, lambda *_: threading.get_ident())
    ]
    assert set(idents) == {threading.get_ident()}


def test_without_memory_side_by_side_the_rest_goes_one_by_one() -> None:
    failed, alone = [], set()

    def process(rows: np.ndarray, tokens: int) -> int:
        if threading.current_thread() is not threading.main_thread():
            if 120 in rows or failed:
                failed.append(rows)
                raise MemoryError
        else:
            alone.update(rows.tolist())
        return len(rows)

    budget = TokenBudget(400)
    found = [rows for rows, _ in in_batches(LENGTHS, budget, 1, 2, process)]
    assert sorted(np.concatenate(found).tolist()) == list(range(200))
    assert failed
    assert 120 in alone
    assert len(alone) < 200
    assert budget.halvings == 0  # alone it had twice the share, and that was enough


def test_other_errors_pass() -> None:
    def process(rows: np.ndarray, tokens: int) -> int:
        raise RuntimeError("something else")

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="something else"):
        list(in_batches(LENGTHS, TokenBudget(100), 1, 2, process))
    assert torch.get_num_threads() == before
