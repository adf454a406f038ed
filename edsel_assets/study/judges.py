"""What is scored beside lm-eval's tasks: answers that a judge reads, and programs that are run."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edsel_assets.llm.judging.prompts import PREFERENCE_FIELDS, RATING_FIELDS, check_judge_template
from edsel_assets.study.base import Address, Factor, Few, Money, Positive, Seconds, Seed, Settings, Tokens


class AnyJudge(Settings):
    """How a judge is asked: over a server, or a model that is loaded here."""

    by: Literal["openai", "local"] = Field(
        "openai", description="A server that speaks OpenAI's protocol, or a model that is loaded here."
    )
    reply_tokens: Tokens = Field(1024, description="Longest reply.")
    on_error: Literal["stop", "leave_out"] = Field(
        "stop",
        description="A request that is refused: end the run, or go on without the reply. One that fails for "
        "good or is over max_cost: end the run at once, or once all others were asked.",
    )
    on_invalid: Literal["stop", "leave_out"] = Field(
        "leave_out", description="A reply of the wrong form: end the run, or go on without it."
    )
    base_url: Address | None = Field(None, description="Address of the server; OpenAI's own without it.")
    key_variable: str | None = Field(None, description="Environment variable that holds the key.")
    tokens_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="How the server calls the longest reply."
    )
    concurrency: Few = Field(8, description="Requests under way at a time.")
    requests_per_minute: Factor | None = Field(
        None, description="Most requests to the server in a minute; no limit by default."
    )
    attempts: Few = Field(6, description="Tries of a request where the failure may pass.")
    timeout: Seconds = Field(
        120.0, description="Longest time of one request in seconds, from connecting to the last byte."
    )
    price_prompt: Money = Field(0.0, description="Price of 1,000 tokens that the judge reads.")
    price_reply: Money = Field(0.0, description="Price of 1,000 tokens that the judge writes.")
    max_cost: Money | None = Field(
        None, description="No request is sent that could bring what this home spent on judges above it."
    )
    revision: str | None = Field(None, description="Revision of a local judge of the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of a local judge's weights."
    )
    template: str | None = Field(
        None, description="How a local judge is asked, with {prompt}; its own chat template by default."
    )

    @field_validator("template")
    @classmethod
    def _one_prompt(cls, template: str | None) -> str | None:
        return with_prompt(template)

    @model_validator(mode="after")
    def _priced_and_reached(self) -> "AnyJudge":
        if self.max_cost is not None and not (self.price_prompt or self.price_reply):
            raise ValueError("max_cost needs price_prompt and price_reply, by which cost is counted")
        if self.by == "local" and self.base_url is not None:
            raise ValueError("base_url is of a server; leave it out, or set by to openai")
        return self


class JudgeSettings(AnyJudge):
    """Every trial answers the same instructions, and a judge reads the answers."""

    instructions: str = Field(
        description="File of instructions: a JSON list or JSONL, each row with the text instruction."
    )
    limit: Positive | None = Field(None, description="The first so many instructions.")
    max_new_tokens: Tokens = Field(512, description="Longest answer of a trial; greedy.")
    kind: Literal["preference", "rating"] = Field(
        "preference",
        description="preference: weighted win rate against the reference, both orders. rating: 1 to 10.",
    )
    reference: str | None = Field(
        None,
        description="The trial that all are compared with, such as 90000|random.s0; by default the "
        "control's at its largest budget, seed 0.",
    )
    budgets: list[Positive] = Field(
        default_factory=list,
        description="Budgets whose trials are judged, beside the reference; all by default.",
    )
    question: str | None = Field(
        None,
        description="What the judge is asked, with ${instruction}, ${first_answer}, ${second_answer} and the "
        "labels ${first}, ${second}; for a rating ${instruction}, ${response}. Edsel's words by default.",
    )
    system: str | None = Field(None, description="The system message of a server's judge; none by default.")
    labels: tuple[str, str] = Field(("m", "M"), description="What a preference may reply; AlpacaEval's.")
    model: str | None = Field(
        None,
        description="The judge: its name at the server, or a folder. Without it answers are written and "
        "kept, and nobody judges them.",
    )
    logprobs: bool = Field(
        True, description="Whether the server gives log-probabilities; without them a preference is 0 or 1."
    )
    top_logprobs: Few = Field(20, description="Of how many tokens; OpenAI's own server gives 20.")

    @model_validator(mode="after")
    def _asked_so(self) -> "JudgeSettings":
        if self.question is not None:
            fields = PREFERENCE_FIELDS if self.kind == "preference" else RATING_FIELDS
            check_judge_template(self.question, fields)
        if self.system is not None and self.by == "local":
            raise ValueError("system is of a server's judge; put it into the template of a local one")
        if self.labels[0] == self.labels[1] or not all(self.labels):
            raise ValueError(f"labels must be two different words; got {list(self.labels)}")
        return self

    @model_validator(mode="after")
    def _rating_compares_nothing(self) -> "JudgeSettings":
        if self.kind == "rating" and self.reference is not None:
            raise ValueError("a rating has no reference; leave reference out, or set kind to preference")
        return self


class HumanEvalSettings(Settings):
    """Programs that a model writes, run in a sandbox: pass@k (Chen et al. 2021)."""

    problems: str = Field(
        description="Folder or Parquet file of the problems, such as the data set openai/openai_humaneval."
    )
    limit: Positive | None = Field(None, description="The first so many problems.")
    k: Annotated[int, Field(ge=1, le=10_000)] = Field(10, description="Draws, one of which has to pass.")
    n: Annotated[int, Field(ge=1, le=10_000)] = Field(
        20, description="Programs per problem, from which pass@k is estimated without bias."
    )
    temperature: Annotated[float, Field(ge=0, le=100)] = Field(0.8, description="Of the sampling.")
    max_new_tokens: Tokens = Field(512, description="Longest program.")
    template: str | None = Field(
        None, description="What stands around a problem, with {prompt}; the problem alone by default."
    )
    seed: Seed = Field(0, description="Seed of the sampling.")
    seconds: Seconds = Field(10.0, description="Longest time of one program.")
    workers: Few | None = Field(None, description="Programs at a time; as many as processors by default.")

    @field_validator("template")
    @classmethod
    def _one_prompt(cls, template: str | None) -> str | None:
        return with_prompt(template)

    @model_validator(mode="after")
    def _enough(self) -> "HumanEvalSettings":
        if self.k > self.n:
            raise ValueError(f"pass@{self.k} needs at least {self.k} programs per problem; n is {self.n}")
        return self


def with_prompt(template: str | None) -> str | None:
    """``template`` if it is None or holds {prompt} once; ValueError otherwise."""
    if template is not None and template.count("{prompt}") != 1:
        raise ValueError(f"must contain {{prompt}} exactly once; got {template!r}")
    return template
