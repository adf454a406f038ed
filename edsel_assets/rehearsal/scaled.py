"""From a study to its rehearsal: the same structure, other inputs, small numbers. Pure: no file is touched.

What stands in for a section is told by the section's kind, wherever in the study it is: every endpoint, judge
or model of a section that is listed in ``_CHANGES`` is replaced, also one that a variant or a round names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edsel_assets.demo import DEMO
from edsel_assets.llm.models.templates import DEFAULT_TEMPLATE
from edsel_assets.study import Study
from edsel_assets.study.base import Settings


@dataclass(frozen=True)
class Size:
    """How small a rehearsal is.

    Attributes:
        prompts: prompts of the rehearsal's pool.
        largest: the largest budget.
        items: items of a task. ``members``: tasks of a group of tasks.
        seeds: trials of a strategy. ``random_seeds``: those of random.
        tokens: of a prompt that is read, and of an example that is trained on. ``new_tokens``: written.
        held_out: prompts held out, where the study holds out some.
    """

    prompts: int = 240
    largest: int = 48
    items: int = 2
    members: int = 2
    seeds: int = 1
    random_seeds: int = 2
    tokens: int = 96
    new_tokens: int = 8
    held_out: int = 16


@dataclass(frozen=True)
class StandIns:
    """What the rehearsal reads instead of the study's own inputs.

    Attributes:
        pool: file of prompts, all answered, with ``columns``; ``prompts``: how many.
        annotations: file of answers that are there already, to ``annotated`` of them; None where the study
            names none.
        tasks: folder of definitions; ``task_names``: the study's tasks that are in it.
        data: folder of data sets, for the tasks that are run on their own.
        instructions: file of instructions for a judge. ``problems``: file of problems for programs.
        scores: file of a quality for each prompt. ``reward_model``: folder of a tiny model that scores texts.
        judge: address of a judge of this machine.
        whole_pool: prompts of the study's own pool; None where it was not there to be read.
    """

    pool: str
    prompts: int
    columns: tuple[str, ...] = ("prompt", "response", "task", "source")
    annotations: str | None = None
    annotated: int = 0
    tasks: str | None = None
    task_names: frozenset[str] = frozenset()
    data: str | None = None
    instructions: str | None = None
    problems: str | None = None
    scores: str | None = None
    reward_model: str | None = None
    judge: str | None = None
    whole_pool: int | None = None


def rehearsed(study: Study, size: Size, stand_ins: StandIns) -> Study:
    """The rehearsal of ``study``, whose name is the study's with ``-rehearsal``.

    It has the same strategies, variants, rounds, tasks and metrics, and as many budgets and cluster counts as
    the study, in the same order; budgets and counts keep their share of the pool as far as they stay distinct
    and no smaller than the rounds.

    Raises:
        ValueError: where so few prompts have no room for so many budgets.
    """
    content = _changed(study, _Numbers.of(study, size, stand_ins))
    return Study.model_validate({**content, "name": f"{study.name}-rehearsal"})


def sections(settings: Settings) -> Iterator[Settings]:
    """``settings`` and every section in it."""
    yield settings
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        for each in inner:
            if isinstance(each, Settings):
                yield from sections(each)


def scaled_down(values: Iterable[int], factor: float, least: int, most: int) -> dict[int, int]:
    """Each distinct value times ``factor``, rounded, in [least, most], the order kept and none equal.

    Raises:
        ValueError: where there are more values than whole numbers in that range.
    """
    ordered = sorted(set(values))
    if len(ordered) > most - least + 1:
        raise ValueError(
            f"{len(ordered)} different budgets or cluster counts do not fit between {least} and {most}; "
            "rehearse on more prompts."
        )
    small: list[int] = []
    for number, value in enumerate(ordered):
        above = len(ordered) - 1 - number
        lowest = small[-1] + 1 if small else least
        small.append(max(lowest, min(round(value * factor), most - above)))
    return dict(zip(ordered, small, strict=True))


@dataclass(frozen=True)
class _Numbers:
    """What the changes go by. ``budgets``, ``clusters``: of the study to the rehearsal's."""

    size: Size
    stand_ins: StandIns
    budgets: Mapping[int, int]
    clusters: Mapping[int, int]

    @classmethod
    def of(cls, study: Study, size: Size, stand_ins: StandIns) -> _Numbers:
        counts, every = study.clustering.counts, study.selection.every_budget
        whole = stand_ins.whole_pool or assumed_pool(study)
        room = stand_ins.prompts - stand_ins.annotated - _held_out(study, size)
        share = room / whole
        largest = min(size.largest, room)
        least = min(max(study.rounds.rounds, 2), largest)
        budgets = scaled_down(every, min(share, largest / every[-1]), least, largest)
        clusters = scaled_down(counts, share, 2, max(2, room // 4))
        return cls(size, stand_ins, budgets, clusters)


def assumed_pool(study: Study) -> int:
    """How many prompts a pool that is not there is taken to have.

    As many as ``pool.limit`` keeps; without a limit a tenth more than the study asks for.
    """
    if study.pool.limit is not None:
        return study.pool.limit
    return max(round(1.1 * study.selection.every_budget[-1]), *study.clustering.counts)


def _held_out(study: Study, size: Size) -> int:
    return min(study.evaluation.held_out, size.held_out)


def _changed(section: Settings, numbers: _Numbers) -> dict[str, Any]:
    """The settings of a section that its file gives, each changed; and those that its kind's change adds."""
    given = {
        name: _value(value, numbers)
        for name in type(section).model_fields
        if isinstance(value := getattr(section, name), Settings) or name in section.model_fields_set
    }
    change = _CHANGES.get(type(section).__name__)
    return given if change is None else {**given, **change(section, numbers)}


def _value(value: Any, numbers: _Numbers) -> Any:
    if isinstance(value, Settings):
        return _changed(value, numbers)
    if isinstance(value, Mapping):
        return {name: _value(each, numbers) for name, each in value.items()}
    if isinstance(value, list):
        return [_value(each, numbers) for each in value]
    return value


def _pool(pool: Any, numbers: _Numbers) -> dict[str, Any]:
    return {
        "path": numbers.stand_ins.pool,
        "format": "parquet",
        "columns": {name: name for name in numbers.stand_ins.columns},
        "revision": None,
        "limit": None,
        "annotations": numbers.stand_ins.annotations,
    }


def _model(model: Any, numbers: _Numbers) -> dict[str, Any]:
    own = {"path": DEMO, "revision": None, "trust_remote_code": False}
    return {**own, "dtype": "float32", "device": "cpu", "threads": 1}


def _forward(forward: Any, numbers: _Numbers) -> dict[str, Any]:
    return {
        "max_new_tokens": min(forward.max_new_tokens, numbers.size.new_tokens),
        "max_prompt_tokens": min(forward.max_prompt_tokens, numbers.size.tokens),
        "batch_tokens": min(forward.batch_tokens, 8192),
    }


def _embeddings(embeddings: Any, numbers: _Numbers) -> dict[str, Any]:
    unused = ("name", "revision", "base_url", "key_variable", "requests_per_minute")
    return {"source": "model", **{name: None for name in unused if hasattr(embeddings, name)}}


def _clustering(clustering: Any, numbers: _Numbers) -> dict[str, Any]:
    counts = [numbers.clusters[count] for count in clustering.counts]
    return {"counts": counts, "count": numbers.clusters[clustering.chosen]}


def _variant(variant: Any, numbers: _Numbers) -> dict[str, Any]:
    return {} if variant.clusters is None else {"clusters": numbers.clusters[variant.clusters]}


def _selection(selection: Any, numbers: _Numbers) -> dict[str, Any]:
    def small(budgets: Collection[int]) -> list[int]:
        return [numbers.budgets.get(budget, budget) for budget in budgets]

    own = {name: small(budgets) for name, budgets in selection.budgets_of.items()}
    # Where every strategy has budgets of its own, those of the study are read by none.
    return {"budgets": small(selection.budgets), **({"budgets_of": own} if own else {})}


def _finetuning(tuning: Any, numbers: _Numbers) -> dict[str, Any]:
    size = numbers.size
    return {
        "method": "lora" if tuning.method == "qlora" else tuning.method,
        "rank": min(tuning.rank, 8),
        "warmup": 0 if isinstance(tuning.warmup, int) else tuning.warmup,  # of a run of few steps
        "batch_size": min(tuning.batch_size, 8),
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


def _task(task: Any, numbers: _Numbers) -> dict[str, Any]:
    small: dict[str, Any] = {}
    if task.share is None:
        small["limit"] = min(task.limit or numbers.size.items, numbers.size.items)
    else:
        small["share"] = min(task.share, 0.005)
    if getattr(task, "max_new_tokens", None) is not None:
        small["max_new_tokens"] = min(task.max_new_tokens, numbers.size.new_tokens)
    return small


def _evaluation(evaluation: Any, numbers: _Numbers) -> dict[str, Any]:
    stand_ins = numbers.stand_ins
    kept = [task for task in evaluation.tasks if task.name in stand_ins.task_names]
    change: dict[str, Any] = {
        "tasks": [_changed(task, numbers) for task in kept],
        "include_path": stand_ins.tasks,
        "data_directory": stand_ins.data,
        "max_length": None,
        "held_out": min(evaluation.held_out, numbers.size.held_out),
    }
    if getattr(evaluation, "backend", "edsel") != "edsel":
        change |= {"backend": "edsel", "backend_arguments": {}}
    if getattr(evaluation, "humaneval", None) is not None and stand_ins.problems is None:
        change["humaneval"] = None
    return change


def _judge(judge: Any, numbers: _Numbers) -> dict[str, Any]:
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
        budget, _, trial = judge.reference.partition("|")
        small = numbers.budgets.get(int(budget), int(budget))
        change["reference"] = f"{small}|{trial.rpartition('.s')[0]}.s0"
    known = type(judge).model_fields
    return {name: value for name, value in change.items() if name in known}


def _humaneval(humaneval: Any, numbers: _Numbers) -> dict[str, Any]:
    return {
        "problems": numbers.stand_ins.problems,
        "limit": 1,
        "n": humaneval.k,
        "max_new_tokens": numbers.size.new_tokens,
    }


def _rounds(rounds: Any, numbers: _Numbers) -> dict[str, Any]:
    return {"epochs": 1, "max_new_tokens": min(rounds.max_new_tokens, numbers.size.new_tokens)}


def _quality(quality: Any, numbers: _Numbers) -> dict[str, Any]:
    return {} if getattr(quality, "file", None) is None else {"file": numbers.stand_ins.scores}


def _scorer(scorer: Any, numbers: _Numbers) -> dict[str, Any]:
    return {"model": DEMO, "revision": None, "dtype": "float32"}


def _reward(reward: Any, numbers: _Numbers) -> dict[str, Any]:
    own = {"model": numbers.stand_ins.reward_model, "revision": None, "dtype": "float32", "label": None}
    # The tiny model's tokenizer has no chat template to fall back on.
    return {**own, "template": reward.template or DEFAULT_TEMPLATE}


#: Kind of a section to (section, numbers) -> its settings in the rehearsal that differ.
_CHANGES: dict[str, Callable[[Any, _Numbers], dict[str, Any]]] = {
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
}
