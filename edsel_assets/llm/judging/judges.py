"""What judges say of answers: which of two is better, and how good one is.

A judge answers two kinds of questions, ``Judge``; over an endpoint (:class:`EndpointJudge`) or by a model
that is loaded here (:class:`~edsel_assets.llm.judging.local.LocalJudge`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .client import ChatClient, Outcome
from .prompts import (
    PREFERENCE,
    PREFERENCE_FIELDS,
    PROMPT_RATING,
    PROMPT_RATING_FIELDS,
    RATING,
    RATING_FIELDS,
    check_judge_template,
    fill,
)
from .refusals import JudgeError
from .replies import Reply

Progress = Callable[[int, int], None]
Labels = tuple[str, str]

LABELS: Labels = ("m", "M")
SCALE = (1, 10)
_RATING = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class Tally:
    """What a judge was asked so far.

    Attributes:
        invalid: replies of the wrong form.
        failed: requests that the server refused.
        cost: of the kept replies that were used, whenever they were bought.
        spent: of all requests that the folder of replies ever saw.
        why: of the first that gave no value; empty where all did.
    """

    invalid: int = 0
    failed: int = 0
    cost: float = 0.0
    spent: float = 0.0
    why: str = ""


class Judge(Protocol):
    @property
    def tally(self) -> Tally:
        """Of everything that it was asked so far."""
        ...

    def label_probabilities(
        self, prompts: Sequence[str], labels: Labels, progress: Progress | None = None
    ) -> np.ndarray:
        """(N,) float64, P(first label | either label); NaN where there is no valid reply."""
        ...

    def rating_replies(self, prompts: Sequence[str], progress: Progress | None = None) -> list[str | None]:
        """N replies that were asked to hold a rating; None where there is none."""
        ...


@dataclass(frozen=True)
class Preferences:
    """Of N instructions, how likely the judge prefers the answer to the reference.

    Attributes:
        value: (N,) float64 in [0, 1], the mean over both orders; higher is better for the answer. NaN
            unless both orders have a valid reply, so that a liking for one place cancels in every value.
        answer_first, reference_first: (N,) float64, the same for each order alone.
        invalid: replies that were asked for and gave nothing, of 2 N.
    """

    value: np.ndarray
    answer_first: np.ndarray
    reference_first: np.ndarray
    invalid: int


@dataclass(frozen=True)
class JudgedWinRate:
    """``value`` in [0, 1]: higher is better for the answers, 0.5 a draw; ``stderr`` of it over the ``n``
    instructions that have a value. ``invalid``: replies that gave none."""

    value: float
    stderr: float
    n: int
    invalid: int


@dataclass(frozen=True)
class Ratings:
    """``value``: (N,) float64, whole numbers from 1 to 10, higher is better; NaN where there is none.
    ``invalid``: how many those are. ``replies``: the judge's words, None where there are none."""

    value: np.ndarray
    invalid: int
    replies: list[str | None]


def preferences(
    judge: Judge,
    instructions: Sequence[str],
    answers: Sequence[str],
    references: Sequence[str],
    *,
    labels: Labels = LABELS,
    template: str = PREFERENCE,
    progress: Progress | None = None,
) -> Preferences:
    """Show the judge each instruction with both answers, in both orders.

    Args:
        instructions, answers, references: N texts each.
        labels: what the judge may reply, for the answer shown first and second.
        template: with the fields of ``PREFERENCE_FIELDS``.
        progress: called with (done, 2 N).

    Raises ``ValueError`` for lists of unlike length, equal labels or a template with other fields; and what
    the judge raises.
    """
    if not len(instructions) == len(answers) == len(references):
        raise ValueError(
            f"every instruction needs two answers; got {len(instructions)} instructions, {len(answers)} "
            f"answers and {len(references)} reference answers."
        )
    if not all(label.strip() == label and label for label in labels) or labels[0] == labels[1]:
        raise ValueError(f"labels must be two different words without spaces around them; got {labels}.")
    check_judge_template(template, PREFERENCE_FIELDS)

    def shown(first: Sequence[str], second: Sequence[str]) -> list[str]:
        names = {"first": labels[0], "second": labels[1]}
        return [
            fill(template, instruction=asked, first_answer=one, second_answer=other, **names)
            for asked, one, other in zip(instructions, first, second, strict=True)
        ]

    prompts = shown(answers, references) + shown(references, answers)
    found = judge.label_probabilities(prompts, labels, progress)
    answer_first, reference_first = found[: len(answers)], 1.0 - found[len(answers) :]
    value = (answer_first + reference_first) / 2
    return Preferences(value, answer_first, reference_first, int(np.isnan(found).sum()))


