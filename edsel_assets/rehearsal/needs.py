"""What the full study needs: what is here, what is missing, what cannot be told offline, what it takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from edsel_assets.planning.external import model_path
from edsel_assets.rehearsal.amounts import trials
from edsel_assets.rehearsal.need import Need, State
from edsel_assets.rehearsal.scaled import sections
from edsel_assets.rehearsal.stand_ins import Rehearsal
from edsel_assets.rehearsal.takes import takes
from edsel_assets.study import Study
from edsel_assets.study.secrets import variable_of_key

_JUDGES = ("JudgeSettings", "JudgeModel")
_UNSET = "/unset/"  # where no file is
_NO_PLACE = "its place is in a variable that is not set"


def load_with_gaps(name: str) -> tuple[Study, list[str]]:
    """A study, and the environment variables that it lacks, for each of which a place that is not there."""
    unset = Study.unset_variables(name)
    return Study.load(name, {**os.environ, **{variable: f"{_UNSET}{variable}" for variable in unset}}), unset


def needs_of(study: Study, rehearsal: Rehearsal, unset: list[str]) -> list[Need]:
    """Everything, grouped by kind."""
    found = [
        Need(State.MISSING, "variable", f"{name} is not set; the study's file says what for")
        for name in unset
    ]
    found += [*_pool(rehearsal), *_models(study), *_data(rehearsal), *_keys(study), *_packages(study)]
    found += [*takes(study, rehearsal.pool), *_replaced(study, rehearsal)]
    return list(dict.fromkeys(found))


def _pool(rehearsal: Rehearsal) -> Iterator[Need]:
    facts = rehearsal.pool
    if facts is None:
        state = State.UNKNOWN if rehearsal.pool_is_far else State.MISSING
        why = _NO_PLACE if _UNSET in rehearsal.no_pool else rehearsal.no_pool
        yield Need(state, "pool", f"{why.removesuffix('.')}; rehearsed on made-up prompts")
        return
    yield Need(State.HERE, "pool", f"{facts.prompts} prompts, {facts.answered} of them answered")
    if facts.answered < facts.prompts:
        lacking = facts.prompts - facts.answered
        yield Need(State.MISSING, "answers", f"{lacking} prompts have none; those selected are to be bought")


def _models(study: Study) -> Iterator[Need]:
    yield _model("base model", model_path(study), study.model.revision)
    if study.selection.model is not None:
        chosen = study.selecting
        yield _model("selecting model", model_path(chosen), chosen.model.revision)
    for embeddings in (study.embeddings, *study.other_embeddings.values()):
        if embeddings.source == "sentence_transformers":
            yield _model("embedding model", str(embeddings.name), embeddings.revision)
        elif embeddings.source == "file":
            here = Path(str(embeddings.path)).expanduser().is_file()
            state = State.HERE if here else State.MISSING
            yield Need(
                state, "embeddings", str(embeddings.path) if here else f"there is no {embeddings.path}"
            )
    for section in sections(study):
        # A section that names a model and says neither who serves it nor that it is a server's loads it here.
        name = getattr(section, "model", None)
        if isinstance(name, str) and getattr(section, "by", "local") == "local":
            yield _model("scoring model", name, getattr(section, "revision", None))


def _model(what: str, name: str, revision: str | None) -> Need:
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return Need(State.HERE, what, name)
    if name.startswith(_UNSET):
        return Need(State.MISSING, what, _NO_PLACE)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        return Need(State.MISSING, what, f"there is no folder {name}; a model of the hub is named OWNER/NAME")
    if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        return Need(State.HERE, what, f"{name}, in the local cache of the hub")
    return Need(
        State.UNKNOWN, what, f"{name} of the hub is not in the local cache; the run loads it from there"
    )


def _data(rehearsal: Rehearsal) -> Iterator[Need]:
    for name, place in rehearsal.tasks.data_sets.items():
        if place is not None:
            yield Need(State.HERE, "data set", f"{name}, in {place}")
        else:
            text = f"{name} of the hub; name a folder with evaluation.data_directory, or have a network"
            yield Need(State.UNKNOWN, "data set", text)
    for name, section in _files(rehearsal):
        if Path(section).expanduser().exists():
            yield Need(State.HERE, name, section)
        else:
            yield Need(State.MISSING, name, f"there is no {section}; name the file in the setting {name}")


def _files(rehearsal: Rehearsal) -> Iterator[tuple[str, str]]:
    for section in sections(rehearsal.full):
        for field in ("instructions", "problems", "file"):
            if isinstance(getattr(section, field, None), str):
                yield field, getattr(section, field)


def _keys(study: Study) -> Iterator[Need]:
    served = [each for each in sections(study) if "key_variable" in type(each).model_fields]
    for variable in dict.fromkeys(filter(None, map(variable_of_key, served))):
        if os.environ.get(variable):
            yield Need(State.HERE, "key", f"{variable} in the environment")
        else:
            yield Need(State.MISSING, "key", f"{variable} is not in the environment; set it")


def _packages(study: Study) -> Iterator[Need]:
    wanted = []
    if any(e.source == "sentence_transformers" for e in (study.embeddings, *study.other_embeddings.values())):
        wanted.append("sentence_transformers")
    backend = getattr(study.evaluation, "backend", "edsel")
    if backend not in ("edsel", "hf"):
        wanted.append(backend)
    for name in wanted:
        if find_spec(name):
            yield Need(State.HERE, "package", name)
        else:
            yield Need(State.MISSING, "package", f"{name} is not installed; install it with pip")


def _replaced(study: Study, rehearsal: Rehearsal) -> Iterator[Need]:
    tasks, tuning = rehearsal.tasks, study.finetuning
    full, few = len(trials(study)), len(trials(rehearsal.study))
    if few < full:
        why = "fewer seeds, and of more than three budgets the two smallest and the largest"
        yield Need(State.REPLACED, "trials", f"{few} of {full} ran: {why}")
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
        yield Need(
            State.REPLACED, "embeddings", "the tiny model's stood in for those of other models or files"
        )
    if tuning.launcher:
        yield Need(
            State.REPLACED, "finetuning", f"one process stood in for {tuning.processes} of {tuning.launcher}"
        )
    if getattr(study.evaluation, "backend", "edsel") != "edsel":
        yield Need(State.REPLACED, "benchmarks", "edsel's own reader stood in for the backend")
