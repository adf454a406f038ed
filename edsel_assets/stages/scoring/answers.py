"""The scores of a round of iterative kMQ (Yu et al. 2024, Eq. 4): given answers against the model's.

A score is higher where the model has more left to learn. By reward model and judge it is Eq. 4 as it stands:
S = score(x + gold) - score(x + generated), with scores that are higher for better answers. By perplexity it
is Eq. 7: S = -log(PPL(x + generated) / PPL(x + gold)) = log PPL(gold) - log PPL(generated), which is Eq. 4
with score = log PPL, lower for likelier answers. With score = -log PPL Eq. 4 would have the opposite sign,
and Eq. 7 is the one that raises "challenging clusters" (Section 2.2).

An answer that ``max_new_tokens`` cut off is scored without an end: no end token by perplexity, no end of the
message by a reward model with a chat template. A judge reads text, which has none. Given answers always end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.stages.scoring.scorers import TextScorer, judge_scorer, reward_scorer
from edsel_assets.stages.training_sets import examples_of, replicate_of
from edsel_assets.store import Home
from edsel_assets.study import Study


@dataclass(frozen=True)
class AnswerScores:
    """Of the n prompts of a round, in rank order.

    Attributes:
        values: (n,) S, NaN where a judge gave no rating.
        gold, generated: (n,) the scores of both answers: log PPL, logits or ratings.
        cut: answers that ``max_new_tokens`` cut off.
    """

    values: np.ndarray
    gold: np.ndarray
    generated: np.ndarray
    cut: int


def answer_scores(
    scorer: str, model: Any, tokenizer: Any, study: Study, home: Home, training_set: pa.Table
) -> AnswerScores:
    """Have the model answer the prompts that a round trained on, and score them.

    Args:
        scorer: ``perplexity``, ``reward`` or ``judge``.
        home: where scores and a judge's replies are kept by content.

    Raises:
        JudgeError, CostStop: as the judge's settings say; what was paid for is kept.
    """
    from edsel_assets.llm import generate_answers

    examples = examples_of(training_set, study.model.template)
    answers = generate_answers(
        model,
        tokenizer,
        [example.prompt for example in examples],
        max_new_tokens=study.rounds.max_new_tokens,
        max_prompt_tokens=study.forward.max_prompt_tokens,
        batch_tokens=study.forward.batch_tokens,
    )
    texts, ended = [answer.text for answer in answers], [answer.ended for answer in answers]
    if scorer == "perplexity":
        gold, generated = _log_perplexities(model, tokenizer, study, examples, texts, ended)
    else:
        gold, generated = _scores(_scorer_of(scorer, study, home), study, home, training_set, texts, ended)
    return AnswerScores(gold - generated, gold, generated, ended.count(False))


def _log_perplexities(
    model: Any, tokenizer: Any, study: Study, examples: Sequence[Any], texts: list[str], ended: list[bool]
) -> tuple[np.ndarray, np.ndarray]:
    from edsel_assets.llm import perplexity

    prompts, gold = [e.prompt for e in examples], [e.response for e in examples]
    options: dict[str, Any] = {"batch_tokens": study.forward.batch_tokens, "joint": study.rounds.joint}
    of_gold = perplexity(model, tokenizer, prompts, gold, **options)
    of_generated = perplexity(model, tokenizer, prompts, texts, ended=ended, **options)
    return np.log(of_gold), np.log(of_generated)


def _scorer_of(scorer: str, study: Study, home: Home) -> TextScorer:
    settings = study.rounds
    if scorer == "reward":
        assert settings.reward is not None, "checked as the study loads"
        return reward_scorer(study, settings.reward, home)
    assert settings.judge is not None, "checked as the study loads"
    return judge_scorer(study, settings.judge, home)


def _scores(
    by: TextScorer, study: Study, home: Home, training_set: pa.Table, texts: list[str], ended: list[bool]
) -> tuple[np.ndarray, np.ndarray]:
    table = replicate_of(training_set, 0)
    ids, prompts, gold = (table[name].to_pylist() for name in ("prompt_id", "prompt", "response"))
    rows = study.forward.shard_rows
    of_gold = by.kept(home, ids, prompts, gold, shard_rows=rows)
    of_generated = by.kept(home, ids, prompts, texts, ended, shard_rows=rows)
    return of_gold.values, of_generated.values
