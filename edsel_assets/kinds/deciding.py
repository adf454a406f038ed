"""Settings and libraries that several kinds share, and those of the models that they ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from edsel_assets.demo import model_folder
from edsel_assets.keys import parse_budget_trial
from edsel_assets.kinds.sources import setting
from edsel_assets.llm.models.dtypes import dtype_here, training_dtype_here
from edsel_assets.study import JudgeModel, Study

PRODUCTS = ("torch",)
MODEL = ("torch", "transformers")
ADAPTED = (*MODEL, "peft")
BASE = ("model.revision", "model.dtype")
TEMPLATED = (*BASE, "model.template")
PASS = (*TEMPLATED, "forward.max_prompt_tokens")
#: Settings of finetuning that say how it is carried out, or how often.
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


@cache
def version(distribution: str) -> str:
    """Version of an installed distribution; "absent" where it is not installed."""
    try:
        return metadata.version(distribution).partition("+")[0]  # one release, whatever it was built for
    except metadata.PackageNotFoundError:
        return "absent"


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Version by distribution, in their order."""
    return {name: version(name) for name in dict.fromkeys(distributions)}


def flat(study: Study, *names: str) -> dict[str, Any]:
    """Settings, and every setting of a section, by dotted name."""
    found: dict[str, Any] = {}
    for dotted in names:
        value = setting(study, dotted)
        if isinstance(value, BaseModel):
            found |= {f"{dotted}.{name}": v for name, v in value.model_dump(mode="json").items()}
        else:
            found[dotted] = value
    return found


def format_here(study: Study, name: str, value: Any) -> Any:
    """A setting's value, but for ``auto`` as a number format what that is on this machine."""
    section, _, field = name.rpartition(": ")[2].rpartition(".")
    if value != "auto" or field != "dtype":
        return value
    device = study.model.device
    if section == "finetuning":
        return training_dtype_here(value, device)
    model = setting(study, section)
    place = model.path if section == "model" else model.model
    return dtype_here(value, device, model_folder(place), model.revision)


def strategy_in(partition: str | None) -> str | None:
    """The strategy of a cell by budget and trial."""
    return None if partition is None else parse_budget_trial(partition)[1]


def of_each(
    names: Iterable[str], settings: Callable[[Study, str], dict[str, Any]], study: Study, one: str | None
) -> dict[str, Any]:
    """The settings of ``one``; without it, those of all ``names``, each under its name."""
    if one is not None:
        return settings(study, one)
    return {f"{name}: {key}": value for name in names for key, value in settings(study, name).items()}


def tuning(study: Study, partition: str | None = None) -> dict[str, Any]:
    """What decides a finetuning; not how it is carried out."""
    found = flat(study, "finetuning")
    return {n: v for n, v in found.items() if n.removeprefix("finetuning.") not in _EXECUTION}


def round_tuning(study: Study, partition: str | None = None) -> dict[str, Any]:
    """The same of a round, which has epochs of its own."""
    found = {n: v for n, v in tuning(study).items() if n != "finetuning.epochs"}
    return found | flat(study, "rounds.epochs", "selection.seed")


def price_settings(study: Study, partition: str | None = None) -> dict[str, Any]:
    """What decides prices, where budgets are money."""
    if not study.selection.by_price:
        return {}
    rules: dict[str, tuple[str, ...]] = {
        "prompt": ("annotation.price",),
        "column": (),
        "length": (
            "annotation.per_thousand_prompt",
            "annotation.per_thousand_response",
            "annotation.expected_response",
        ),
    }
    named = rules[study.annotation.price_by]
    return {"selection.by_price": True, **flat(study, "annotation.price_by", *named)}


def strategy_settings(study: Study, strategy: str) -> dict[str, Any]:
    """The settings that a strategy's row names, as the strategy or variant reads them."""
    switches = study.selection.of(strategy)
    fields = [name.removeprefix("selection.") for name in study.strategy(strategy).settings]
    return {f"selection.{field}": getattr(switches, field) for field in fields}


def model_settings(study: Study, place: str) -> dict[str, Any]:
    """Of the model of a scorer or judge at ``place``, the settings that decide what it says.

    A local model is known by its files and a server's by its name. What requests cost, and how many there are
    at a time, decides nothing.
    """
    chosen = setting(study, place)
    if chosen is None:
        return {}
    if isinstance(chosen, JudgeModel):
        names: tuple[str, ...] = ("by", "reply_tokens", "on_error", "on_invalid")
        names += ("revision", "dtype", "template") if chosen.by == "local" else ("model", "base_url")
        return {f"{place}.{name}": getattr(chosen, name) for name in names}
    return {f"{place}.{name}": value for name, value in chosen.model_dump(exclude={"model"}).items()}
