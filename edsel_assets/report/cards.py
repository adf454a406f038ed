"""Cards: why each prompt was picked, and what the selection as a whole covers.

Symbols: N prompts of the pool, k picks, d embedding dimension. Embeddings are L2-normalised here, so that a
cosine c is a distance sqrt(2 - 2 c). A prompt's *nearest pick* has the largest cosine with it;
of equals the pick of lowest rank, and a pick is its own. Time O(N k d) in blocks of 64 MB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.report.statistics.skew import skew_tables

_BLOCK = 16_000_000  # cosines held at a time, 4 bytes each


@dataclass(frozen=True)
class Cards:
    """What there is to say of one selection.

    Attributes:
        picks: by ascending rank: ``rank, prompt_id, prompt``, ``gain`` (null where the strategy has
            none), ``score`` and ``score_percentile`` (share of the pool with a lower score, in
            [0, 1]), ``cluster, cluster_size, cluster_picks``, ``stands_for`` (prompts of the pool
            whose nearest pick it is, itself among them), ``nearest_pick`` (prompt_id of the nearest
            other pick) and ``nearest_cosine``, and ``why`` in words.
        coverage: one row: ``prompts, picks``, ``mean_distance`` and ``max_distance`` of a prompt to its
            nearest pick, ``farthest`` (the prompt_id at that maximum), ``largest_share`` (of the pool
            that one pick stands for).
        skew: ``field, value, pool, selected, pool_share, selected_share, ratio`` (selected share by pool
            share) for the fields task, source and length (fifths of the pool by characters).
        skew_tests: ``field, values, statistic, p``; see ``skew_tables``.
    """

    picks: pa.Table
    coverage: pa.Table
    skew: pa.Table
    skew_tests: pa.Table


def make_cards(
    pool: pa.Table,
    embeddings: np.ndarray,
    selection: pa.Table,
    *,
    scores: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    seed: int = 0,
) -> Cards:
    """The cards of a selection.

    Args:
        pool: ``prompt_id, prompt`` and, where known, ``task`` and ``source``; N rows.
        embeddings: (N, d) floats in the pool's row order.
        selection: ``prompt_id, rank`` and, where known, ``gain``: one replicate at one budget.
        scores: (N,) the strategy's uncertainty or quality, higher is preferred; NaN where unknown.
        clusters: (N,) labels.
        seed: of the draws behind the skew's p-values.

    Raises:
        ValueError: on a pick that the pool lacks or that is there twice, an empty selection, an array
            of another length than the pool, or an embedding that is not finite.
    """
    _check_lengths(pool, embeddings=embeddings, scores=scores, clusters=clusters)
    ordered = selection.sort_by("rank")
    ids = pool["prompt_id"].to_pylist()
    rows = _rows(ids, ordered["prompt_id"].to_pylist())
    nearest, cosines = nearest_picks(embeddings, rows)
    beside, beside_cosine = _nearest_other(embeddings, rows)
    counts = np.bincount(nearest, minlength=len(rows))
    columns = {
        "rank": ordered["rank"],
        "prompt_id": ordered["prompt_id"],
        "prompt": pool["prompt"].take(rows),
        "gain": _gains(ordered),
        **_score_columns(scores, rows),
        **_cluster_columns(clusters, rows),
        "stands_for": counts,
        "nearest_pick": [None if b < 0 else ids[rows[b]] for b in beside],
        "nearest_cosine": pa.array(beside_cosine, from_pandas=True),
    }
    picks = pa.table(columns)
    picks = picks.append_column("why", [[_why(row, len(ids)) for row in picks.to_pylist()]])
    skew, tests = skew_tables(pool, rows, seed=seed)
    return Cards(picks, _coverage(ids, cosines, counts), skew, tests)


def nearest_picks(embeddings: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per prompt the position in ``rows`` of its nearest pick, (N,) int64, and the cosine, (N,) float32."""
    picked = _unit(embeddings[rows])
    nearest = np.empty(len(embeddings), np.int64)
    cosines = np.empty(len(embeddings), np.float32)
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(embeddings), step):
        products = _unit(embeddings[start : start + step]) @ picked.T
        best = products.argmax(axis=1)
        nearest[start : start + step] = best
        cosines[start : start + step] = products[np.arange(len(best)), best]
    nearest[rows], cosines[rows] = np.arange(len(rows)), 1.0
    return nearest, np.clip(cosines, -1.0, 1.0)


