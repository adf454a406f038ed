"""What decides each kind of cell beside its inputs: code, settings, libraries, files outside the store.

A setting is listed where changing it can change the value beyond rounding. So devices, threads,
batch sizes, shards, checkpoints, launchers and memory limits are not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from edsel_assets.keys import ITERATIVE_PREFIX
from edsel_assets.llm.scoring.backends import PACKAGES
from edsel_assets.selection.strategies import STRATEGIES
from edsel_assets.selection.strategy import EMBEDDINGS
from edsel_assets.study import Study

#: Names of the sources of external inputs; see ``external``.
POOL_FILES, ANNOTATION_FILES, MODEL_FILES, TASK_FILES = "pool", "annotations", "model", "tasks"
ORDER_FILES, PURCHASE_FILES = "orders", "purchases"
INSTRUCTION_FILES, JUDGE_FILES = "instructions", "judge"


@dataclass(frozen=True)
class Reads:
    """What one kind of cell reads.

    Attributes:
        settings: dotted names in the study; the name of a section stands for all of it.
        libraries: distributions whose version decides the value.
        external: sources of files outside the store.
        code: raised when the meaning of the value changes, with a comment that says why.
    """

    settings: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    code: str = "1"


_PRODUCTS = ("torch",)
_MODEL = ("torch", "transformers")
_ADAPTED = (*_MODEL, "peft")
_BASE = ("model.revision", "model.dtype")
_PASS = (*_BASE, "model.template", "forward.max_prompt_tokens")
#: Distributions that give one library; they have the same version numbers.
_BUILDS = {"faiss": ("faiss-gpu", "faiss-cpu")}
_EXECUTION = {
    "seeds",
    "random_seeds",
    "micro_batch_tokens",
    "gradient_checkpointing",
    "checkpoint_steps",
    "launcher",
    "processes",
    "fsdp",
}

_POOL = (
    "pool.format",
    "pool.columns",
    "pool.split",
    "pool.revision",
    "pool.limit",
    "pool.seed",
    "pool.annotated_only",
    "evaluation.held_out",
    "evaluation.held_out_seed",
)


def _scores(libraries: tuple[str, ...]) -> Reads:
    # 2: values by item lie in a table, with their numbers
    return Reads((*_BASE, "model.template"), (*libraries, "lm-eval"), (MODEL_FILES, TASK_FILES), code="2")


READS: Mapping[str, Reads] = {
    "pool": Reads(_POOL, external=(POOL_FILES,)),
    "orders": Reads(external=(ORDER_FILES,)),
    "purchases": Reads(external=(PURCHASE_FILES,)),
    "annotations": Reads(external=(ANNOTATION_FILES,)),
    "embeddings": Reads(),  # by embeddings.source: see settings_of
    "token_probabilities": Reads((*_PASS, "forward.max_new_tokens"), _MODEL, (MODEL_FILES,)),
    "uncertainty_scores": Reads(),  # by measure
    "clusters": Reads(("clustering.seed", "clustering.restarts", "clustering.iterations"), ("faiss",)),
    "quality_scores": Reads(),
    "kernel_width": Reads(("selection.gammas", "selection.normalise"), _PRODUCTS),
    "cluster_count": Reads(("clustering.seed",), _PRODUCTS),
    "cluster_quality": Reads(("quality.threshold",)),
    "rankings": Reads(),  # by strategy
    "selections": Reads(),
    "training_sets": Reads(),
    "held_out": Reads(_POOL, external=(POOL_FILES,)),
    "lora_adapters": Reads((*_BASE, "model.template", "finetuning"), _ADAPTED, (MODEL_FILES,)),
    "purchased_training_set": Reads(),
    "purchased_adapter": Reads((*_BASE, "model.template", "finetuning"), _ADAPTED, (MODEL_FILES,)),
    "purchased_scores": _scores(_ADAPTED),
    "spend_curve": Reads(),
    "base_scores": _scores(_MODEL),
    "benchmark_scores": _scores(_ADAPTED),
    "generations": Reads(
        (*_BASE, "model.template", "forward.max_prompt_tokens"), _ADAPTED, (MODEL_FILES, INSTRUCTION_FILES)
    ),
    "reference_answers": Reads(),
    "win_rates": Reads(code="2"),  # 2: a judge's word on answers, no more a comparison of likelihoods
    "round_selection": Reads(("rounds.rounds",)),
    "round_training_set": Reads(),
    "round_checkpoint": Reads(
        (*_BASE, "model.template", "finetuning", "rounds.epochs", "rounds.start", "selection.seed"),
        _ADAPTED,
        (MODEL_FILES,),
    ),
    "round_weights": Reads(
        (
            *_BASE,
            "model.template",
            "forward.max_prompt_tokens",
            "rounds.temperature",
            "rounds.literal",
            "rounds.start",
            "rounds.max_new_tokens",
        ),
        _ADAPTED,
        (MODEL_FILES,),
    ),
    "iterative_selections": Reads(),
    "label_efficiency": Reads(("report.control",)),
}


_SCORED = {"base_scores", "benchmark_scores", "purchased_scores"}
_TRAINED = {"lora_adapters", "round_checkpoint", "purchased_adapter"}


def settings_of(study: Study, kind: str, partition: str | None = None) -> dict[str, Any]:
    """The settings that decide a cell, by dotted name; without a partition, of the whole asset."""
    names = [*READS[kind].settings]
    found: dict[str, Any] = {}
    if kind == "embeddings":
        names += _embedding_settings(study)
    elif kind == "uncertainty_scores":
        names += _uncertainty_settings(partition)
    elif kind == "rankings":
        found |= _ranking_settings(study, partition)
    elif kind == "round_selection":
        found |= _strategy_settings(study, _iterative(study, partition))
    elif kind == "kernel_width":
        found["selection.budgets: largest"] = max(study.selection.budgets)
    elif kind in _SCORED:
        found |= _evaluation_settings(study)
    elif kind == "generations":
        found |= _judge_settings(study, ("limit", "max_new_tokens"))
    elif kind == "win_rates":
        found |= _judge_settings(study, _judge_reads(study))
        found["evaluation.judge.reference"] = study.reference
    elif kind == "label_efficiency":
        found |= {f"evaluation.tasks.{t.shown}.metric": t.metric for t in study.evaluation.tasks}
    for name in names:
        found |= _flat(study, name)
    if kind in _TRAINED:
        found = {n: v for n, v in found.items() if n.removeprefix("finetuning.") not in _EXECUTION}
    if kind == "round_checkpoint":
        found.pop("finetuning.epochs")  # rounds.epochs takes its place
    return found


def libraries_of(study: Study, kind: str, partition: str | None = None) -> dict[str, str]:
    """Versions of the libraries that decide a cell, by distribution."""
    names = READS[kind].libraries
    if kind == "embeddings":
        names = {"model": _MODEL, "sentence_transformers": (*_MODEL, "sentence-transformers")}.get(
            study.embeddings.source, ()
        )
    elif kind == "rankings":
        names = _ranking_libraries(study, partition)
    elif kind == "win_rates" and _judged_here(study):
        names = _MODEL
    elif kind in _SCORED and (package := PACKAGES.get(study.evaluation.backend)):
        names = (*names, package)
    return {name: version(name) for name in names}


def external_of(study: Study, kind: str) -> tuple[str, ...]:
    """Sources of the files outside the store that a kind of cell reads."""
    if kind == "embeddings":
        return (MODEL_FILES,) if study.embeddings.source == "model" else ()
    if kind == "win_rates":
        return (JUDGE_FILES,) if _judged_here(study) else ()
    return READS[kind].external


@cache
def version(distribution: str) -> str:
    """Version of an installed distribution; "absent" where it is not installed."""
    for name in _BUILDS.get(distribution, (distribution,)):
        try:
            return metadata.version(name).partition("+")[0]  # one release, whatever it was built for
        except metadata.PackageNotFoundError:
            continue
    return "absent"


def code_version(study: Study, kind: str) -> str:
    """What Dagster shows: the version of the code and a hash of the asset's settings."""
    from edsel_assets.store import fingerprint

    return f"{READS[kind].code}-{fingerprint(**settings_of(study, kind))[:8]}"


