"""What callers hand in: each form gives the picks of the plain array, or is refused with the remedy."""

from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from edsel_assets.selection import (
    auto_gamma,
    cluster_budgets,
    facility_location,
    k_center,
    nearest,
    overlap,
    random_subset,
    task_diversity,
    top_scores,
)

ROWS = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
SCORES = np.random.default_rng(1).random(30)
IDS = [f"p{i:02d}" for i in np.random.default_rng(2).permutation(30)]
PICKS = k_center(ROWS, 6, selected=[3, 7], tie_break=IDS).indices.tolist()

MATRICES: dict[str, Any] = {
    "list of lists": ROWS.tolist(),
    "list of arrays": list(ROWS),
    "tuple of tensors": tuple(torch.from_numpy(ROWS)),
    "tensor": torch.from_numpy(ROWS),
    "DataFrame": pd.DataFrame(ROWS),
    "DataFrame with an index of its own": pd.DataFrame(ROWS, index=IDS),
    "DataFrame of one column": pd.DataFrame({"embedding": list(ROWS)}),
    "Series of arrays": pd.Series(list(ROWS), index=range(100, 130)),
    "column of a data set": datasets.Dataset.from_dict({"embedding": ROWS.tolist()})["embedding"],
    "column of an Arrow table": pa.table({"embedding": ROWS.tolist()})["embedding"],
    "Arrow array": pa.array(ROWS.tolist(), pa.list_(pa.float32(), 4)),
}
SELECTED: dict[str, Any] = {
    "list": [3, 7],
    "Series": pd.Series([3, 7], index=["x", "y"]),
    "tensor": torch.tensor([3, 7]),
    "mask": np.isin(np.arange(30), [3, 7]),
    "mask as a list": np.isin(np.arange(30), [3, 7]).tolist(),
    "mask as a Series": pd.Series(np.isin(np.arange(30), [3, 7]), index=IDS),
    "mask of objects": np.isin(np.arange(30), [3, 7]).astype(object),
}


@pytest.mark.parametrize("embeddings", MATRICES.values(), ids=MATRICES)
def test_embeddings_of_any_form_give_the_picks_of_the_array(embeddings: Any) -> None:
    assert k_center(embeddings, 6, selected=[3, 7], tie_break=IDS).indices.tolist() == PICKS
    assert auto_gamma(embeddings) == pytest.approx(auto_gamma(ROWS), rel=1e-3)


@pytest.mark.parametrize("selected", SELECTED.values(), ids=SELECTED)
def test_rows_and_masks_name_the_same_prompts(selected: Any) -> None:
    assert k_center(ROWS, 6, selected=selected, tie_break=pd.Series(IDS)).indices.tolist() == PICKS


def test_scores_keys_and_tasks_are_columns_too() -> None:
    expected = top_scores(SCORES, 5, exclude=[1], tie_break=IDS).indices.tolist()
    frame = pd.DataFrame({"score": SCORES, "id": IDS, "task": ["a", "b", "c"] * 10})
    data = datasets.Dataset.from_pandas(frame)
    for table in (frame, data, pa.Table.from_pandas(frame)):
        found = top_scores(table["score"], 5, exclude=np.arange(30) == 1, tie_break=table["id"])
        assert found.indices.tolist() == expected
        assert len(task_diversity(table["task"], 6, seed=0)) == 6
    assert top_scores(frame[["score"]], 5, exclude=[1]).indices.tolist() == expected
    draws = random_subset(30, 4, seed=0, tie_break=frame["id"]).indices.tolist()
    assert draws == random_subset(30, 4, seed=0, tie_break=IDS).indices.tolist()
    assert cluster_budgets(frame["task"].value_counts(), 6).tolist() == [2, 2, 2]
    assert overlap(frame["id"], IDS).common == 30
    aimed = nearest(ROWS, pd.DataFrame(ROWS[:2]), 3, tie_break=frame["id"]).indices.tolist()
    assert aimed == nearest(ROWS, ROWS[:2], 3, tie_break=IDS).indices.tolist()
    weighted = facility_location(ROWS, 3, demand=frame["score"], tie_break=frame["id"]).indices
    same = facility_location(ROWS, 3, demand=SCORES, tie_break=IDS).indices
    assert weighted.tolist() == same.tolist()


REFUSED: dict[str, tuple[Any, str]] = {
    "texts": (["how are you", "well"], r"got texts\. Embed them first"),
    "one text": ("how are you", r"a list of shape \(N, d\); got str"),
    "data set": (
        datasets.Dataset.from_dict({"id": IDS, "embedding": ROWS.tolist()}),
        r"Dataset of the columns id, embedding\. Pass one: data\['COLUMN'\]",
    ),
    "dict": ({"embedding": ROWS}, r"got a dict of the columns embedding\. Pass one"),
    "Arrow table": (pa.table({"embedding": ROWS.tolist()}), r"Table of the columns embedding\. Pass one"),
    "table with ids": (pd.DataFrame(ROWS).assign(id=IDS), "a column of another kind"),
    "ragged": ([[1.0, 2.0], [1.0]], r"rows of one length; got \(1,\), \(2,\)"),
    "sparse": (sparse.csr_matrix(ROWS), r"Pass embeddings\.toarray\(\)"),
    "whole numbers": (np.ones((3, 2), int), r"dtype int64\. Convert them, such as by embeddings\.astype"),
    "flat": (SCORES, r"shape \(N, d\)"),
    "number": (3.0, r"a list of shape \(N, d\); got float"),
}


@pytest.mark.parametrize(("value", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_embeddings_is_refused_with_the_remedy(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        k_center(value, 1)


WRONG_ROWS: dict[str, tuple[Any, str]] = {
    "short mask": ([True, False], r"one boolean for each of the 30 prompts; got shape \(2,\)"),
    "ids": (IDS[:2], r"got 'p\d\d'\. Turn ids into a mask: numpy\.isin\(ids, selected\)"),
    "ids that are numbers": ([1001, 1002], r"rows of the pool, 0 to 29; got \[1001, 1002\]\. Turn ids into"),
    "shares": ([0.5], "flat list of row numbers, or a mask"),
    "ranking": (top_scores(SCORES, 2), r"got a Ranking\. Pass ranking\.indices"),
    "table": (pd.DataFrame({"a": [1], "b": [2]}), r"got a table of 2\. Pass one: table\['COLUMN'\]"),
}


@pytest.mark.parametrize(("value", "words"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_what_cannot_be_rows_is_refused_with_the_remedy(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        k_center(ROWS, 3, selected=value)


def test_keys_that_do_not_sort_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tie_break keys must sort: .* Pass the prompt ids as texts"):
        k_center(ROWS[:3], 1, tie_break=pd.Series(["a", 1, 2.5], dtype=object))
