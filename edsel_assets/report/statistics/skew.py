"""How a selection differs from its pool by task, source and length."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

_DRAWS = 2000
_FIFTHS = 5
_SKEW = pa.schema(
    [("field", pa.string()), ("value", pa.string()), ("pool", pa.int64()), ("selected", pa.int64()),
     ("pool_share", pa.float64()), ("selected_share", pa.float64()), ("ratio", pa.float64())]
)  # fmt: skip
_TESTS = pa.schema(
    [("field", pa.string()), ("values", pa.int64()), ("statistic", pa.float64()), ("p", pa.float64())]
)


def skew_tables(pool: pa.Table, rows: np.ndarray, *, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """Shares of the pool and of the selection, and a test of each field.

    The statistic is Pearson's sum of (selected - expected)^2 / expected over the field's values. Its
    p-value is the share of 2,000 random selections of this size, drawn without replacement, with a
    statistic as large; no law of large counts is assumed, as many tasks have few prompts.

    Args:
        pool: ``prompt`` and, where known, ``task`` and ``source``; nulls are a value of their own.
        rows: (k,) the selection's rows.

    Returns:
        ``field, value, pool, selected, pool_share, selected_share, ratio``, largest pool share
        first but lengths in ascending order; and ``field, values, statistic, p``.
    """
    generator = np.random.default_rng(seed)
    shares, tests = [], []
    for field, labels, ordered in _fields(pool):
        values, codes = np.unique(labels, return_inverse=True)
        whole = np.bincount(codes)
        chosen = np.bincount(codes[rows], minlength=len(whole))
        order = np.arange(len(whole)) if ordered else np.argsort(-whole, kind="stable")
        shares += [_share(field, str(values[i]), whole[i], chosen[i], len(codes), len(rows)) for i in order]
        statistic, p = skew_test(whole, chosen, generator)
        tests.append({"field": field, "values": len(whole), "statistic": statistic, "p": p})
    return pa.Table.from_pylist(shares, _SKEW), pa.Table.from_pylist(tests, _TESTS)


def skew_test(whole: np.ndarray, chosen: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """Pearson's statistic of counts ``chosen`` (V,) out of ``whole`` (V,), and its p-value by draws."""
    expected = whole * (chosen.sum() / whole.sum())

    def statistic(counts: np.ndarray) -> np.ndarray:
        return (np.square(counts - expected) / expected).sum(axis=-1)

    drawn = statistic(
        generator.multivariate_hypergeometric(whole, int(chosen.sum()), size=_DRAWS, method="marginals")
    )
    found = float(statistic(chosen))
    return found, float((1 + (drawn >= found * (1 - 1e-12)).sum()) / (1 + _DRAWS))


def _fields(pool: pa.Table) -> list[tuple[str, np.ndarray, bool]]:
    """Name, (N,) labels, and whether the labels have an order of their own."""
    known = [name for name in ("task", "source") if name in pool.column_names]
    fields = [(name, _labels(pool[name]), False) for name in known]
    return [*fields, ("length", _length_labels(pool["prompt"]), True)]


def _labels(column: pa.ChunkedArray) -> np.ndarray:
    return np.array(["(none)" if value is None else str(value) for value in column.to_pylist()])


def _length_labels(prompts: pa.ChunkedArray) -> np.ndarray:
    """The fifth of the pool that a prompt's length lies in, named by its bounds in characters."""
    lengths = np.array([len(prompt) for prompt in prompts.to_pylist()])
    bounds = np.unique(np.quantile(lengths, np.arange(1, _FIFTHS) / _FIFTHS, method="lower"))
    fifth = np.searchsorted(bounds, lengths)
    width = len(str(lengths.max()))
    names = [
        f"{lengths[fifth == i].min():>{width}} to {lengths[fifth == i].max()} characters"
        if (fifth == i).any()
        else ""
        for i in range(len(bounds) + 1)
    ]
    return np.array(names)[fifth]


def _share(field: str, value: str, whole: int, chosen: int, pool: int, picks: int) -> dict:
    pool_share, selected_share = whole / pool, chosen / picks
    return {
        "field": field,
        "value": value.strip(),
        "pool": int(whole),
        "selected": int(chosen),
        "pool_share": float(pool_share),
        "selected_share": float(selected_share),
        "ratio": float(selected_share / pool_share),
    }
