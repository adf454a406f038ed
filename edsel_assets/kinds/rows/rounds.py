"""The rounds of iterative kMQ, each a group of its own, and ``rounds``, their union.

Round r chooses by the weights of round r - 1; the last round only chooses, as nothing would read its weights.
"""

from collections.abc import Iterable
from typing import Any

from edsel_assets.kinds.checks import (
    ADAPTER_LOADS,
    EXACT_BUDGET,
    FINITE,
    LOSS_FELL,
    NONE_BOUGHT_BEFORE,
    SPREAD,
)
from edsel_assets.kinds.deciding import (
    ADAPTED,
    PASS,
    TEMPLATED,
    flat,
    model_settings,
    of_each,
    price_settings,
    round_tuning,
    strategy_in,
    strategy_settings,
)
from edsel_assets.kinds.dimensions import BUDGET, ROUND_TRIAL, in_rounds
from edsel_assets.kinds.kept import SCORES
from edsel_assets.kinds.kind import At, Kind, Parent, device
from edsel_assets.kinds.rows.evaluation import scored
from edsel_assets.kinds.rows.selection import clustering, scorer
from edsel_assets.kinds.sources import MODEL_FILES, ROUND_MODELS, is_asked, is_local, round_places
from edsel_assets.kinds.work import Lengths, Work, training_work
from edsel_assets.study import Study

_DIMENSIONS = (BUDGET, ROUND_TRIAL)


def _there(study: Study) -> bool:
    return bool(in_rounds(study))


def _all(study: Study) -> range:
    return range(1, study.rounds.rounds + 1)


def _but_the_last(study: Study) -> range:
    return range(1, study.rounds.rounds)


# -- the rounds that a round reads


def _earlier(study: Study, number: int) -> range:
    return range(1, number)


def _up_to(study: Study, number: int) -> range:
    return range(1, number + 1)


def _before(study: Study, number: int) -> list[int]:
    return [number - 1] if number > 1 else []


def _same(study: Study, number: int) -> list[int]:
    return [number]


def _started_from(study: Study, number: int) -> range:
    return range(1, number) if study.rounds.start == "continue" else range(0)


def _model_of(study: Study, number: int) -> range:
    """A model that goes on from the last round's is that one's adapters and its own, in order."""
    return range(1 if study.rounds.start == "continue" else number, number + 1)


def _every(study: Study, number: int | None) -> range:
    return _all(study)


def _last_weights(study: Study, number: int | None) -> list[int]:
    return [study.rounds.rounds - 1]


# -- what decides them


def _picking_settings(study: Study, partition: str | None) -> dict[str, Any]:
    return of_each(in_rounds(study), strategy_settings, study, strategy_in(partition))


def _scoring_settings(study: Study, partition: str | None) -> dict[str, Any]:
    return of_each(in_rounds(study), _scores_of, study, strategy_in(partition))


def _scores_of(study: Study, strategy: str) -> dict[str, Any]:
    """What decides the scores of a strategy's rounds beside what all rounds read."""
    named = study.strategy(strategy).scorer or ""
    found: dict[str, Any] = {"rounds.temperature": study.rounds.temperature_of(named)}
    if named == "perplexity":
        return found | flat(study, "rounds.joint")
    for place in ROUND_MODELS.get(named, ()):
        found |= model_settings(study, place)
    return found


def _scoring_files(study: Study, partition: str | None) -> Iterable[str]:
    places = round_places(study, strategy_in(partition))
    return (place for place in places if is_local(study, place))


def _asked(study: Study, at: At) -> bool:
    return any(is_asked(study, place) for place in round_places(study, at.strategy))


def _work(study: Study, lengths: Lengths, at: At) -> Work | None:
    """A round trains on what it and those before it chose."""
    prompts = int(at.keys["budget"]) * (at.number or 1) / study.rounds.rounds
    return training_work(study, lengths, prompts, study.rounds.epochs)


