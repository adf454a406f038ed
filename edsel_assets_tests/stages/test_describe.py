"""What is shown of selections: their prompts, their tasks, overlaps of every pair."""

import pyarrow as pa

from edsel_assets.report.plots import overlap_matrix
from edsel_assets.stages.describe import overlaps, task_shares, with_prompts


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


def test_prompts_are_shown_with_names_of_tasks_that_leave_them_room() -> None:
    pool = pa.table(
        {"prompt_id": ["a", "b", "c"], "prompt": ["one", "two", "three"], "task": ["t" * 60, None, "short"]}
    )
    ranking = pa.table({"prompt_id": ["c", "a", "b"], "rank": [0, 1, 2], "gain": [3.0, 2.0, None]})
    shown = with_prompts(ranking, pool).to_pydict()
    assert shown["prompt"] == ["three", "one", "two"]
    assert shown["task"] == ["short", "t" * 23 + "…", None]
    assert list(shown) == ["pick", "prompt", "task", "gain"]
    assert shown["pick"][0] == 1


def test_tasks_are_counted_in_the_pool_and_in_the_selection() -> None:
    pool = pa.table({"prompt_id": ["a", "b", "c", "d"], "task": ["x", "x", "y", None]})
    assert task_shares(selection("a", "c"), pool).to_pylist() == [
        {"selected": 1, "pool": 2, "task": "x"},
        {"selected": 0, "pool": 1, "task": "(none)"},
        {"selected": 1, "pool": 1, "task": "y"},
    ]
