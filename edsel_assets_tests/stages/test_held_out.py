"""A share of the answered prompts holds out what the count that it amounts to does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.stages.held_out import held_out_count, held_out_rows


def pool(answered: int, unanswered: int = 0) -> pa.Table:
    """A third of the answered prompts are of task b."""
    count = answered + unanswered
    responses = ["x"] * answered + [None] * unanswered
    tasks = np.where(np.arange(count) % 3 == 2, "b", "a")
    return pa.table({"prompt_id": [f"{i:032x}" for i in range(count)], "task": tasks, "response": responses})


@pytest.mark.parametrize(("answered", "share", "count"), [(90, 0.1, 9), (150, 0.1, 15), (7, 0.3, 2)])
def test_a_share_holds_out_the_same_prompts_as_its_count(answered: int, share: float, count: int) -> None:
    for unanswered in (0, 40):
        table = pool(answered, unanswered)
        marked = held_out_rows(table, share, seed=0)
        assert marked.sum() == count
        assert marked.tolist() == held_out_rows(table, count, seed=0).tolist()
        assert not marked[answered:].any()


def test_a_share_is_at_least_one_prompt_and_never_all() -> None:
    assert held_out_count(0.01, 10) == 1
    assert (held_out_count(0, 10), held_out_count(12, 10)) == (0, 12)
    assert held_out_rows(pool(4), 0.01, seed=0).sum() == 1
    with pytest.raises(ValueError, match="asks for 10 of 10 answered prompts"):
        held_out_rows(pool(10), 0.99, seed=0)
    assert not held_out_rows(pool(0, 5), 0.5, seed=0).any()
