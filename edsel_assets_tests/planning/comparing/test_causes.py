"""Which entries of the ledgers are named, and that they are those where the difference began."""

from pathlib import Path

import pyarrow as pa
import pytest

from edsel_assets import annotation
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.comparing.causes import Cause, Ledgers, behind, causes
from edsel_assets.planning.comparing.sides import explained, open_side
from edsel_assets.planning.comparing.studies import compare_studies
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.store import Store
from edsel_assets_tests.planning.comparing.small_store import fill, picks, pool, put

SELECTION = "selections[00003|fl_rbf]"
SAME = {"prompts": [1, 2, 3, 4, 5], "chosen": [5, 4, 3, 2, 1]}
OTHER = {"prompts": [1, 2, 3, 4, 5, 6], "chosen": [6, 4, 5, 2, 1]}


def said(found: list[Cause]) -> list[tuple[str, str]]:
    return [(cause.cell, str(cause.what)) for cause in found]


def why(a: Path, b: Path, name: str = SELECTION) -> list[tuple[str, str, tuple[str, ...]]]:
    found = explained(open_side(Store(a), name), open_side(Store(b), name))
    return [(cause.cell, str(cause.what), cause.through) for cause in found]


def test_a_changed_file_of_the_pool_is_the_root_of_another_selection(tmp_path) -> None:
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **OTHER, file="another hash")
    assert why(tmp_path / "a", tmp_path / "b") == [
        ("pool", "pool/x.jsonl changed", ("rankings[fl_rbf]", SELECTION))
    ]


def test_a_setting_is_named_with_both_values(tmp_path) -> None:
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **{**SAME, "chosen": [1, 2, 3, 4, 5]}, gamma=0.2)
    assert why(tmp_path / "a", tmp_path / "b") == [
        ("rankings[fl_rbf]", "selection.gamma 0.1 -> 0.2", (SELECTION,))
    ]


def test_an_order_that_was_placed_meanwhile_is_named_as_such(tmp_path) -> None:
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **{**SAME, "chosen": [1, 2, 3, 4]}, orders={"order-0002": "hash"})
    assert why(tmp_path / "a", tmp_path / "b") == [
        ("orders", "order-0002 was placed", ("rankings[fl_rbf]", SELECTION))
    ]


def test_what_was_not_read_of_an_input_is_no_cause(tmp_path) -> None:
    """The ranking reads the ids of the pool: other responses explain nothing."""
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **SAME, file="another hash", response="an answer")
    assert why(tmp_path / "a", tmp_path / "b") == []
    assert why(tmp_path / "a", tmp_path / "b", "pool") == [("pool", "pool/x.jsonl changed", ())]


def test_several_causes_are_all_named_once_the_nearest_first(tmp_path) -> None:
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **OTHER, file="another hash", gamma=0.3, orders={"order-0001": "hash"})
    assert [cell for cell, _, _ in why(tmp_path / "a", tmp_path / "b")] == [
        "rankings[fl_rbf]",
        "pool",
        "orders",
    ]


def test_an_input_that_was_overwritten_is_said_to_be(tmp_path) -> None:
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **OTHER)
    put(tmp_path / "b", "rankings[fl_rbf]", picks([1, 3]), {})
    (found,) = why(tmp_path / "a", tmp_path / "b")
    assert found == (
        "rankings[fl_rbf]",
        "changed; the ledger of what B read was overwritten since",
        (SELECTION,),
    )


def test_what_made_them_is_named_only_where_nothing_that_decides_differs(tmp_path) -> None:
    for name, device, rows in (("a", "cpu", [1, 2]), ("b", "cuda", [2, 1])):
        put(tmp_path / name, "pool", pool(rows), {}, device=device, host=name)
    assert why(tmp_path / "a", tmp_path / "b", "pool") == [
        ("pool", "device cpu -> cuda", ()),
        ("pool", "host a -> b", ()),
    ]
    put(tmp_path / "b", "pool", pool([2, 1]), {}, device="cuda", code="2")
    assert why(tmp_path / "a", tmp_path / "b", "pool") == [("pool", "code 1 -> 2", ())]


