"""What can be known before the first model is loaded: settings against each other, the machine, and files."""

from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edsel_assets.kinds import KINDS, external_of
from edsel_assets.kinds.dimensions import with_queries
from edsel_assets.kinds.sources import (
    MODEL_FILES,
    SELECTING_FILES,
    is_local,
    other_embedders,
    quality_places,
    round_places,
    setting,
)
from edsel_assets.llm.models.files import sentence_model
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.external import External
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.planning.model_problems import (
    answer_problems,
    base_model_problems,
    model_problems,
    positions,
    selecting_model_problems,
    target_problems,
)
from edsel_assets.pools import PoolError
from edsel_assets.store import Home
from edsel_assets.study import EmbeddingSettings, HumanEvalSettings, Study, TaskSettings
from edsel_assets.study.secrets import missing_key

Check = Callable[[Study, Home, Collection[str]], Iterator[str]]


class NotReady(ValueError):
    """A study that cannot run here as it is: every problem at once."""


def check(study: Study, home: Home, kinds: Collection[str]) -> None:
    """Raise NotReady where cells of these kinds cannot be made; loads no model.

    Args:
        kinds: of the cells that are to be made.
    """
    found = list(problems(study, home, kinds))
    if found:
        raise NotReady(" ".join(f"({number}) {text}" for number, text in enumerate(found, start=1)))


def check_sizes(study: Study, home: Home, kinds: Collection[str]) -> None:
    """Raise NotReady where cells of these kinds need more prompts than the pool, made by now, has."""
    found = list(problems(study, home, kinds, _OF_POOL))
    if found:
        raise NotReady(" ".join(found))


def problems(
    study: Study, home: Home, kinds: Collection[str], names: Collection[str] | None = None
) -> Iterator[str]:
    """Each thing that is missing or wrong, with its remedy.

    Args:
        names: of the checks to ask, of ``CHECKS``; by default all that the kinds' rows name.
    """
    asked = {name for row in KINDS.values() if row.name in kinds for name in row.before}
    asked |= {"prices"} if kinds else set()
    files = {source for kind in kinds for source in external_of(study, kind)}
    asked |= {"base model"} if MODEL_FILES in files else set()
    asked |= {"selecting model"} if SELECTING_FILES in files else set()
    found: dict[str, None] = {}
    for name, check in CHECKS.items():
        if name in asked and (names is None or name in names):
            found |= dict.fromkeys(check(study, home, kinds))
    yield from found


def annotator_problems(study: Study, home: Home) -> list[str]:
    """What the study's annotator lacks; it is needed when an order is answered, and for nothing else."""
    from edsel_assets.annotators import annotator_of

    settings = study.annotation.annotator
    return [] if settings.kind == "people" else annotator_of(settings, home.store(study.name)).problems()


def _files_of(kind: str, place: str) -> Check:
    """The files that a kind reads, named by the setting at ``place``."""

    def check(study: Study, home: Home, kinds: Collection[str]) -> Iterator[str]:
        try:
            External(study, home).of(kind)
        except (ValueError, OSError) as error:
            yield f"{place}: {' '.join(str(error).split())}"

    return check


def _prompts(home: Home, study: Study, kinds: Collection[str]) -> int | None:
    """How many prompts the pool has, where it was read already and is not read anew."""
    if "pool" in kinds:
        return None  # it is made first, perhaps since its ledger is damaged
    ledger = read_ledger(home.store(study.name), Cell("pool"))
    return None if ledger is None else ledger.rows


def _budgets(study: Study, home: Home, kinds: Collection[str]) -> Iterator[str]:
    """Budgets against the pool; money is spent on what there is."""
    prompts, largest = _prompts(home, study, kinds), study.selection.every_budget[-1]
    if prompts is not None and largest > prompts and not study.selection.by_price:
        yield f"selection.budgets: {largest} exceeds the {prompts} prompts of the pool. Lower it."


def _cluster_counts(study: Study, home: Home, kinds: Collection[str]) -> Iterator[str]:
    prompts, largest = _prompts(home, study, kinds), max(study.clustering.counts)
    if prompts is not None and study.clustering.made(largest, prompts) > prompts:
        yield f"clustering.counts: {largest} exceeds the {prompts} prompts of the pool. Lower it."


def _given(embedders: Callable[[Study], Mapping[str, EmbeddingSettings]]) -> Check:
    """Files of embeddings that do not fit the pool in the store."""

    def check(study: Study, home: Home, kinds: Collection[str]) -> Iterator[str]:
        from edsel_assets.stages.vectors.given import GivenError, check_given
        from edsel_assets.store import read_table

        for place, settings in embedders(study).items():
            if settings.source != "file" or _prompts(home, study, kinds) is None:
                continue
            ids = read_table(home.store(study.name).table(Cell("pool")), ["prompt_id"])["prompt_id"]
            try:
                check_given(study.model_copy(update={"embeddings": settings}), ids)
            except (GivenError, PoolError) as error:
                yield f"{place}: {error}"

    return check


