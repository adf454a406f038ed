"""Settings of a study that cannot work, wherever it runs: found without data and without a model."""

from __future__ import annotations

from collections.abc import Iterator

from edsel_assets.llm.training.settings import optimizer_steps
from edsel_assets.planning import preflight
from edsel_assets.rehearsal.pool import PoolFacts
from edsel_assets.stages.held_out import held_out_count
from edsel_assets.study import Study


def mistakes(study: Study, pool: PoolFacts | None) -> list[str]:
    """Every one of them, with its remedy.

    Args:
        pool: what is known of the study's pool; None where it is not there.
    """
    found = [*preflight.training_mistakes(study), *_warmup(study), *preflight.task_mistakes(study)]
    if pool is not None:
        found += _sizes(study, pool)
    return list(dict.fromkeys(found))


def _warmup(study: Study) -> Iterator[str]:
    """A warm-up in steps that is not shorter than the shortest run, of a trial or of a first round."""
    tuning, rounds = study.finetuning, study.rounds
    if not isinstance(tuning.warmup, int):
        return
    runs = {}
    for name in study.selection.names:
        least = study.selection.budgets_for(name)[0]
        runs[optimizer_steps(least, tuning.epochs, tuning.batch_size)] = f"a trial of {name} at {least}"
        if study.strategy(name).iterative:
            steps = optimizer_steps(least // rounds.rounds, rounds.epochs, tuning.batch_size)
            runs[steps] = f"the first round of {name} at {least}"
    if tuning.warmup >= min(runs):
        yield (
            f"finetuning.warmup: {tuning.warmup} steps are not shorter than the {min(runs)} of "
            f"{runs[min(runs)]}. Give a share (0.03), or fewer steps."
        )


def _sizes(study: Study, pool: PoolFacts) -> Iterator[str]:
    """Numbers that are larger than the pool."""
    held_out = held_out_count(study.evaluation.held_out, pool.answered)
    if held_out >= pool.answered > 0:
        yield (
            f"evaluation.held_out: {held_out} of {pool.answered} answered prompts leave "
            "none to train on. Lower it."
        )
    room = pool.prompts - held_out
    for what, number in (
        ("selection.budgets", study.selection.every_budget[-1]),
        ("clustering.counts", max(study.clustering.counts)),
    ):
        if number > room:
            yield f"{what}: {number} exceeds the {room} prompts that can be selected. Lower it."