def _flat(study: Study, dotted: str) -> dict[str, Any]:
    """A setting, or every setting of a section, by dotted name."""
    value: Any = study
    for part in dotted.split("."):
        value = getattr(value, part)
    if isinstance(value, BaseModel):
        return {f"{dotted}.{name}": v for name, v in value.model_dump(mode="json").items()}
    return {dotted: value}


def _embedding_settings(study: Study) -> tuple[str, ...]:
    common = ("embeddings.source", "embeddings.input")
    templated = ("model.template",) if study.embeddings.input == "prompt_response" else ()
    if study.embeddings.source == "model":
        return (*common, *_PASS, "forward.pooling")
    return (*common, *templated, "embeddings.name", "embeddings.revision", "embeddings.base_url")


def _uncertainty_settings(measure: str | None) -> tuple[str, ...]:
    switches = {
        "mean_entropy": ("uncertainty.entropy_sign",),
        "least_confidence": ("uncertainty.length_normalised",),
    }
    if measure is None:
        return tuple(name for names in switches.values() for name in names)
    return switches.get(measure, ())


def _iterative(study: Study, partition: str | None) -> str | None:
    """The strategy of a cell by budget and scorer."""
    return None if partition is None else ITERATIVE_PREFIX + partition.split("|")[1]


def _strategy_settings(study: Study, strategy: str | None) -> dict[str, Any]:
    """The settings that a strategy's row names; without one, those of all that the study uses."""
    names = [strategy] if strategy else study.selection.strategies
    found: dict[str, Any] = {}
    for name in names:
        for setting in STRATEGIES[name].settings:
            found |= _flat(study, setting)
    if study.selection.gamma != "auto":
        found.pop("selection.gammas", None)
    return found