ROWS = (
    Kind(
        name="round_selection",
        group="round",
        dimensions=_DIMENSIONS,
        parents=(
            Parent("pool", lazy=True),
            Parent("annotations", lazy=True),
            Parent("orders", lazy=True),
            Parent("clusters", keys=clustering),
            Parent("quality_scores", keys=scorer),
            Parent("round_selection", rounds=_earlier),
            Parent("round_weights", rounds=_before, name="weights"),
        ),
        settings=(_picking_settings, price_settings, "rounds.rounds"),
        code="2",  # 2: what was replaced leaves a round that was ordered
        checks=(NONE_BOUGHT_BEFORE,),
        there=_there,
        rounds=_all,
        selects=True,
        summary="Round {}: new prompts, more of them from clusters of high weight.",
    ),
    Kind(
        name="round_training_set",
        group="round",
        dimensions=_DIMENSIONS,
        parents=(Parent("pool"), Parent("annotations"), Parent("round_selection", rounds=_up_to)),
        there=_there,
        rounds=_but_the_last,
        waits="selected",
        tags=frozenset({"parquet"}),
        summary="Prompts and responses of rounds 1 to {}.",
    ),
    Kind(
        name="round_checkpoint",
        group="round",
        selecting=True,
        dimensions=_DIMENSIONS,
        parents=(
            Parent("round_training_set", rounds=_same, name="training_set"),
            Parent("round_checkpoint", rounds=_started_from),
        ),
        settings=(*TEMPLATED, round_tuning, "rounds.start"),
        libraries=ADAPTED,
        external=(MODEL_FILES,),
        checks=(ADAPTER_LOADS, LOSS_FELL),
        there=_there,
        rounds=_but_the_last,
        device=device,
        trains=True,
        before=("finetuning",),
        work=_work,
        tags=frozenset({"pytorch", "huggingface"}),
        summary="The model finetuned on rounds 1 to {}.",
    ),
    Kind(
        name="round_weights",
        group="round",
        selecting=True,
        dimensions=_DIMENSIONS,
        parents=(
            Parent("pool", lazy=True),
            Parent("clusters", keys=clustering),
            Parent("round_training_set", rounds=_same, name="training_set"),
            Parent("round_checkpoint", rounds=_model_of),
            Parent("round_weights", rounds=_before, name="weights"),
        ),
        settings=(
            _scoring_settings,
            *PASS,
            "rounds.literal",
            "rounds.start",
            "rounds.max_new_tokens",
        ),
        libraries=ADAPTED,
        external=(MODEL_FILES, _scoring_files),
        keeps=(SCORES,),
        # 2: the history of the weights lies in the table; 3: a temperature on the scale of the scores
        code="4",  # 4: answers by a model made as that of a trial, where a base in bfloat16 stays so
        checks=(SPREAD,),
        there=_there,
        rounds=_but_the_last,
        paid=_asked,
        device=device,
        before=("scorers of rounds",),
        tags=frozenset({"pytorch"}),
        summary="Cluster weights after round {}: what the model finds hard to learn counts more.",
    ),
    Kind(
        name="round_scores",
        group="round",
        selecting=True,
        dimensions=_DIMENSIONS,
        parents=(Parent("held_out"), Parent("round_checkpoint", rounds=_model_of)),
        checks=(FINITE,),
        there=lambda study: _there(study) and study.rounds.score,
        rounds=_but_the_last,
        summary="Benchmark scores of the model of rounds 1 to {}.",
        **scored(ADAPTED),
    ),
    Kind(
        name="iterative_selections",
        group="rounds",
        dimensions=_DIMENSIONS,
        parents=(
            Parent("pool", lazy=True),
            Parent("round_selection", rounds=_every),
            Parent("round_weights", rounds=_last_weights, name="weights", lazy=True),
        ),
        checks=(EXACT_BUDGET,),
        there=_there,
        selects=True,
        tags=frozenset({"parquet"}),
    ),
)
