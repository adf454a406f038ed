"""What the model says: loading, one pass over the pool, uncertainty, generation, finetuning, evaluation.

The rooms, from the bottom: ``models`` (loading, templates, adapters) and ``servers`` (HTTP), ``reading``
(what a model says of texts), then ``training``, ``scoring`` and ``judging``. None imports from one above it.
Nothing here knows of Dagster or of selection. Names are imported when first used, so that importing this
package imports neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .judging.client import ChatClient
    from .judging.deita import deita_complexity, deita_quality
    from .judging.judges import (
        EndpointJudge,
        preferences,
        rate_prompts,
        rate_responses,
        weighted_win_rate,
    )
    from .judging.ledger import CostStop, Prices
    from .judging.local import LocalJudge
    from .judging.refusals import JudgeError
    from .judging.reward import load_reward_model, reward_scores
    from .models.adapter_sums import sum_adapters
    from .models.adapters import adapted
    from .models.loading import ModelError, load_model
    from .models.templates import DEFAULT_TEMPLATE, format_prompt
    from .reading.embedders import EndpointEmbedder, SentenceEmbedder
    from .reading.forward import PromptRecord, forward_pool
    from .reading.generation import Answer, generate, generate_answers
    from .reading.likelihood import LogLikelihoods, log_likelihoods, perplexity, score
    from .reading.measures import uncertainty
    from .scoring.evaluation import Score, evaluate
    from .scoring.humaneval import humaneval, load_problems
    from .scoring.sandbox import SandboxError, run_program, sandbox_refusal
    from .training.finetuning import finetune
    from .training.settings import Example, FinetuneSettings

_MODULES = {
    "Answer": "reading.generation",
    "ChatClient": "judging.client",
    "CostStop": "judging.ledger",
    "DEFAULT_TEMPLATE": "models.templates",
    "EndpointEmbedder": "reading.embedders",
    "EndpointJudge": "judging.judges",
    "Example": "training.settings",
    "FinetuneSettings": "training.settings",
    "JudgeError": "judging.refusals",
    "LocalJudge": "judging.local",
    "LogLikelihoods": "reading.likelihood",
    "ModelError": "models.loading",
    "Prices": "judging.ledger",
    "PromptRecord": "reading.forward",
    "SandboxError": "scoring.sandbox",
    "Score": "scoring.evaluation",
    "SentenceEmbedder": "reading.embedders",
    "adapted": "models.adapters",
    "deita_complexity": "judging.deita",
    "deita_quality": "judging.deita",
    "evaluate": "scoring.evaluation",
    "finetune": "training.finetuning",
    "format_prompt": "models.templates",
    "forward_pool": "reading.forward",
    "generate": "reading.generation",
    "generate_answers": "reading.generation",
    "humaneval": "scoring.humaneval",
    "load_model": "models.loading",
    "load_problems": "scoring.humaneval",
    "load_reward_model": "judging.reward",
    "log_likelihoods": "reading.likelihood",
    "perplexity": "reading.likelihood",
    "preferences": "judging.judges",
    "rate_prompts": "judging.judges",
    "rate_responses": "judging.judges",
    "reward_scores": "judging.reward",
    "run_program": "scoring.sandbox",
    "sandbox_refusal": "scoring.sandbox",
    "score": "reading.likelihood",
    "sum_adapters": "models.adapter_sums",
    "uncertainty": "reading.measures",
    "weighted_win_rate": "judging.judges",
}

__all__ = [
    "DEFAULT_TEMPLATE",
    "Answer",
    "ChatClient",
    "CostStop",
    "EndpointEmbedder",
    "EndpointJudge",
    "Example",
    "FinetuneSettings",
    "JudgeError",
    "LocalJudge",
    "LogLikelihoods",
    "ModelError",
    "Prices",
    "PromptRecord",
    "SandboxError",
    "Score",
    "SentenceEmbedder",
    "adapted",
    "deita_complexity",
    "deita_quality",
    "evaluate",
    "finetune",
    "format_prompt",
    "forward_pool",
    "generate",
    "generate_answers",
    "humaneval",
    "load_model",
    "load_problems",
    "load_reward_model",
    "log_likelihoods",
    "perplexity",
    "preferences",
    "rate_prompts",
    "rate_responses",
    "reward_scores",
    "run_program",
    "sandbox_refusal",
    "score",
    "sum_adapters",
    "uncertainty",
    "weighted_win_rate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
