"""Embeddings from a file: the right vector for each prompt, and one line for every file that does not fit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

from edsel_assets.pools import read_pool
from edsel_assets.stages.kept_rows import UnusableEmbedding
from edsel_assets.stages.pools import pool_source, read_study_pool
from edsel_assets.stages.vectors.given import GivenError, given_embeddings, read_given
from edsel_assets.study import Study

#: Row i says "prompt i"; 3 and 6 repeat others, 4 has no prompt.
PROMPTS = ["prompt 0", "prompt 1", "prompt 2", "prompt 1", None, "prompt 5", "prompt 0", "prompt 7"]
VECTORS = np.array([[i, 1.0] for i in (0, 1, 2, 1, 4, 5, 0, 7)], dtype=np.float16)


@pytest.fixture
def study_of(tmp_path):
    """Makes a study of a pool in two files, with embeddings by the given settings."""
    for name, rows in (("b", PROMPTS[5:]), ("a", PROMPTS[:5])):
        pq.write_table(
            pa.table({"prompt": rows, "response": ["r"] * len(rows)}), tmp_path / f"{name}.parquet"
        )

    def made(file: str, pool: dict | None = None, **embeddings) -> Study:
        return Study.model_validate(
            {
                "name": "given",
                "pool": {"path": [str(tmp_path / f"{name}.parquet") for name in "ba"], **(pool or {})},
                "embeddings": {"source": "file", "path": str(tmp_path / file), **embeddings},
                "selection": {"strategies": ["random"], "budgets": [1]},
            }
        )

    return made


def numbers(study: Study) -> dict[int, float]:
    """Number in each prompt of the pool: first component of its vector."""
    pool = read_study_pool(study).selectable
    vectors = given_embeddings(study, pool["prompt_id"])
    assert vectors.dtype == np.float32
    return {
        int(p.split()[1]): float(v) for p, v in zip(pool["prompt"].to_pylist(), vectors[:, 0], strict=True)
    }


def test_by_row_a_vector_follows_its_row_through_duplicates_a_limit_and_held_out_prompts(study_of, tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    whole = numbers(study_of("v.npy"))
    assert whole == {i: i for i in (0, 1, 2, 5, 7)}
    few = numbers(study_of("v.npy", {"limit": 3, "seed": 1}))
    assert len(few) == 3
    assert few.items() <= whole.items()
    study = study_of("v.npy")
    held_out = study.evaluation.model_copy(update={"held_out": 2})
    assert len(numbers(study.model_copy(update={"evaluation": held_out}))) == 3


@pytest.mark.parametrize("form", ["parquet", "fixed", "safetensors", "bfloat16"])
def test_by_prompt_id_in_any_order(study_of, tmp_path, form):
    pool = read_pool(pool_source(study_of("v.npy").pool)).table
    ids = pool["prompt_id"].to_pylist()[::-1]
    values = [[float(p.split()[1]), 1.0] for p in pool["prompt"].to_pylist()[::-1]]
    if form in ("parquet", "fixed"):
        kind = pa.list_(pa.float64()) if form == "parquet" else pa.list_(pa.float32(), 2)
        table = pa.table({"prompt_id": [*ids, "another"], "vector": pa.array([*values, [9.0, 9.0]], kind)})
        pq.write_table(table, tmp_path / "v.parquet", row_group_size=2)
        study = study_of("v.parquet", column="vector")
    elif form == "safetensors":
        save_file(
            {i: np.array(v, np.float32) for i, v in zip(ids, values, strict=True)}, tmp_path / "v.safetensors"
        )
        study = study_of("v.safetensors")
    else:
        save_tensors({"all": torch.tensor(VECTORS).bfloat16()}, tmp_path / "v.safetensors")
        study = study_of("v.safetensors")
    assert numbers(study) == {i: i for i in (0, 1, 2, 5, 7)}


def refused(study: Study) -> str:
    pool = read_study_pool(study).selectable
    with pytest.raises((GivenError, UnusableEmbedding)) as error:
        given_embeddings(study, pool["prompt_id"])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_number_of_rows_is_refused_with_both_numbers(study_of, tmp_path):
    np.save(tmp_path / "v.npy", VECTORS[:5])
    assert "has 5 vectors, and the pool's files have 8 rows (of which 5 prompts" in refused(study_of("v.npy"))


def test_a_grown_pool_is_refused_by_count_and_name(study_of, tmp_path):
    ids = read_pool(pool_source(study_of("v.npy").pool)).table["prompt_id"].to_pylist()
    pq.write_table(pa.table({"prompt_id": ids[2:], "embedding": [[1.0, 2.0]] * 3}), tmp_path / "v.parquet")
    said = refused(study_of("v.parquet"))
    assert f"none for 2 of the pool's 5 prompts (first: {ids[0]}, {ids[1]})" in said


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_that_cannot_be_used_are_named(study_of, tmp_path, value):
    vectors = VECTORS.copy()
    vectors[5] = value
    np.save(tmp_path / "v.npy", vectors)
    study = study_of("v.npy")
    pool = read_study_pool(study).selectable
    (wrong,) = (
        i for i, p in zip(*(pool[n].to_pylist() for n in ("prompt_id", "prompt")), strict=True) if "5" in p
    )
    assert f"prompt {wrong}" in refused(study)
    vectors[5], vectors[4] = VECTORS[5], value  # a row without a prompt needs no vector
    np.save(tmp_path / "v.npy", vectors)
    assert len(numbers(study)) == 5


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda f: np.save(f, np.array([{"a": 1}], dtype=object), allow_pickle=True),
            "Python objects in dtype",
        ),
        (lambda f: f.write_bytes(b"\x80\x04K\x01."), "is no .npy file"),
        (lambda f: np.save(f, VECTORS.astype(int)), "embeddings are floats; got int64"),
        (lambda f: np.save(f, VECTORS[:, 0]), "of shape (prompts, dimensions); got (8,)"),
        (lambda f: f.unlink(missing_ok=True), "there is no file"),
    ],
)
def test_malformed_arrays_are_refused(study_of, tmp_path, write, said):
    write(tmp_path / "v.npy")
    assert said in refused(study_of("v.npy"))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"prompt_id": ["a", "a"], "embedding": [[1.0], [2.0]]},
            "1 prompt_ids occur more than once (first: a)",
        ),
        ({"prompt_id": ["a", None], "embedding": [[1.0], [2.0]]}, "prompt_id is missing in 1 of 2 rows"),
        ({"prompt_id": ["a", "b"], "embedding": [[1.0], [2.0, 3.0]]}, "needs a list of the same length"),
        ({"prompt_id": ["a", "b"], "embedding": ["x", "y"]}, "the column is of type string"),
        ({"prompt_id": ["a"], "vectors": [[1.0]]}, "has no column embedding; it has prompt_id, vectors"),
    ],
)
def test_malformed_tables_are_refused(study_of, tmp_path, columns, said):
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    assert said in refused(study_of("v.parquet"))


def test_alignment_is_as_asked_for(study_of, tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    with pytest.raises(GivenError, match="has no prompt_id"):
        read_given(study_of("v.npy", align="prompt_id").embeddings)
    table = pa.table({"prompt_id": [f"own {i}" for i in range(8)], "embedding": VECTORS.tolist()})
    pq.write_table(table, tmp_path / "v.parquet")
    assert "none for 5 of the pool's 5 prompts" in refused(study_of("v.parquet"))
    assert numbers(study_of("v.parquet", align="row")) == {i: i for i in (0, 1, 2, 5, 7)}


def test_a_study_names_a_file_that_can_be_read(study_of):
    with pytest.raises(ValueError, match=r"a file of .npy, .parquet, .safetensors; got '.*v.pkl'"):
        study_of("v.pkl")
