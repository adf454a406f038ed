"""Who answers orders."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edsel_assets.study.base import Address, Few, Money, Positive, Seconds, Settings, Tokens


class AnnotatorSettings(Settings):
    """Who answers what was ordered."""

    kind: Literal["people", "pool", "folder", "openai"] = Field(
        "people",
        description="people: files by edsel export and import; pool: the pool's own responses; folder: files "
        "that are dropped in; openai: a model behind an OpenAI-compatible server.",
    )
    folder: str | None = Field(None, description="Where files of answers are dropped, of kind folder.")
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        2.0, description="So long must nobody have written to a file before it is taken in."
    )
    model: str | None = Field(None, description="Name of the model, of kind openai.")
    base_url: Address | None = Field(None, description="Address of the server; OpenAI's own by default.")
    key_variable: str | None = Field(
        None, description="Environment variable that holds the key; OPENAI_API_KEY by default."
    )
    system: str = Field("", description="A text before each prompt, as the system's.")
    max_tokens: Tokens = Field(1024, description="The longest answer; a longer one counts as rejected.")
    tokens_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="How the server calls the longest answer."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="Of the answers' draws; the server's own by default."
    )
    requests_per_minute: Positive | None = Field(None, description="At most; no limit by default.")
    concurrency: Few = Field(8, description="Requests under way at a time.")
    attempts: Few = Field(6, description="Tries of a request where the failure may pass.")
    timeout_seconds: Seconds = Field(
        120.0, description="Longest time of one request, from connecting to the last byte."
    )
    per_thousand_prompt_tokens: Money = Field(
        0.0, description="What the server charges for 1,000 tokens read, in the study's unit."
    )
    per_thousand_response_tokens: Money = Field(
        0.0, description="What the server charges for 1,000 tokens written, in the study's unit."
    )
    max_cost: Money | None = Field(
        None, description="Nothing is sent that could cost more in all; needs the prices of tokens."
    )

    @model_validator(mode="after")
    def _whole(self) -> "AnnotatorSettings":
        if self.kind == "folder" and not self.folder:
            raise ValueError("kind folder needs the setting folder: where files of answers are dropped")
        if self.kind != "openai":
            return self
        if not self.model:
            raise ValueError("kind openai needs the setting model: its name, as the server knows it")
        priced = self.per_thousand_prompt_tokens or self.per_thousand_response_tokens
        if self.max_cost is not None and not priced:
            raise ValueError("max_cost needs per_thousand_prompt_tokens and per_thousand_response_tokens")
        if self.base_url is None and self.max_cost is None:
            raise ValueError(
                "OpenAI's own server is paid by the token: set max_cost and the prices of tokens"
            )
        return self
