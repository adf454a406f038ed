"""What can be known before the first model is loaded: settings against each other, the machine, and files."""

from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edsel_assets.llm.models.files import sentence_model
from edsel_assets.machine import has_gpu
from edsel_assets.planning import external
from edsel_assets.planning.cells import Cell
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.planning.model_problems import (
    answer_problems,
    base_model_problems,
    model_problems,
    target_problems,
)
from edsel_assets.pools import PoolError
from edsel_assets.study import HumanEvalSettings, JudgeSettings, Study, TaskSettings
from edsel_assets.study.secrets import missing_key

_TRAINED = {"lora_adapters", "round_checkpoint", "purchased_adapter"}
_SCORED = {"base_scores", "benchmark_scores", "purchased_scores"}


class NotReady(ValueError):
    """A study that cannot run here as it is: every problem at once."""


def check(study: Study, home: Path, kinds: Collection[str]) -> None:
    """Raise NotReady where cells of these kinds cannot be made; loads no model.

    Args:
        kinds: of the cells that are to be made.
    """
    found = list(problems(study, home, kinds))
    if found:
        raise NotReady(" ".join(f"({number}) {text}" for number, text in enumerate(found, start=1)))


def check_sizes(study: Study, home: Path, kinds: Collection[str]) -> None:
    """Raise NotReady where cells of these kinds need more prompts than the pool, made by now, has."""
    found = list(_sizes(study, home, kinds))
    if found:
        raise NotReady(" ".join(found))


def problems(study: Study, home: Path, kinds: Collection[str]) -> Iterator[str]:
    """Each thing that is missing or wrong, with its remedy."""
    yield from _files(study, home, kinds)
    yield from _sizes(study, home, kinds)
    reads_model = [
        kind for kind in kinds if external.reads.MODEL_FILES in external.reads.external_of(study, kind)
    ]
    if reads_model:
        yield from base_model_problems(study)
    for kind in ("embeddings", "other_embeddings"):
        if kind in kinds:
            yield from _embedders(study, kind)
    if kinds:
        yield from _price_column(study)
    if "quality_scores" in kinds:
        yield from _quality(study)
    if "round_weights" in kinds:
        for place in _places(study, "round_weights"):
            yield from _scorer(study, place)
    if _TRAINED & set(kinds):
        yield from _training(study)
        yield from training_mistakes(study)
    if _SCORED & set(kinds):
        yield from _tasks(study)
    elif "label_efficiency" in kinds and any(task.metric for task in study.evaluation.tasks):
        yield from task_mistakes(study)
    judge = study.evaluation.judge
    if judge is not None and {"generations", "win_rates"} & set(kinds):
        yield from _instructions(judge)
    if judge is not None and judge.model is not None and "win_rates" in kinds:
        yield from _judge(judge)


def annotator_problems(study: Study, home: Path) -> list[str]:
    """What the study's annotator lacks; it is needed when an order is answered, and for nothing else."""
    from edsel_assets.annotators import annotator_of

    settings = study.annotation.annotator
    return [] if settings.kind == "people" else annotator_of(settings, home / "store" / study.name).problems()


def _files(study: Study, home: Path, kinds: Collection[str]) -> Iterator[str]:
    seen = external.External(study, home)
    for kind, place in (("pool", "pool.path"), ("annotations", "pool.annotations")):
        if kind in kinds:
            try:
                seen.of(kind)
            except (ValueError, OSError) as error:
                yield f"{place}: {' '.join(str(error).split())}"


def _sizes(study: Study, home: Path, kinds: Collection[str]) -> Iterator[str]:
    """Budgets and cluster counts against the pool, where it was read already."""
    if "pool" in kinds:
        return  # it is made first, perhaps since its ledger is damaged
    ledger = read_ledger(home / "store" / study.name, Cell("pool"))
    if ledger is None or ledger.rows is None:
        return
    counted = "rankings" in kinds and not study.selection.by_price
    if counted and study.selection.every_budget[-1] > ledger.rows:
        yield (
            f"selection.budgets: {study.selection.every_budget[-1]} exceeds the {ledger.rows} prompts of the "
            "pool. Lower it."
        )
    yield from _given(study, home, kinds)
    if "clusters" in kinds and max(study.clustering.counts) > ledger.rows:
        yield (
            f"clustering.counts: {max(study.clustering.counts)} exceeds the {ledger.rows} prompts of the "
            "pool. Lower it."
        )