def _vectors(place: str, settings: EmbeddingSettings) -> Iterator[str]:
    """A file of vectors that cannot be read."""
    from edsel_assets.stages.vectors.given import GivenError, read_given

    try:
        read_given(settings)
    except GivenError as error:
        yield f"{place}: {error}"


def _own_embedder(study: Study) -> dict[str, EmbeddingSettings]:
    return {"embeddings": study.embeddings}


def _targets(study: Study) -> Iterator[str]:
    """Targets whose prompts cannot be read, or are too few."""
    from edsel_assets.pools import read_pool
    from edsel_assets.selection.targets.demand import FEWEST_QUERIES
    from edsel_assets.stages.pools import pool_source

    for name in with_queries(study):
        try:
            found = read_pool(pool_source(study.targets[name].source)).table.num_rows
        except (PoolError, ValueError, OSError) as error:
            yield f"targets.{name}.prompts: {' '.join(str(error).split())}"
            continue
        if found < FEWEST_QUERIES:
            yield (
                f"targets.{name}.prompts: a target needs at least {FEWEST_QUERIES} different queries, better "
                f"20 to 200; got {found}. Add some."
            )


def _target_tasks(study: Study, home: Home, kinds: Collection[str]) -> Iterator[str]:
    """Tasks that a target names and the pool, made by now, has not."""
    from edsel_assets.store import read_table

    named = {name: target.tasks for name, target in study.targets.items() if isinstance(target.tasks, dict)}
    if not named or _prompts(home, study, kinds) is None:
        return
    tasks = read_table(home.store(study.name).table(Cell("pool")), ["task"])["task"]
    known = set(tasks.unique().to_pylist()) - {None}
    for name, shares in named.items():
        if missing := sorted(set(shares) - known):
            yield (
                f"targets.{name}.tasks: the pool has no task {', '.join(missing)}. It has "
                f"{', '.join(sorted(known)[:20]) or 'none'}."
            )


def _embedders(embedders: Callable[[Study], Mapping[str, EmbeddingSettings]]) -> Check:
    """What embeddings lack: keys, a package, a model's folder, a file of vectors."""

    def check(study: Study, home: Home, kinds: Collection[str]) -> Iterator[str]:
        for place, settings in embedders(study).items():
            variable = missing_key(settings)
            if variable:
                yield f"{place}.source: {settings.source} needs a key in the environment: set {variable}."
            if settings.source == "file":
                yield from _vectors(place, settings)
            if settings.source == "sentence_transformers":
                yield from _sentence_transformers(place, settings)

    return check


def _sentence_transformers(place: str, settings: EmbeddingSettings) -> Iterator[str]:
    if find_spec("sentence_transformers") is None:
        yield (
            f"{place}.source: sentence_transformers needs the package sentence-transformers. Install "
            "edsel-assets[embeddings]."
        )
    name = str(settings.name)
    named = name if Path(name).is_dir() else sentence_model(name)
    yield from model_problems(f"{place}.name", named, settings.revision, ())


def _price_column(study: Study) -> Iterator[str]:
    """Prices by a column that the pool does not have: no order could be placed, whatever is made now."""
    if study.annotation.price_by == "column" and "price" not in study.pool.columns:
        yield (
            "annotation.price_by: column, and no column of the pool is its price. Name it in pool.columns: "
            "{price: ...}, or price by another rule."
        )


def _quality(study: Study) -> Iterator[str]:
    """What the scorers of quality need: models, keys, the file of scores."""
    for place in quality_places(study):
        yield from _scorer(study, place)
    scorers = {study.quality.scorer, *map(study.quality_of, study.selection.names)}
    if "column" in scorers and study.quality.file is not None:
        from edsel_assets.stages.scoring.columns import ColumnError, read_scores

        try:
            read_scores(study.quality)
        except ColumnError as error:
            yield f"quality: {error}"


def _round_scorers(study: Study) -> Iterator[str]:
    for place in round_places(study):
        yield from _scorer(study, place)


def _scorer(study: Study, place: str) -> Iterator[str]:
    """A reward model, a scorer or a judge that cannot be loaded or asked."""
    chosen = setting(study, place)
    if not is_local(study, place):
        variable = missing_key(chosen)
        if variable:
            yield f"{place}: the server needs a key in the environment: set {variable}."
        return
    yield from model_problems(f"{place}.model", chosen.model, chosen.revision, ("config.json",))


def _training(study: Study) -> Iterator[str]:
    yield from target_problems(study)
    yield from training_mistakes(study)


def training_mistakes(study: Study) -> Iterator[str]:
    """Settings of finetuning that work on no machine."""
    tuning = study.finetuning
    if study.model.device_map and (tuning.method == "full" or tuning.launcher):
        yield (
            "model.device_map: a model spread over GPUs is trained by adapters in one process. Set "
            "finetuning.method: lora and no launcher, or no device_map."
        )
    if tuning.launcher is None and (tuning.processes > 1 or tuning.fsdp):
        yield (
            f"finetuning.processes: {tuning.processes}, fsdp: {tuning.fsdp} need the setting "
            "finetuning.launcher: accelerate."
        )
    if tuning.fsdp and tuning.method != "full":
        yield f"finetuning.fsdp shards a full finetuning; the method is {tuning.method}. Set fsdp to false."
    if tuning.max_length < 8:
        yield f"finetuning.max_length: {tuning.max_length} tokens leave no room for a response. Raise it."


