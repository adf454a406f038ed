"""What the model says: loading, one pass over the pool, uncertainty, generation, finetuning, evaluation.

Nothing here knows of Dagster or of selection. Names are imported when first used, so that
importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import adapted
    from .embedders import EndpointEmbedder, SentenceEmbedder
    from .evaluation import Score, evaluate
    from .finetune_settings import Example, FinetuneSettings
    from .finetuning import finetune
    from .forward import PromptRecord, forward_pool
    from .generation import generate
    from .likelihood import LogLikelihoods, log_likelihoods, perplexity, score
    from .loading import ModelError, load_model
    from .measures import uncertainty
    from .templates import DEFAULT_TEMPLATE, format_prompt
    from .win_rates import win_rate

_MODULES = {
    "DEFAULT_TEMPLATE": "templates",
    "EndpointEmbedder": "embedders",
    "Example": "finetune_settings",
    "FinetuneSettings": "finetune_settings",
    "LogLikelihoods": "likelihood",
    "ModelError": "loading",
    "PromptRecord": "forward",
    "Score": "evaluation",
    "SentenceEmbedder": "embedders",
    "adapted": "adapters",
    "evaluate": "evaluation",
    "finetune": "finetuning",
    "format_prompt": "templates",
    "forward_pool": "forward",
    "generate": "generation",
    "load_model": "loading",
    "log_likelihoods": "likelihood",
    "perplexity": "likelihood",
    "score": "likelihood",
    "uncertainty": "measures",
    "win_rate": "win_rates",
}

__all__ = [
    "DEFAULT_TEMPLATE",
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
