"""How the pool's embeddings lie before and after their transform, in figures and a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.demo import model_folder
from edsel_assets.kinds.making import Made, Making
from edsel_assets.selection.geometry.figures import Geometry, geometry
from edsel_assets.stages.inputs import embedding_matrix
from edsel_assets.study import Study

GEOMETRY = pa.schema(
    [
        ("embeddings", pa.string()),
        ("dimensions", pa.int64()),
        ("mean_cosine", pa.float64()),
        ("effective_dimension", pa.float64()),
        ("looked_at", pa.int64()),
        ("twins", pa.float64()),
        ("nearest_cosine", pa.float64()),
        ("same_task", pa.float64()),
        ("by_chance", pa.float64()),
    ]
)


def embedding_geometry(making: Making, pool: Any, embeddings: Any) -> Made:
    """How embeddings lie before and after their transform."""
    from edsel_assets.report.geometry_plots import cosines
    from edsel_assets.stages.signals import raw_embeddings

    study = making.study
    answers = ["response"] if study.embeddings.input == "prompt_response" else []
    texts = pool.read(["prompt_id", "prompt", "task", *answers])
    path = model_folder(study.model.path)
    raw, _ = raw_embeddings(study, making.home, texts, path, making.open_model, making.progress)
    found = geometries(study, texts, raw, embeddings.read())
    table = geometry_table(found)
    shown: dict[str, Any] = {"figures": table}
    if found:
        pairs = {name: one.pairs for name, one in found.items()}
        shown["cosines"] = cosines(pairs, {name: one.nearest for name, one in found.items()})
    return Made(table, shown)


def geometries(study: Study, pool: pa.Table, raw: np.ndarray, embeddings: pa.Table) -> dict[str, Geometry]:
    """The geometry of the embeddings ``as they are``, and by its name after a transform that changed them.

    Args:
        pool: ``prompt_id`` and ``task``.
        raw: (N, d) before the transform.
        embeddings: as stored, after it.

    A pool of one prompt has none.
    """
    if pool.num_rows < 2:
        return {}
    ids, tasks = pool["prompt_id"].to_numpy().astype(str), pool["task"].to_pylist()
    made = embedding_matrix(embeddings, pool["prompt_id"])
    stages = {"as they are": raw}
    if made.shape != raw.shape or not np.array_equal(made, raw):
        stages[study.embeddings.transform] = made
    return {
        name: geometry(matrix, keys=ids, tasks=tasks, device=study.model.device)
        for name, matrix in stages.items()
    }


def geometry_table(found: dict[str, Geometry]) -> pa.Table:
    """The figures, a row for each stage; ``nearest_cosine`` is the median over prompts."""
    rows: list[dict[str, Any]] = [
        {
            "embeddings": name,
            "nearest_cosine": float(np.median(one.nearest)),
            **{field: getattr(one, field) for field in GEOMETRY.names if hasattr(one, field)},
        }
        for name, one in found.items()
    ]
    return pa.Table.from_pylist(rows, schema=GEOMETRY)