def test_two_strategies_are_compared_by_the_settings_that_both_have(tmp_path) -> None:
    fill(tmp_path, **SAME)
    put(
        tmp_path,
        "rankings[k_center]",
        picks([2, 3]),
        {"pool": ["prompt_id"]},
        settings={"selection.seed_point": "medoid"},
    )
    put(tmp_path, "selections[00003|k_center]", picks([2, 3]), {"rankings[k_center]": None})
    a, b = (open_side(Store(tmp_path), f"selections[00003|{name}]") for name in ("fl_rbf", "k_center"))
    assert said(explained(a, b)) == [
        ("selections[00003|fl_rbf -> 00003|k_center]", "is another partition"),
        ("rankings[fl_rbf -> k_center]", "is another partition"),
    ]


def test_causes_agree_with_a_walk_over_every_pair_of_ledgers(tmp_path) -> None:
    """Here all contents differ, so the causes are all entries that differ, wherever they are."""
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **OTHER, file="another hash", gamma=0.3, orders={"order-0001": "hash"})
    ledgers = {
        side: {
            name: read_ledger(Store(tmp_path / side), Cell.parse(name))
            for name in ("pool", "orders", "embeddings", "rankings[fl_rbf]", SELECTION)
        }
        for side in "ab"
    }
    expected = {
        name
        for name, ledger in ledgers["a"].items()
        if any(getattr(ledger, f) != getattr(ledgers["b"][name], f) for f in ("settings", "external", "code"))
    }
    found = causes(
        ledgers["a"][SELECTION],
        ledgers["b"][SELECTION],
        Ledgers(Store(tmp_path / "a")),
        Ledgers(Store(tmp_path / "b")),
    )
    assert {cause.cell for cause in found} == expected


# -- orders


def placed(store: Store, numbers: list[int], *, validation: int = 0) -> str:
    """Place an order of picks as ``running.ordering`` does: with the ledgers behind it."""
    ledger = read_ledger(store, Cell("rankings", "fl_rbf"))
    assert ledger is not None
    kept = {n: x.model_dump(mode="json") for n, x in behind(ledger, Ledgers(store)).items()}
    rows = pool([*numbers, *range(90, 90 + validation)]).drop_columns(["response"])
    order = annotation.place_order(
        store,
        rows,
        study="s",
        strategy="fl_rbf",
        budget=len(numbers),
        validation=rows["prompt_id"].to_pylist()[len(numbers) :],
        manifest={
            "cell": "rankings[fl_rbf]",
            "ledger": ledger.model_dump(mode="json"),
            "behind": kept,
        },
    )
    return order.name


def test_behind_a_ranking_is_all_that_it_goes_back_to(tmp_path) -> None:
    fill(tmp_path, **SAME)
    ledger = read_ledger(Store(tmp_path), Cell.parse(SELECTION))
    assert ledger is not None
    assert set(behind(ledger, Ledgers(Store(tmp_path)))) == {
        "pool",
        "orders",
        "embeddings",
        "rankings[fl_rbf]",
    }


def test_an_order_explains_what_the_store_has_overwritten(tmp_path) -> None:
    """All cells are made anew after the order: the order's own ledgers say what it was made from."""
    fill(tmp_path, **SAME)
    name = placed(Store(tmp_path), [5, 4, 3], validation=2)
    fill(tmp_path, **OTHER, file="another hash", orders={name: "hash"})
    a, b = open_side(Store(tmp_path), name), open_side(Store(tmp_path), SELECTION)
    assert a.lists == {"": [f"{i:032x}" for i in (5, 4, 3)]}, "those bought to validate are left out"
    assert said(explained(a, b)) == [("pool", "pool/x.jsonl changed"), ("orders", "order-0001 was placed")]
    assert [cause.through for cause in explained(a, b)] == [("rankings[fl_rbf]",)] * 2


def test_a_selection_older_than_its_ranking_is_explained_by_an_orders_ledgers(tmp_path) -> None:
    fill(tmp_path, **SAME)
    first = placed(Store(tmp_path), [5, 4])
    old = read_ledger(Store(tmp_path), Cell.parse(SELECTION))
    assert old is not None
    fill(tmp_path, **OTHER, orders={first: "hash"})
    put(tmp_path, SELECTION, picks([5, 4, 3]), {})
    stale = old.model_copy(update={"files": read_ledger(Store(tmp_path), Cell.parse(SELECTION)).files})
    from edsel_assets.planning.ledger import write_ledger

    write_ledger(Store(tmp_path), stale)
    second = placed(Store(tmp_path), [6, 2])
    found = explained(open_side(Store(tmp_path), SELECTION), open_side(Store(tmp_path), second))
    assert ("orders", "order-0001 was placed") in said(found)


