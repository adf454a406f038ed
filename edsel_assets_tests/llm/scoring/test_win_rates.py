from __future__ import annotations

import math

import numpy as np
import pytest

from edsel_assets.llm.scoring.win_rates import win_rate


def test_by_hand() -> None:
    # Likelihoods 3/4 against 1/4 and 1/10 against 1/10: wins 0.75 and 0.5, mean 0.625.
    trial, reference = np.log([0.75, 0.1]), np.log([0.25, 0.1])
    result = win_rate(trial, reference)
    assert result.value == pytest.approx(0.625)
    # Sample standard deviation of (0.75, 0.5) is 0.25 / sqrt(2); over sqrt(2) that is 0.125.
    assert result.stderr == pytest.approx(0.125)
    assert result.n == 2


def test_per_token_by_hand() -> None:
    # Twice as likely in 2 tokens is sqrt(2) per token: sqrt(2) / (1 + sqrt(2)).
    result = win_rate(np.log([0.5]), np.log([0.25]), tokens=np.array([2]))
    assert result.value == pytest.approx(math.sqrt(2) / (1 + math.sqrt(2)))
    assert math.isnan(result.stderr)


def test_swapped_sides_add_up_to_one_and_nothing_overflows() -> None:
    rng = np.random.default_rng(0)
    one, other = -rng.exponential(5000, 200), -rng.exponential(5000, 200)
    with np.errstate(all="raise", under="ignore"):
        forth, back = win_rate(one, other), win_rate(other, one)
    assert forth.value + back.value == pytest.approx(1.0, abs=1e-12)
    assert forth.stderr == pytest.approx(back.stderr)
    assert win_rate(one, one).value == 0.5


@pytest.mark.parametrize(
    ("trial", "reference", "tokens", "message"),
    [
        ([], [], None, "shape"),
        ([-1.0], [-1.0, -2.0], None, "same items; got 1 and 2"),
        ([0.5], [-1.0], None, "at most 0"),
        ([-1.0], [float("nan")], None, "reference must hold finite"),
        ([-1.0], [-1.0], [0], "at least 1"),
    ],
)
def test_bad_input_is_refused(
    trial: list[float], reference: list[float], tokens: list[int] | None, message: str
) -> None:
    counts = None if tokens is None else np.array(tokens)
    with pytest.raises(ValueError, match=message):
        win_rate(np.array(trial), np.array(reference), tokens=counts)
