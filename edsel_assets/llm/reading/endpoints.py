"""Embeddings of texts from an endpoint over HTTP: what each provider's protocol asks and answers.

A provider is a function that asks for the embeddings of one batch of texts. It raises ``PassingFailure`` for
what may be tried again, and ``EmbeddingError`` for what may not; when to try again is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edsel_assets.secret import Secret

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses of a failure that may pass."""


class EmbeddingError(RuntimeError):
    """Embeddings could not be had; the message is one line and never holds a key."""


class PassingFailure(Exception):
    """A failure that may pass; ``after`` is the pause in seconds that the server asks for."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


Ask = Callable[[list[str]], np.ndarray]
"""From n texts to (n, d) float32 in their order; whether it has that shape is not checked yet."""


@dataclass(frozen=True)
class Provider:
    """One protocol, and where its provider's own server is.

    ``largest_batch``: texts per request at most. ``connect`` takes (url, key or None, model, timeout in
    seconds) and returns the function to ask with.
    """

    url: str
    largest_batch: int
    connect: Callable[[str, Secret | None, str, float], Ask]


def _openai(url: str, key: Secret | None, model: str, timeout: float) -> Ask:
    """OpenAI's protocol, which many servers speak: ``{url}/embeddings``, through OpenAI's client."""
    import openai

    client = openai.OpenAI(
        base_url=url,
        api_key=key.reveal() if key else "none",  # the client demands one, which is not sent
        max_retries=0,
        timeout=timeout,
        http_client=openai.DefaultHttpxClient(follow_redirects=False),
    )
    headers = None if key else {"Authorization": openai.Omit()}

    def ask(texts: list[str]) -> np.ndarray:
        try:
            answer = client.embeddings.create(
                model=model,
                input=texts,
                encoding_format="float",
                extra_headers=headers,
            )
        except openai.APIConnectionError as error:  # a time-out is one
            raise PassingFailure(f"{url} cannot be reached ({type(error).__name__})") from error
        except openai.APIStatusError as error:
            response = error.response
            # Not from the client's own error, whose text repeats the server's, with the key.
            raise _failure(url, key, error.status_code, response.headers, response.text) from None
        with _protocol(url, "openai"):
            return np.array(
                [row.embedding for row in sorted(answer.data, key=lambda row: row.index)], dtype=np.float32
            )

    return ask


def _cohere(url: str, key: Secret | None, model: str, timeout: float) -> Ask:
    """Cohere's own protocol, version 2: ``{url}/v2/embed``."""
    import requests

    session = requests.Session()

    def sign(request: Any) -> Any:
        if key:
            request.headers["Authorization"] = f"Bearer {key.reveal()}"
        return request

    session.auth = sign  # or a .netrc file's entry would take the key's place

    def ask(texts: list[str]) -> np.ndarray:
        body = {"model": model, "texts": texts, "input_type": "clustering", "embedding_types": ["float"]}
        try:
            answer = session.post(f"{url}/v2/embed", json=body, timeout=timeout, allow_redirects=False)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise PassingFailure(f"{url} cannot be reached ({type(error).__name__})") from error
        if answer.status_code != 200:
            raise _failure(url, key, answer.status_code, answer.headers, answer.text)
        with _protocol(url, "cohere"):
            return np.array(answer.json()["embeddings"]["float"], dtype=np.float32)

    return ask


PROVIDERS = {
    "openai": Provider("https://api.openai.com/v1", 2048, _openai),
    "cohere": Provider("https://api.cohere.com", 96, _cohere),
}


@contextmanager
def _protocol(url: str, name: str) -> Iterator[None]:
    """In the block an answer is taken apart; where it has another form, the error says so."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EmbeddingError(f"{url} does not answer in the protocol of {name}.") from error


def _failure(url: str, key: Secret | None, status: int, headers: Mapping[str, str], text: str) -> Exception:
    """What a status other than 200 means; the server's own words in one line, without the key."""
    if status in RETRIED:
        return PassingFailure(f"{url} answers {status}", _retry_after(headers))
    reason = " ".join((key.hide(text) if key else text).split())[:300]
    return EmbeddingError(f"{url} answers {status}: {reason}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):  # absent, or a date, which the growing pauses stand in for
        return None
