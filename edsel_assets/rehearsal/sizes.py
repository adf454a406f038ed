"""How small a rehearsal is, what it reads, and the numbers that follow for its budgets and cluster counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from edsel_assets.keys import key_parts
from edsel_assets.planning.estimates import assumed_pool
from edsel_assets.stages.held_out import held_out_count
from edsel_assets.study import EvaluationSettings, Study


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
        queries: file of a target's prompts.
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
    queries: str | None = None
    judge: str | None = None
    whole_pool: int | None = None


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


def few_budgets(study: Study, budgets: Collection[int]) -> list[int]:
    """The two smallest of ``budgets`` and the largest, and that of the trial that a judge compares with."""
    ordered = sorted(budgets)
    kept = {*ordered[:2], ordered[-1]}
    if study.reference is not None:
        kept.add(int(key_parts(study.reference)[0]))
    return [budget for budget in ordered if budget in kept]


@dataclass(frozen=True)
class Numbers:
    """What the changes go by. ``budgets``, ``clusters``: of ``study`` to the rehearsal's."""

    study: Study
    size: Size
    stand_ins: StandIns
    budgets: Mapping[int, int]
    clusters: Mapping[int, int]

    @classmethod
    def of(cls, study: Study, size: Size, stand_ins: StandIns) -> Numbers:
        counts, selection = study.clustering.counts, study.selection
        kept = (few_budgets(study, selection.budgets_for(name)) for name in selection.names)
        every = sorted(set(chain.from_iterable(kept)))
        whole = stand_ins.whole_pool or assumed_pool(study)
        room = stand_ins.prompts - stand_ins.annotated - small_held_out(study.evaluation, stand_ins, size)
        share = room / whole
        largest = min(size.largest, room)
        least = min(max(study.rounds.rounds, 2), largest)
        budgets = scaled_down(every, min(share, largest / every[-1]), least, largest)
        clusters = scaled_down(counts, share, 2, max(2, room // 4))
        return cls(study, size, stand_ins, budgets, clusters)


def small_held_out(evaluation: EvaluationSettings, stand_ins: StandIns, size: Size) -> int:
    """How many prompts a rehearsal holds out; a share is of its own pool, all of which is answered."""
    return min(held_out_count(evaluation.held_out, stand_ins.prompts), size.held_out)
