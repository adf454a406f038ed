from __future__ import annotations

import pytest

from edsel_assets.llm.training.schedules import rate_factor, warmup_steps


def test_warm_up_as_a_share_is_rounded_up_and_shorter_than_the_run() -> None:
    assert warmup_steps(0.03, 100) == 3
    assert warmup_steps(0.03, 101) == 4
    assert warmup_steps(0.03, 1) == 0
    assert warmup_steps(0.0, 10) == 0


def test_warm_up_longer_than_the_run_is_refused() -> None:
    # Yu et al. 2024: 3 epochs of 157 steps, 10,000 prompts by 64, are 471; their text says 1,000 of warm-up.
    with pytest.raises(ValueError, match=r"shorter than the run; got 1000 steps of 471 .*0\.03"):
        warmup_steps(1000, 471)
    with pytest.raises(ValueError, match="shorter than the run"):
        warmup_steps(10, 10)
    assert warmup_steps(9, 10) == 9
    assert warmup_steps(0, 1) == 0


def test_linear_by_hand() -> None:
    # 2 of 6 steps warm up at 1/3 and 2/3 of the rate; then 4 steps fall from 1 in quarters.
    factors = [rate_factor("linear", step, 6, 2) for step in range(6)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 0.75, 0.5, 0.25])


def test_cosine_and_constant_by_hand() -> None:
    assert [rate_factor("constant", step, 3, 1) for step in range(3)] == [0.5, 1.0, 1.0]
    # Half a cosine over 4 steps: 1, (1 + cos 45 deg) / 2, 1/2, (1 - cos 45 deg) / 2.
    factors = [rate_factor("cosine", step, 4, 0) for step in range(4)]
    assert factors == pytest.approx([1, 0.8535533905932737, 0.5, 0.1464466094067263])
