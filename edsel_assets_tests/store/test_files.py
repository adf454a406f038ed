import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edsel_assets import store


def sample() -> pa.Table:
    return pa.table(
        {
            "prompt_id": [f"{i:032x}" for i in range(1000)],
            "prompt": [None if i % 7 == 0 else f"prompt {i} é" for i in range(1000)],
            "score": np.random.default_rng(0).random(1000),
            "steps": [list(range(i % 5)) if i % 11 else None for i in range(1000)],
        }
    )


def rechunked(table: pa.Table, sizes: list[int]) -> pa.Table:
    starts = np.cumsum([0, *sizes])
    parts = [table.slice(s, n) for s, n in zip(starts, sizes, strict=False)]
    return pa.concat_tables([*parts, table.slice(starts[-1])])


def file_bytes(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_table_survives_and_its_bytes_do_not_depend_on_chunks(tmp_path):
    table = sample()
    one = store.write_table(tmp_path / "a" / "one.parquet", table)
    two = store.write_table(tmp_path / "two.parquet", rechunked(table, [1, 300, 0, 37]))
    assert store.read_table(one).equals(table)
    assert file_bytes(one) == file_bytes(two)


def test_row_groups_do_not_depend_on_chunks_when_there_are_several(tmp_path):
    # 16384 float32 are 64 KiB a row, so a row group holds 1024 rows (64 MiB).
    matrix = np.random.default_rng(0).random((1100, 16384), dtype=np.float32)
    table = store.embeddings_table([str(i) for i in range(1100)], matrix)
    one = store.write_table(tmp_path / "one.parquet", table)
    two = store.write_table(tmp_path / "two.parquet", rechunked(table, [1000, 60]))
    assert pq.read_metadata(one).num_row_groups == 2
    assert file_bytes(one) == file_bytes(two)
    ids, read = store.table_embeddings(store.read_table(one))
    assert ids == [str(i) for i in range(1100)]
    assert np.array_equal(read, matrix)


def test_columns_come_in_the_order_asked(tmp_path):
    path = store.write_table(tmp_path / "t.parquet", sample())
    assert store.read_table(path, ["score", "prompt_id"]).column_names == ["score", "prompt_id"]
    with pytest.raises(store.StoreError, match=r"no column cost; it has prompt_id, prompt"):
        store.read_table(path, ["cost"])


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_a_damaged_table_is_named_with_its_remedy(tmp_path, damage):
    path = store.write_table(tmp_path / "t.parquet", sample())
    whole = bytearray(path.read_bytes())
    if damage == "flipped":
        whole[2000] ^= 0xFF
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "flipped": whole}[damage])
    with pytest.raises(store.StoreError, match=r"t\.parquet is damaged \(.*\)\. Delete it"):
        store.read_table(path)


def test_an_absent_table_is_a_store_error(tmp_path):
    with pytest.raises(store.StoreError, match="There is no file"):
        store.read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_embeddings_are_a_view_of_one_chunk(dtype):
    matrix = np.random.default_rng(0).random((50, 7)).astype(dtype)
    table = store.embeddings_table([str(i) for i in range(50)], matrix)
    ids, read = store.table_embeddings(table)
    assert read.dtype == dtype
    assert np.shares_memory(read, matrix)
    assert np.array_equal(store.list_matrix(table["embedding"].slice(10, 5)), matrix[10:15])
    several = rechunked(table, [3, 20])
    assert np.array_equal(store.table_embeddings(several)[1], matrix)
    assert ids == [str(i) for i in range(50)]


def test_no_embeddings_keep_their_dimension():
    table = store.embeddings_table([], np.empty((0, 7), np.float32))
    assert store.table_embeddings(table)[1].shape == (0, 7)


def test_embeddings_are_checked():
    with pytest.raises(ValueError, match=r"float16 or float32; got \(3, 2\) float64"):
        store.embeddings_table(["a", "b", "c"], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="2 ids, 3 rows"):
        store.embeddings_table(["a", "b"], np.zeros((3, 2), np.float32))
    column = pa.chunked_array([pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))])
    with pytest.raises(ValueError, match="must not be null; 1 are"):
        store.list_matrix(column)


def test_arrays_survive_and_their_bytes_repeat(tmp_path):
    arrays = {"b": np.arange(6).reshape(2, 3)[:, ::-1], "a": np.float32(2) * np.ones(4, np.float32)}
    one = store.write_arrays(tmp_path / "one.safetensors", arrays)
    two = store.write_arrays(tmp_path / "two.safetensors", dict(reversed(arrays.items())))
    read = store.read_arrays(one)
    assert {k: v.tolist() for k, v in read.items()} == {"a": [2.0] * 4, "b": [[2, 1, 0], [5, 4, 3]]}
    assert file_bytes(one) == file_bytes(two)
    one.write_bytes(one.read_bytes()[:20])
    with pytest.raises(store.StoreError, match="is damaged"):
        store.read_arrays(one)
    with pytest.raises(store.StoreError, match="There is no file"):
        store.read_arrays(tmp_path / "none.safetensors")
