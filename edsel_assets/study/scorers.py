"""Who scores prompts and answers: a reward model, Deita's models, a judge."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edsel_assets.study.base import Settings, Tokens
from edsel_assets.study.judges import AnyJudge, with_prompt

Scorer = Literal["likelihood", "perplexity", "reward", "deita", "judge", "column"]


class ScorerModel(Settings):
    """A model that is loaded to score texts."""

    model: str = Field(description="Its folder, its name at the hub, or builtin:demo.")
    revision: str | None = Field(None, description="Revision of that model at the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of its weights."
    )
    max_tokens: Tokens | None = Field(
        None, description="Longest text that it reads; the model's own by default. Responses are cut first."
    )


class RewardSettings(ScorerModel):
    """A sequence-classification model, whose logit is the score."""

    label: str | None = Field(None, description="The label whose logit counts, where it has several.")
    template: str | None = Field(
        None,
        description="How it is given a prompt, with {prompt}; by default the chat template of its tokenizer.",
    )

    @field_validator("template")
    @classmethod
    def _one_prompt(cls, template: str | None) -> str | None:
        return with_prompt(template)


class DeitaSettings(Settings):
    """The two scorers of Liu et al. 2024; a score is the expectation over the rating tokens 1 to 6."""

    quality: ScorerModel = Field(description="Such as hkust-nlp/deita-quality-scorer.")
    complexity: ScorerModel = Field(description="Such as hkust-nlp/deita-complexity-scorer.")


class JudgeModel(AnyJudge):
    """A judge that rates from 1 to 10."""

    model: str = Field(description="The judge: its name at the server, or a folder.")


class QualitySettings(Settings):
    """How good a prompt is, for kMQ, Deita, QDIT."""

    scorer: Scorer = Field(
        "likelihood",
        description="likelihood: the prompt's own likelihood under the base model, as a rank in (0, 1). "
        "perplexity: 1 / perplexity under the base model. reward, deita, judge: their sections. column: "
        "given in the pool or a file.",
    )
    input: Literal["prompt", "prompt_response"] = Field(
        "prompt",
        description="What perplexity, reward and judge score: the prompt, or its response too, which then "
        "must be there. deita reads both.",
    )
    reward: RewardSettings | None = Field(None, description="The reward model, where a scorer is reward.")
    deita: DeitaSettings | None = Field(None, description="Deita's models, where a scorer is deita.")
    judge: JudgeModel | None = Field(None, description="The judge, where a scorer is judge.")
    file: str | None = Field(
        None,
        description="File of scores by prompt_id for the scorer column: Parquet, CSV or JSONL; without it "
        "the pool's own column quality, named in pool.columns.",
    )
    column: str = Field("quality", description="Column of that file: at least 0, higher is better.")
    complexity_column: str | None = Field(None, description="Column of that file that is the complexity.")
    threshold: Annotated[float, Field(ge=-(10**9), le=10**9)] | None = Field(
        None,
        description="Mean quality under which a cluster counts as poor, on the scorer's own scale. By "
        "default 0.3 of the way up the scale: likelihood and reward 0.3, deita 2.5, judge 3.7; for "
        "perplexity and column the quantile 0.3 of the pool.",
    )
    threshold_quantile: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="That threshold as a quantile of the pool's qualities instead."
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> "QualitySettings":
        if self.threshold is not None and self.threshold_quantile is not None:
            raise ValueError("give threshold or threshold_quantile, not both")
        return self

    def reads_forward_pass(self, scorer: str) -> bool:
        """Whether ``scorer`` reads the base model's forward pass; the others read the pool's texts."""
        return scorer == "likelihood" or (scorer == "perplexity" and self.input == "prompt")

    def check(self, scorer: str) -> None:
        """Raise ValueError where ``scorer`` lacks what it needs."""
        if scorer in ("reward", "deita", "judge") and getattr(self, scorer) is None:
            raise ValueError(f"the scorer {scorer} needs the section quality.{scorer}; add it")
        if scorer == "deita" and self.input != "prompt_response":
            raise ValueError(
                "the scorer deita rates responses; set quality.input to prompt_response, or choose another"
            )
