"""Each check passes what is right and names what is wrong."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from edsel_assets.stages.checks import tables
from edsel_assets.stages.checks.contamination import benchmark_items
from edsel_assets.stages.rankings import RANKINGS


def _picks(*ids: str, replicate: int = 0) -> pa.Table:
    return pa.table({"replicate": [replicate] * len(ids), "rank": list(range(len(ids))), "prompt_id": [*ids]})


@pytest.mark.parametrize(
    ("ids", "prompts", "words"),
    [
        (["a", "b"], ["x", "y"], ""),
        (["a", "a"], ["x", "y"], "1 ids are repeated or out of order (a)"),
        (["b", "a"], ["x", "y"], "1 ids are repeated or out of order (a)"),
        (["a", "b"], ["x", ""], "1 prompts are empty"),
    ],
)
def test_ids_are_unique(ids, prompts, words) -> None:
    found = tables.unique_ids(pa.table({"prompt_id": ids, "prompt": prompts}))
    assert words in found.problem
    assert bool(found.problem) == bool(words)


def test_a_prompt_in_two_orders_is_named() -> None:
    orders = pa.table({"order": ["order-0001", "order-0001", "order-0002"], "prompt_id": ["a", "b", "a"]})
    assert "1 prompts are in two orders: a." in tables.none_ordered_twice(orders).problem
    assert not tables.none_ordered_twice(orders.slice(0, 2)).problem


def test_scores_are_finite_but_for_an_unknown_error() -> None:
    whole = pa.table({"value": [0.5, 1.0], "stderr": [float("nan"), 0.1], "n": [1, 2]})
    assert not tables.finite(whole).problem
    broken = pa.table({"value": [0.5, float("nan"), float("inf"), None]})
    assert "2 of 4 in value" in tables.finite(broken).problem


def test_what_was_bought_before_or_is_picked_twice_is_named() -> None:
    known = pa.table({"prompt_id": ["x"]})
    assert not tables.none_bought_before(_picks("a", "b"), known).problem
    assert "1 picks were bought before (x)" in tables.none_bought_before(_picks("a", "x"), known).problem
    assert "1 are picked twice" in tables.none_bought_before(_picks("a", "a"), known).problem
    two = pa.concat_tables([_picks("a"), _picks("a", replicate=1)])
    assert not tables.none_bought_before(two, known).problem, "replicates may share prompts"


def _ranking(gains: list[float], bound: float | None) -> pa.Table:
    rows = len(gains)
    table = pa.table(
        [
            pa.array([None] * rows, pa.int64()),
            pa.array([0] * rows, pa.int32()),
            pa.array(range(rows), pa.int64()),
            pa.array([f"p{i}" for i in range(rows)]),
            pa.array(gains, pa.float64()),
        ],
        schema=RANKINGS,
    )
    summary = [{"budget": None, "replicate": 0, "upper_bound": bound}]
    return table.replace_schema_metadata({b"edsel.rankings": json.dumps(summary)})


def test_gains_of_a_greedy_ranking_do_not_rise() -> None:
    assert not tables.gains_do_not_rise(_ranking([3.0, 2.0, 2.0, 0.5], 9.0)).problem
    assert not tables.gains_do_not_rise(_ranking([3.0, 2.0, 2.0005], 9.0)).problem, "rounding"
    # 2.0 -> 2.5, of which 0.002 + 0.000003 are allowed
    assert "A gain rises by 0.497997" in tables.gains_do_not_rise(_ranking([3.0, 2.0, 2.5], 9.0)).problem
    assert not tables.gains_do_not_rise(_ranking([0.1, 0.9], None)).problem, "no greedy objective"


def test_a_selection_holds_its_budget_in_each_replicate() -> None:
    assert not tables.exact_budget(_picks("a", "b"), 2).problem
    assert "2 rows of 2 prompts" in tables.exact_budget(_picks("a", "b"), 3).problem
    assert "2 rows of 1 prompts" in tables.exact_budget(_picks("a", "a"), 2).problem
    short = pa.concat_tables([_picks("a", "b"), _picks("a", replicate=1)])
    assert "replicate 1 holds 1 rows" in tables.exact_budget(short, 2).problem
    gap = _picks("a", "b").set_column(1, "rank", pa.array([0, 2]))
    assert "gap in its ranks" in tables.exact_budget(gap, 2).problem
    assert "nothing was selected" in tables.exact_budget(_picks(), 2).problem


def test_an_adapter_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "adapter_model.safetensors"
    assert "no weights were written" in tables.adapter_loads(tmp_path).problem
    save_file({"a": np.ones(3, np.float32), "b": np.zeros(2, np.float32)}, file)
    assert tables.adapter_loads(tmp_path).figures == {"weights": 2, "files": 1}
    save_file({"a": np.ones(3, np.float32), "b": np.array([1.0, np.nan], np.float32)}, file)
    assert "not finite or unreadable: b" in tables.adapter_loads(tmp_path).problem
    file.write_bytes(file.read_bytes()[:-4])
    assert "adapter_model.safetensors" in tables.adapter_loads(tmp_path).problem


ITEM = "Which of these is the largest planet that goes around our sun every twelve years or so?"  # 17 words


def test_a_run_of_thirteen_words_of_an_item_is_found() -> None:
    words = ITEM.split()
    pool = [
        ("whole", f"Please answer: {ITEM.upper()}"),
        ("thirteen", " ".join(words[2:15])),
        ("twelve", " ".join([*words[2:14], "but", "not", "more"])),
        ("short", " ".join(words[:8])),
        ("shorter", " ".join(words[:7])),
        ("other", "Say something kind to a person who has lost the keys of a house."),
    ]
    found = benchmark_items(pool, ["Another item.", ITEM])
    assert found.figures["shared"] == 3
    assert "3 prompts share a run of words with a benchmark item: short, thirteen, whole." in found.problem
    assert not benchmark_items(pool[4:], [ITEM]).problem
