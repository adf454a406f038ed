"""Which prompts: strategies, budgets, rounds, and what the prompts cost."""

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import CLUSTERS, EMBEDDINGS, QUALITY
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets.study.base import (
    SHORT_LIST,
    Factor,
    Few,
    Money,
    PlainName,
    Positive,
    Seed,
    Settings,
    Tokens,
)
from edsel_assets.study.inputs import ModelSettings
from edsel_assets.study.scorers import JudgeModel, RewardSettings, Scorer


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no strategy {name!r}; {hint}There are {', '.join(STRATEGIES)}")
    return name


StrategyName = Annotated[str, AfterValidator(_known_strategy)]


class Switches(Settings):
    """Switches of the strategies; each strategy reads those that are its own."""

    seed: Seed = Field(0, description="Seed of replicate 0; replicate r uses seed + r.")
    gamma: Factor | Literal["auto"] = Field(
        "auto",
        description="RBF kernel width, a squared distance. auto: the pool's own scale, which is the mean "
        "squared distance of its embeddings from their mean.",
    )
    normalise: bool = Field(True, description="L2-normalise embeddings for the RBF kernel.")
    k_center_normalise: bool = Field(True, description="The same for k_center; false: vectors as they are.")
    utility_weight: Annotated[float, Field(ge=0, le=10**6)] = Field(
        1.0, description="Weight of Eq. 4's log term."
    )
    seed_point: Literal["medoid", "random"] = Field("medoid", description="First centre of k_center.")
    deita_threshold: Annotated[float, Field(gt=-1, le=1)] = Field(
        0.9, description="Cosine at which Deita rejects."
    )
    qdit_alpha: Annotated[float, Field(ge=0, le=1)] = Field(0.7, description="Weight of quality in QDIT.")
    quality_temperature: Factor | None = Field(
        None, description="softmax(q / temperature) instead of q / sum q."
    )
    replacement: bool = Field(
        False,
        description="Draw with replacement (Yu et al., Eq. 3), and train on a prompt as often as drawn.",
    )
    worth: Literal["quality", "quality_complexity"] = Field(
        "quality", description="What kmq, QDIT and rounds prefer: quality, or quality x complexity as Deita."
    )
    target: str | None = Field(
        None,
        description="One of targets: whom the picks must serve. A variant that can aim inherits it; null: it "
        "does not aim.",
    )
    noise: Factor = Field(0.01, description="Noise variance of variance_reduction, on unit vectors.")
    quotas_by: Literal["task", "clusters"] = Field(
        "task",
        description="What task_diversity shares the budget out over; clusters for a pool without tasks.",
    )


class VariantSettings(Switches):
    """A strategy with switches, clusters, quality or embeddings of its own; the rest is the study's."""

    strategy: StrategyName = Field(description="The strategy that it is a variant of.")
    clusters: Positive | None = Field(None, description="Number of clusters, one of clustering.counts.")
    quality: Scorer | None = Field(None, description="Scorer of quality.")
    embeddings: str | None = Field(None, description="Name of one of other_embeddings.")

    @model_validator(mode="after")
    def _reads_what_is_given(self) -> "VariantSettings":
        row = STRATEGIES[self.strategy]
        read = {"strategy"} | {name.removeprefix("selection.") for name in row.settings}
        read |= {name for name, signal in _SIGNALS.items() if row.needs & signal}
        read |= {"target"} if row.aims else set()
        read |= {"clusters"} if self.quotas_by == "clusters" else set()
        unread = sorted(self.model_fields_set - read)
        if unread:
            raise ValueError(f"{self.strategy} does not read {', '.join(unread)}; leave it out")
        return self


#: What a variant may choose of the signals, and the strategies that it concerns.
_SIGNALS = {"clusters": {CLUSTERS}, "quality": {QUALITY}, "embeddings": {EMBEDDINGS, CLUSTERS}}


