"""A model behind an OpenAI-compatible server as the annotator.

What is asked, kept, limited and metered is ``llm.ChatClient``'s work: every reply is kept by content as soon
as it is there, so that a prompt that was paid for is never sent again, whoever is killed when.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edsel_assets.annotation import AnswerRow
from edsel_assets.annotators.protocol import Asked, Enter
from edsel_assets.llm import ChatClient, Prices
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets.study.secrets import variable_of_key

_BATCHES = 4  # requests of a batch, for each under way at a time


class ChatAnnotator:
    """Asks each prompt as one conversation, and enters what came back batch by batch.

    A reply that is empty, refused or cut off counts as a rejection, with its reason, and so does a prompt
    that the server refuses for its length or its content. Any other request that failed leaves its prompt
    open, and so does the stop at ``max_cost``: what was paid is entered, and a later call goes on. What
    people answer meanwhile stays, and is not asked for any more.

    Args:
        folder: of the kept replies and of the meter.
    """

    def __init__(self, settings: AnnotatorSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder

    def problems(self) -> list[str]:
        variable = variable_of_key(self._settings)
        if variable and not os.environ.get(variable):
            return [f"annotation.annotator: kind openai needs a key in the environment: set {variable}."]
        return []

    def answer(self, asked: Sequence[Asked], enter: Enter) -> list[str]:
        client = self._client()
        failures: list[str] = []
        before, warmth = client.spent, self._settings.temperature
        for planned in self._batches(asked):
            wanted = set(enter(()).open)  # people may have answered some meanwhile
            batch = [each for each in planned if each.prompt_id in wanted]
            if not batch:
                continue
            outcomes = client.ask(
                [self._conversation(each.prompt) for each in batch],
                _text,
                max_tokens=self._settings.max_tokens,
                parameters={} if warmth is None else {"temperature": warmth},
            )
            rows, prices = [], {}
            for each, outcome in zip(batch, outcomes, strict=True):
                if outcome.value is None and not (outcome.invalid or outcome.refused):
                    failures.append(outcome.failure)
                    continue
                rows.append(self._row(each, outcome))
                if self._metered:
                    prices[each.prompt_id] = outcome.cost
            enter(rows, prices, keep="first")
        return self._remarks(client, before, failures)

    @property
    def _metered(self) -> bool:
        settings = self._settings
        return bool(settings.per_thousand_prompt_tokens or settings.per_thousand_response_tokens)

    def _client(self) -> ChatClient:
        settings = self._settings
        assert settings.model is not None, "the settings were checked"
        return ChatClient(
            settings.model,
            self._folder,
            base_url=settings.base_url,
            key_variable=settings.key_variable,
            concurrency=settings.concurrency,
            requests_per_minute=settings.requests_per_minute,
            attempts=settings.attempts,
            timeout=settings.timeout_seconds,
            prices=Prices(settings.per_thousand_prompt_tokens, settings.per_thousand_response_tokens),
            max_cost=settings.max_cost,
            on_failure="skip",
            tokens_parameter=settings.tokens_parameter,
        )

    def _batches(self, asked: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
        size = _BATCHES * self._settings.concurrency
        for start in range(0, len(asked), size):
            yield asked[start : start + size]

    def _conversation(self, prompt: str) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self._settings.system}] if self._settings.system else []
        return [*system, {"role": "user", "content": prompt}]

    def _row(self, each: Asked, outcome: Any) -> AnswerRow:
        return AnswerRow(
            f"the reply to {each.prompt_id}",
            each.prompt_id,
            outcome.value,
            rejected=outcome.value is None,
            who=self._settings.model,
            reason=outcome.failure or None,
        )

    def _remarks(self, client: ChatClient, before: float, failures: Sequence[str]) -> list[str]:
        ever = client.spent
        remarks = [f"The meter says {ever - before:.6g} now, {ever:.6g} in all."] if self._metered else []
        count, cost = client.unanswered
        if cost:
            remarks.append(
                f"{cost:.6g} of it is for {count} requests without an answer, which may have been billed."
            )
        if failures:
            remarks.append(f"{len(failures)} prompts stay open; of the first: {failures[0]}")
        return remarks


def _text(reply: Any) -> str:
    """The answer; a ValueError where there is none that could be trained on."""
    if reply.finish_reason == "length":
        raise ValueError("the reply is cut off at max_tokens")
    if reply.finish_reason == "content_filter":
        raise ValueError("the server's filter held the reply back")
    if not reply.text.strip():
        raise ValueError("the reply is empty")
    return str(reply.text)
