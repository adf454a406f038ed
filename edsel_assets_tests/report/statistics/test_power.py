"""What a design can see, held against simulated tables, and by hand."""

import math

import pandas as pd
import pytest

from edsel_assets.report.statistics.power import Spread, seeds_for, smallest_saving, spread_at
from edsel_assets_tests.report.statistics.test_promises import Setting, line, simulate


def test_a_saving_that_is_just_seen_is_seen_in_four_of_five_rows():
    """Through the report's own functions: trials of spread 0.02 on a curve that gains 0.06 by doubling."""
    share = smallest_saving(Spread(0.02, 0.0, 0.06), 3, 6)
    setting = Setting(line, worth=(1 / (1 - share),) * 3)
    assert 0.7 <= simulate(setting, 60).clear <= 0.9


def test_with_many_seeds_it_is_the_normal_formula():
    found = smallest_saving(Spread(0.02, 0.01, 0.06), 150, 150)
    se = math.hypot(0.02 * math.sqrt(2 / 150), 0.01)
    assert found == pytest.approx(1 - 2 ** (-(1.96 + 0.8416) * se / 0.06), rel=0.02)


def test_more_seeds_see_less_until_the_items_alone_are_left():
    spread = Spread(0.02, 0.02, 0.06)
    seen = [smallest_saving(spread, n, n) for n in (2, 3, 6, 12, 100)]
    assert seen == sorted(seen, reverse=True)
    seeds = seeds_for(spread, seen[2], 1.0)
    assert seeds == 6
    assert seeds_for(spread, 0.1, 1.0) is None, "the items alone hide a tenth"
    assert math.isnan(smallest_saving(spread, 1, 1))
    assert smallest_saving(Spread(0.0, 0.0, 1.0), 3, 3) == 0.0


def table():
    rows = [
        ("random", 100, 0.50, 0.01, 4, None),
        ("random", 400, 0.62, 0.01, 4, None),
        ("s", 100, 0.55, 0.02, 4, 0.03),
        ("base", 0, 0.1, None, 1, None),
    ]
    names = ("strategy", "budget", "mean", "se", "n", "difference_se")
    return pd.DataFrame(rows, columns=names).astype({"se": float, "difference_se": float})


def test_the_spread_of_a_report_by_hand():
    found = spread_at(table(), "random", 100)
    variance = (0.01**2 * 4 + 0.02**2 * 4) / 2
    assert found.seeds == pytest.approx(variance**0.5)
    assert found.items == pytest.approx((0.03**2 - variance * (1 / 4 + 1 / 4)) ** 0.5)
    assert found.doubling == pytest.approx(0.06)
    assert spread_at(table(), "random", 400).doubling == pytest.approx(0.06), "of the gap before"
    assert spread_at(table(), "random", 50) is None
    falling = table().assign(mean=[0.6, 0.5, 0.5, 0.1])
    assert spread_at(falling, "random", 100) is None
