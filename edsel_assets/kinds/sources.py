"""Names of the sources of files outside the store, and where in a study the models of scorers are named."""

from __future__ import annotations

from typing import Any

from edsel_assets.study import EmbeddingSettings, Study

POOL_FILES, ANNOTATION_FILES, MODEL_FILES, TASK_FILES = "pool", "annotations", "model", "tasks"
#: The model that selects, where trials train another.
SELECTING_FILES = "selecting model"
ORDER_FILES, PURCHASE_FILES = "orders", "purchases"
INSTRUCTION_FILES, JUDGE_FILES = "instructions", "judge"
#: The file of scores, by the place of its setting.
SCORE_FILE = "quality.file"
#: The models of scorers by the places of their settings, which are also the names of their files' sources.
QUALITY_MODELS = {
    "reward": ("quality.reward",),
    "deita": ("quality.deita.quality", "quality.deita.complexity"),
    "judge": ("quality.judge",),
}
ROUND_MODELS = {"reward": ("rounds.reward",), "judge": ("rounds.judge",)}
_OTHERS = "other_embeddings."
_TARGETS = "targets."


def setting(study: Study, dotted: str) -> Any:
    """The value at a dotted name; None inside a section that is not there."""
    value: Any = study
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value


def is_local(study: Study, place: str) -> bool:
    """Whether the scorer at ``place`` is a model that is loaded here."""
    chosen = setting(study, place)
    return chosen is not None and getattr(chosen, "by", "local") == "local"


def is_asked(study: Study, place: str) -> bool:
    """Whether the model at ``place`` is a server's."""
    chosen = setting(study, place)
    return getattr(chosen, "by", getattr(chosen, "source", None)) in ("openai", "cohere")


def quality_places(study: Study) -> list[str]:
    """Where the models are named that the study's scorers of quality ask."""
    used = [study.quality.scorer, *map(study.quality_of, study.selection.names)]
    return [place for scorer in dict.fromkeys(used) for place in QUALITY_MODELS.get(scorer, ())]


def round_places(study: Study, strategy: str | None = None) -> list[str]:
    """Where the models are named that score the rounds of a strategy, or of all that the study uses."""
    names = [strategy] if strategy else study.selection.names
    scorers = dict.fromkeys(study.strategy(name).scorer or "" for name in names)
    return [place for scorer in scorers for place in ROUND_MODELS.get(scorer, ())]


def other_embedders(study: Study, name: str | None = None) -> dict[str, EmbeddingSettings]:
    """Settings of ``other_embeddings`` by their place; of one, or of all."""
    names = study.other_embeddings if name is None else [name]
    return {f"{_OTHERS}{each}": study.other_embeddings[each] for each in names}


def is_embedder(place: str) -> bool:
    """Whether a source of files is the model of embedding settings."""
    return place == "embeddings" or place.startswith(_OTHERS)


def embedder_at(study: Study, place: str) -> EmbeddingSettings:
    """The embedding settings at a place of ``embeddings`` or ``other_embedders``."""
    other = place.startswith(_OTHERS)
    return study.other_embeddings[place.removeprefix(_OTHERS)] if other else study.embeddings


def target_place(name: str) -> str:
    """The source of files that is a target's prompts."""
    return f"{_TARGETS}{name}"


def target_at(place: str) -> str | None:
    """The name of the target whose prompts a source of files is; None for another source."""
    return place.removeprefix(_TARGETS) if place.startswith(_TARGETS) else None
