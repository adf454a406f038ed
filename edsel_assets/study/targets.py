"""Whom the model must serve."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edsel_assets.study.base import Seed, Settings
from edsel_assets.study.inputs import PoolFormat, PoolSettings

Share = Annotated[float, Field(ge=0, le=10**6)]


class TargetSettings(Settings):
    """A target: prompts as its users ask them, or shares of the pool's tasks."""

    prompts: str | list[str] | None = Field(
        None,
        description="20 to 200 prompts as users ask them, in any layout of a pool; answers are not read.",
    )
    format: PoolFormat = "auto"
    columns: dict[Literal["prompt", "context"], str] = Field(
        default_factory=dict, description="Our column name to the name in the file of prompts."
    )
    embeddings: str | None = Field(
        None, description="File of its prompts' vectors, by row, where embeddings.source is file."
    )
    tasks: Literal["equal"] | dict[str, Share] | None = Field(
        None, description="equal: every task alike; or what each named task counts, others nothing."
    )
    strength: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="0 is the pool as it is, 1 the target alone."
    )
    seed: Seed = Field(0, description="Seed of the folds in which query and pool are told apart.")

    @model_validator(mode="after")
    def _one_way(self) -> "TargetSettings":
        if (self.prompts is None) == (self.tasks is None):
            raise ValueError("a target is given by prompts or by tasks; name one of the two")
        return self

    @property
    def source(self) -> PoolSettings:
        """Where its prompts come from, as those of a pool do."""
        assert self.prompts is not None, "a target by tasks has no prompts"
        return PoolSettings(path=self.prompts, format=self.format, columns=dict(self.columns))
