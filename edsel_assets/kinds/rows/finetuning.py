"""Group ``finetuning``: prompts and responses of each selection, and one adapter per budget and trial."""

from typing import Any

from edsel_assets.kinds.checks import ADAPTER_LOADS, LOSS_FELL
from edsel_assets.kinds.deciding import ADAPTED, TEMPLATED, flat, of_each, round_tuning, strategy_in, tuning
from edsel_assets.kinds.dimensions import ANY_STRATEGY, BUDGET, TRIAL, in_rounds
from edsel_assets.kinds.kind import At, Kind, Parent, device
from edsel_assets.kinds.rows.selection import all_seeds
from edsel_assets.kinds.sources import MODEL_FILES
from edsel_assets.kinds.work import Lengths, Work, training_work
from edsel_assets.study import Study


def goes_on(study: Study, strategy: str) -> bool:
    """Whether the model of a trial is the last of its rounds' chain."""
    return study.strategy(strategy).iterative and study.rounds.start == "continue"


def _chain_settings(study: Study, strategy: str) -> dict[str, Any]:
    """What decides the model of a trial that chose in rounds beside its training set; nothing for others."""
    if not study.strategy(strategy).iterative:
        return {}
    found = flat(study, "rounds.start")
    return found | flat(study, "rounds.epochs", "selection.seed") if goes_on(study, strategy) else found


def _trial_settings(study: Study, partition: str | None) -> dict[str, Any]:
    strategy = strategy_in(partition)
    found = of_each(in_rounds(study), _chain_settings, study, strategy)
    chained = strategy is not None and goes_on(study, strategy)
    return found | (round_tuning(study) if chained else tuning(study))


def _work(study: Study, lengths: Lengths, at: At) -> Work | None:
    epochs = study.rounds.epochs if goes_on(study, at.strategy) else study.finetuning.epochs
    return training_work(study, lengths, int(at.keys["budget"]), epochs)


def _chain(study: Study, number: int | None) -> range:
    """The rounds whose adapters a trial goes on from."""
    return range(1, study.rounds.rounds) if study.rounds.start == "continue" else range(0)


ROWS = (
    Kind(
        name="training_sets",
        group="finetuning",
        dimensions=(BUDGET, ANY_STRATEGY),
        parents=(
            Parent("pool"),
            Parent("annotations"),
            Parent("selections"),
            Parent("iterative_selections", keys=all_seeds, many=True),
        ),
        waits="selected",
        tags=frozenset({"parquet"}),
    ),
    Kind(
        name="lora_adapters",
        group="finetuning",
        dimensions=(BUDGET, TRIAL),
        parents=(Parent("training_sets"), Parent("round_checkpoint", rounds=_chain)),
        settings=(*TEMPLATED, _trial_settings),
        libraries=ADAPTED,
        external=(MODEL_FILES,),
        checks=(ADAPTER_LOADS, LOSS_FELL),
        device=device,
        trains=True,
        before=("finetuning",),
        work=_work,
        tags=frozenset({"pytorch", "huggingface"}),
    ),
)
