"""What the full study needs: what is here, what is missing, what cannot be told offline, what it takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edsel_assets.planning.estimates import GPU_RATE
from edsel_assets.planning.external import model_path
from edsel_assets.planning.preflight import has_gpu
from edsel_assets.rehearsal import amounts
from edsel_assets.rehearsal.pool import PoolFacts
from edsel_assets.rehearsal.scaled import sections
from edsel_assets.rehearsal.stand_ins import Rehearsal
from edsel_assets.study import Study

_GPU_BYTES = 80e9  # of an A100 or H100
_JUDGES = ("JudgeSettings", "JudgeModel")
_INSTRUCTIONS = 805  # of AlpacaEval
_TEMPLATE_TOKENS = 200
_UNSET = "/unset/"  # where no file is
_KEYS = {"openai": "OPENAI_API_KEY", "cohere": "COHERE_API_KEY"}


class State(StrEnum):
    """Whether a thing is there."""

    HERE = "here"
    MISSING = "missing"
    UNKNOWN = "unknown"  # cannot be told without a network
    TAKES = "takes"
    REPLACED = "replaced"  # not rehearsed as it is


@dataclass(frozen=True)
class Need:
    """One thing that the full study needs, or that its rehearsal replaced."""

    state: State
    what: str
    text: str


def load_with_gaps(name: str) -> tuple[Study, list[str]]:
    """A study, and the environment variables that it lacks, for each of which a place that is not there."""
    unset = Study.unset_variables(name)
    return Study.load(name, {**os.environ, **{variable: f"{_UNSET}{variable}" for variable in unset}}), unset


def needs_of(study: Study, rehearsal: Rehearsal, unset: list[str]) -> list[Need]:
    """Everything, grouped by kind."""
    found = [Need(State.MISSING, "variable", f"{name} is not set") for name in unset]
    found += [*_pool(study, rehearsal), *_models(study), *_data(rehearsal), *_keys(study), *_packages(study)]
    found += [*_amounts(study, rehearsal.pool), *_money(study, rehearsal.pool), *_replaced(study, rehearsal)]
    return list(dict.fromkeys(found))


def _pool(study: Study, rehearsal: Rehearsal) -> Iterator[Need]:
    facts = rehearsal.pool
    if facts is None:
        state = State.UNKNOWN if rehearsal.pool_is_far else State.MISSING
        why = "its place is not known" if _UNSET in rehearsal.no_pool else rehearsal.no_pool
        yield Need(state, "pool", f"{why.removesuffix('.')}; rehearsed on made-up prompts")
        return
    yield Need(State.HERE, "pool", f"{facts.prompts} prompts, {facts.answered} of them answered")
    if facts.answered < facts.prompts:
        lacking = facts.prompts - facts.answered
        yield Need(State.MISSING, "answers", f"{lacking} prompts have none; those selected are to be bought")


def _models(study: Study) -> Iterator[Need]:
    yield _model("base model", model_path(study), study.model.revision)
    for embeddings in (study.embeddings, *study.other_embeddings.values()):
        if embeddings.source == "sentence_transformers":
            yield _model("embedding model", str(embeddings.name), embeddings.revision)
    for section in sections(study):
        # A section that names a model and says neither who serves it nor that it is a server's loads it here.
        name = getattr(section, "model", None)
        if isinstance(name, str) and getattr(section, "by", "local") == "local":
            yield _model("scoring model", name, getattr(section, "revision", None))


def _model(what: str, name: str, revision: str | None) -> Need:
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return Need(State.HERE, what, name)
    if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        return Need(State.HERE, what, f"{name}, in the local cache of the hub")
    if name.startswith((".", "/", "~")) or "/" not in name:
        return Need(State.MISSING, what, f"there is no folder {name}")
    return Need(State.UNKNOWN, what, f"{name} of the hub, not in the local cache; not checked offline")


def _data(rehearsal: Rehearsal) -> Iterator[Need]:
    for name, place in rehearsal.tasks.data_sets.items():
        if place is not None:
            yield Need(State.HERE, "data set", f"{name}, in {place}")
        else:
            text = f"{name} of the hub; name a folder with evaluation.data_directory, or have a network"
            yield Need(State.UNKNOWN, "data set", text)
    for name, section in _files(rehearsal):
        state = State.HERE if Path(section).expanduser().exists() else State.MISSING
        yield Need(state, name, section)


def _files(rehearsal: Rehearsal) -> Iterator[tuple[str, str]]:
    for section in sections(rehearsal.full):
        for field in ("instructions", "problems", "file"):
            if isinstance(getattr(section, field, None), str):
                yield field, getattr(section, field)


def _keys(study: Study) -> Iterator[Need]:
    for variable in dict.fromkeys(key for section in sections(study) if (key := _key(section))):
        state = State.HERE if os.environ.get(variable) else State.MISSING
        yield Need(state, "key", f"{variable} in the environment")


def _key(section: Any) -> str | None:
    """Variable that holds the key of a section's server; None where it asks none."""
    if "key_variable" not in type(section).model_fields:
        return None
    kind = getattr(section, "source", None) or getattr(section, "by", None)
    if section.key_variable or kind not in _KEYS or section.base_url is not None:
        return section.key_variable
    asks_nobody = "model" in type(section).model_fields and section.model is None
    return None if asks_nobody else _KEYS[kind]


