"""Finetuning, evaluation and the report."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edsel_assets.study.base import Positive, Settings


class FinetuningSettings(Settings):
    """One training run per trial."""

    method: Literal["lora", "dora", "qlora", "full"] = "lora"
    rank: Positive = 64
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    target_modules: str | list[str] = Field("all-linear", description="Layers that get an adapter.")
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, lt=1)] = Field(
        0.03, description="A share of the run as a fraction, or steps as a whole number."
    )
    batch_size: Positive = Field(128, description="Examples per optimizer step.")
    epochs: Positive = 5
    max_length: Positive = 2048
    packing: bool = True
    micro_batch_tokens: Positive | None = Field(
        None, description="Tokens per forward pass; the rest accumulates."
    )
    gradient_checkpointing: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint_steps: Positive | None = Field(None, description="Steps between checkpoints to resume from.")
    launcher: Literal["accelerate"] | None = Field(
        None, description="accelerate: several GPUs of this machine."
    )
    processes: Positive = Field(1, description="Processes of the launcher, one per GPU.")
    fsdp: bool = Field(False, description="Shard a full finetuning over the processes.")
    seeds: Positive = Field(3, description="Trials per strategy.")
    random_seeds: Positive | None = Field(
        None, description="Trials of random; twice seeds by default (6 and 3)."
    )


class TaskSettings(Settings):
    """One lm-eval task."""

    name: str
    metric: str | None = Field(
        None, description="The metric that the report uses; the task's first by default."
    )
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    limit: Positive | None = Field(None, description="Items per (sub)task.")
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="A fixed random share of the items instead (0.2 of BBH in Bhatt et al.)."
    )

    @model_validator(mode="after")
    def _one_cut(self) -> "TaskSettings":
        if self.limit is not None and self.share is not None:
            raise ValueError(f"task {self.name}: give limit or share, not both")
        return self


class EvaluationSettings(Settings):
    """Benchmarks through lm-eval, and prompts held out of the pool."""

    tasks: list[TaskSettings] = Field(default_factory=list, description="lm-eval tasks.")
    include_path: str | None = Field(
        None, description="Folder of task YAML files; builtin:demo for the demo's."
    )
    data_directory: str | None = Field(
        None, description="Folder that holds the tasks' data sets, for offline use."
    )
    batch_tokens: Positive = Field(8_192, description="Tokens read at once; halved when memory runs out.")
    max_length: Positive | None = Field(None, description="Context length; the model's by default.")
    seed: int = Field(0, description="Of few-shot examples and of a task's share.")
    held_out: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Answered prompts that no strategy may take, to score trials on: spread over the tasks, "
        "drawn by hash. 0: none, and no win rates.",
    )
    held_out_seed: int = Field(0, description="Seed of that draw.")

    @field_validator("tasks", mode="before")
    @classmethod
    def _names(cls, tasks: Any) -> Any:
        return [{"name": t} if isinstance(t, str) else t for t in tasks] if isinstance(tasks, list) else tasks


class ReportSettings(Settings):
    control: str | None = Field(
        "random", description="What every strategy is compared with; null: no comparison."
    )
