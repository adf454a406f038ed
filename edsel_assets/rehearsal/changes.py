"""What stands in for each kind of section of a study, wherever in the study it is.

A kind is the name of a section's class, so that a judge or a reward model is replaced also where a round, a
scorer or a variant names one. Each function gives the settings that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from edsel_assets.demo import DEMO
from edsel_assets.keys import budget_key, parse_budget_trial, partition_key, trial_key
from edsel_assets.llm.models.templates import DEFAULT_TEMPLATE
from edsel_assets.rehearsal.sizes import Numbers, few_budgets, small_held_out


def _pool(pool: Any, numbers: Numbers) -> dict[str, Any]:
    return {
        "path": numbers.stand_ins.pool,
        "format": "parquet",
        "columns": {name: name for name in numbers.stand_ins.columns},
        "revision": None,
        "limit": None,
        "annotations": numbers.stand_ins.annotations,
    }


def _model(model: Any, numbers: Numbers) -> dict[str, Any]:
    own = {"path": DEMO, "revision": None, "trust_remote_code": False}
    return {**own, "dtype": "float32", "device": "cpu", "device_map": None, "threads": 1}


def _forward(forward: Any, numbers: Numbers) -> dict[str, Any]:
    return {
        "max_new_tokens": min(forward.max_new_tokens, numbers.size.new_tokens),
        "max_prompt_tokens": min(forward.max_prompt_tokens, numbers.size.tokens),
        "batch_tokens": min(forward.batch_tokens, 8192),
    }


def _embeddings(embeddings: Any, numbers: Numbers) -> dict[str, Any]:
    unused = ("name", "path", "revision", "base_url", "key_variable", "requests_per_minute")
    return {"source": "model", **{name: None for name in unused if hasattr(embeddings, name)}}


def _clustering(clustering: Any, numbers: Numbers) -> dict[str, Any]:
    counts = [numbers.clusters[count] for count in clustering.counts]
    return {"counts": counts, "count": numbers.clusters[clustering.chosen]}


def _variant(variant: Any, numbers: Numbers) -> dict[str, Any]:
    return {} if variant.clusters is None else {"clusters": numbers.clusters[variant.clusters]}


def _selection(selection: Any, numbers: Numbers) -> dict[str, Any]:
    def small(budgets: Collection[int]) -> list[int]:
        return [numbers.budgets.get(budget, budget) for budget in few_budgets(numbers.study, budgets)]

    own = {name: small(budgets) for name, budgets in selection.budgets_of.items()}
    # Where every strategy has budgets of its own, those of the study are read by none.
    return {"budgets": small(selection.budgets), **({"budgets_of": own} if own else {})}


def _finetuning(tuning: Any, numbers: Numbers) -> dict[str, Any]:
    size = numbers.size
    return {
        "method": tuning.method,
        "rank": min(tuning.rank, 8),
        "warmup": 0 if isinstance(tuning.warmup, int) else tuning.warmup,  # of a run of few steps
        "batch_size": "auto" if tuning.batch_size == "auto" else min(tuning.batch_size, 8),
        "epochs": 1,
        "max_length": 2 * size.tokens,
        "dtype": "float32",
        "checkpoint_steps": tuning.checkpoint_steps and 2,
        "launcher": None,
        "processes": 1,
        "fsdp": False,
        "seeds": min(tuning.seeds, size.seeds),
        "random_seeds": min(tuning.random_seeds or 2 * tuning.seeds, size.random_seeds),
    }


def _task(task: Any, numbers: Numbers) -> dict[str, Any]:
    small: dict[str, Any] = {}
    if task.share is None:
        small["limit"] = min(task.limit or numbers.size.items, numbers.size.items)
    else:
        small["share"] = min(task.share, 0.005)
    if getattr(task, "max_new_tokens", None) is not None:
        small["max_new_tokens"] = min(task.max_new_tokens, numbers.size.new_tokens)
    return small


def _evaluation(evaluation: Any, numbers: Numbers) -> dict[str, Any]:
    stand_ins = numbers.stand_ins
    change: dict[str, Any] = {
        "include_path": stand_ins.tasks,
        "data_directory": stand_ins.data,
        "max_length": None,
        "held_out": small_held_out(evaluation, stand_ins, numbers.size),
        "held_out_max_new_tokens": min(evaluation.held_out_max_new_tokens, numbers.size.new_tokens),
    }
    if getattr(evaluation, "backend", "edsel") != "edsel":
        change |= {"backend": "edsel", "backend_arguments": {}}
    if getattr(evaluation, "humaneval", None) is not None and stand_ins.problems is None:
        change["humaneval"] = None
    return change


def _judge(judge: Any, numbers: Numbers) -> dict[str, Any]:
    """A judge over the protocol that the study's own speaks, at an address of this machine."""
    stand_ins, size = numbers.stand_ins, numbers.size
    local = {"base_url": stand_ins.judge, "key_variable": None, "requests_per_minute": None}
    change: dict[str, Any] = {
        "instructions": stand_ins.instructions,
        "limit": size.items,
        "max_new_tokens": size.new_tokens,
        "by": "openai",
        "revision": None,
        **local,
    }
    if getattr(judge, "reference", None) is not None:
        budget, strategy, _ = parse_budget_trial(judge.reference)
        small = numbers.budgets.get(budget, budget)
        change["reference"] = partition_key(budget_key(small), trial_key(strategy, 0))
    if getattr(judge, "budgets", []):
        change["budgets"] = [numbers.budgets[budget] for budget in judge.budgets if budget in numbers.budgets]
    known = type(judge).model_fields
    return {name: value for name, value in change.items() if name in known}


