import json
import multiprocessing
import os
import random
import re
import signal
import time

import pyarrow as pa
import pytest

from edsel_assets.annotation import (
    ORDER_SCHEMA,
    SHOWN_SCHEMA,
    AnnotationError,
    Ledger,
    asked_prompts,
    list_orders,
    order_table,
    place_order,
    read_order,
)
from edsel_assets.desk import record_orders
from edsel_assets.store import Store, has_checksum, lines_file
from edsel_assets_tests.annotation.conftest import picks
from edsel_assets_tests.store.damage import DAMAGES, spoil


def place(store: Store, count: int = 3, start: int = 0, **settings):
    return place_order(store, picks(count, start), study="s", strategy="k_center", budget=count, **settings)


def test_an_order_is_read_back_as_it_was_placed(store):
    given = picks(3)
    manifest = {"selection": {"hash": "ab", "gamma": 0.5}, "versions": [1, 2]}
    ids = given["prompt_id"].to_pylist()
    order = place(store, manifest=manifest, validation=ids[2:])
    assert order == read_order(store, "order-0001") == list_orders(store)[0]
    assert (order.study, order.strategy, order.budget) == ("s", "k_center", 3)
    assert (order.manifest, order.validation) == (manifest, (ids[2],))
    table = order_table(store, "order-0001")
    assert table.schema == SHOWN_SCHEMA
    assert table.drop_columns(["spend"]).schema == ORDER_SCHEMA
    assert table["rank"].to_pylist() == [0, 1, 2]
    assert table["spend"].to_pylist() == [0.5, 1.0, 1.5]
    assert table.drop_columns(["order", "rank", "spend"]).to_pylist() == given.to_pylist()
    assert sorted(p.name for p in (store.folder / "orders").iterdir()) == [
        ".lock",
        "order-0001.json",
        "order-0001.parquet",
    ]


def test_optional_columns_may_be_absent(store):
    place_order(store, picks(2).select(["prompt_id", "prompt"]), study="s", strategy="x", budget=2)
    assert order_table(store, "order-0001")["price"].to_pylist() == [None, None]


def test_names_count_up_and_sort_by_time_beyond_four_digits(store):
    assert [place(store, start=3 * i).name for i in range(3)] == [f"order-000{i}" for i in (1, 2, 3)]
    first = json.loads((store.folder / "orders" / "order-0001.json").read_text())
    del first["check"]
    for suffix in (".json", ".parquet"):
        (store.folder / "orders" / f"order-0001{suffix}").rename(
            store.folder / "orders" / f"order-9999{suffix}"
        )
    (store.folder / "orders" / "order-9999.json").write_text(json.dumps({**first, "name": "order-9999"}))
    assert place(store, start=100).name == "order-10000"
    assert [o.name for o in list_orders(store)][-2:] == ["order-9999", "order-10000"]


def test_the_same_request_is_placed_once(store):
    first = place(store, request="run 7")
    assert place(store, request="run 7") == first
    assert place(store, start=5, request="run 8").name == "order-0002"


def test_asked_prompts_are_those_of_every_order(store):
    assert asked_prompts(store) == {}
    place(store, 3)
    place(store, 2, start=3)
    first, second = picks(3)["prompt_id"].to_pylist(), picks(2, 3)["prompt_id"].to_pylist()
    assert asked_prompts(store) == {
        **dict.fromkeys(first, "order-0001"),
        **dict.fromkeys(second, "order-0002"),
    }


def test_what_cannot_be_ordered_is_refused_and_nothing_is_left(store):
    place(store, 3)
    twice = pa.concat_tables([picks(2, 5), picks(1, 5)])
    for settings, message in [
        ({"picks": picks(2, 2)}, r"was asked for in order-0001\. Select again"),
        ({"picks": twice}, "is in the picks twice"),
        ({"picks": picks(0)}, "at least one prompt"),
        ({"picks": picks(2, 9).drop_columns(["prompt"])}, "needs the column prompt; got prompt_id"),
        ({"picks": picks(2, 9), "validation": ["ff"]}, "Validation prompt ff is not among the picks"),
        ({"picks": picks(2, 9), "manifest": {"x": float("nan")}}, "finite JSON values"),
        ({"picks": picks(2, 9), "manifest": {"x": object()}}, "finite JSON values"),
    ]:
        with pytest.raises(AnnotationError, match=message) as caught:
            place_order(store, settings.pop("picks"), study="s", strategy="x", budget=1, **settings)
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in (store.folder / "orders").iterdir()) == [
        ".lock",
        "order-0001.json",
        "order-0001.parquet",
    ]


def test_a_changed_table_and_a_damaged_order_are_noticed(store):
    place(store, 3)
    with pytest.raises(AnnotationError, match=r"no order 'order-0009'\. Placed so far: order-0001"):
        read_order(store, "order-0009")
    with pytest.raises(AnnotationError, match="named like order-0001"):
        read_order(store, "../x")
    place(store, 3, start=3)
    folder = store.folder / "orders"
    (folder / "order-0001.parquet").write_bytes((folder / "order-0002.parquet").read_bytes())
    with pytest.raises(AnnotationError, match=r"order-0001\.parquet is not the table that was placed"):
        order_table(store, "order-0001")
    (folder / "order-0002.json").write_text('{"name": "order-0002"}')
    with pytest.raises(AnnotationError, match=r"order-0002\.json is damaged"):
        list_orders(store)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strategy", "fl_rbf"),
        ("budget", 999),
        ("unit", "money"),
        ("request", "another"),
        ("validation", []),
        ("created", "2026-01-01T00:00:00+00:00"),
        ("manifest", {"cell": "other"}),
        ("study", "t"),
        ("check", None),
    ],
)
def test_no_field_of_an_order_changes_unnoticed(store, field, value):
    ids = picks(3)["prompt_id"].to_pylist()
    order = place(store, 3, validation=ids[:1], request="one", manifest={"by": {10: 0.5, 9: "é"}})
    file = store.path(store.order(order.name))
    whole = json.loads(file.read_text())
    assert has_checksum(file.read_bytes())
    file.write_text(json.dumps({**whole, field: value}))
    with pytest.raises(AnnotationError, match=r"damaged \(its checksum differs\)"):
        read_order(store, order.name)
    del whole["check"]
    file.write_text(json.dumps(whole))
    assert read_order(store, order.name).validation == (ids[0],), "files of earlier versions have none"
    assert not has_checksum(file.read_bytes())


