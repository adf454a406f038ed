"""Embeddings of texts by something other than the base model: a sentence encoder, or an endpoint.

Every embedder has ``embed(texts)``, an iterator of (n, d) float32 batches in the order of the texts.
What the texts are, prompts alone or prompts with responses, is the caller's choice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from edsel_assets.secret import Secret, SecretError, server_key

from ..servers.asking import Asker, PassingFailure
from ..servers.server import Post, Server
from .endpoints import PROVIDERS, EmbeddingError, embeddings_of


class SentenceEmbedder:
    """A sentence-transformers model from a local directory or by name.

    Args:
        name_or_path: of the model.
        revision: for a name on the hub alone.
        batch_size: texts encoded at once.
        device: ``auto`` (the first CUDA device, else the CPU) or a torch device.
        normalise: whether to scale embeddings to length 1.

    Raises:
        EmbeddingError: without the sentence-transformers package, or when there is no such model.
    """

    def __init__(
        self,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        batch_size: int = 64,
        device: str = "auto",
        normalise: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EmbeddingError(
                "sentence-transformers is not installed. Install edsel-assets[embeddings]."
            ) from error
        name = os.fspath(name_or_path)
        self._batch_size = _at_least_one("batch_size", batch_size)
        self._normalise = normalise
        try:
            self._model = SentenceTransformer(
                name,
                revision=revision,
                device=None if device == "auto" else device,
                trust_remote_code=trust_remote_code,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EmbeddingError(f"{name} cannot be loaded by sentence-transformers: {reason}") from error

    def embed(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """(n, d) float32 of the next texts, until all are done."""
        step = 16 * self._batch_size  # sorted by length within a call
        for start in range(0, len(texts), step):
            yield self._model.encode(
                list(texts[start : start + step]),
                batch_size=self._batch_size,
                normalize_embeddings=self._normalise,
                show_progress_bar=False,
            ).astype(np.float32)


class EndpointEmbedder:
    """An embeddings endpoint over HTTP, in the protocol of OpenAI or of Cohere (version 2).

    A failed request is repeated with growing, jittered pauses, or after the pause that the server
    asks for; a request that the server calls wrong is not.

    Args:
        provider: ``openai`` for any server that speaks OpenAI's protocol, at ``{base_url}/embeddings``;
            ``cohere`` for Cohere's own, version 2, at ``{base_url}/v2/embed``.
        model: name of the embedding model.
        base_url: of the server; the provider's own without it.
        key_variable: environment variable that holds the key; for the provider's own server its usual
            one without it. Another server gets no key without it.
        batch_size: texts per request.
        requests_per_minute: at most, evenly spaced; None for no limit.
        attempts: how often one request is tried.
        timeout: of one whole request, from connecting to the last byte, in seconds.
        max_pause: between two tries, in seconds.

    Raises:
        ValueError: an unknown provider, or a number out of range.
        EmbeddingError: no key where one is to be sent; a refused request, with the status and the
            server's reason; an answer of the wrong form.
    """

    def __init__(
        self,
        provider: Literal["openai", "cohere"],
        model: str,
        *,
        base_url: str | None = None,
        key_variable: str | None = None,
        batch_size: int = 64,
        requests_per_minute: float | None = None,
        attempts: int = 6,
        timeout: float = 60.0,
        max_pause: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if provider not in PROVIDERS:
            raise ValueError(f"provider must be one of {sorted(PROVIDERS)}; got {provider!r}.")
        if not model:
            raise ValueError("an embeddings endpoint needs the name of a model.")
        known = PROVIDERS[provider]
        if _at_least_one("batch_size", batch_size) > known.largest_batch:
            raise ValueError(
                f"{provider} takes {known.largest_batch} texts per request; got batch_size {batch_size}."
            )
        self._batch_size, self._provider, self._model = batch_size, provider, model
        url = (base_url or known.url).rstrip("/")
        self._server = Server(url, _key(provider, base_url, key_variable), timeout)
        self._asker = Asker(
            attempts, max_pause=max_pause, per_minute=requests_per_minute, sleep=sleep, clock=clock
        )

    def embed(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """(n, d) float32 of the next texts, one request each, until all are done."""
        with self._server.open() as post:
            for start in range(0, len(texts), self._batch_size):
                once = partial(self._once, post, texts[start : start + self._batch_size])
                try:
                    vectors = self._asker.ask(once)
                except PassingFailure as error:
                    raise EmbeddingError(f"{error}.") from None
                yield vectors

    def _once(self, post: Post, texts: Sequence[str]) -> np.ndarray:
        self._asker.wait_for_turn()
        return embeddings_of(self._provider, self._server, post, self._model, texts)


def _key(provider: str, base_url: str | None, variable: str | None) -> Secret | None:
    try:
        return server_key(provider, base_url, variable)
    except SecretError as error:
        raise EmbeddingError(str(error)) from None


def _at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    return value