def _ranking_settings(study: Study, strategy: str | None) -> dict[str, Any]:
    found = _strategy_settings(study, strategy)
    budgets = study.selection.budgets
    if strategy is None:
        return found | {"selection.budgets": sorted(budgets)}
    row = STRATEGIES[strategy]
    if row.nested:
        found["selection.budgets: largest"] = max(budgets)
    else:
        found["selection.budgets"] = sorted(budgets)
    if row.stochastic:
        found["finetuning.seeds: replicates"] = len(study.seeds(strategy))
    return found


def _ranking_libraries(study: Study, strategy: str | None) -> tuple[str, ...]:
    row = None if strategy is None else STRATEGIES[strategy]
    if row is not None and EMBEDDINGS not in row.needs:
        return ()
    return _PRODUCTS


def _judged_here(study: Study) -> bool:
    judge = study.evaluation.judge
    return judge is not None and judge.by == "local"


def _judge_reads(study: Study) -> tuple[str, ...]:
    """The settings that decide what a judge says; a rating is a free reply, a preference one token."""
    judge = study.evaluation.judge
    if judge is None:
        return ()
    common = ("by", "kind", "model", *(("reply_tokens",) if judge.kind == "rating" else ()))
    if judge.by == "local":
        return (*common, "revision", "dtype", "template")
    return (*common, "base_url", *(("logprobs", "top_logprobs") if judge.kind == "preference" else ()))


def _judge_settings(study: Study, names: tuple[str, ...]) -> dict[str, Any]:
    judge = study.evaluation.judge
    return {} if judge is None else {f"evaluation.judge.{name}": getattr(judge, name) for name in names}


def _evaluation_settings(study: Study) -> dict[str, Any]:
    """How tasks are scored; which metric the report reads is not among it."""
    settings = study.evaluation
    names = ["max_length", "seed", "chat_template", "backend", "backend_arguments"]
    if settings.chat_template:
        names.append("fewshot_as_multiturn")
    if any(task.share for task in settings.tasks):
        names.append("share_seed")
    found = {f"evaluation.{name}": getattr(settings, name) for name in names}
    for task in settings.tasks:
        for name, value in task.model_dump(exclude={"metric", "label"}).items():
            found[f"evaluation.tasks.{task.shown}.{name}"] = value
    if settings.humaneval is not None:
        programs = settings.humaneval.model_dump(exclude={"problems", "workers"})
        found |= {f"evaluation.humaneval.{name}": value for name, value in programs.items()}
    return found
