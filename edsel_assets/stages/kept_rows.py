"""A pool's signals, computed once per prompt and kept: what the model says, stored row by row.

This joins ``store`` and ``llm``: rows are found again under a fingerprint of all that decides
their values, so that a grown pool computes its new prompts only, and a killed run goes on after
its last whole shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import wraps
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.kinds.kept import EMBEDDER, FORWARD_PASS
from edsel_assets.llm.models.templates import check_template, format_prompt
from edsel_assets.store import Home, MissingRows, RowStore, embeddings_table, list_matrix

STEP_COLUMNS = ("token_id", "logprob", "top1", "top2", "entropy")

_OF_MODEL = "Set model.dtype to float32, as a narrower type overflows, or leave such prompts out of the pool."
_OF_EMBEDDER = "Leave such prompts out of the pool, or set embeddings.name to another model."

Progress = Callable[[int, int], None]
P = ParamSpec("P")
T = TypeVar("T")


class UnusableEmbedding(ValueError):
    """A vector that is not finite, or is zero. It is not kept, as kept rows are never computed again."""


@dataclass(frozen=True)
class PassSettings:
    """What decides the values of a pass beside the model and the prompts; see ``forward_pool``."""

    template: str
    max_new_tokens: int
    max_prompt_tokens: int
    pooling: Literal["last", "mean"] = "last"
    prompt_likelihood: bool = True
    room: int = 0

    def embeddings_alone(self) -> PassSettings:
        """The same prompts, cut as they are here, and nothing decoded."""
        return replace(self, max_new_tokens=0, prompt_likelihood=False, room=self.max_new_tokens)

    def fields(self) -> dict[str, Any]:
        """What rows are found by; a pass that leaves no room is found where it was before there was any."""
        return {name: value for name, value in asdict(self).items() if name != "room" or value}


@dataclass(frozen=True)
class SignalsResult:
    """Counts over the N prompts asked for, and the fingerprint that their rows lie under.

    ``truncated`` counts prompts that lost tokens on the left, of rows new and reused; 0 for an
    embedder, which does not say.
    """

    rows_new: int
    rows_reused: int
    truncated: int
    fingerprint: str


def once_more(make: Callable[P, T]) -> Callable[P, T]:
    """``make``, run a second time where rows were found damaged: these are set aside, and computed again."""

    @wraps(make)
    def made(*values: P.args, **named: P.kwargs) -> T:
        try:
            return make(*values, **named)
        except MissingRows:
            return make(*values, **named)

    return made


class Embedder(Protocol):
    """What gives embeddings of texts; see ``edsel_assets.llm.reading.embedders``."""

    def embed(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """(n, d) float32 of the next n texts, in order, until all are done."""
        ...


class PoolSignals:
    """Embeddings and token statistics of a pool under one model and one setting.

    Args:
        home: of the row store.
        model: what decides the model's values, as JSON values; see ``llm.models.identity.model_identity``.
        settings: of the pass.
        alone: only embeddings are wanted: the rows of the pass are read where it was made, and of other
            prompts nothing is decoded.
    """

    def __init__(
        self, home: Home, model: Mapping[str, Any], settings: PassSettings, alone: bool = False
    ) -> None:
        check_template(settings.template)
        passes = [settings, settings.embeddings_alone()] if alone else [settings]
        fields = {"model": dict(model), "code_version": FORWARD_PASS.version}
        self._stores = [RowStore(home, FORWARD_PASS.name, {**fields, **each.fields()}) for each in passes]
        self.settings, self._store = passes[-1], self._stores[-1]

    def compute(
        self,
        prompt_ids: Sequence[str],
        prompts: Sequence[str],
        *,
        open_model: Callable[[], tuple[Any, Any]],
        batch_tokens: int,
        shard_rows: int = 1024,
        progress: Progress | None = None,
    ) -> SignalsResult:
        """Compute and store the rows that are missing; load the model only if some are.

        Args:
            prompt_ids: N ids, unique.
            prompts: N texts without the template.
            open_model: gives (model, tokenizer).
            batch_tokens: as in ``forward_pool``; it does not change the values.
            shard_rows: prompts per shard, which are sorted by length together; a killed run loses
                at most these.
            progress: called with (prompts done, N), the reused ones counted as done.
        """
        missing = _missing(self._stores, prompt_ids, prompts, shard_rows)
        if len(missing):
            self._run(prompt_ids, prompts, missing, open_model(), batch_tokens, shard_rows, progress)
        truncated = pc.sum(self._read(prompt_ids, ["truncated"])["truncated"]).as_py() or 0
        return SignalsResult(
            len(missing), len(prompt_ids) - len(missing), int(truncated), self._store.fingerprint
        )

    def embeddings(self, prompt_ids: Sequence[str]) -> np.ndarray:
        """(N, d) float32 in the order of ``prompt_ids``. Raises MissingRows before ``compute``."""
        return list_matrix(self._read(prompt_ids, ["embedding"])["embedding"])

    def token_probabilities(self, prompt_ids: Sequence[str]) -> pa.Table:
        """Per prompt, in order: lists over decoding steps, and numbers of the prompt itself.

        ``prompt_id``; ``token_id`` (int32), ``logprob``, ``top1``, ``top2``, ``entropy`` (float32) lists;
        ``prompt_tokens`` (int32), ``truncated`` (bool), ``prompt_logprob`` (float64; NaN if not computed).
        """
        columns = ["prompt_id", *STEP_COLUMNS, "prompt_tokens", "truncated", "prompt_logprob"]
        return self._store.read(prompt_ids, columns)

    def _read(self, prompt_ids: Sequence[str], columns: list[str]) -> pa.Table:
        """Rows of the first store that has them, in the order of ``prompt_ids``."""
        first, last = self._stores[0], self._store
        absent = first.missing(prompt_ids)
        if first is last or not len(absent):
            return first.read(prompt_ids, columns)
        if len(absent) == len(prompt_ids):
            return last.read(prompt_ids, columns)
        held = np.delete(np.arange(len(prompt_ids)), absent)
        parts = [(first, held), (last, absent)]
        read = [store.read([prompt_ids[i] for i in rows], columns) for store, rows in parts]
        return pa.concat_tables(read).take(np.argsort(np.concatenate([held, absent])))

    def _run(
        self,
        prompt_ids: Sequence[str],
        prompts: Sequence[str],
        missing: np.ndarray,
        opened: tuple[Any, Any],
        batch_tokens: int,
        shard_rows: int,
        progress: Progress | None,
    ) -> None:
        from edsel_assets.llm import forward_pool

        reused, settings = len(prompt_ids) - len(missing), self.settings
        records = forward_pool(
            *opened,
            [format_prompt(settings.template, prompts[i]) for i in missing],
            max_new_tokens=settings.max_new_tokens,
            max_prompt_tokens=settings.max_prompt_tokens,
            room=settings.room,
            batch_tokens=batch_tokens,
            pooling=settings.pooling,
            prompt_likelihood=settings.prompt_likelihood,
            window=shard_rows,
            progress=_shifted(progress, reused),
        )
        for start in range(0, len(missing), shard_rows):
            rows = missing[start : start + shard_rows]
            shard = [record for _, record in zip(rows, records, strict=False)]
            ids = [prompt_ids[i] for i in rows]
            check_vectors(ids, np.stack([record.embedding for record in shard]), _OF_MODEL)
            self._store.append(_shard(ids, shard))


class PoolEmbeddings:
    """Embeddings of a pool's texts by an :class:`Embedder` other than the base model.

    Args:
        home: of the row store.
        embedder: what decides the embedder's values, as JSON values: kind, name, revision, endpoint.
        text: what the texts are made of, such as ``prompt`` or ``prompt_response``.
    """

    def __init__(self, home: Home, embedder: Mapping[str, Any], text: str = "prompt") -> None:
        fields = {"embedder": dict(embedder), "text": text, "code_version": EMBEDDER.version}
        self._store = RowStore(home, EMBEDDER.name, fields)

    def compute(
        self,
        prompt_ids: Sequence[str],
        texts: Sequence[str],
        *,
        open_embedder: Callable[[], Embedder],
        shard_rows: int = 1024,
        progress: Progress | None = None,
    ) -> SignalsResult:
        """As :meth:`PoolSignals.compute`, with N texts that go to the embedder as they are."""
        missing = _missing([self._store], prompt_ids, texts, shard_rows)
        done = len(prompt_ids) - len(missing)
        embedder = open_embedder() if len(missing) else None
        for start in range(0, len(missing), shard_rows):
            assert embedder is not None
            rows = missing[start : start + shard_rows]
            batches = []
            for batch in embedder.embed([texts[i] for i in rows]):
                batches.append(batch)
                done += len(batch)
                if progress is not None:
                    progress(done, len(prompt_ids))
            ids, vectors = [prompt_ids[i] for i in rows], np.concatenate(batches)
            check_vectors(ids, vectors, _OF_EMBEDDER)
            self._store.append(embeddings_table(ids, vectors))
        return SignalsResult(len(missing), len(prompt_ids) - len(missing), 0, self._store.fingerprint)

    def embeddings(self, prompt_ids: Sequence[str]) -> np.ndarray:
        """(N, d) float32 in the order of ``prompt_ids``. Raises MissingRows before ``compute``."""
        return list_matrix(self._store.read(prompt_ids, ["embedding"])["embedding"])


def check_vectors(row_ids: Sequence[str], vectors: np.ndarray, remedy: str) -> None:
    """Raise UnusableEmbedding where one of the (n, d) ``vectors`` is not finite or is zero.

    Args:
        row_ids: n ids; a row id is a prompt's, or begins with one and a point.
    """
    finite = np.isfinite(vectors).all(axis=1)
    wrong = np.flatnonzero(~finite | ~vectors.any(axis=1))
    if len(wrong):
        first = int(wrong[0])
        what = "is a zero vector, which has no direction" if finite[first] else "holds NaN or infinity"
        raise UnusableEmbedding(
            f"The embedding of prompt {row_ids[first].partition('.')[0]} {what} ({len(wrong)} of "
            f"{len(vectors)} are unusable). {remedy}"
        )


def _missing(
    stores: Sequence[RowStore], prompt_ids: Sequence[str], texts: Sequence[str], shard_rows: int
) -> np.ndarray:
    """Positions of the prompts that have no row in any of the stores, ascending."""
    if len(prompt_ids) != len(texts):
        raise ValueError(f"every text needs one prompt_id; got {len(prompt_ids)} ids, {len(texts)} texts.")
    if len(set(prompt_ids)) != len(prompt_ids):
        raise ValueError("prompt_ids must be unique; drop the repeated prompts.")
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be at least 1; got {shard_rows}.")
    left = np.arange(len(prompt_ids))
    for store in stores:
        left = left[store.missing([prompt_ids[i] for i in left.tolist()])]
    return left


def _shifted(progress: Progress | None, by: int) -> Progress | None:
    return None if progress is None else lambda done, total: progress(done + by, total + by)


def _shard(prompt_ids: list[str], records: list[Any]) -> pa.Table:
    table = embeddings_table(prompt_ids, np.stack([record.embedding for record in records]))
    for name in STEP_COLUMNS:
        kind = pa.int32() if name == "token_id" else pa.float32()
        lists = [getattr(record, name) for record in records]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int32)
        values = pa.array(np.concatenate(lists), kind)
        table = table.append_column(name, pa.ListArray.from_arrays(pa.array(offsets), values))
    numbers = {
        "prompt_tokens": pa.int32(),
        "truncated": pa.bool_(),
        "prompt_logprob": pa.float64(),
    }
    for name, kind in numbers.items():
        table = table.append_column(name, pa.array([getattr(record, name) for record in records], kind))
    return table
