"""Study: every setting of an experiment, in one validated object loaded from YAML.

A study names a pool, a model, strategies and budgets. Everything else has a default, and every
field says what it does. ``Study.load`` takes the name of a shipped study or a path; strings in
the YAML may use ``${VARIABLE}`` or ``${VARIABLE:-default}`` from the environment.
"""

import difflib
import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from edsel_assets.demo import DEMO
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.study_file import StudyError as StudyError  # the name that others import
from edsel_assets.study_file import load_study

Measure = Literal["mean_entropy", "least_confidence", "mean_margin", "min_margin"]
MEASURES: tuple[Measure, ...] = ("mean_entropy", "least_confidence", "mean_margin", "min_margin")
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


def _known_strategy(name: str) -> str:
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no strategy {name!r}; {hint}There are {', '.join(STRATEGIES)}")
    return name


StrategyName = Annotated[str, AfterValidator(_known_strategy)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PoolSettings(Settings):
    """Where the prompts come from."""

    path: str | list[str] = Field(
        DEMO, description="File, glob, folder, list of them, data set name, or builtin:demo."
    )
    format: Literal["auto", "parquet", "jsonl", "json", "csv", "hf"] = "auto"
    columns: dict[Literal["prompt", "context", "response", "task", "source", "price"], str] = Field(
        default_factory=dict, description="Our column name to the file's column name."
    )
    split: str = Field("train", description="Split, where the source is a data set.")
    revision: str | None = Field(None, description="Revision of a hub data set.")
    limit: Positive | None = Field(None, description="Keep this many prompts, sampled by hash.")
    seed: int = Field(0, description="Seed of that sample.")
    annotations: str | None = Field(None, description="File of prompts annotated already.")
    annotated_only: bool = Field(
        False, description="Leave out prompts without a response: for studies on data annotated already."
    )


class ModelSettings(Settings):
    """The base model."""

    path: str = Field(DEMO, description="Local directory, model name, or builtin:demo.")
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    threads: Positive | None = Field(
        None, description="CPU threads of the model; fixed, results do not depend on the machine's cores."
    )
    trust_remote_code: bool = Field(
        False, description="Run code shipped with the model. Off unless asked for."
    )
    template: str = Field(
        "<|user|>\n{prompt}\n<|assistant|>\n", description="How a prompt is put to the model (open-instruct)."
    )

    @field_validator("template")
    @classmethod
    def _one_prompt(cls, template: str) -> str:
        if template.count("{prompt}") != 1:
            raise ValueError(f"must contain {{prompt}} exactly once; got {template!r}")
        return template


class ForwardSettings(Settings):
    """The one forward pass over the pool."""

    max_new_tokens: Positive = Field(64, description="Greedy decoding steps per prompt (L), at most.")
    max_prompt_tokens: Positive = Field(1024, description="Longer prompts are cut from the left and counted.")
    batch_tokens: Positive = Field(16_384, description="Tokens read at once; halved when memory runs out.")
    pooling: Literal["last", "mean"] = Field("last", description="Which hidden state is the embedding.")
    shard_rows: Positive = Field(1_024, description="Prompts per shard: what a killed run can lose.")


class EmbeddingSettings(Settings):
    """What the embeddings are computed from, and by what."""

    source: Literal["model", "sentence_transformers", "openai", "cohere"] = "model"
    name: str | None = Field(None, description="Embedding model, where source is not the base model.")
    revision: str | None = None
    base_url: str | None = Field(None, description="Endpoint of an OpenAI- or Cohere-compatible server.")
    key_variable: str | None = Field(None, description="Environment variable that holds the key.")
    batch_size: Positive = 64
    requests_per_minute: Positive | None = None
    input: Literal["prompt", "prompt_response"] = Field(
        "prompt",
        description="Responses do not exist before annotation; prompt_response is Yu et al.'s choice.",
    )

    @model_validator(mode="after")
    def _named(self) -> "EmbeddingSettings":
        if self.source != "model" and not self.name:
            raise ValueError(f"embeddings.name is needed with source {self.source!r}")
        return self


class UncertaintySettings(Settings):
    """Switches of the uncertainty measures."""

    entropy_sign: Literal["entropy", "paper_literal"] = "entropy"
    length_normalised: bool = Field(False, description="Divide least confidence by the number of steps.")


class ClusteringSettings(Settings):
    """k-means over the embeddings."""

    counts: list[Positive] = Field([64, 256, 1024], description="Numbers of clusters to compute and compare.")
    count: Positive | None = Field(None, description="The one that strategies use; the first by default.")
    seed: int = 42
    restarts: Positive = Field(1, description="Independent starts; the best is kept.")
    iterations: Positive = Field(100, description="Lloyd iterations at most.")

    @model_validator(mode="after")
    def _counted(self) -> "ClusteringSettings":
        if not self.counts or len(set(self.counts)) != len(self.counts):
            raise ValueError(f"clustering.counts must be distinct and not empty; got {self.counts}")
        if self.count is not None and self.count not in self.counts:
            raise ValueError(
                f"clustering.count must be one of clustering.counts {self.counts}; got {self.count}"
            )
        return self

    @property
    def chosen(self) -> int:
        return self.count if self.count is not None else self.counts[0]


class QualitySettings(Settings):
    """How good a prompt is, for kMQ, Deita, QDIT."""

    scorer: Literal["likelihood"] = Field(
        "likelihood",
        description="likelihood: the prompt's own likelihood under the base model, as a rank in (0, 1).",
    )
    threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3, description="Below it a cluster counts as poor."
    )