def _packages(study: Study) -> Iterator[Need]:
    wanted = []
    if any(e.source == "sentence_transformers" for e in (study.embeddings, *study.other_embeddings.values())):
        wanted.append("sentence_transformers")
    if study.finetuning.method == "qlora":
        wanted.append("bitsandbytes")
    backend = getattr(study.evaluation, "backend", "edsel")
    if backend not in ("edsel", "hf"):
        wanted.append(backend)
    for name in wanted:
        yield Need(State.HERE if find_spec(name) else State.MISSING, "package", name)


def _amounts(study: Study, pool: PoolFacts | None) -> Iterator[Need]:
    lengths, shape = amounts.Lengths.of(study, pool), amounts.Shape.of(study)
    count = len(amounts.trials(study))
    said = "assumed, as the pool is not here" if lengths.assumed else "by the pool, 4 characters a token"
    yield Need(
        State.TAKES,
        "tokens",
        f"{amounts.read_tokens(study, lengths):.3g} through the base model over {lengths.prompts} prompts, "
        f"{amounts.trained_tokens(study, lengths):.3g} trained on in {count} trials and their rounds "
        f"(prompt {lengths.prompt:.0f} + response {lengths.response:.0f} tokens, {said})",
    )
    if shape is None:
        yield Need(State.TAKES, "memory and hours", "not known: the model is not here and names no size")
        return
    yield from _hardware(study, amounts.memory(study, shape))
    read, trained = amounts.hours(study, shape, lengths)
    yield Need(
        State.TAKES,
        "hours",
        f"{read:.1f} for the pool and {trained:.0f} for training on one GPU at {GPU_RATE:.2g} operations a "
        "second; benchmarks come on top",
    )
    if 5e9 <= shape.weights <= 9e9:
        yield Need(
            State.TAKES,
            "hours",
            f"{amounts.PAPER_EMBEDDING_HOURS:.0f} + {amounts.paper_hours(study):.0f} A100-hours at the rate "
            "of Bhatt et al. (12 for embeddings; 9, 15, 24 per trial at 30K, 45K, 90K, benchmarks included)",
        )


def _hardware(study: Study, memory: amounts.Memory) -> Iterator[Need]:
    parts = " + ".join(f"{part / 1e9:.1f}" for part in (memory.weights, memory.state, memory.activations))
    text = f"{memory.total / 1e9:.1f} GB on the fullest GPU = {parts}: {memory.formula}"
    yield Need(State.TAKES, "GPU memory", text)
    if memory.total > _GPU_BYTES:
        text = f"more than {_GPU_BYTES / 1e9:.0f} GB; shard it (fsdp over more processes), or use lora"
        yield Need(State.MISSING, "GPU memory", text)
    if memory.total > 4e9:
        processes = study.finetuning.processes
        state = State.HERE if has_gpu() else State.MISSING
        yield Need(state, "GPUs", f"{processes}, an NVIDIA GPU each")


