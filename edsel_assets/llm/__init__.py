"""What the model says: loading, one pass over the pool, uncertainty, generation, finetuning, evaluation.

The rooms, from the bottom: ``models`` (loading, templates, adapters), ``reading`` (what a model says of
texts), then ``training`` and ``scoring``. None imports from one above it. Nothing here knows of Dagster or
of selection. Names are imported when first used, so that importing this package imports neither torch nor
transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.adapters import adapted
    from .models.loading import ModelError, load_model
    from .models.templates import DEFAULT_TEMPLATE, format_prompt
    from .reading.embedders import EndpointEmbedder, SentenceEmbedder
    from .reading.forward import PromptRecord, forward_pool
    from .reading.generation import Answer, generate, generate_answers
    from .reading.likelihood import LogLikelihoods, log_likelihoods, perplexity, score
    from .reading.measures import uncertainty
    from .scoring.evaluation import Score, evaluate
    from .scoring.win_rates import win_rate
    from .training.finetuning import finetune
    from .training.settings import Example, FinetuneSettings

_MODULES = {
    "Answer": "reading.generation",
    "DEFAULT_TEMPLATE": "models.templates",
    "EndpointEmbedder": "reading.embedders",
    "Example": "training.settings",
    "FinetuneSettings": "training.settings",
    "LogLikelihoods": "reading.likelihood",
    "ModelError": "models.loading",
    "PromptRecord": "reading.forward",
    "Score": "scoring.evaluation",
    "SentenceEmbedder": "reading.embedders",
    "adapted": "models.adapters",
    "evaluate": "scoring.evaluation",
    "finetune": "training.finetuning",
    "format_prompt": "models.templates",
    "forward_pool": "reading.forward",
    "generate": "reading.generation",
    "generate_answers": "reading.generation",
    "load_model": "models.loading",
    "log_likelihoods": "reading.likelihood",
    "perplexity": "reading.likelihood",
    "score": "reading.likelihood",
    "uncertainty": "reading.measures",
    "win_rate": "scoring.win_rates",
}

__all__ = [
    "DEFAULT_TEMPLATE",
    "Answer",
    "EndpointEmbedder",
    "Example",
    "FinetuneSettings",
    "LogLikelihoods",
    "ModelError",
    "PromptRecord",
    "Score",
    "SentenceEmbedder",
    "adapted",
    "evaluate",
    "finetune",
    "format_prompt",
    "forward_pool",
    "generate",
    "generate_answers",
    "load_model",
    "log_likelihoods",
    "perplexity",
    "score",
    "uncertainty",
    "win_rate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
