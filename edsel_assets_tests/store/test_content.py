import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edsel_assets.store import StoreError, content_hash, fingerprint, read_table, write_table

COLUMNS = {
    "text": pa.array(["a", "", None, "é", "bc"]),
    "wide_text": pa.array(["a", "", None, "é", "bc"], pa.large_string()),
    "number": pa.array([1, None, 3, 4, 5]),
    "half": pa.array(np.arange(5, dtype=np.float16)),
    "flag": pa.array([True, False, None, True, True]),
    "list": pa.array([[1], [], None, [2, None], [3, 4]]),
    "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], pa.list_(pa.float32(), 2)),
    "struct": pa.array(
        [{"a": 1, "b": "x"}, None, {"a": None, "b": ""}, {"a": 4, "b": "y"}, {"a": 5, "b": "z"}]
    ),
    "lists_of_text": pa.array([["a", "b"], [""], [], None, ["c"]]),
    "time": pa.array([1, 2, 3, 4, 5], pa.timestamp("us")),
    "nothing": pa.nulls(5),
    "category": pa.array(["u", "v", "u", None, "u"]).dictionary_encode(),
}
TABLE = pa.table(COLUMNS)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_hash_does_not_depend_on_chunks_or_offsets(cut):
    cut_up = pa.concat_tables([TABLE.slice(0, cut), TABLE.slice(0, 0), TABLE.slice(cut)])
    assert content_hash(cut_up) == content_hash(TABLE)
    assert content_hash(cut_up.combine_chunks()) == content_hash(TABLE)
    for name in TABLE.column_names:
        part = TABLE.select([name]).slice(cut)
        fresh = part.take(pa.array(range(len(part))))
        assert content_hash(part) == content_hash(fresh), name


def test_every_column_counts():
    for name in TABLE.column_names:
        if name != "nothing":
            reversed_column = TABLE.select([name]).take([4, 3, 2, 1, 0])
            assert content_hash(reversed_column) != content_hash(TABLE.select([name])), name


def test_a_hash_survives_a_file_and_wide_offsets(tmp_path):
    path = write_table(tmp_path / "t.parquet", TABLE)
    assert content_hash(read_table(path)) == content_hash(TABLE)
    narrow, wide = pa.table({"x": COLUMNS["text"]}), pa.table({"x": COLUMNS["wide_text"]})
    assert content_hash(narrow) == content_hash(wide)
    assert content_hash(narrow.replace_schema_metadata({"a": "b"})) == content_hash(narrow)
    plain = pa.table({"x": pc.dictionary_decode(COLUMNS["category"])})
    assert content_hash(plain) == content_hash(pa.table({"x": COLUMNS["category"]}))


def test_what_lies_under_a_null_does_not_count():
    zero = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, 0]))], null_count=1
    )
    nine = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, 9]))], null_count=1
    )
    assert zero.to_pylist() == nine.to_pylist() == [1, None]
    assert content_hash(pa.table({"x": zero})) == content_hash(pa.table({"x": nine}))


def test_different_tables_differ():
    tables = [
        {"x": ["ab", "c"]},
        {"x": ["a", "bc"]},
        {"x": ["ab", "c", ""]},
        {"x": ["ab", "c", None]},
        {"x": [None, "ab", "c"]},
        {"y": ["ab", "c"]},
        {"x": [["a"], ["b"]]},
        {"x": [["a", "b"], []]},
        {"x": [["a", "b"]]},
        {"x": [["a", "b"], None]},
        {"x": [1, 2]},
        {"x": [1.0, 2.0]},
        {"x": [1], "y": [2]},
        {"y": [2], "x": [1]},
        {},
    ]
    assert len({content_hash(pa.table(t)) for t in tables}) == len(tables)


VALUES = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(VALUES, VALUES, st.integers(0, 8))
def test_hashes_are_equal_exactly_when_columns_are(left, right, cut):
    first = pa.table({"x": pa.array(left, pa.string())})
    whole = pa.table({"x": pa.array(right, pa.string())})
    second = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert (content_hash(first) == content_hash(second)) == (left == right)


def test_arrays_bytes_paths_and_mappings(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3)
    assert content_hash(matrix) == content_hash(np.asfortranarray(matrix))
    assert content_hash(matrix) != content_hash(matrix.T)
    assert content_hash(matrix) != content_hash(matrix.astype(np.float32))
    assert content_hash(b"a") != content_hash("a")
    assert content_hash({"a": matrix, "b": b""}) == content_hash({"b": b"", "a": matrix})
    assert content_hash({"a": matrix}) != content_hash({"b": matrix})
    with pytest.raises(ValueError, match="array of objects"):
        content_hash(np.array([None]))
    with pytest.raises(TypeError, match="No content hash for int"):
        content_hash(3)
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "f").write_text("x")
    before = content_hash(tmp_path / "d")
    (tmp_path / "d" / f".f.{'0' * 16}.tmp").write_text("torn")
    assert content_hash(tmp_path / "d") == before
    (tmp_path / "d" / "sub" / "f").rename(tmp_path / "d" / "sub" / "g")
    assert content_hash(tmp_path / "d") != before
    with pytest.raises(StoreError, match="There is no file or directory"):
        content_hash(tmp_path / "none")


def test_fingerprint_is_of_the_canonical_form():
    assert fingerprint(a=1, b=[1, 2]) == fingerprint(b=(1, 2), a=np.int64(1))
    assert fingerprint(a=1) != fingerprint(a=1.0)
    assert fingerprint(a=1) != fingerprint(a="1")
    with pytest.raises(TypeError, match="JSON values only; got set"):
        fingerprint(a={1})
    with pytest.raises(ValueError, match="finite"):
        fingerprint(a=float("nan"))
