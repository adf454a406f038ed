"""Finetuning, evaluation and the report."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from edsel_assets.llm.training.settings import ALL_LINEAR, Dtype, FinetuneSettings, Launcher, Method, Schedule
from edsel_assets.study.base import Factor, Few, Positive, Seed, Settings, Tokens
from edsel_assets.study.judges import HumanEvalSettings, JudgeSettings

#: The engine's own defaults.
_OWN = FinetuneSettings()


class FinetuningSettings(Settings):
    """One training run per trial."""

    method: Method = _OWN.method
    rank: Annotated[int, Field(ge=1, le=65_536)] = _OWN.rank
    alpha: Factor = _OWN.alpha
    dropout: Annotated[float, Field(ge=0, lt=1)] = _OWN.dropout
    target_modules: str | list[str] = Field(ALL_LINEAR, description="Layers that get an adapter.")
    learning_rate: Factor | Literal["auto"] = Field(
        _OWN.learning_rate,
        description="Largest learning rate, after the warm-up; auto: 5e-4, and 1e-4 for method full.",
    )
    schedule: Schedule = _OWN.schedule
    warmup: Annotated[int, Field(ge=0, le=10**9)] | Annotated[float, Field(ge=0, lt=1)] = Field(
        _OWN.warmup, description="A share of the run as a fraction, or steps as a whole number."
    )
    batch_size: Positive | Literal["auto"] = Field(
        _OWN.batch_size,
        description="Examples per optimizer step; auto: the largest of 1, 2, 4, ... 128 with 40 steps.",
    )
    epochs: Few = _OWN.epochs
    max_length: Positive = _OWN.max_length
    micro_batch_tokens: Positive | None = Field(
        _OWN.micro_batch_tokens,
        description="Tokens per forward pass, padding included; the rest accumulates.",
    )
    gradient_checkpointing: bool = _OWN.gradient_checkpointing
    weight_decay: Annotated[float, Field(ge=0, le=10**6)] = _OWN.weight_decay
    max_grad_norm: Factor | None = _OWN.max_grad_norm
    dtype: Dtype = _OWN.dtype
    checkpoint_steps: Positive | None = Field(
        _OWN.checkpoint_steps, description="Steps between checkpoints to resume from."
    )
    launcher: Launcher | None = Field(_OWN.launcher, description="accelerate: several GPUs of this machine.")
    processes: Few = Field(_OWN.processes, description="Processes of the launcher, one per GPU.")
    fsdp: bool = Field(_OWN.fsdp, description="Shard a full finetuning over the processes.")
    seeds: Few = Field(3, description="Trials per strategy.")
    random_seeds: Few | None = Field(None, description="Trials of random; twice seeds by default (6 and 3).")


class TaskSettings(Settings):
    """One lm-eval task."""

    name: str
    metric: str | None = Field(
        None, description="The metric that the report uses; the task's first by default."
    )
    num_fewshot: Annotated[int, Field(ge=0, le=1000)] | None = None
    label: str | None = Field(
        None, description="Its name in scores and report; for a task that is scored with several shots."
    )
    max_new_tokens: Tokens | None = Field(
        None, description="Longest answer of a task that generates; the task's own by default."
    )
    limit: Positive | None = Field(None, description="Items per (sub)task.")
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="A fixed random share of the items instead (0.2 of BBH in Bhatt et al.)."
    )

    @model_validator(mode="after")
    def _one_cut(self) -> "TaskSettings":
        if self.limit is not None and self.share is not None:
            raise ValueError(f"task {self.name}: give limit or share, not both")
        return self

    @property
    def shown(self) -> str:
        """Its name in scores."""
        return self.label or self.name


class EvaluationSettings(Settings):
    """Benchmarks through lm-eval, prompts held out of the pool, a judge, and programs."""

    tasks: list[TaskSettings] = Field(default_factory=list, description="lm-eval tasks.")
    include_path: str | None = Field(
        None, description="Folder of task YAML files; builtin:demo for the demo's."
    )
    data_directory: str | None = Field(
        None, description="Folder that holds the tasks' data sets, for offline use."
    )
    batch_tokens: Positive = Field(8_192, description="Tokens read at once; halved when memory runs out.")
    max_length: Positive | None = Field(None, description="Context length; the model's by default.")
    seed: Seed | None = Field(
        None, description="Of few-shot examples and sampled answers; lm-eval's own (1234) by default."
    )
    share_seed: Seed = Field(0, description="Which items a task's share are.")
    chat_template: bool | Literal["model"] = Field(
        False,
        description="Put tasks to the model by its tokenizer's chat template; model: by model.template, as "
        "in training. false: as lm-eval writes them.",
    )
    fewshot_as_multiturn: bool = Field(
        True, description="With a chat template: each few-shot example is a turn of the conversation."
    )
    backend: str = Field(
        "edsel", description="Who reads the tasks: edsel, or one of lm-eval's models: hf, vllm, sglang."
    )
    backend_arguments: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Arguments of that model of lm-eval."
    )
    held_out: Annotated[int, Field(ge=0, le=10**9)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        0,
        description="Answered prompts that no strategy may take, to score trials on: a whole number, or a "
        "share of them as a fraction. Spread over the tasks, drawn by hash. 0: none.",
    )
    held_out_seed: Seed = Field(0, description="Seed of that draw.")
    held_out_answers: list[Literal["exact_match", "rouge_l"]] = Field(
        default_factory=list,
        description="Also let each trial answer the held-out prompts, and compare its answers with the "
        "responses. Nothing is written by default, as it takes longer than the loss.",
    )
    held_out_max_new_tokens: Tokens = Field(128, description="Longest answer to a held-out prompt; greedy.")
    judge: JudgeSettings | None = Field(None, description="Answers to instructions, and who judges them.")
    humaneval: HumanEvalSettings | None = Field(
        None, description="HumanEval; off unless the study says so, as it runs programs."
    )

    @property
    def shown(self) -> list[str]:
        """Names of all tasks in scores."""
        return [*(task.shown for task in self.tasks), *([HUMANEVAL] if self.humaneval else [])]

    @property
    def once(self) -> list[str]:
        """The same, of a task with several labels the first."""
        first = {task.name: task.shown for task in reversed(self.tasks)}
        return [name for name in self.shown if name in first.values() or name == HUMANEVAL]

    @field_validator("held_out", mode="before")
    @classmethod
    def _count_or_share(cls, held_out: Any) -> Any:
        share = isinstance(held_out, float) and not 0 < held_out < 1  # 1.0 must not be read as one prompt
        if share or (isinstance(held_out, int) and held_out < 0):
            raise ValueError("should be a whole number of at least 0, or a share above 0 and below 1")
        return held_out

    @field_validator("held_out_answers")
    @classmethod
    def _each_once(cls, measures: list[str]) -> list[str]:
        if len(set(measures)) < len(measures):
            raise ValueError("names a measure twice; leave one out")
        return measures

    @field_validator("tasks", mode="before")
    @classmethod
    def _names(cls, tasks: Any) -> Any:
        return [{"name": t} if isinstance(t, str) else t for t in tasks] if isinstance(tasks, list) else tasks

    @field_validator("tasks")
    @classmethod
    def _distinct(cls, tasks: list[TaskSettings]) -> list[TaskSettings]:
        names = [task.shown for task in tasks]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is there twice; give one of them another label, or leave it out")
        return tasks

    @model_validator(mode="after")
    def _own_model(self) -> "EvaluationSettings":
        if self.backend_arguments and self.backend == "edsel":
            raise ValueError("backend_arguments are those of another backend; edsel's own takes none")
        if self.chat_template == "model" and self.backend != "edsel":
            raise ValueError(
                "chat_template: model needs the backend edsel; other backends know no such template"
            )
        return self


#: The task that HumanEval's scores are shown as.
HUMANEVAL = "humaneval"


class ReportSettings(Settings):
    average: list[str] = Field(
        default_factory=list,
        description="The tasks whose mean is the average, by their names in scores; humaneval: the programs. "
        "By default all, of a task with several labels the first.",
    )
    control: str | None = Field(
        "random", description="What every strategy is compared with; null: no comparison."
    )
