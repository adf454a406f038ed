import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from edsel_assets.store import Home, MissingRows, RowStore, StoreError, atomic, embeddings_table
from edsel_assets_tests.store.damage import DAMAGES, spoil

FIELDS = {"model": "m", "revision": "r", "code_version": 1}


def rows(ids: list[str]) -> pa.Table:
    """An embedding that is a function of the id, a text and a list."""
    numbers = np.array([int(i, 16) for i in ids])
    matrix = np.stack([numbers, numbers + 0.5], axis=1).astype(np.float32)
    table = embeddings_table(ids, matrix)
    table = table.append_column("text", pa.array([f"t{i}" if i != "0" else None for i in ids]))
    return table.append_column("steps", pa.array([list(range(n % 3)) for n in numbers], pa.list_(pa.int64())))


def ids(start: int, stop: int) -> list[str]:
    return [f"{i:x}" for i in range(start, stop)]


def test_rows_come_back_in_the_order_asked(tmp_path):
    store = RowStore(Home.at(tmp_path), "forward", FIELDS)
    assert store.missing(ids(0, 5)).tolist() == [0, 1, 2, 3, 4]
    store.append(rows(ids(0, 10)))
    store.append(rows(ids(10, 15)))
    assert store.missing(["3", "ff", "e", "fe"]).tolist() == [1, 3]
    assert len(store) == 15
    wanted = ["e", "0", "3", "e", "b"]
    read = store.read(wanted)
    assert read["prompt_id"].to_pylist() == wanted
    assert read["embedding"].to_pylist() == [[14, 14.5], [0, 0.5], [3, 3.5], [14, 14.5], [11, 11.5]]
    assert read["text"].to_pylist() == ["te", None, "t3", "te", "tb"]
    assert read["steps"].to_pylist() == [[0, 1], [], [], [0, 1], [0, 1]]
    assert store.read(wanted, ["embedding"]).column_names == ["embedding"]
    assert store.read(wanted, ["text", "embedding"]).column_names == ["text", "embedding"]
    assert store.read([], ["prompt_id", "embedding"]).num_rows == 0


def test_another_object_sees_shards_that_come_later(tmp_path):
    writer, reader = (
        RowStore(Home.at(tmp_path), "forward", FIELDS),
        RowStore(Home.at(tmp_path), "forward", FIELDS),
    )
    writer.append(rows(ids(0, 3)))
    assert reader.missing(ids(0, 4)).tolist() == [3]
    writer.append(rows(ids(3, 4)))
    assert reader.missing(ids(0, 4)).tolist() == []


def test_another_fingerprint_is_another_store(tmp_path):
    RowStore(Home.at(tmp_path), "forward", FIELDS).append(rows(ids(0, 3)))
    other = RowStore(Home.at(tmp_path), "forward", {**FIELDS, "code_version": 2})
    assert len(other.missing(ids(0, 3))) == 3
    stored = [json.loads(p.read_text()) for p in tmp_path.glob("rows/forward/*/fields.json")]
    assert stored == [FIELDS]


def test_the_same_rows_are_one_shard(tmp_path):
    first = RowStore(Home.at(tmp_path), "forward", FIELDS).append(rows(ids(0, 3)))
    second = RowStore(Home.at(tmp_path), "forward", FIELDS).append(rows(ids(0, 3)))
    assert first == second
    assert len(list(first.parent.glob("shard-*"))) == 1


def test_of_rows_stored_twice_one_counts_whoever_reads(tmp_path):
    store = RowStore(Home.at(tmp_path), "k", FIELDS)
    store.append(pa.table({"prompt_id": ["a", "b"], "x": [1, 2]}))
    store.append(pa.table({"prompt_id": ["b", "c"], "x": [20, 30]}))
    assert len(store) == 3
    values = [
        RowStore(Home.at(tmp_path), "k", FIELDS).read(["a", "b", "c"])["x"].to_pylist() for _ in range(2)
    ]
    assert values[0] == values[1] == store.read(["a", "b", "c"])["x"].to_pylist()
    assert values[0][0] == 1
    assert values[0][2] == 30


def test_absent_rows_are_counted(tmp_path):
    store = RowStore(Home.at(tmp_path), "forward", FIELDS)
    with pytest.raises(MissingRows, match=r"2 of 2 prompts have no row in .*\(first: 1, 2\)"):
        store.read(["1", "2"])
    store.append(rows(ids(0, 3)))
    with pytest.raises(KeyError) as caught:
        store.read(["1", "77", "78"])
    assert caught.value.count == 2


