"""What is shown of selections: overlaps of every pair."""

import pyarrow as pa

from edsel_assets.report.plots import overlap_matrix
from edsel_assets.stages.describe import overlaps


def selection(*ids: str, replicate: int = 0) -> pa.Table:
    return pa.table({"replicate": pa.array([replicate] * len(ids), pa.int32()), "prompt_id": list(ids)})


def test_overlaps_count_what_both_picked() -> None:
    table = overlaps({"one": selection("a", "b"), "two": selection("b", "c", "d", "e")})
    rows = {(row["strategy"], row["other"]): row for row in table.to_pylist()}
    assert rows["one", "two"]["shared"] == 1
    assert rows["one", "two"]["share"] == 0.5
    assert rows["two", "one"]["share"] == 0.25
    assert rows["one", "one"]["share"] == 1.0


def test_a_stochastic_strategy_is_shown_by_its_first_replicate() -> None:
    both = pa.concat_tables([selection("a", "b", replicate=1), selection("c", "d", replicate=2)])
    table = overlaps({"one": both, "two": selection("c", "d")})
    assert table.to_pylist()[1]["shared"] == 0


def test_the_matrix_is_a_picture() -> None:
    table = overlaps({"one": selection("a", "b"), "two": selection("b")})
    assert overlap_matrix(table).startswith(b"\x89PNG")
