"""What the answers of trials cost, by hand."""

import pyarrow as pa
import pytest

from edsel_assets.stages.training_sets import CHARACTERS, MONEY, cost_unit, trial_costs
from edsel_assets_tests.defs.conftest import tiny_study

TRIALS = ["00002|random.s0", "00002|random.s1", "00002|random.s2", "00002|fl_rbf.s1", "00004|fl_rbf.s0"]


class Table:
    """A table that notes which columns were read."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.seen = table, set()

    def read(self, columns):
        self.seen |= set(columns)
        return self.table.select(columns)


def training_set(*rows):
    names = ("replicate", "rank", "prompt_id", "prompt", "response")
    return Table(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))


@pytest.fixture
def sets():
    return {
        "00002|random": training_set(
            (0, 0, "a", "x" * 10, "y" * 100), (0, 1, "b", "x" * 20, "y" * 200),
            (1, 0, "a", "x" * 10, "y" * 100), (1, 1, "c", "x" * 30, "y" * 500),
        ),
        "00002|fl_rbf": training_set(
            (0, 0, "c", "x" * 30, "y" * 500), (0, 0, "c", "x" * 30, "y" * 500),  # drawn twice, bought once
            (0, 1, "b", "x" * 20, "y" * 200),
        ),
    }  # fmt: skip


@pytest.fixture
def pool():
    return Table(pa.table({"prompt_id": ["a", "b", "c"], "price": [1.0, None, 3.0]}))


def costs(study, sets, pool):
    found = trial_costs(study, TRIALS, sets, pool)
    return {(r.strategy, r.budget, r.seed): r.cost for r in found.itertuples()}


def test_one_price_for_all_counts_the_characters_of_answers(sets, pool):
    study = tiny_study()
    assert cost_unit(study) == CHARACTERS
    assert costs(study, sets, pool) == {
        ("random", 2, 0): 300.0, ("random", 2, 1): 600.0, ("random", 2, 2): 300.0, ("fl_rbf", 2, 1): 700.0,
    }  # fmt: skip
    assert not pool.seen
    assert "prompt" not in sets["00002|random"].seen


def test_prices_by_length_and_by_the_pools_column(sets, pool):
    by_length = tiny_study(
        annotation={"price_by": "length", "per_thousand_prompt": 1.0, "per_thousand_response": 10.0}
    )
    assert cost_unit(by_length) == MONEY
    assert costs(by_length, sets, pool)["random", 2, 1] == pytest.approx(0.04 + 6.0)
    assert not pool.seen
    by_column = tiny_study(annotation={"price_by": "column"})
    found = costs(by_column, sets, pool)
    assert (found["random", 2, 0], found["random", 2, 1], found["fl_rbf", 2, 1]) == (1.0, 4.0, 3.0)
