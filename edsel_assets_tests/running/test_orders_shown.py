"""Orders as partitions: definitions that were loaded before an order know it, and the UI is told of it."""

from pathlib import Path

import pyarrow as pa
import pytest

from edsel_assets.annotation import place_order
from edsel_assets.planning.cells import Cell, Scope, cells_in
from edsel_assets.planning.lineage import lineage_of
from edsel_assets.running.dagster_internals import orders_of
from edsel_assets.running.instance import open_instance, show_orders
from edsel_assets.store import Home, Store
from edsel_assets_tests.defs.conftest import tiny_study


def place(store: Store, number: int) -> str:
    picks = pa.table({"prompt_id": [f"{number:032x}"], "prompt": [f"Say {number}."]})
    return place_order(store, picks, study="tiny", strategy="random", budget=1).name


def test_definitions_loaded_before_an_order_have_its_cells(tmp_path: Path) -> None:
    study = tiny_study()
    before = lineage_of(study, Home.at(tmp_path))
    assert before.nodes["spend_curve"].cells() == []
    assert before.nodes["purchased_scores"].cells() == []
    with pytest.raises(ValueError, match="no order was placed"):
        cells_in(before, Scope(assets=frozenset({"spend_curve"})))
    names = [place(Home.at(tmp_path).store("tiny"), number) for number in (1, 2)]
    after = lineage_of(study, Home.at(tmp_path))
    cells = [Cell("purchased_scores", name) for name in names]
    assert after.nodes["purchased_scores"].cells() == cells
    assert set(cells) < set(after.parents(Cell("spend_curve")))
    assert Cell("purchased_adapter", names[1]) in after.parents(cells[1])
    assert Cell("purchased_adapter", names[0]) not in after.parents(cells[1])


def test_the_instance_shows_the_orders_of_the_store_and_no_others(tmp_path: Path) -> None:
    store = Home.at(tmp_path).store("tiny")
    with open_instance(Home.at(tmp_path), "tiny") as instance:
        assert instance.get_dynamic_partitions(orders_of(store.name)) == []
        first = place(store, 1)
        show_orders(instance, store)
        assert instance.get_dynamic_partitions(orders_of(store.name)) == [first]
    second = place(store, 2)  # by a process that was killed before it could tell
    with open_instance(Home.at(tmp_path), "tiny") as instance:
        assert instance.get_dynamic_partitions(orders_of(store.name)) == [first, second]
        (store.folder / "orders" / f"{second}.json").unlink()  # an older backup was put back
        show_orders(instance, store)
        assert instance.get_dynamic_partitions(orders_of(store.name)) == [first]


def test_orders_are_in_the_order_of_placing_beyond_four_digits(tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    for name in ("order-10000", "order-9999", "order-0002"):
        (folder / f"{name}.json").touch()
    assert Store(tmp_path).order_names() == ("order-0002", "order-9999", "order-10000")
