"""Which stored rankings a larger budget may go on from."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from edsel_assets.planning.cells import Cell
from edsel_assets.planning.extending import earlier_ranking
from edsel_assets.planning.ledger import read_ledger, stored_files, write_ledger
from edsel_assets.store import Home, Store, write_table
from edsel_assets.study import Study
from edsel_assets_tests.planning.fake_store import fill, freshness_of

CELL = Cell("rankings", "k_center")
TABLE = pa.table({"prompt_id": ["a", "b"]})


def study_of(**selection: Any) -> Study:
    chosen = {"strategies": ["k_center", "random"], "budgets": [2, 5], **selection}
    return Study.model_validate({"name": "w", "model": {"device": "cpu"}, "selection": chosen})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    fill(study_of(), tmp_path)
    root = Home.at(tmp_path).store("w")
    write_table(root.table(CELL), TABLE)
    note(root, files=stored_files(root.files(CELL)))
    return tmp_path


def note(root: Store, cell: Cell = CELL, **changes: Any) -> None:
    ledger = read_ledger(root, cell)
    assert ledger is not None
    write_ledger(root, ledger.model_copy(update=changes))


def earlier(home: Path, **selection: Any) -> Any:
    return earlier_ranking(freshness_of(study_of(**selection), home), CELL)


def test_it_goes_on_where_the_largest_budget_alone_grew(home) -> None:
    assert earlier(home, budgets=[2, 6]).equals(TABLE)
    assert earlier(home, budgets=[9]).equals(TABLE)


@pytest.mark.parametrize(
    "selection",
    [
        {},  # fresh
        {"budgets": [2, 4]},  # smaller
        {"budgets": [2, 6], "seed_point": "random"},
        {"budgets": [2, 6], "k_center_normalise": False},
    ],
)
def test_it_is_made_anew_where_anything_else_changed(home, selection) -> None:
    assert earlier(home, **selection) is None


@pytest.mark.parametrize("change", [{"code": "0"}, {"device": "a GPU"}, {"libraries": {"torch": "0"}}])
def test_it_is_made_anew_for_other_code_libraries_and_devices(home, change) -> None:
    note(Home.at(home).store("w"), **change)
    assert earlier(home, budgets=[2, 6]) is None


@pytest.mark.parametrize("parent", ["embeddings", "pool", "orders"])
def test_it_is_made_anew_for_other_inputs(home, parent) -> None:
    note(Home.at(home).store("w"), Cell(parent), content="0" * 32)
    assert earlier(home, budgets=[2, 6]) is None


def test_it_is_made_anew_where_the_stored_one_is_damaged_or_gone(home) -> None:
    file = Home.at(home).store("w").table(CELL)
    file.write_bytes(file.read_bytes()[:-1])
    assert earlier(home, budgets=[2, 6]) is None
    file.unlink()
    assert earlier(home, budgets=[2, 6]) is None
