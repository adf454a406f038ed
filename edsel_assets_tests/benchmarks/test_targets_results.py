"""The figures of the evidence on targets, computed again from the kept losses by lines of their own."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import benchmarks.evidence.targets

FOLDER = Path(benchmarks.evidence.targets.__file__).parent
README = Path(__file__).parents[2] / "README.md"
TARGETS = ("cosmos", "dream", "sciq", "social", "sentiment", "questions")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.read_csv(FOLDER / "results.csv").set_index(["target", "strategy", "budget"])


@pytest.fixture(scope="module")
def losses() -> pd.DataFrame:
    parts = [pq.read_table(FOLDER / f"{name}.parquet").to_pandas() for name in ("losses", "items")]
    return parts[0].merge(parts[1], on="item", validate="many_to_one")


def by_seed(losses: pd.DataFrame, target: str, strategy: str, budget: int, column: str) -> pd.Series:
    """Loss per token by seed, of the trials that a row of the table is of."""
    of = "all" if strategy in ("random", "fl_rbf_unaimed", "task_diversity", "base") else target
    if strategy == "other_target":
        of = "sentiment" if target != "sentiment" else "social"
    name = {"base": "random", "other_target": "fl_rbf"}.get(strategy, strategy)
    mine = losses[(losses["target"] == of) & (losses["strategy"] == name) & (losses["budget"] == budget)]
    sums = mine[mine[column]].groupby("seed")[["nll", "tokens"]].sum()
    return sums["nll"] / sums["tokens"]


def test_every_loss_and_difference_is_that_of_the_kept_losses(rows, losses) -> None:
    assert set(rows.index.get_level_values("target")) == set(TARGETS)
    for (target, strategy, budget), row in rows.iterrows():
        for column, name in ((target, "loss"), (f"{target}_rest", "rest_loss")):
            found = by_seed(losses, target, strategy, budget, column)
            assert len(found) == row["n"]
            assert row[name] == pytest.approx(found.mean(), abs=2e-5 * abs(row[name]))
            if strategy in ("random", "base"):
                continue
            gap = name.replace("loss", "difference")
            control = by_seed(losses, target, "random", budget, column).mean()
            assert row[gap] == pytest.approx(found.mean() - control, abs=1e-4)
            assert row[f"{gap}_low"] < row[gap] < row[f"{gap}_high"]


def test_what_random_needs_lies_between_the_budgets_whose_losses_enclose_it(rows) -> None:
    checked = 0
    for (target, strategy, _), row in rows[rows["status"] == "reached"].iterrows():
        curve = rows.xs((target, "random"), level=("target", "strategy"))["loss"]
        falling = np.minimum.accumulate(curve.sort_index().to_numpy())
        budgets = curve.sort_index().index.to_numpy()
        above = budgets[falling >= row["loss"] - 0.02]
        below = budgets[falling <= row["loss"] + 0.02]
        assert above.max() <= row["needed"] * 2, (target, strategy)
        assert below.min() >= row["needed"] / 2, (target, strategy)
        assert row["saved_low"] <= row["saved"] <= row["saved_high"]
        checked += 1
    assert checked > 20


def test_the_claims_are_corrected_together(rows) -> None:
    claims = rows.xs("fl_rbf", level="strategy")
    assert len(claims) == 12
    p, adjusted = np.sort(claims["p"]), np.sort(claims["p_claims"])
    holm = np.minimum(1, np.maximum.accumulate(p * np.arange(12, 0, -1)))
    np.testing.assert_allclose(adjusted, holm, rtol=1e-4)
    saves = (claims["p_claims"] <= 0.05) & (claims["difference"] < 0) & (claims["saved_low"] > 0)
    assert (saves == claims["saves"]).all()
    page = (FOLDER / "results.md").read_text(encoding="utf-8")
    assert f"{saves.sum()} of 12 claims" in page


def test_the_rows_of_the_readme_are_those_of_the_results() -> None:
    page = (FOLDER / "results.md").read_text(encoding="utf-8")
    claims = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.partition("## The claim")[2].partition("![")[0].splitlines()
        if line.startswith("| `")
    ]
    found = {(row[0], row[2]): row for row in claims}
    text = README.read_text(encoding="utf-8")
    told = re.findall(
        r"^\| (`\w+`) \| ([\d.]+%) \| (50|200) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$",
        text,
        re.MULTILINE,
    )
    assert len(told) == 12
    for target, share, budget, worth, saves, rest, rest_random, price in told:
        row = found[target, budget]
        assert [share, worth, saves, rest, rest_random, price] == [row[1], row[3], *row[7:10], row[11]]
