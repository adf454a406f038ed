"""The signals of a pool: rows computed once per prompt, kept by content, read back in pool order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.kinds.deciding import versions
from edsel_assets.kinds.dimensions import reads_probabilities
from edsel_assets.kinds.kept import EMBEDDER, FORWARD_PASS
from edsel_assets.llm.models.identity import encoder_name, model_identity
from edsel_assets.llm.models.templates import format_prompt
from edsel_assets.selection import Clusters, kmeans
from edsel_assets.stages.inputs import embedding_matrix
from edsel_assets.stages.kept_rows import PassSettings, PoolEmbeddings, PoolSignals, once_more
from edsel_assets.store import Home, content_hash, embeddings_table
from edsel_assets.study import EmbeddingSettings, Study

OpenModel = Callable[[], tuple[Any, Any]]
Progress = Callable[[int, int], None]


class MissingTexts(ValueError):
    """Embeddings of prompt and response were asked for, and responses are not there."""


@once_more
def embeddings(
    study: Study,
    home: Home,
    pool: pa.Table,
    model_path: str,
    open_model: OpenModel,
    progress: Progress | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """``prompt_id, embedding`` of the pool as all else reads them, and counts of rows new and reused.

    The rows that are kept are as the study's embedder gives them. The transform is of this pool: it is fitted
    anew each time, so that a pool that grew has one transform for prompts old and new.
    """
    from edsel_assets.selection.geometry.transform import fit_transform

    settings = study.embeddings
    raw, counts = raw_embeddings(study, home, pool, model_path, open_model, progress)
    fitted = fit_transform(raw, settings.transform, dimensions=settings.dimensions)
    matrix = fitted.apply(raw)
    done = {"transform": fitted.kind, "dimensions": matrix.shape[1]}
    return embeddings_table(pool["prompt_id"], matrix), {**counts, **done}


def raw_embeddings(
    study: Study,
    home: Home,
    pool: pa.Table,
    model_path: str,
    open_model: OpenModel,
    progress: Progress | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """(N, d) float32 embeddings before any transform, and counts of rows new and reused."""
    settings = study.embeddings
    if settings.source == "file":
        from edsel_assets.stages.vectors.given import given_embeddings

        return given_embeddings(study, pool["prompt_id"]), {"from_file": pool.num_rows}
    ids, texts = _embedded_texts(study, pool)
    if settings.source == "model":
        source = _embedding_pass(study, home, model_path)
        counts = source.compute(
            ids,
            texts,
            open_model=open_model,
            batch_tokens=study.forward.batch_tokens,
            shard_rows=study.forward.shard_rows,
            progress=progress,
        )
        return source.embeddings(ids), asdict(counts)
    rows = PoolEmbeddings(home, embedder_identity(settings, home), settings.input)
    counts = rows.compute(
        ids,
        texts,
        open_embedder=lambda: open_embedder(settings, study.model.device),
        shard_rows=study.forward.shard_rows,
        progress=progress,
    )
    return rows.embeddings(ids), asdict(counts)


@once_more
def token_probabilities(
    study: Study,
    home: Home,
    pool: pa.Table,
    model_path: str,
    open_model: OpenModel,
    progress: Progress | None = None,
) -> tuple[pa.Table, dict[str, Any]]:
    """Per prompt the statistics of greedy decoding, from the same rows as the model's embeddings."""
    source = _base_pass(study, home, model_path)
    ids = pool["prompt_id"].to_pylist()
    counts = source.compute(
        ids,
        pool["prompt"].to_pylist(),
        open_model=open_model,
        batch_tokens=study.forward.batch_tokens,
        shard_rows=study.forward.shard_rows,
        progress=progress,
    )
    return source.token_probabilities(ids), asdict(counts)


def _base_pass(study: Study, home: Home, model_path: str, alone: bool = False) -> PoolSignals:
    forward = study.forward
    settings = PassSettings(
        study.model.template, forward.max_new_tokens, forward.max_prompt_tokens, forward.pooling
    )
    return PoolSignals(home, base_identity(study, home, model_path), settings, alone)