class SelectionSettings(Settings):
    """Strategies, budgets and their switches."""

    strategies: list[StrategyName] = Field(description="Keys of STRATEGIES.", min_length=1)
    budgets: list[Positive] = Field(
        description="Prompts to annotate, each a cut of the ranking.", min_length=1
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

    @field_validator("strategies", "budgets", "gammas")
    @classmethod
    def _distinct(cls, values: list) -> list:
        if len(set(values)) != len(values):
            raise ValueError(f"must not repeat a value; got {values}")
        return values


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


class ReportSettings(Settings):
    control: str | None = Field(
        "random", description="What every strategy is compared with; null: no comparison."
    )


class Study(Settings):
    """Every setting of one experiment."""

    name: Name
    pool: PoolSettings = PoolSettings()
    model: ModelSettings = ModelSettings()
    forward: ForwardSettings = ForwardSettings()
    embeddings: EmbeddingSettings = EmbeddingSettings()
    uncertainty: UncertaintySettings = UncertaintySettings()
    clustering: ClusteringSettings = ClusteringSettings()
    quality: QualitySettings = QualitySettings()
    selection: SelectionSettings
    finetuning: FinetuningSettings = FinetuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    annotation: AnnotationSettings = AnnotationSettings()
    rounds: RoundsSettings = RoundsSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        named = self.report.control
        if "control" in self.report.model_fields_set and named and named not in self.selection.strategies:
            raise ValueError(
                f"report.control {named!r} must be among selection.strategies "
                f"{self.selection.strategies}; add it, name another control, or set it to null"
            )
        least = min(self.selection.budgets)
        if "iterative_kmq_perplexity" in self.selection.strategies and least < self.rounds.rounds:
            raise ValueError(
                f"a budget of {least} cannot be spread over {self.rounds.rounds} rounds; "
                "raise the budget or lower rounds.rounds"
            )
        return self

    @classmethod
    def load(cls, name_or_path: str | Path) -> "Study":
        """The study of that name shipped with edsel, or in that YAML file.

        Raises:
            StudyError: no such study, not YAML, an unknown field, a value out of range.
        """
        return load_study(cls, name_or_path, Path(str(resources.files("edsel_assets") / "studies")))

    @classmethod
    def from_env(cls) -> "Study":
        """The study that the environment variable EDSEL_STUDY names; the demo without it."""
        return cls.load(os.environ.get("EDSEL_STUDY") or "demo")

    @property
    def control(self) -> str | None:
        """The strategy that others are compared with; None where the study has none."""
        named = self.report.control
        return named if named in self.selection.strategies else None

    def seeds(self, strategy: str) -> range:
        """Seeds of a strategy's trials (Bhatt et al. 2024: 6 for random, 3 for the rest)."""
        tuning = self.finetuning
        if strategy == "random":
            return range(tuning.random_seeds or 2 * tuning.seeds)
        return range(tuning.seeds)


def shipped_studies() -> list[str]:
    """Names of the studies in the package."""
    folder = resources.files("edsel_assets") / "studies"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))