def _tasks(study: Study) -> Iterator[str]:
    settings = study.evaluation
    if settings.data_directory and not Path(settings.data_directory).is_dir():
        yield f"evaluation.data_directory: there is no folder {settings.data_directory}. Check the path."
    yield from _backend(study)
    if settings.humaneval is not None:
        yield from _programs(settings.humaneval)
    yield from answer_problems(study)
    yield from task_mistakes(study)


def task_mistakes(study: Study) -> Iterator[str]:
    """Unknown tasks, and metrics, filters and shots that a task does not have; needs no data."""
    if not study.evaluation.tasks:
        return
    from edsel_assets.llm.scoring.backends import OWN
    from edsel_assets.llm.scoring.tasks import (
        check_direction,
        check_generation,
        check_shots,
        check_tasks,
        metrics_of,
    )
    from edsel_assets.report.statistics.trials import primary_metric
    from edsel_assets.stages.trials import tasks_folder

    folder, room = tasks_folder(study), study.evaluation.max_length or positions(study)

    def check_metric(task: TaskSettings) -> None:
        metrics = metrics_of(task.name, folder)
        if metrics is not None:
            found = primary_metric(task.shown, metrics, task.metric, "name one in evaluation.tasks.metric")
            check_direction(task.name, found, folder)

    for task in study.evaluation.tasks:
        unknown = _words(check_tasks, [task.name], folder)
        yield from unknown
        if not unknown:
            yield from _words(check_shots, task.name, task.num_fewshot, folder)
            if study.evaluation.backend == OWN:
                yield from _words(check_generation, task.name, task.max_new_tokens, room, folder)
            yield from _words(check_metric, task)


def _words(check: Callable[..., None], *arguments: Any) -> list[str]:
    """What a check of tasks has to say."""
    try:
        check(*arguments)
    except ValueError as error:
        return [f"evaluation.tasks: {' '.join(str(error).split())}"]
    return []


def _metrics(study: Study) -> Iterator[str]:
    """Of a report on scores that are there: the metrics that it reads."""
    if any(task.metric for task in study.evaluation.tasks):
        yield from task_mistakes(study)


def _backend(study: Study) -> Iterator[str]:
    from edsel_assets.llm.scoring.backends import check_backend

    try:
        check_backend(study.evaluation.backend)
    except ValueError as error:
        yield f"evaluation.backend: {error}"


def _programs(settings: HumanEvalSettings) -> Iterator[str]:
    from edsel_assets.llm.scoring.sandbox import sandbox_refusal
    from edsel_assets.stages.evaluation.programs import problems_of

    try:
        problems_of(settings)
    except (ValueError, OSError) as error:
        yield f"evaluation.humaneval.problems: {' '.join(str(error).split())}"
    refusal = sandbox_refusal()
    if refusal is not None:
        yield f"evaluation.humaneval: {refusal}"


def _instructions(study: Study) -> Iterator[str]:
    settings = study.evaluation.judge
    if settings is None:
        return
    from edsel_assets.stages.evaluation.answers import read_instructions

    try:
        read_instructions(settings)
    except ValueError as error:
        yield f"evaluation.judge.instructions: {error}"


def _judge(study: Study) -> Iterator[str]:
    """A judge that cannot be asked: no key for the server, or no folder of a local model."""
    settings = study.evaluation.judge
    if settings is None or settings.model is None:
        return
    if settings.by == "local":
        yield from model_problems("evaluation.judge.model", str(settings.model), settings.revision, ())
        return
    variable = missing_key(settings)
    if variable:
        yield f"evaluation.judge: the server needs a key in the environment: set {variable}."


def _of_study(check: Callable[[Study], Iterator[str]]) -> Check:
    """A check that looks at neither the home nor at what else is to be made."""
    return lambda study, home, kinds: check(study)


#: The checks that rows name, in the order in which they are told.
CHECKS: Mapping[str, Check] = {
    "pool files": _files_of("pool", "pool.path"),
    "annotation files": _files_of("annotations", "pool.annotations"),
    "budgets": _budgets,
    "given embeddings": _given(_own_embedder),
    "other given embeddings": _given(other_embedders),
    "cluster counts": _cluster_counts,
    "base model": _of_study(base_model_problems),
    "selecting model": _of_study(selecting_model_problems),
    "embedder": _embedders(_own_embedder),
    "targets": _of_study(_targets),
    "target tasks": _target_tasks,
    "other embedders": _embedders(other_embedders),
    "prices": _of_study(_price_column),
    "scorers of quality": _of_study(_quality),
    "scorers of rounds": _of_study(_round_scorers),
    "finetuning": _of_study(_training),
    "tasks": _of_study(_tasks),
    "metrics": _of_study(_metrics),
    "instructions": _of_study(_instructions),
    "judge": _of_study(_judge),
}
_OF_POOL = ("budgets", "given embeddings", "other given embeddings", "cluster counts", "target tasks")
