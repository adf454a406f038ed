"""What decides each kind of cell beside its inputs: code, settings, libraries, files outside the store.

A setting is listed where changing it can change the value beyond rounding. So devices, threads,
batch sizes, shards, checkpoints, launchers and memory limits are not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from edsel_assets.demo import model_folder
from edsel_assets.keys import parse_budget_trial
from edsel_assets.llm.models.dtypes import dtype_here, training_dtype_here
from edsel_assets.llm.scoring.backends import PACKAGES
from edsel_assets.selection.strategy import EMBEDDINGS
from edsel_assets.study import EmbeddingSettings, JudgeModel, Study

#: Names of the sources of external inputs; see ``external``.
POOL_FILES, ANNOTATION_FILES, MODEL_FILES, TASK_FILES = "pool", "annotations", "model", "tasks"
#: Files of scorers, by the place of their settings.
SCORE_FILE = "quality.file"
QUALITY_MODELS = {
    "reward": ("quality.reward",),
    "deita": ("quality.deita.quality", "quality.deita.complexity"),
    "judge": ("quality.judge",),
}
ROUND_MODELS = {"reward": ("rounds.reward",), "judge": ("rounds.judge",)}
_OTHERS = "other_embeddings."
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
    "pool.max_characters",
    "evaluation.held_out",
    "evaluation.held_out_seed",
)


def _scores(libraries: tuple[str, ...]) -> Reads:
    # 2: values by item lie in a table, with their numbers
    return Reads((*_BASE, "model.template"), (*libraries, "lm-eval"), (MODEL_FILES, TASK_FILES), code="2")


READS: Mapping[str, Reads] = {
    # 2: more pairs of columns are read, and chats that are stored as text; a reply is its own question's
    "pool": Reads(_POOL, external=(POOL_FILES,), code="2"),
    # 2: says which prompts were replaced, and what the others count for
    "orders": Reads(external=(ORDER_FILES,), code="2"),
    "purchases": Reads(external=(PURCHASE_FILES,)),
    # 2: answers in any layout; numbers are text
    "annotations": Reads(external=(ANNOTATION_FILES,), code="2"),
    # by embeddings.source: see settings_of; 2: a transform of the pool is applied
    "embeddings": Reads(code="2"),
    "other_embeddings": Reads(code="2"),
    "token_probabilities": Reads((*_PASS, "forward.max_new_tokens"), _MODEL, (MODEL_FILES,)),
    "uncertainty_scores": Reads(),  # by measure
    "clusters": Reads(("clustering.seed", "clustering.restarts", "clustering.iterations"), ("faiss",)),
    "quality_scores": Reads(),  # by scorer
    "kernel_width": Reads(("selection.gammas", "selection.normalise"), _PRODUCTS),
    "cluster_count": Reads(("clustering.seed",), _PRODUCTS),
    "cluster_quality": Reads(("quality.scorer", "quality.threshold", "quality.threshold_quantile")),
    "rankings": Reads(),  # by strategy
    "selections": Reads(),
    "selection_cards": Reads(code="2"),  # 2: the strategy's scores are among the columns
    "selection_overlap": Reads(),
    "training_sets": Reads(),
    "held_out": Reads(_POOL, external=(POOL_FILES,), code="2"),  # as the pool
    "lora_adapters": Reads((*_BASE, "model.template", "finetuning"), _ADAPTED, (MODEL_FILES,)),
    "purchased_training_set": Reads(code="2"),  # what is held out is not trained on
    "purchased_adapter": Reads((*_BASE, "model.template", "finetuning"), _ADAPTED, (MODEL_FILES,)),
    "purchased_scores": _scores(_ADAPTED),
    "spend_curve": Reads(code="2"),  # answers trained on are counted
    "base_scores": _scores(_MODEL),
    "benchmark_scores": _scores(_ADAPTED),
    "generations": Reads(
        (*_BASE, "model.template", "forward.max_prompt_tokens"), _ADAPTED, (MODEL_FILES, INSTRUCTION_FILES)
    ),
    "reference_answers": Reads(),
    "win_rates": Reads(code="2"),  # 2: a judge's word on answers, no more a comparison of likelihoods
    # 2: what was replaced leaves a round that was ordered
    "round_selection": Reads(("rounds.rounds",), code="2"),
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
        code="2",  # the history of the weights lies in the table
    ),
    "iterative_selections": Reads(),
    # 2: what was bought is a section of it; 3: one task has no average, a judge's reference no win rate;
    # 4: intervals by Welch
    "label_efficiency": Reads(("report.control",), code="4"),
}


_ANSWERS = ("held_out_answers", "held_out_max_new_tokens")
_SCORED = {"base_scores", "benchmark_scores", "purchased_scores"}
_TRAINED = {"lora_adapters", "round_checkpoint", "purchased_adapter"}


def settings_of(study: Study, kind: str, partition: str | None = None) -> dict[str, Any]:
    """The settings that decide a cell, by dotted name; without a partition, of the whole asset."""
    names = [*READS[kind].settings]
    found: dict[str, Any] = {}
    if kind == "embeddings":
        names += _embedding_settings(study)
    elif kind == "other_embeddings":
        found |= _other_embedding_settings(study, partition)
    elif kind == "uncertainty_scores":
        names += _uncertainty_settings(partition)
    elif kind == "quality_scores":
        found |= _of_scorers(study, partition)
    elif kind == "round_weights":
        found |= _of_each(study, _round_score_settings, _strategy_in(partition), iterative=True)
    elif kind == "lora_adapters":
        found |= _of_each(study, _chain_settings, _strategy_in(partition), iterative=True)
    elif kind == "rankings":
        found |= _of_each(study, _ranking_settings, partition, iterative=False)
    elif kind == "round_selection":
        found |= _of_each(study, _strategy_settings, _strategy_in(partition), iterative=True)
        found |= _price_settings(study)
    elif kind == "kernel_width":
        found["selection.budgets: largest"] = max(study.selection.budgets)
        found |= _price_settings(study)
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
    if kind == "round_checkpoint" or "rounds.epochs" in found:
        found.pop("finetuning.epochs")  # rounds.epochs takes its place
    return {name: _here(study, name, value) for name, value in found.items()}


def _here(study: Study, name: str, value: Any) -> Any:
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


def libraries_of(study: Study, kind: str, partition: str | None = None) -> dict[str, str]:
    """Versions of the libraries that decide a cell, by distribution."""
    names = READS[kind].libraries
    if kind == "other_embeddings" and partition is not None:
        return libraries_of(study.with_embeddings(partition), "embeddings")
    if kind in {"embeddings", "other_embeddings"}:
        names = {"model": _MODEL, "sentence_transformers": (*_MODEL, "sentence-transformers")}.get(
            study.embeddings.source, ()
        )
    elif kind == "rankings":
        names = _ranking_libraries(study, partition)
    elif kind == "win_rates" and _judged_here(study):
        names = _MODEL
    elif kind in _SCORED:
        package = PACKAGES.get(study.evaluation.backend)
        words = ("rouge-score",) if "rouge_l" in study.evaluation.held_out_answers else ()
        names = (*names, *((package,) if package else ()), *words)
    elif kind == "quality_scores":
        scorers = _scorers(study, partition)
        names = _MODEL if any(_loads_model(study, scorer) for scorer in scorers) else ()
    return {name: version(name) for name in names}


def external_of(study: Study, kind: str, partition: str | None = None) -> tuple[str, ...]:
    """Sources of the files outside the store that a cell reads; without a partition, any cell of the kind."""
    if kind == "win_rates":
        return (JUDGE_FILES,) if _judged_here(study) else ()
    if kind == "quality_scores":
        each = [source for scorer in _scorers(study, partition) for source in _quality_files(study, scorer)]
        return tuple(dict.fromkeys(each))
    if kind == "round_weights":
        return (*READS[kind].external, *_round_files(study, _strategy_in(partition)))
    if kind in {"embeddings", "other_embeddings"}:
        return _embedder_files(study, kind, partition)
    return READS[kind].external


def embedders(study: Study, kind: str, partition: str | None = None) -> dict[str, EmbeddingSettings]:
    """The settings that make the cells of ``embeddings`` or ``other_embeddings``, by their place."""
    if kind == "embeddings":
        return {"embeddings": study.embeddings}
    names = study.other_embeddings if partition is None else [partition]
    return {f"{_OTHERS}{name}": study.other_embeddings[name] for name in names}


def is_embedder(place: str) -> bool:
    """Whether a source of files is the model of embedding settings."""
    return place == "embeddings" or place.startswith(_OTHERS)


def embedder_at(study: Study, place: str) -> EmbeddingSettings:
    """The embedding settings at a place that ``embedders`` gave."""
    other = place.startswith(_OTHERS)
    return study.other_embeddings[place.removeprefix(_OTHERS)] if other else study.embeddings


def _embedder_files(study: Study, kind: str, partition: str | None) -> tuple[str, ...]:
    """The base model's files, those of a model of sentence-transformers, or a file; a server has none."""
    found = []
    for place, settings in embedders(study, kind, partition).items():
        if settings.source == "model":
            found.append(MODEL_FILES)
        elif settings.source == "sentence_transformers":
            found.append(place)
        elif settings.source == "file":
            found += [place, POOL_FILES]  # a vector may belong to a row of the pool's files
    return tuple(dict.fromkeys(found))