def _humaneval(humaneval: Any, numbers: Numbers) -> dict[str, Any]:
    return {
        "problems": numbers.stand_ins.problems,
        "limit": 1,
        "n": humaneval.k,
        "max_new_tokens": numbers.size.new_tokens,
    }


def _target(target: Any, numbers: Numbers) -> dict[str, Any]:
    """Queries are prompts of the stand-in pool; tasks of the full pool are not all there."""
    if target.prompts is None:
        return {"tasks": "equal"}
    return {"prompts": numbers.stand_ins.queries, "format": "auto", "columns": {}, "embeddings": None}


def _rounds(rounds: Any, numbers: Numbers) -> dict[str, Any]:
    return {"epochs": 1, "max_new_tokens": min(rounds.max_new_tokens, numbers.size.new_tokens)}


def _quality(quality: Any, numbers: Numbers) -> dict[str, Any]:
    return {} if getattr(quality, "file", None) is None else {"file": numbers.stand_ins.scores}


def _scorer(scorer: Any, numbers: Numbers) -> dict[str, Any]:
    return {"model": DEMO, "revision": None, "dtype": "float32"}


def _reward(reward: Any, numbers: Numbers) -> dict[str, Any]:
    own = {"model": numbers.stand_ins.reward_model, "revision": None, "dtype": "float32", "label": None}
    # The tiny model's tokenizer has no chat template to fall back on.
    return {**own, "template": reward.template or DEFAULT_TEMPLATE}


#: Kind of a section to (section, numbers) -> its settings in the rehearsal that differ.
CHANGES: dict[str, Callable[[Any, Numbers], dict[str, Any]]] = {
    "PoolSettings": _pool,
    "ModelSettings": _model,
    "ForwardSettings": _forward,
    "EmbeddingSettings": _embeddings,
    "ClusteringSettings": _clustering,
    "VariantSettings": _variant,
    "SelectionSettings": _selection,
    "FinetuningSettings": _finetuning,
    "TaskSettings": _task,
    "EvaluationSettings": _evaluation,
    "JudgeSettings": _judge,
    "HumanEvalSettings": _humaneval,
    "JudgeModel": _judge,
    "QualitySettings": _quality,
    "RewardSettings": _reward,
    "RoundsSettings": _rounds,
    "ScorerModel": _scorer,
    "TargetSettings": _target,
}
