"""Which prompts: strategies, budgets, rounds, and what the prompts cost."""

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets.study.base import Positive, Settings


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no strategy {name!r}; {hint}There are {', '.join(STRATEGIES)}")
    return name


StrategyName = Annotated[str, AfterValidator(_known_strategy)]


class SelectionSettings(Settings):
    """Strategies, budgets and their switches."""

    strategies: list[StrategyName] = Field(description="Keys of STRATEGIES.", min_length=1)
    budgets: list[Positive] = Field(
        description="Prompts to annotate, each a cut of the ranking; money with by_price.", min_length=1
    )
    seed: int = Field(0, description="Seed of replicate 0; replicate r uses seed + r.")
    gamma: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(0.002, description="RBF kernel width.")
    gammas: list[Annotated[float, Field(gt=0)]] = Field(
        [0.001, 0.005, 0.01, 0.1, 1.0, 10.0],
        description="Widths of the kernel_width diagnostic, and of auto.",
    )
    normalise: bool = Field(True, description="L2-normalise embeddings.")
    utility_weight: Annotated[float, Field(ge=0)] = Field(1.0, description="Weight of Eq. 4's log term.")
    seed_point: Literal["medoid", "random"] = Field("medoid", description="First centre of k_center.")
    deita_threshold: Annotated[float, Field(gt=-1, le=1)] = Field(
        0.9, description="Cosine at which Deita rejects."
    )
    qdit_alpha: Annotated[float, Field(ge=0, le=1)] = Field(0.7, description="Weight of quality in QDIT.")
    quality_temperature: Annotated[float, Field(gt=0)] | None = Field(
        None, description="softmax(q / temperature) instead of q / sum q."
    )
    replacement: bool = Field(False, description="Sample with replacement, as Yu et al. write.")
    engine: Literal["auto", "dense", "sparse", "blocked", "apricot"] = "auto"
    memory_limit_gib: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Most memory for selection."
    )
    by_price: bool = Field(
        False,
        description="Budgets are money, by the prices of the section annotation: gain or score per price, "
        "and until it is spent.",
    )

    @field_validator("strategies", "budgets", "gammas")
    @classmethod
    def _distinct(cls, values: list) -> list:
        if len(set(values)) != len(values):
            raise ValueError(f"must not repeat a value; got {values}")
        return values


class RoundsSettings(Settings):
    """Iterative kMQ (Yu et al. 2024, Algorithm 1)."""

    rounds: Annotated[int, Field(ge=2, le=20)] = 3
    temperature: Annotated[float, Field(gt=0)] = Field(1.0, description="tau of softmax(s / tau).")
    literal: bool = Field(False, description="Eq. 6 to the letter: s / sum s; fails on a negative score.")
    start: Literal["base", "continue"] = Field(
        "base", description="Each round trains from the base model or goes on."
    )
    epochs: Positive = Field(1, description="Epochs per round (one pass, Section 2.2).")
    max_new_tokens: Positive = Field(64, description="Length of the generated answers that are scored.")


class AnnotationSettings(Settings):
    """What is bought: prices, and prompts bought to validate."""

    price_by: Literal["prompt", "length", "column"] = Field(
        "prompt", description="One price for all, by characters, or the pool's column price."
    )
    price: Annotated[float, Field(ge=0)] = Field(1.0, description="Of a prompt, in the study's own unit.")
    per_thousand_prompt: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Price of 1,000 characters of a prompt, where price_by is length."
    )
    per_thousand_response: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Price of 1,000 characters of a response, where price_by is length."
    )
    expected_response: Annotated[float, Field(ge=0)] = Field(
        200.0, description="Characters of a response before any is there."
    )
    validation: Annotated[int, Field(ge=0)] = Field(
        0, description="Random prompts that each order buys beside its picks to validate, never to train on."
    )
    annotator: AnnotatorSettings = AnnotatorSettings()