def test_purchases_that_are_gone_with_their_number_are_noticed_from_the_orders(store):
    order, ledger = place(store, 3), Ledger(store)
    assert ledger.state() == {}, "placed and not recorded, as by a process that was killed"
    record_orders(store)
    for file in (ledger.path, lines_file(ledger.path)):
        file.unlink()
    for read in (ledger.state, lambda: list_orders(store), lambda: record_orders(store)):
        with pytest.raises(
            AnnotationError, match=r"says nothing of order-0001.*Restore purchases.jsonl"
        ) as e:
            read()
        assert "\n" not in str(e.value)
    assert not ledger.path.exists()
    store.delete(store.recorded(order.name))
    record_orders(store)  # as the message says
    assert {p.status for p in ledger.state().values()} == {"asked"}


def test_a_table_without_an_order_is_not_placed_and_goes_with_the_next_placing(store):
    place(store, 3)
    (store.folder / "orders" / "order-0001.json").unlink()
    assert list_orders(store) == []
    assert asked_prompts(store) == {}
    assert place(store, 2).name == "order-0001"
    assert order_table(store, "order-0001").num_rows == 2


@pytest.mark.parametrize("name", ["order-0001.parquet", "order-0001.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_order_that_was_damaged_is_refused_and_nothing_is_placed(store, name, damage):
    place(store, 3)
    Ledger(store).ask(order_table(store, "order-0001"))
    file = store.folder / "orders" / name
    whole = spoil(file, damage)
    left = sorted(path.name for path in file.parent.iterdir())
    for attempt in (lambda: order_table(store, "order-0001"), lambda: place(store, 2, start=10)):
        with pytest.raises(AnnotationError, match=rf"{re.escape(name)} is .*[Rr]estore .* from a backup"):
            attempt()
    assert sorted(path.name for path in file.parent.iterdir()) == left
    file.write_bytes(whole)
    assert place(store, 2, start=10).name == "order-0002"


def _place_own(store: Store, start: int, barrier) -> None:
    barrier.wait()
    place(store, 5, start)


def _place_same(store: Store, barrier, refused) -> None:
    barrier.wait()
    try:
        place(store, 5)
    except AnnotationError:
        refused.put(1)


def test_orders_placed_at_once_do_not_meet(store):
    context = multiprocessing.get_context("fork")
    barrier, refused = context.Barrier(6), context.Queue()
    workers = [context.Process(target=_place_own, args=(store, 10 * i, barrier)) for i in range(1, 4)]
    workers += [context.Process(target=_place_same, args=(store, barrier, refused)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [order.name for order in list_orders(store)] == [f"order-000{i}" for i in (1, 2, 3, 4)]
    assert len(asked_prompts(store)) == 20
    assert [refused.get(timeout=5) for _ in range(2)] == [1, 1]


def _place_and_record(store: Store, given: pa.Table, connection) -> None:
    connection.send(0.0)
    start = time.monotonic()
    order = place_order(store, given, study="s", strategy="k", budget=len(given), request="run 2")
    Ledger(store).ask(order_table(store, order.name))
    connection.send(time.monotonic() - start)
    time.sleep(60)


def _killed_while_placing(store: Store, given: pa.Table, share: float | None, seconds: float) -> float:
    """kill -9 a placing after ``share`` of ``seconds``; None: when it is done. Returns its seconds."""
    place(store, 3, start=10**6, request="run 1")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_place_and_record, args=(store, given, sender))
    child.start()
    receiver.recv()
    took = receiver.recv() if share is None else time.sleep(share * seconds) or seconds
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    return took


def test_a_placing_killed_at_any_moment_is_placed_once_or_not_at_all(store):
    """kill -9 at ten random moments of placing and recording; then the same again."""
    given, draw, found = picks(4000), random.Random(0), []
    seconds = _killed_while_placing(Store(store.folder / "whole"), given, None, 0.0)
    for attempt in range(10):
        home = Store(store.folder / str(attempt))
        _killed_while_placing(home, given, (attempt + draw.random()) / 9, seconds)
        names = [order.name for order in list_orders(home)]
        assert names in (["order-0001"], ["order-0001", "order-0002"])
        for name in names:
            assert order_table(home, name).num_rows in (3, 4000)  # whole, by its content hash
        found.append((len(names) - 1, len(Ledger(home).state())))
        # The same again completes it: once.
        order = place_order(home, given, study="s", strategy="k", budget=4000, request="run 2")
        Ledger(home).ask(order_table(home, order.name))
        assert [order.name for order in list_orders(home)] == ["order-0001", "order-0002"]
        assert len(asked_prompts(home)) == 4003
        assert len(Ledger(home).state()) == len(Ledger(home).events()) == 4000
    assert len(set(found)) > 1, f"every kill came at the same moment: {found}"