def test_rows_are_checked_before_they_are_stored(tmp_path):
    store = RowStore(Home.at(tmp_path), "k", FIELDS)
    assert (
        store.append(pa.table({"prompt_id": pa.array([], pa.string()), "x": pa.array([], pa.int64())}))
        is None
    )
    with pytest.raises(ValueError, match="need a prompt_id column; got x"):
        store.append(pa.table({"x": [1]}))
    for bad in (["a", "a"], ["a", None]):
        with pytest.raises(ValueError, match="present and unique"):
            store.append(pa.table({"prompt_id": bad}))
    store.append(pa.table({"prompt_id": ["a"], "x": [1]}))
    with pytest.raises(ValueError, match=r"x: int64, these have prompt_id: string, x: double"):
        store.append(pa.table({"prompt_id": ["b"], "x": [1.5]}))


@pytest.mark.parametrize("damage", DAMAGES[:3])
def test_a_damaged_shard_is_named_and_set_aside(tmp_path, damage, caplog):
    store = RowStore(Home.at(tmp_path), "forward", FIELDS)
    store.append(rows(ids(0, 3)))
    path = store.append(rows(ids(3, 6)))
    whole = spoil(path, damage)
    with pytest.raises(MissingRows):
        RowStore(Home.at(tmp_path), "forward", FIELDS).read(ids(0, 6))
    assert f"{path.name} is damaged" in caplog.text
    assert not path.exists()
    assert path.with_name(f"damaged-{path.name}").exists()
    assert store.missing(ids(0, 6)).tolist() == [3, 4, 5]
    assert store.append(rows(ids(3, 6))) == path
    assert path.read_bytes() == whole


def _hang_in_the_middle(root, started):
    store = RowStore(Home.at(root), "forward", FIELDS)
    store.append(rows(ids(0, 3)))
    from edsel_assets.store import atomic_path

    with atomic_path(store.folder / "shard-x.parquet") as temporary:
        temporary.write_bytes(b"PAR1 torn")
        started.set()
        time.sleep(60)


def test_a_killed_writer_leaves_no_torn_shard(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    writer = context.Process(target=_hang_in_the_middle, args=(tmp_path, started))
    writer.start()
    assert started.wait(30)
    alive = RowStore(Home.at(tmp_path), "forward", FIELDS)
    assert alive.swept == []  # the writer is at work: its file is left alone
    assert alive.missing(ids(0, 4)).tolist() == [3]
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    after = RowStore(Home.at(tmp_path), "forward", FIELDS)
    assert len(after.swept) == 1
    assert sorted(p.suffix for p in after.folder.iterdir()) == [".json", ".parquet"]
    assert after.read(ids(0, 3)).num_rows == 3


def _append_many(root, start):
    store = RowStore(Home.at(root), "forward", FIELDS)
    for i in range(start, start + 40, 4):
        store.append(rows(ids(i, i + 4)))
        store.missing(ids(0, 100))


def test_writers_at_the_same_time_do_not_clash(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(tmp_path, s)) for s in (0, 20, 0, 40)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0, 0, 0, 0]
    store = RowStore(Home.at(tmp_path), "forward", FIELDS)
    assert store.missing(ids(0, 81)).tolist() == [80]
    assert store.read(ids(0, 80))["embedding"].to_pylist() == [[i, i + 0.5] for i in range(80)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize("failing", ["fields.json", "shard-"])
def test_a_disk_that_takes_nothing_leaves_no_row_and_the_next_append_does(
    tmp_path, monkeypatch, number, failing
) -> None:
    two = pa.table({"prompt_id": ["a", "b"], "value": [1.0, 2.0]})
    store, flush = RowStore(Home.at(tmp_path), "kind", {"x": 1}), atomic._flush_one

    def full(path: Path) -> None:
        if failing in path.name:
            raise OSError(number, os.strerror(number), str(path))
        flush(path)

    monkeypatch.setattr(atomic, "_flush_one", full)
    with pytest.raises(StoreError, match=rf"Cannot write {tmp_path}/rows/kind/.*{failing}.*EDSEL_HOME"):
        store.append(two)
    assert store.missing(["a", "b"]).tolist() == [0, 1]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    monkeypatch.setattr(atomic, "_flush_one", flush)
    store.append(two)
    assert store.read(["b", "a"])["value"].to_pylist() == [2.0, 1.0]