def _embedding_pass(study: Study, home: Home, model_path: str) -> PoolSignals:
    """The whole pass where the study reads more of it; texts that are whole already have no template."""
    if study.embeddings.input == "prompt":
        return _base_pass(study, home, model_path, alone=not reads_probabilities(study))
    forward = study.forward
    settings = PassSettings("{prompt}", 0, forward.max_prompt_tokens, forward.pooling, False)
    return PoolSignals(home, base_identity(study, home, model_path), settings)


def _embedded_texts(study: Study, pool: pa.Table) -> tuple[list[str], list[str]]:
    """Row ids and texts; an id names the response too where the text holds it."""
    ids, prompts = pool["prompt_id"].to_pylist(), pool["prompt"].to_pylist()
    if study.embeddings.input == "prompt":
        return ids, prompts
    responses = pool["response"].to_pylist()
    absent = sum(response is None for response in responses)
    if absent:
        raise MissingTexts(
            f"embeddings.input is prompt_response, but {absent} of {len(ids)} prompts have no response. "
            "Set it to prompt."
        )
    texts = [format_prompt(study.model.template, p) + r for p, r in zip(prompts, responses, strict=True)]
    return [f"{i}.{content_hash(r)}" for i, r in zip(ids, responses, strict=True)], texts


def base_identity(study: Study, home: Home, model_path: str) -> dict[str, Any]:
    """What decides the base model's numbers."""
    settings = study.model
    return model_identity(
        home,
        model_path,
        settings.revision,
        settings.dtype,
        settings.device,
        versions(FORWARD_PASS.libraries),
        with_code=settings.trust_remote_code,
    )


def embedder_identity(settings: EmbeddingSettings, home: Home) -> dict[str, Any]:
    """What decides an embedder's numbers; of a model that is loaded here its files or its commit too."""
    known = settings.model_dump(include={"source", "name", "revision", "base_url"})
    if settings.source != "sentence_transformers":
        return known
    name, libraries = encoder_name(str(settings.name)), versions(EMBEDDER.libraries)
    found = model_identity(home, name, settings.revision, None, "auto", libraries, below=True)
    return {"source": settings.source, **found}


def open_embedder(settings: EmbeddingSettings, device: str) -> Any:
    """The embedder that the study names; its key is read from the environment only."""
    from edsel_assets.llm import EndpointEmbedder, SentenceEmbedder

    assert settings.name is not None  # checked as the study loads
    if settings.source == "sentence_transformers":
        return SentenceEmbedder(
            settings.name, revision=settings.revision, device=device, batch_size=settings.batch_size
        )
    assert settings.source in ("openai", "cohere")
    return EndpointEmbedder(
        settings.source,
        settings.name,
        base_url=settings.base_url,
        key_variable=settings.key_variable,
        batch_size=settings.batch_size,
        requests_per_minute=settings.requests_per_minute,
    )


def cluster_pool(study: Study, pool: pa.Table, embeddings: pa.Table, count: int) -> tuple[pa.Table, Clusters]:
    """``prompt_id, cluster, distance`` and the clustering itself."""
    settings = study.clustering
    count = settings.made(count, pool.num_rows)
    if count > pool.num_rows:
        raise ValueError(
            f"clustering.counts has {count} clusters for a pool of {pool.num_rows} prompts; lower it."
        )
    found = kmeans(
        embedding_matrix(embeddings, pool["prompt_id"]),
        count,
        seed=settings.seed,
        nredo=settings.restarts,
        niter=settings.iterations,
        tie_break=pool["prompt_id"].to_numpy().astype(str),
        device=study.model.device,
    )
    table = pa.table(
        {
            "prompt_id": pool["prompt_id"],
            "cluster": found.labels.astype(np.int32),
            "distance": found.distances.astype(np.float32),
        }
    )
    return table, found
