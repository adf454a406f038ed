"""One number per text, kept by content: what was scored once is never scored again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.kinds.kept import SCORES
from edsel_assets.stages.kept_rows import once_more
from edsel_assets.store import Home, RowStore, content_hash


@dataclass(frozen=True)
class Kept:
    """``values``: (N,) float64, NaN where there is no score. ``rows_new``, ``rows_reused``: different texts
    that were scored now and before. ``missing``: of the N, those without a score."""

    values: np.ndarray
    rows_new: int
    rows_reused: int

    @property
    def missing(self) -> int:
        return int(np.isnan(self.values).sum())

    @property
    def counts(self) -> dict[str, int]:
        return {"rows_new": self.rows_new, "rows_reused": self.rows_reused, "without_score": self.missing}


class KeptScores:
    """Scores under all that decides them.

    Args:
        home: of the row store.
        scorer: what decides a score beside its text, as JSON values: kind, model, settings.
    """

    def __init__(self, home: Home, scorer: Mapping[str, Any]) -> None:
        self._store = RowStore(home, SCORES.name, {"scorer": dict(scorer), "code_version": SCORES.version})

    @once_more
    def compute(
        self,
        keys: Sequence[str],
        score: Callable[[np.ndarray], np.ndarray],
        *,
        shard_rows: int = 1024,
        progress: Callable[[int, int], None] | None = None,
    ) -> Kept:
        """Scores of the N texts behind ``keys``, equal keys being equal texts.

        Args:
            score: (n,) float64 of the texts at n positions, NaN where there is none; called for the missing
                ones, ``shard_rows`` at a time, each kept before the next.

        Raises:
            ValueError: for an infinite score; and what ``score`` raises, after the shards before it are kept.
        """
        _, first = np.unique(np.asarray(keys, dtype=str), return_index=True)
        different = np.sort(first)
        missing = different[self._store.missing([keys[i] for i in different])]
        found = np.full(len(keys), np.nan)
        for start in range(0, len(missing), shard_rows):
            rows = missing[start : start + shard_rows]
            self._keep([keys[i] for i in rows], score(rows))
            if progress is not None:
                progress(len(different) - len(missing) + start + len(rows), len(different))
        there = np.setdiff1d(np.arange(len(keys)), self._store.missing(keys))
        if len(there):
            found[there] = self._store.read([keys[i] for i in there], ["score"])["score"].to_numpy()
        return Kept(found, len(missing), len(different) - len(missing))

    def _keep(self, keys: list[str], values: np.ndarray) -> None:
        if np.isinf(values).any():
            raise ValueError(
                f"the scorer gave an infinite score ({np.isinf(values).sum()} of {len(values)})."
            )
        known = np.flatnonzero(~np.isnan(values))
        ids = pa.array([keys[i] for i in known], pa.string())
        self._store.append(pa.table({"prompt_id": ids, "score": values[known]}))


def text_keys(
    prompt_ids: Sequence[str], responses: Sequence[str] | None, ended: Sequence[bool] | None = None
) -> list[str]:
    """Keys of prompts, or of prompts with responses; a response that was cut off is another text."""
    if responses is None:
        return list(prompt_ids)
    closed = [True] * len(responses) if ended is None else ended
    return [
        f"{i}.{content_hash(r)}{'' if end else '.cut'}"
        for i, r, end in zip(prompt_ids, responses, closed, strict=True)
    ]
