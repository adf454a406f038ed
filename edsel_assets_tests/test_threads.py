"""Threads that have one core each: what they are left by."""

import time
from concurrent.futures import Future

import pytest
import torch

from edsel_assets.threads import one_core_each


def long_work(steps: list[int]) -> None:
    for step in range(10_000):
        steps.append(step)
        torch.ones(8).sum()
        time.sleep(0.01)


def interrupted(steps: list[int], running: list[Future[None]]) -> None:
    with one_core_each(2) as pool:
        running += [pool.submit(long_work, steps) for _ in range(5)]
        while not steps:
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_what_is_left_by_an_exception_ends_between_two_operations() -> None:
    running: list[Future[None]] = []
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted([], running)
    assert time.monotonic() - begun < 60, "not the 100 s that the work would take"
    assert all(each.done() for each in running)
    assert [each.cancelled() for each in running].count(True) == 3, "those that had not begun"
    assert {type(each.exception()).__name__ for each in running if not each.cancelled()} == {"Abandoned"}


def test_results_and_failures_come_as_they_are() -> None:
    with one_core_each(2) as pool:
        assert pool.submit(lambda *, a: a + torch.get_num_threads(), a=1).result() == 2
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 // 0).result()