def weighted_win_rate(found: Preferences) -> JudgedWinRate:
    """Mean preference over the instructions that have one (AlpacaEval's weighted win rate).

    ``stderr`` is the sample standard deviation over sqrt(n), NaN for a single one. Raises ``ValueError``
    where no instruction has a value.
    """
    valid = found.value[~np.isnan(found.value)]
    if not len(valid):
        raise ValueError(
            f"no instruction has a valid reply in both orders ({found.invalid} of {2 * len(found.value)} "
            "replies are invalid). Use another judge, or other labels."
        )
    error = valid.std(ddof=1) / np.sqrt(len(valid)) if len(valid) > 1 else float("nan")
    return JudgedWinRate(float(valid.mean()), float(error), len(valid), found.invalid)


def rate_responses(
    judge: Judge,
    instructions: Sequence[str],
    responses: Sequence[str],
    *,
    template: str = RATING,
    progress: Progress | None = None,
) -> Ratings:
    """Have the judge rate each response from 1 to 10 by the template of Yu et al. 2024, Figure 6.

    Raises ``ValueError`` for lists of unlike length or a template with other fields than ``RATING_FIELDS``;
    and what the judge raises.
    """
    if len(instructions) != len(responses):
        raise ValueError(
            f"every instruction needs one response; got {len(instructions)} and {len(responses)}."
        )
    check_judge_template(template, RATING_FIELDS)
    prompts = [
        fill(template, instruction=asked, response=said)
        for asked, said in zip(instructions, responses, strict=True)
    ]
    return _ratings(judge, prompts, progress)


def rate_prompts(
    judge: Judge,
    instructions: Sequence[str],
    *,
    template: str = PROMPT_RATING,
    progress: Progress | None = None,
) -> Ratings:
    """Have the judge rate each instruction alone from 1 to 10, before anyone has answered it.

    Raises ``ValueError`` for a template with other fields than ``PROMPT_RATING_FIELDS``; and what the judge
    raises.
    """
    check_judge_template(template, PROMPT_RATING_FIELDS)
    return _ratings(judge, [fill(template, instruction=asked) for asked in instructions], progress)


def _ratings(judge: Judge, prompts: Sequence[str], progress: Progress | None) -> Ratings:
    replies = judge.rating_replies(prompts, progress)
    value = np.array([math.nan if text is None else _rating_or_nan(text) for text in replies], np.float64)
    return Ratings(value, int(np.isnan(value).sum()), replies)


def rating(text: str) -> int:
    """The whole number from 1 to 10 in the last pair of double brackets; ``ValueError`` without one."""
    found = _RATING.findall(text)
    if not found:
        raise ValueError("the reply has no rating in double brackets")
    digits = found[-1].strip()
    if not re.fullmatch(r"[0-9]{1,2}", digits) or not SCALE[0] <= int(digits) <= SCALE[1]:
        raise ValueError(f"the rating must be a whole number from 1 to 10; the reply has {digits[:40]!r}")
    return int(digits)


def _rating_or_nan(text: str) -> float:
    try:
        return float(rating(text))
    except ValueError:  # counted as invalid
        return math.nan


def label_probability(likeliest: Mapping[str, float], labels: Labels) -> float:
    """P(first label | either label) from tokens with their log p, in nats.

    A token stands for the label that it is without the spaces around it; a label that is not among the
    tokens has probability 0. ``ValueError`` where neither is there.
    """
    logs = [[log for token, log in likeliest.items() if token.strip() == label] for label in labels]
    if not any(logs):
        raise ValueError(f"the reply begins with neither {labels[0]!r} nor {labels[1]!r}")
    top = max(max(some) for some in logs if some)
    if top == -math.inf:
        raise ValueError("both labels have probability 0")
    weights = [sum(math.exp(log - top) for log in some) for some in logs]
    return weights[0] / (weights[0] + weights[1])