def _money(study: Study, pool: PoolFacts | None) -> Iterator[Need]:
    lengths, buys = amounts.Lengths.of(study, pool), study.annotation
    unanswered = 0 if pool is None else pool.prompts - pool.answered
    if unanswered and buys.price_by == "prompt":
        most = sum(study.selection.budgets_for(name)[-1] for name in study.selection.names)
        price = buys.price * min(unanswered, most)
        yield Need(State.TAKES, "annotation", f"at most {price:g}, at {buys.price:g} a prompt")
    embedded = amounts.embedded_tokens(study, lengths)
    if embedded:
        yield Need(
            State.TAKES, "embeddings", f"{embedded:.3g} tokens read by other models than the base model"
        )
    yield from _judged(study, lengths)


def _judged(study: Study, lengths: amounts.Lengths) -> Iterator[Need]:
    """Requests to each judge that the study names, and what they cost at its prices."""
    trials = amounts.trials(study)
    judge = getattr(study.evaluation, "judge", None)
    if judge is not None and judge.model is not None:
        both = 2 if judge.kind == "preference" else 1
        count = judge.limit or _INSTRUCTIONS
        calls = (len(trials) - (both == 2)) * count * both  # the reference is not asked about
        written = 1 if both == 2 else judge.reply_tokens
        what = f"{calls} requests ({len(trials)} trials, {count} instructions, {both} orders)"
        yield Need(State.TAKES, "judge", what + _price(judge, calls, both * judge.max_new_tokens, written))
    pair = lengths.prompt + lengths.response
    judge = getattr(study.quality, "judge", None)
    if judge is not None:
        price = _price(judge, lengths.prompts, pair, judge.reply_tokens)
        yield Need(State.TAKES, "judge of quality", f"{lengths.prompts} requests{price}")
    judge = getattr(study.rounds, "judge", None)
    if judge is not None:
        rated = sum(budget for name, budget in trials if study.strategy(name).scorer == "judge")
        price = _price(judge, 2 * rated, pair, judge.reply_tokens)
        yield Need(State.TAKES, "judge of rounds", f"at least {2 * rated} requests{price}")


def _price(judge: Any, calls: int, read: float, written: int) -> str:
    """What ``calls`` cost, each reading the judge's template and ``read`` tokens and writing ``written``."""
    each = judge.price_prompt * (read + _TEMPLATE_TOKENS) + judge.price_reply * written
    if not each:
        return "; the study names no price"
    return f", about {calls * each / 1000:.4g} at the study's prices, if replies are as long as they may be"


def _replaced(study: Study, rehearsal: Rehearsal) -> Iterator[Need]:
    tasks, tuning = rehearsal.tasks, study.finetuning
    for name in tasks.made_up:
        yield Need(State.REPLACED, "task", f"{name} ran on made-up items of its form")
    for name, reason in tasks.left_out.items():
        yield Need(State.REPLACED, "task", f"{name} was left out: {reason}")
    if any(type(section).__name__ in _JUDGES for section in sections(study)):
        yield Need(State.REPLACED, "judge", "a server of this machine stood in, which decides by a hash")
    if getattr(study.evaluation, "humaneval", None) is not None:
        left_out = getattr(rehearsal.study.evaluation, "humaneval", None) is None
        how = "was left out: this system does not isolate programs" if left_out else "ran on one problem"
        yield Need(State.REPLACED, "programs", f"HumanEval {how}")
    if any(e.source != "model" for e in (study.embeddings, *study.other_embeddings.values())):
        yield Need(State.REPLACED, "embeddings", "the tiny model's stood in for those of other models")
    if tuning.method == "qlora":
        yield Need(State.REPLACED, "finetuning", "lora stood in for qlora, which needs a GPU")
    if tuning.launcher:
        yield Need(
            State.REPLACED, "finetuning", f"one process stood in for {tuning.processes} of {tuning.launcher}"
        )
    if getattr(study.evaluation, "backend", "edsel") != "edsel":
        yield Need(State.REPLACED, "benchmarks", "edsel's own reader stood in for the backend")
