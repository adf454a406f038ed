"""The judge that a study names, for trials' answers, for the quality of prompts, and for rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edsel_assets.store import Home
from edsel_assets.study import JudgeModel, JudgeSettings


def open_judge(
    settings: JudgeSettings | JudgeModel, home: Home, load: Callable[[], tuple[Any, Any]], batch: int
) -> Any:
    """The judge that the settings name.

    Args:
        load: (model, tokenizer) of a local judge.
        batch: tokens of a batch of a local judge.

    Raises:
        JudgeError, ValueError: no key, a wrong address, or a tokenizer without a chat template.
    """
    from edsel_assets.llm import ChatClient, EndpointJudge, LocalJudge, Prices

    if settings.by == "local":
        return LocalJudge(
            *load(), template=settings.template, reply_tokens=settings.reply_tokens, batch_tokens=batch
        )
    assert settings.model is not None, "a study without a judge has no win rates"
    actions: dict[str, Any] = {"stop": "raise", "leave_out": "skip"}
    client = ChatClient(
        settings.model,
        home.judge,
        base_url=settings.base_url,
        key_variable=settings.key_variable,
        concurrency=settings.concurrency,
        requests_per_minute=settings.requests_per_minute,
        attempts=settings.attempts,
        timeout=settings.timeout,
        prices=Prices(settings.price_prompt, settings.price_reply),
        max_cost=settings.max_cost,
        on_failure=actions[settings.on_error],
        on_invalid=actions[settings.on_invalid],
        tokens_parameter=settings.tokens_parameter,
    )
    asked: dict[str, Any] = {"reply_tokens": settings.reply_tokens}
    if isinstance(settings, JudgeSettings):
        asked |= {"logprobs": settings.logprobs, "top_logprobs": settings.top_logprobs}
        asked |= {"system": settings.system}
    return EndpointJudge(client, **asked)