def _strategy_in(partition: str | None) -> str | None:
    """The strategy of a cell by budget and trial."""
    return None if partition is None else parse_budget_trial(partition)[1]


def _scorers(study: Study, partition: str | None) -> list[str]:
    """The scorer of a partition of ``quality_scores``; without one, all that the study uses."""
    if partition is not None:
        return [partition]
    return list(dict.fromkeys([study.quality.scorer, *map(study.quality_of, study.selection.names)]))


def _of_scorers(study: Study, partition: str | None) -> dict[str, Any]:
    if partition is not None:
        return _scorer_settings(study, partition)
    each = {scorer: _scorer_settings(study, scorer) for scorer in _scorers(study, None)}
    return {f"{scorer}: {key}": value for scorer, found in each.items() for key, value in found.items()}


def _scorer_settings(study: Study, scorer: str) -> dict[str, Any]:
    """The settings that decide the qualities of one scorer."""
    quality = study.quality
    if scorer == "likelihood":
        return {}
    if scorer == "column":
        given = {"quality.file: given": quality.file is not None}
        named = ("quality.column", "quality.complexity_column") if quality.file else ()
        return given | {key: value for name in named for key, value in _flat(study, name).items()}
    found = _flat(study, "quality.input")
    if scorer == "perplexity" and quality.input == "prompt_response":
        for name in (*_BASE, "model.template"):
            found |= _flat(study, name)
    for place in QUALITY_MODELS.get(scorer, ()):
        found |= model_settings(study, place)
    return found


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


