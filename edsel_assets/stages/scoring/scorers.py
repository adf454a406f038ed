"""The scorers that a study names: what identifies each, and its scores of texts; models are loaded late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from edsel_assets.demo import model_folder
from edsel_assets.kinds.deciding import versions
from edsel_assets.kinds.kept import READING, SCORES
from edsel_assets.llm.models.dtypes import dtype_here
from edsel_assets.llm.models.identity import model_identity
from edsel_assets.stages.evaluation.judges import open_judge
from edsel_assets.stages.scoring.kept import Kept, KeptScores, text_keys
from edsel_assets.store import Home
from edsel_assets.study import JudgeModel, RewardSettings, ScorerModel, Study

Texts = Sequence[str]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TextScorer:
    """Scores of N prompts, or of N prompts with responses.

    Attributes:
        identity: what decides a score beside the text, as JSON values.
        score: (prompts, responses or None, whether each ended or None) -> (N,) float64, higher is better; NaN
            where there is no score.
    """

    identity: Mapping[str, Any]
    score: Callable[[Texts, Texts | None, Sequence[bool] | None], np.ndarray]

    def kept(
        self,
        home: Home,
        prompt_ids: Texts,
        prompts: Texts,
        responses: Texts | None,
        ended: Sequence[bool] | None = None,
        *,
        shard_rows: int = 1024,
        progress: Progress | None = None,
    ) -> Kept:
        """The scores of N texts, those that were scored before read from ``home``."""
        keys = text_keys(prompt_ids, responses, ended)
        rated = {**self.identity, "of": "prompt" if responses is None else "prompt_response"}

        def score(rows: np.ndarray) -> np.ndarray:
            chosen = [_at(values, rows) for values in (prompts, responses, ended)]
            return self.score(chosen[0] or [], chosen[1], chosen[2])

        return KeptScores(home, rated).compute(keys, score, shard_rows=shard_rows, progress=progress)


def _at(values: Sequence[Any] | None, rows: np.ndarray) -> list[Any] | None:
    return None if values is None else [values[i] for i in rows]


def reward_scorer(study: Study, settings: RewardSettings, home: Home) -> TextScorer:
    """The logit of a sequence-classification model: any real number."""
    folder, size = model_folder(settings.model), study.forward.batch_tokens

    @cache
    def opened() -> tuple[Any, Any]:
        from edsel_assets.llm import load_reward_model

        return load_reward_model(folder, **_options(study, settings, folder))

    def score(prompts: Texts, responses: Texts | None, ended: Sequence[bool] | None) -> np.ndarray:
        from edsel_assets.llm import reward_scores

        return reward_scores(
            *opened(),
            prompts,
            responses,
            ended=ended,
            label=settings.label,
            template=settings.template,
            batch_tokens=size,
            max_tokens=settings.max_tokens,
        )

    chosen = settings.model_dump(include={"label", "template", "max_tokens"})
    return TextScorer({"kind": "reward", **_identity(study, settings, folder, home), **chosen}, score)


def deita_scorer(study: Study, settings: ScorerModel, part: str, home: Home) -> TextScorer:
    """The ``part`` "quality" (of responses) or "complexity" (of prompts) by a model of Deita's, in [1, 6]."""
    folder = model_folder(settings.model)
    opened = _opener(study, settings, folder)
    limits: dict[str, Any] = {"batch_tokens": study.forward.batch_tokens, "max_tokens": settings.max_tokens}

    def score(prompts: Texts, responses: Texts | None, _: Sequence[bool] | None) -> np.ndarray:
        from edsel_assets.llm import deita_complexity, deita_quality

        if part == "complexity":
            return deita_complexity(*opened(), prompts, **limits)
        return deita_quality(*opened(), prompts, responses or [], **limits)

    identity = {
        "kind": f"deita_{part}",
        **_identity(study, settings, folder, home),
        "max_tokens": settings.max_tokens,
    }
    return TextScorer(identity, score)


def judge_scorer(study: Study, settings: JudgeModel, home: Home) -> TextScorer:
    """A judge's rating, whole numbers 1 to 10. A server's replies are kept in ``home`` beside the ratings."""
    folder = model_folder(settings.model) if settings.by == "local" else settings.model
    opened = _opener(study, settings, folder)

    @cache
    def judge() -> Any:
        return open_judge(settings, home, opened, study.forward.batch_tokens)

    def score(prompts: Texts, responses: Texts | None, _: Sequence[bool] | None) -> np.ndarray:
        from edsel_assets.llm import rate_prompts, rate_responses

        found = (
            rate_prompts(judge(), prompts)
            if responses is None
            else rate_responses(judge(), prompts, responses)
        )
        if found.invalid and settings.by == "local" and settings.on_invalid == "stop":
            raise ValueError(
                f"{found.invalid} of {len(prompts)} replies of the judge {settings.model} have no rating. "
                "Raise reply_tokens, set on_invalid to leave_out, or use another judge."
            )
        return found.value

    chosen: dict[str, Any] = {"by": settings.by, "reply_tokens": settings.reply_tokens}
    if settings.by == "local":
        chosen |= {**_identity(study, settings, folder, home), "template": settings.template}
    else:
        chosen |= {"name": settings.model, "base_url": settings.base_url}
    return TextScorer({"kind": "judge", **chosen}, score)


def _opener(study: Study, settings: ScorerModel | JudgeModel, folder: str) -> Callable[[], tuple[Any, Any]]:
    """Loads a causal model on the first call, beside the base model."""

    @cache
    def opened() -> tuple[Any, Any]:
        from edsel_assets.llm import load_model

        return load_model(folder, **_options(study, settings, folder))

    return opened


def _options(study: Study, settings: ScorerModel | JudgeModel, folder: str) -> dict[str, Any]:
    """How a model is loaded, in the number format that the ledger names."""
    device = study.model.device
    dtype = dtype_here(settings.dtype, device, folder, settings.revision)
    return {"revision": settings.revision, "dtype": dtype, "device": device}


def _identity(study: Study, settings: ScorerModel | JudgeModel, folder: str, home: Home) -> dict[str, Any]:
    libraries = versions(SCORES.libraries)
    model = model_identity(home, folder, settings.revision, settings.dtype, study.model.device, libraries)
    return {**model, "reading": READING}
