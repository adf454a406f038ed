"""Embeddings of texts by something other than the base model: a sentence encoder, or an endpoint.

Every embedder has ``embed(texts)``, an iterator of (n, d) float32 batches in the order of the texts.
What the texts are, prompts alone or prompts with responses, is the caller's choice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from edsel_assets.secret import Secret, SecretError, server_key

from .endpoints import PROVIDERS, EmbeddingError, PassingFailure


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
        provider: ``openai`` for any server that speaks OpenAI's protocol, asked through the ``openai``
            client at ``{base_url}/embeddings``; ``cohere`` posts to ``{base_url}/v2/embed``.
        model: name of the embedding model.
        base_url: of the server; the provider's own without it.
        key_variable: environment variable that holds the key; for the provider's own server its usual
            one without it. Another server gets no key without it.
        batch_size: texts per request.
        requests_per_minute: at most, evenly spaced; None for no limit.
        attempts: how often one request is tried.
        timeout: of connecting, and of waiting for the answer, in seconds.
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
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ValueError(f"requests_per_minute must be positive; got {requests_per_minute}.")
        known = PROVIDERS[provider]
        if _at_least_one("batch_size", batch_size) > known.largest_batch:
            raise ValueError(
                f"{provider} takes {known.largest_batch} texts per request; got batch_size {batch_size}."
            )
        self._batch_size = batch_size
        self._url = (base_url or known.url).rstrip("/")
        self._ask = known.connect(self._url, _key(provider, base_url, key_variable), model, timeout)
        self._attempts, self._max_pause = _at_least_one("attempts", attempts), max_pause
        self._interval = 0.0 if requests_per_minute is None else 60.0 / requests_per_minute
        self._sleep, self._clock, self._next = sleep, clock, float("-inf")

    def embed(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """(n, d) float32 of the next texts, one request each, until all are done."""
        for start in range(0, len(texts), self._batch_size):
            batch = list(texts[start : start + self._batch_size])
            yield self._checked(self._retried(batch), len(batch))

    def _retried(self, texts: list[str]) -> np.ndarray:
        """The answer after as many tries as it takes."""
        import tenacity

        growing = tenacity.wait_exponential(multiplier=0.5) + tenacity.wait_random(0, 0.5)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after if isinstance(error, PassingFailure) else None
            return min(growing(state) if asked is None else asked, self._max_pause)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFailure),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, texts)
        except PassingFailure as error:
            raise EmbeddingError(f"{error}; given up after {self._attempts} tries.") from error.__cause__

    def _once(self, texts: list[str]) -> np.ndarray:
        self._wait_for_turn()
        return self._ask(texts)

    def _wait_for_turn(self) -> None:
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._interval

    def _checked(self, vectors: np.ndarray, count: int) -> np.ndarray:
        if vectors.ndim != 2 or len(vectors) != count:
            raise EmbeddingError(
                f"{self._url} answers with embeddings of shape {vectors.shape} for {count} texts; "
                "one vector per text is needed."
            )
        return vectors


def _key(provider: str, base_url: str | None, variable: str | None) -> Secret | None:
    try:
        return server_key(provider, base_url, variable)
    except SecretError as error:
        raise EmbeddingError(str(error)) from None


def _at_least_one(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    return value