def setting(study: Study, dotted: str) -> Any:
    """The value at a dotted name; None inside a section that is not there."""
    value: Any = study
    for part in dotted.split("."):
        value = None if value is None else getattr(value, part)
    return value


def is_local(study: Study, place: str) -> bool:
    """Whether the scorer at ``place`` is a model that is loaded here."""
    chosen = setting(study, place)
    return chosen is not None and getattr(chosen, "by", "local") == "local"


def _loads_model(study: Study, scorer: str) -> bool:
    if scorer == "perplexity":
        return study.quality.input == "prompt_response"
    return any(is_local(study, place) for place in QUALITY_MODELS.get(scorer, ()))


def _quality_files(study: Study, scorer: str) -> list[str]:
    if scorer == "perplexity":
        return [MODEL_FILES] if study.quality.input == "prompt_response" else []
    if scorer == "column":
        return [SCORE_FILE] if study.quality.file else []
    return [place for place in QUALITY_MODELS.get(scorer, ()) if is_local(study, place)]


def _round_files(study: Study, strategy: str | None) -> list[str]:
    names = [strategy] if strategy else study.selection.names
    scorers = dict.fromkeys(study.strategy(name).scorer for name in names)
    places = [place for scorer in scorers for place in ROUND_MODELS.get(scorer or "", ())]
    return [place for place in places if is_local(study, place)]


def _round_score_settings(study: Study, strategy: str) -> dict[str, Any]:
    """What decides the scores of a strategy's rounds beside what all rounds read."""
    scorer = study.strategy(strategy).scorer or ""
    if scorer == "perplexity":
        return _flat(study, "rounds.joint")
    found: dict[str, Any] = {}
    for place in ROUND_MODELS.get(scorer, ()):
        found |= model_settings(study, place)
    return found