def _nearest_other(embeddings: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per pick the position of the nearest other one, -1 for an only pick, and its cosine (NaN)."""
    if len(rows) == 1:
        return np.array([-1]), np.array([np.nan])
    picked = _unit(embeddings[rows])
    nearest, cosines = np.empty(len(rows), np.int64), np.empty(len(rows))
    step = max(1, _BLOCK // len(rows))
    for start in range(0, len(rows), step):
        products = picked[start : start + step] @ picked.T
        own = np.arange(len(products))
        products[own, start + own] = -np.inf
        nearest[start : start + step] = products.argmax(axis=1)
        cosines[start : start + step] = products.max(axis=1)
    return nearest, np.clip(cosines, -1.0, 1.0)


def _unit(embeddings: np.ndarray) -> np.ndarray:
    values = np.asarray(embeddings, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise ValueError("Every embedding must be finite; some are not. Compute the embeddings again.")
    return values / np.where(lengths > 0, lengths, 1.0)


def _check_lengths(pool: pa.Table, **arrays: np.ndarray | None) -> None:
    for name, array in arrays.items():
        if array is not None and len(array) != pool.num_rows:
            raise ValueError(
                f"{name} must have a row for each of the pool's {pool.num_rows} prompts, in its order; "
                f"got {len(array)}."
            )


def _rows(ids: list[str], picked: list[str]) -> np.ndarray:
    place = {prompt_id: row for row, prompt_id in enumerate(ids)}
    unknown = [p for p in picked if p not in place]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(picked)} picks are not in the pool, e.g. {unknown[0]}. "
            "Select anew from this pool, or give the pool that was selected from."
        )
    if not picked or len(set(picked)) < len(picked):
        raise ValueError(
            f"A selection must hold each pick once and one at least; got {len(picked)} rows of "
            f"{len(set(picked))} prompts. Give one replicate at one budget."
        )
    return np.array([place[p] for p in picked], np.int64)


def _gains(selection: pa.Table) -> pa.Array:
    if "gain" in selection.column_names:
        return pc.if_else(pc.is_nan(selection["gain"].cast(pa.float64())), None, selection["gain"])
    return pa.nulls(selection.num_rows, pa.float64())


def _score_columns(scores: np.ndarray | None, rows: np.ndarray) -> dict[str, pa.Array]:
    if scores is None:
        return {name: pa.nulls(len(rows), pa.float64()) for name in ("score", "score_percentile")}
    values = np.asarray(scores, float)
    known = np.sort(values[np.isfinite(values)])
    below = np.searchsorted(known, values[rows]) / max(len(known), 1)
    below[~np.isfinite(values[rows])] = np.nan
    return {
        "score": pa.array(values[rows], from_pandas=True),
        "score_percentile": pa.array(below, from_pandas=True),
    }


def _cluster_columns(clusters: np.ndarray | None, rows: np.ndarray) -> dict[str, pa.Array]:
    names = ("cluster", "cluster_size", "cluster_picks")
    if clusters is None:
        return {name: pa.nulls(len(rows), pa.int64()) for name in names}
    _, labels = np.unique(clusters, return_inverse=True)
    sizes, picks = np.bincount(labels), np.bincount(labels[rows], minlength=labels.max() + 1)
    columns = (np.asarray(clusters)[rows], sizes[labels[rows]], picks[labels[rows]])
    return {name: pa.array(column, pa.int64()) for name, column in zip(names, columns, strict=True)}


def _why(row: dict, pool: int) -> str:
    parts = [f"stands for {row['stands_for']:,} of {pool:,} prompts"]
    if row["gain"] is not None:
        parts.append(f"gain {row['gain']:.4g}")
    if row["score"] is not None:
        parts.append(f"score {row['score']:.4g}, above {row['score_percentile']:.0%} of the pool")
    if row["cluster"] is not None:
        parts.append(
            f"cluster {row['cluster']} ({row['cluster_picks']} picked of {row['cluster_size']:,} prompts)"
        )
    if row["nearest_cosine"] is not None:
        parts.append(f"nearest other pick at cosine {row['nearest_cosine']:.2f}")
    return "; ".join(parts)


def _coverage(ids: list[str], cosines: np.ndarray, counts: np.ndarray) -> pa.Table:
    distances = np.sqrt(np.maximum(2.0 - 2.0 * cosines.astype(float), 0.0))
    farthest = int(distances.argmax())
    row = {
        "prompts": len(ids),
        "picks": len(counts),
        "mean_distance": float(distances.mean()),
        "max_distance": float(distances[farthest]),
        "farthest": ids[farthest],
        "largest_share": float(counts.max() / len(ids)),
    }
    return pa.Table.from_pylist([row])
