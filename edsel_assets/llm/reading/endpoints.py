"""Embeddings of texts from an endpoint over HTTP: what each provider's protocol asks and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..servers.asking import RETRIED, PassingFailure, pause_asked_for
from ..servers.server import NoAnswer, Post, Server, json_of

_BYTES = 2**18  # of one embedding as JSON: 8,192 numbers of 32 characters
_BYTES_BESIDE = 2**20


class EmbeddingError(RuntimeError):
    """Embeddings could not be had; the message is one line and never holds a key."""


@dataclass(frozen=True)
class Provider:
    """One protocol, and where its provider's own server is.

    Attributes:
        largest_batch: texts per request at most.
        path: below the server's address.
        body: what to send, from the model's name and the texts.
        vectors: the embeddings in an answer, in the order of the texts.
    """

    url: str
    largest_batch: int
    path: str
    body: Callable[[str, Sequence[str]], dict[str, Any]]
    vectors: Callable[[Any], Any]


def _openai_vectors(answer: Any) -> list[Any]:
    rows = sorted(answer["data"], key=lambda row: row["index"])
    if [row["index"] for row in rows] != list(range(len(rows))):
        raise ValueError("the places of the embeddings are not 0, 1, 2 and so on")
    return [row["embedding"] for row in rows]


PROVIDERS = {
    "openai": Provider(
        "https://api.openai.com/v1",
        2048,
        "/embeddings",
        lambda model, texts: {"model": model, "input": list(texts), "encoding_format": "float"},
        _openai_vectors,
    ),
    "cohere": Provider(
        "https://api.cohere.com",
        96,
        "/v2/embed",
        lambda model, texts: {
            "model": model,
            "texts": list(texts),
            "input_type": "clustering",
            "embedding_types": ["float"],
        },
        lambda answer: answer["embeddings"]["float"],
    ),
}


def embeddings_of(
    name: str, server: Server, post: Post, model: str, texts: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(n, d) float32 of n texts, by one request in the protocol of the provider ``name``.

    Raises:
        PassingFailure: what may be tried again.
        EmbeddingError: a refused request, with the status and the server's reason; an answer of another form.
    """
    provider = PROVIDERS[name]
    try:
        answer = post(provider.path, provider.body(model, texts), _BYTES_BESIDE + _BYTES * len(texts))
    except NoAnswer as error:
        raise PassingFailure(str(error)) from None
    if answer.status in RETRIED:
        raise PassingFailure(f"{server.url} answers {answer.status}", pause_asked_for(answer.headers))
    if answer.status != 200:
        raise EmbeddingError(f"{server.url} answers {answer.status}: {server.words(answer.text)}")
    if answer.cut:
        raise EmbeddingError(
            f"{server.url} answers with more than {len(answer.data):,} bytes for {len(texts)} texts. "
            "Lower embeddings.batch_size."
        )
    try:
        vectors = np.array(provider.vectors(json_of(answer.text)), dtype=np.float32)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise EmbeddingError(f"{server.url} does not answer in the protocol of {name}.") from error
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise EmbeddingError(
            f"{server.url} answers with embeddings of shape {vectors.shape} for {len(texts)} texts; "
            "one vector per text is needed."
        )
    return vectors