def _chain_settings(study: Study, strategy: str) -> dict[str, Any]:
    """What decides the model of a trial that chose in rounds beside its training set; nothing for others."""
    if not study.strategy(strategy).iterative:
        return {}
    found = _flat(study, "rounds.start")
    if study.rounds.start == "continue":
        found |= _flat(study, "rounds.epochs") | _flat(study, "selection.seed")
    return found


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
    common: tuple[str, ...] = ("embeddings.source", "embeddings.input", "embeddings.transform")
    if study.embeddings.transform == "whiten":
        common = (*common, "embeddings.dimensions")
    templated = ("model.template",) if study.embeddings.input == "prompt_response" else ()
    if study.embeddings.source == "file":
        return (*common, "embeddings.column", "embeddings.align")
    if study.embeddings.source == "model":
        return (*common, *_PASS, "forward.pooling")
    return (*common, *templated, "embeddings.name", "embeddings.revision", "embeddings.base_url")


def _other_embedding_settings(study: Study, name: str | None) -> dict[str, Any]:
    if name is not None:
        return settings_of(study.with_embeddings(name), "embeddings")
    each = {other: _other_embedding_settings(study, other) for other in study.other_embeddings}
    return {f"{other}: {key}": value for other, found in each.items() for key, value in found.items()}


def _uncertainty_settings(measure: str | None) -> tuple[str, ...]:
    switches = {
        "mean_entropy": ("uncertainty.entropy_sign",),
        "least_confidence": ("uncertainty.length_normalised",),
    }
    if measure is None:
        return tuple(name for names in switches.values() for name in names)
    return switches.get(measure, ())


def _strategy_settings(study: Study, strategy: str) -> dict[str, Any]:
    """The settings that a strategy's row names, as the strategy or variant reads them."""
    switches = study.selection.of(strategy)
    fields = [name.removeprefix("selection.") for name in study.strategy(strategy).settings]
    if switches.gamma != "auto" and "gammas" in fields:
        fields.remove("gammas")
    return {f"selection.{field}": getattr(switches, field) for field in fields}


def _price_settings(study: Study) -> dict[str, Any]:
    """What decides prices, where budgets are money."""
    if not study.selection.by_price:
        return {}
    rules = {
        "prompt": ("annotation.price",),
        "column": (),
        "length": (
            "annotation.per_thousand_prompt",
            "annotation.per_thousand_response",
            "annotation.expected_response",
        ),
    }
    found = {"selection.by_price": True, **_flat(study, "annotation.price_by")}
    for name in rules[study.annotation.price_by]:
        found |= _flat(study, name)
    return found


def _ranking_settings(study: Study, strategy: str) -> dict[str, Any]:
    found = _strategy_settings(study, strategy) | _price_settings(study)
    budgets, row = study.selection.budgets_for(strategy), study.strategy(strategy)
    if row.nested and not study.selection.by_price:
        found["selection.budgets: largest"] = max(budgets)
    else:
        found["selection.budgets"] = budgets
    if row.stochastic:
        found["finetuning.seeds: replicates"] = len(study.seeds(strategy))
    return found


def _of_each(
    study: Study, settings: Callable[[Study, str], dict[str, Any]], strategy: str | None, iterative: bool
) -> dict[str, Any]:
    """The settings of a strategy; without one, those of all that the study uses, by name."""
    if strategy is not None:
        return settings(study, strategy)
    names = [name for name in study.selection.names if study.strategy(name).iterative == iterative]
    return {f"{name}: {key}": value for name in names for key, value in settings(study, name).items()}


def _ranking_libraries(study: Study, strategy: str | None) -> tuple[str, ...]:
    row = None if strategy is None else study.strategy(strategy)
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
    if settings.held_out_answers:
        found |= {f"evaluation.{name}": getattr(settings, name) for name in _ANSWERS}
        found |= _flat(study, "forward.max_prompt_tokens")
    for task in settings.tasks:
        for name, value in task.model_dump(exclude={"metric", "label"}).items():
            found[f"evaluation.tasks.{task.shown}.{name}"] = value
    if settings.humaneval is not None:
        programs = settings.humaneval.model_dump(exclude={"problems", "workers"})
        found |= {f"evaluation.humaneval.{name}": value for name, value in programs.items()}
    return found