class EndpointJudge:
    """A judge over an OpenAI-compatible endpoint.

    With a client that skips failures, requests that the server refuses have no value. Those that were given
    up, or not sent because of the stop, end with ``JudgeError`` after all others were asked.

    Args:
        client: of the judge's model.
        logprobs: whether the endpoint gives log-probabilities; without them a preference is 0 or 1, by the
            label that the judge replies.
        top_logprobs: how many tokens' it shall give; OpenAI's own server takes 20 at most.
        reply_tokens: the longest free reply.
        temperature: of free replies. Log-probabilities are asked for at temperature 1, which some servers
            apply to them.
        system: what the system message says; None for no such message.
        parameters: further ones of every request.
    """

    def __init__(
        self,
        client: ChatClient,
        *,
        logprobs: bool = True,
        top_logprobs: int = 20,
        reply_tokens: int = 1024,
        temperature: float = 0.0,
        system: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._client, self._logprobs, self._top = client, logprobs, top_logprobs
        self._reply_tokens, self._temperature = reply_tokens, temperature
        self._first = [] if system is None else [{"role": "system", "content": system}]
        self._parameters = dict(parameters or {})
        self._asked_for: list[Outcome[Any]] = []

    @property
    def tally(self) -> Tally:
        """As in :class:`Judge`."""
        lost = [each for each in self._asked_for if each.value is None]
        return Tally(
            invalid=sum(each.invalid for each in lost),
            failed=sum(not each.invalid for each in lost),
            cost=math.fsum(each.cost for each in self._asked_for),
            spent=self._client.spent,
            why=lost[0].failure if lost else "",
        )

    def label_probabilities(
        self, prompts: Sequence[str], labels: Labels, progress: Progress | None = None
    ) -> np.ndarray:
        """As in :class:`Judge`; one token of reply per prompt, or a few without log-probabilities."""
        asked: dict[str, Any] = {"temperature": 0.0}
        if self._logprobs:
            asked = {"temperature": 1.0, "logprobs": True, "top_logprobs": self._top}

        def parse(reply: Reply) -> float:
            if not self._logprobs:
                return label_probability({reply.text.strip().strip(".\"'*`"): 0.0}, labels)
            if not reply.logprobs:
                raise ValueError("the reply has no log-probabilities; set logprobs to false for this judge")
            return label_probability(reply.logprobs[0], labels)

        outcomes = self._asked(prompts, parse, 1 if self._logprobs else 8, asked, progress)
        return np.array([math.nan if each.value is None else each.value for each in outcomes], np.float64)

    def rating_replies(self, prompts: Sequence[str], progress: Progress | None = None) -> list[str | None]:
        """As in :class:`Judge`. A reply without a valid rating is invalid for the client too."""
        outcomes = self._asked(
            prompts, _with_rating, self._reply_tokens, {"temperature": self._temperature}, progress
        )
        return [each.value for each in outcomes]

    def _asked(
        self,
        prompts: Sequence[str],
        parse: Callable[[Reply], Any],
        tokens: int,
        parameters: Mapping[str, Any],
        progress: Progress | None,
    ) -> list[Outcome[Any]]:
        conversations = [[*self._first, {"role": "user", "content": prompt}] for prompt in prompts]
        outcomes = self._client.ask(
            conversations,
            parse,
            max_tokens=tokens,
            parameters={**parameters, **self._parameters},
            progress=progress,
        )
        later = [each.failure for each in outcomes if each.may_pass]
        if later:  # a value without them would stand for good, whatever is raised or mended later
            raise JudgeError(
                f"{len(later)} of {len(outcomes)} requests have no reply yet; of the first: "
                f"{later[0].rstrip('.')}. All replies that came are kept. Raise max_cost, or wait until the "
                "server is well, and run again."
            )
        self._asked_for += outcomes
        return outcomes


def _with_rating(reply: Reply) -> str:
    rating(reply.text)
    return reply.text