def _given(study: Study, home: Path, kinds: Collection[str]) -> Iterator[str]:
    """Files of embeddings that do not fit the pool in the store."""
    from edsel_assets.stages.given import GivenError, check_given
    from edsel_assets.store import read_table

    for kind in ("embeddings", "other_embeddings"):
        for place, settings in external.reads.embedders(study, kind).items() if kind in kinds else ():
            if settings.source != "file":
                continue
            ids = read_table(home / "store" / study.name / "pool.parquet", ["prompt_id"])["prompt_id"]
            try:
                check_given(study.model_copy(update={"embeddings": settings}), ids)
            except (GivenError, PoolError) as error:
                yield f"{place}: {error}"


def _embedders(study: Study, kind: str) -> Iterator[str]:
    """What the embeddings of a kind lack: keys, a package, a model's folder, a file of vectors."""
    for place, settings in external.reads.embedders(study, kind).items():
        variable = missing_key(settings)
        if variable:
            yield f"{place}.source: {settings.source} needs a key in the environment: set {variable}."
        if settings.source == "file":
            from edsel_assets.stages.given import GivenError, read_given

            try:
                read_given(settings)
            except GivenError as error:
                yield f"{place}: {error}"
        if settings.source == "sentence_transformers":
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
    for place in _places(study, "quality_scores"):
        yield from _scorer(study, place)
    scorers = {study.quality.scorer, *map(study.quality_of, study.selection.names)}
    if "column" in scorers and study.quality.file is not None:
        from edsel_assets.stages.scoring.columns import ColumnError, read_scores

        try:
            read_scores(study.quality)
        except ColumnError as error:
            yield f"quality: {error}"


def _places(study: Study, kind: str) -> list[str]:
    """Where the settings of the models are that cells of a kind score with."""
    if kind == "quality_scores":
        used = [study.quality.scorer, *map(study.quality_of, study.selection.names)]
        table: Mapping[str, tuple[str, ...]] = external.reads.QUALITY_MODELS
    else:
        used = [study.strategy(name).scorer or "" for name in study.selection.names]
        table = external.reads.ROUND_MODELS
    return [place for scorer in dict.fromkeys(used) for place in table.get(scorer, ())]


def _scorer(study: Study, place: str) -> Iterator[str]:
    """A reward model, a scorer or a judge that cannot be loaded or asked."""
    chosen = external.reads.setting(study, place)
    if not external.reads.is_local(study, place):
        variable = missing_key(chosen)
        if variable:
            yield f"{place}: the server needs a key in the environment: set {variable}."
        return
    yield from model_problems(f"{place}.model", chosen.model, chosen.revision, ("config.json",))


def _training(study: Study) -> Iterator[str]:
    yield from target_problems(study)
    tuning = study.finetuning
    if tuning.method == "qlora" and not has_gpu():
        yield "finetuning.method: qlora needs an NVIDIA GPU, and this machine shows none. Use lora."


def training_mistakes(study: Study) -> Iterator[str]:
    """Settings of finetuning that work on no machine."""
    tuning = study.finetuning
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
    from edsel_assets.llm.scoring.tasks import check_direction, check_shots, check_tasks, metrics_of
    from edsel_assets.report.statistics.trials import primary_metric
    from edsel_assets.stages.trials import tasks_folder

    folder = tasks_folder(study)

    def check_metric(task: TaskSettings) -> None:
        metrics = metrics_of(task.name, folder)
        if metrics is not None:
            check_direction(task.name, primary_metric(task.shown, metrics, task.metric), folder)

    for task in study.evaluation.tasks:
        unknown = _words(check_tasks, [task.name], folder)
        yield from unknown
        if not unknown:
            yield from _words(check_shots, task.name, task.num_fewshot, folder)
            yield from _words(check_metric, task)


def _words(check: Callable[..., None], *arguments: Any) -> list[str]:
    """What a check of tasks has to say."""
    try:
        check(*arguments)
    except ValueError as error:
        words = str(error).replace("name its primary one with primary", "name one in evaluation.tasks.metric")
        return [f"evaluation.tasks: {' '.join(words.split())}"]
    return []


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


def _instructions(settings: JudgeSettings) -> Iterator[str]:
    from edsel_assets.stages.evaluation.answers import read_instructions

    try:
        read_instructions(settings)
    except ValueError as error:
        yield f"evaluation.judge.instructions: {error}"


def _judge(settings: JudgeSettings) -> Iterator[str]:
    """A judge that cannot be asked: no key for the server, or no folder of a local model."""
    if settings.by == "local":
        yield from model_problems("evaluation.judge.model", str(settings.model), settings.revision, ())
        return
    variable = missing_key(settings)
    if variable:
        yield f"evaluation.judge: the server needs a key in the environment: set {variable}."