def test_two_orders_of_one_ranking_have_nothing_to_explain(tmp_path) -> None:
    fill(tmp_path, **SAME)
    first, second = placed(Store(tmp_path), [5, 4]), placed(Store(tmp_path), [3])
    assert explained(open_side(Store(tmp_path), first), open_side(Store(tmp_path), second)) == []


def test_two_rounds_are_not_taken_for_a_cut_of_each_other(tmp_path) -> None:
    put(tmp_path, "pool", pool([1, 2, 3, 4]), {})
    put(tmp_path, "round_1/selection[00004|perplexity]", picks([1, 2]), {"pool": None})
    inputs = {"round_1/selection[00004|perplexity]": None}
    put(tmp_path, "round_2/selection[00004|perplexity]", picks([3, 4]), inputs)
    a, b = (open_side(Store(tmp_path), f"round_{r}/selection[00004|perplexity]") for r in (1, 2))
    name = "round_1/selection[00004|perplexity] -> round_2/selection[00004|perplexity]"
    assert said(explained(a, b)) == [(name, "is another asset")]


def test_an_order_without_a_manifest_is_refused_in_words(tmp_path) -> None:
    annotation.place_order(
        Store(tmp_path), pool([1]).drop_columns(["response"]), study="s", strategy="x", budget=1
    )
    with pytest.raises(annotation.AnnotationError, match=r"order-0001 of .* has no manifest"):
        open_side(Store(tmp_path), "order-0001")


def test_what_is_not_there_or_damaged_is_refused_in_words(tmp_path) -> None:
    fill(tmp_path, **SAME)
    with pytest.raises(ValueError, match=r"selections\[00009\|fl_rbf\] is not in"):
        open_side(Store(tmp_path), "selections[00009|fl_rbf]")
    (tmp_path / "pool.parquet").unlink()
    with pytest.raises(ValueError, match=r"pool in .* is damaged: pool\.parquet is gone"):
        open_side(Store(tmp_path), "pool")


def test_replicates_are_lists_of_their_own_and_scores_are_no_list(tmp_path) -> None:
    both = pa.concat_tables([picks([3, 1]), picks([2, 1], replicate=1)])
    put(tmp_path, "selections[00002|random]", both, {})
    found = open_side(Store(tmp_path), "selections[00002|random]").lists
    assert {group: [int(key, 16) for key in keys] for group, keys in (found or {}).items()} == {
        "": [3, 1],
        "replicate 1": [2, 1],
    }
    put(tmp_path, "base_scores", pa.table({"task": ["t"], "value": [0.5]}), {})
    assert open_side(Store(tmp_path), "base_scores").lists is None
    fill(tmp_path, **SAME)
    texts = open_side(Store(tmp_path), SELECTION).texts([f"{3:032x}", f"{77:032x}"])
    assert texts == {f"{3:032x}": "Say 3."}


# -- studies


def test_studies_are_compared_cell_by_cell(tmp_path) -> None:
    fill(tmp_path / "a", **SAME)
    fill(tmp_path / "b", **OTHER, file="another hash")
    put(tmp_path / "b", "selections[00004|fl_rbf]", picks([6, 4]), {"rankings[fl_rbf]": None})
    (tmp_path / "a" / "lora" / "adapter").mkdir(parents=True)
    (tmp_path / "a" / "lora" / "adapter" / "adapter_config.json").write_text('{"r": 8}')
    change = compare_studies(Store(tmp_path / "a"), Store(tmp_path / "b"))
    assert [str(cell) for cell in change.same] == ["orders"]
    assert {str(cell) for cell in change.differing} == {"pool", "embeddings", "rankings[fl_rbf]", SELECTION}
    assert [str(cell) for cell in change.only_b] == ["selections[00004|fl_rbf]"]
    assert not change.only_a
    ((cause, cells),) = change.causes
    assert (said([cause]), cells) == ([("pool", "pool/x.jsonl changed")], 4)
    again = compare_studies(Store(tmp_path / "a"), Store(tmp_path / "a"))
    assert (len(again.same), again.differing, again.causes) == (5, (), ())
