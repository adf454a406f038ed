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

Provider = Literal["openai", "cohere"]

_URLS = {"openai": "https://api.openai.com/v1", "cohere": "https://api.cohere.com"}
_KEYS = {"openai": "OPENAI_API_KEY", "cohere": "COHERE_API_KEY"}
_LARGEST_BATCH = {"openai": 2048, "cohere": 96}
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class EmbeddingError(RuntimeError):
    """Embeddings could not be had; the message is one line and never holds a key."""


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
    """An embeddings endpoint over HTTP, in the format of OpenAI or of Cohere (version 2).

    A failed request is repeated with growing, jittered pauses, or after the pause that the server
    asks for; a request that the server calls wrong is not.

    Args:
        provider: ``openai`` posts to ``{base_url}/embeddings``, ``cohere`` to ``{base_url}/v2/embed``.
        model: name of the embedding model.
        base_url: of the server; the provider's own without it.
        key_variable: environment variable that holds the key; the provider's usual one without it. A
            server of one's own that needs no key may leave it unset.
        batch_size: texts per request.
        requests_per_minute: at most, evenly spaced; None for no limit.
        attempts: how often one request is tried.
        timeout: of connecting, and of waiting for the answer, in seconds.
        max_pause: between two tries, in seconds.

    Raises:
        EmbeddingError: no key for the provider's own server; a refused request, with the status and the
            server's reason; an answer of the wrong form.
    """

    def __init__(
        self,
        provider: Provider,
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
        if provider not in _URLS:
            raise ValueError(f"provider must be one of {sorted(_URLS)}; got {provider!r}.")
        if not model:
            raise ValueError("an embeddings endpoint needs the name of a model.")
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ValueError(f"requests_per_minute must be positive; got {requests_per_minute}.")
        self._provider = provider
        self._model = model
        self._url = (base_url or _URLS[provider]).rstrip("/")
        self._url += "/embeddings" if provider == "openai" else "/v2/embed"
        self._key = _key(provider, key_variable, own_server=base_url is not None)
        self._batch_size = _at_least_one("batch_size", batch_size)
        if batch_size > _LARGEST_BATCH[provider]:
            raise ValueError(
                f"{provider} takes {_LARGEST_BATCH[provider]} texts per request; got batch_size {batch_size}."
            )
        self._attempts = _at_least_one("attempts", attempts)
        self._timeout, self._max_pause = timeout, max_pause
        self._interval = 0.0 if requests_per_minute is None else 60.0 / requests_per_minute
        self._sleep, self._clock, self._next = sleep, clock, float("-inf")

    def embed(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """(n, d) float32 of the next texts, one request each, until all are done."""
        import requests

        with requests.Session() as session:
            session.auth = self._sign  # or a .netrc file's entry would take the key's place
            for start in range(0, len(texts), self._batch_size):
                batch = list(texts[start : start + self._batch_size])
                yield self._vectors(self._post(session, self._body(batch)), len(batch))

    def _sign(self, request: Any) -> Any:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _body(self, batch: list[str]) -> dict[str, Any]:
        if self._provider == "openai":
            return {"model": self._model, "input": batch, "encoding_format": "float"}
        return {
            "model": self._model,
            "texts": batch,
            "input_type": "clustering",
            "embedding_types": ["float"],
        }

    def _post(self, session: Any, body: dict[str, Any]) -> Any:
        """The answer's JSON, after as many tries as it takes."""
        import requests
        import tenacity

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after if isinstance(error, _Retry) else None
            growing = tenacity.wait_exponential(multiplier=0.5) + tenacity.wait_random(0, 0.5)
            return min(growing(state) if asked is None else asked, self._max_pause)

        @tenacity.retry(
            retry=tenacity.retry_if_exception_type(_Retry),
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        )
        def attempt() -> Any:
            self._wait_for_turn()
            try:
                answer = session.post(self._url, json=body, timeout=self._timeout, allow_redirects=False)
            except (requests.ConnectionError, requests.Timeout) as error:
                raise _Retry(f"{self._url} cannot be reached ({type(error).__name__})", None) from error
            if answer.status_code in _RETRIED:
                raise _Retry(f"{self._url} answers {answer.status_code}", _retry_after(answer.headers))
            if answer.status_code != 200:
                raise EmbeddingError(f"{self._url} answers {answer.status_code}: {self._reason(answer.text)}")
            try:
                return answer.json()
            except ValueError as error:
                raise EmbeddingError(f"{self._url} does not answer with JSON.") from error

        try:
            return attempt()
        except _Retry as error:
            raise EmbeddingError(f"{error}; given up after {self._attempts} tries.") from error.__cause__

    def _wait_for_turn(self) -> None:
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._interval

    def _vectors(self, answer: Any, count: int) -> np.ndarray:
        try:
            if self._provider == "openai":
                rows = sorted(answer["data"], key=lambda row: row["index"])
                vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
            else:
                vectors = np.array(answer["embeddings"]["float"], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise EmbeddingError(f"{self._url} does not answer in the format of {self._provider}.") from error
        if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
            raise EmbeddingError(
                f"{self._url} answers with embeddings of shape {vectors.shape} for {count} texts; "
                "one finite vector per text is needed."
            )
        return vectors

    def _reason(self, text: str) -> str:
        """The server's own words in one short line, without the key if it repeats it."""
        line = " ".join(text.split())[:300]
        return line.replace(self._key, "***") if self._key else line


class _Retry(Exception):
    """A failure that may pass; ``after`` is the pause in seconds that the server asks for."""

    def __init__(self, reason: str, after: float | None) -> None:
        super().__init__(reason)
        self.after = after


def _retry_after(headers: Any) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # absent, or a date, which the growing pauses stand in for
        return None


def _key(provider: Provider, variable: str | None, own_server: bool) -> str | None:
    name = variable or _KEYS[provider]
    key = os.environ.get(name)
    if not key and (variable is not None or not own_server):
        raise EmbeddingError(f"the key of the {provider} endpoint is missing: set {name} in the environment.")
    return key


def _at_least_one(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    return value