class SelectionSettings(Switches):
    """Strategies, budgets and their switches."""

    strategies: list[StrategyName] = Field(description="Keys of STRATEGIES.", min_length=1)
    variants: dict[PlainName, VariantSettings] = Field(
        default_factory=dict, description="Further strategies by name, each a variant of another."
    )
    model: ModelSettings | None = Field(
        None,
        description="The model that selects, by its signals and rounds, where trials train another (model).",
    )
    budgets: Annotated[list[Positive], Field(max_length=SHORT_LIST)] = Field(
        description="Prompts to annotate, each a cut of the ranking; money with by_price.", min_length=1
    )
    budgets_of: dict[str, list[Positive]] = Field(
        default_factory=dict,
        description="Budgets of single strategies instead; the control's may go further than the others'.",
    )
    gammas: list[Factor] = Field(
        [0.001, 0.005, 0.01, 0.1, 1.0, 10.0],
        description="Widths of the kernel_width diagnostic, beside that of the study.",
        min_length=1,
    )
    engine: Literal["auto", "dense", "sparse", "blocked", "apricot"] = "auto"
    memory_limit_gib: Factor | None = Field(None, description="Most memory for selection.")
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

    @field_validator("budgets_of")
    @classmethod
    def _some_and_distinct(cls, budgets: dict[str, list[int]]) -> dict[str, list[int]]:
        for name, values in budgets.items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"budgets of {name} must be distinct and not empty; got {values}")
        return budgets

    @model_validator(mode="after")
    def _named_once(self) -> "SelectionSettings":
        taken = sorted(set(self.variants) & set(STRATEGIES))
        if taken:
            raise ValueError(f"{', '.join(taken)} is a strategy's own name; name the variant otherwise")
        unknown = sorted(set(self.budgets_of) - set(self.names))
        if unknown:
            raise ValueError(
                f"budgets_of names {', '.join(unknown)}, which is not among the strategies "
                f"{', '.join(self.names)}"
            )
        return self

    @property
    def names(self) -> list[str]:
        """The strategies and their variants, in the study's order."""
        return [*self.strategies, *self.variants]

    def of(self, name: str) -> Switches:
        """The switches that a strategy or a variant reads."""
        variant = self.variants.get(name)
        if variant is None:
            return self
        own = variant.model_fields_set & set(Switches.model_fields)
        return self.model_copy(update={field: getattr(variant, field) for field in own})

    def budgets_for(self, name: str) -> list[int]:
        """Budgets of a strategy or a variant, ascending."""
        return sorted(self.budgets_of.get(name, self.budgets))

    @property
    def every_budget(self) -> list[int]:
        """The budgets of any strategy, ascending."""
        return sorted({budget for name in self.names for budget in self.budgets_for(name)})


class RoundsSettings(Settings):
    """Iterative kMQ (Yu et al. 2024, Algorithm 1)."""

    rounds: Annotated[int, Field(ge=2, le=20)] = 3
    temperature: dict[Literal["perplexity", "reward", "judge"], Factor] = Field(
        default_factory=dict,
        description="tau of softmax(s / tau) by scorer; of one that is not named the standard deviation "
        "of the round's scores.",
    )
    literal: bool = Field(False, description="Eq. 6 to the letter: s / sum s; fails on a negative score.")
    start: Literal["base", "continue"] = Field(
        "base", description="Each round trains from the base model or goes on."
    )
    epochs: Few = Field(1, description="Epochs per round (one pass, Section 2.2).")
    max_new_tokens: Tokens = Field(64, description="Length of the generated answers that are scored.")
    joint: bool = Field(
        False, description="Perplexity of prompt and answer together, as Eq. 7 writes it, not of the answer."
    )
    reward: RewardSettings | None = Field(None, description="Scores answers for iterative_kmq_reward.")
    judge: JudgeModel | None = Field(None, description="Rates answers for iterative_kmq_judge.")
    score: bool = Field(
        False, description="Score the models of the rounds before the last too, for a curve by round."
    )
    collapse: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="Weights count as collapsed, which a check reports, where their entropy is less than "
        "this share of that of equal weights.",
    )

    def temperature_of(self, scorer: str) -> float | None:
        """The temperature that a scorer is given; None where it is the standard deviation of the scores."""
        return next((given for name, given in self.temperature.items() if name == scorer), None)


class AnnotationSettings(Settings):
    """What is bought: prices, and prompts bought to validate."""

    price_by: Literal["prompt", "length", "column"] = Field(
        "prompt", description="One price for all, by characters, or the pool's column price."
    )
    price: Money = Field(1.0, description="Of a prompt, in the study's own unit.")
    per_thousand_prompt: Money = Field(
        0.0, description="Price of 1,000 characters of a prompt, where price_by is length."
    )
    per_thousand_response: Money = Field(
        0.0, description="Price of 1,000 characters of a response, where price_by is length."
    )
    expected_response: Annotated[float, Field(ge=0, le=10**9)] = Field(
        200.0, description="Characters of a response before any is there."
    )
    validation: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0,
        description="Random prompts in each order to validate, never to train on; 20 is a start.",
    )
    annotator: AnnotatorSettings = AnnotatorSettings()
