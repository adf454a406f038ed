"""One trial: train on a selection, and score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.demo import local_path
from edsel_assets.llm.models.adapters import ADAPTER_CONFIG
from edsel_assets.stages.evaluation.agreement import score_answers
from edsel_assets.stages.evaluation.items import ITEMS, NLL, TOKENS, held_out_items, task_items
from edsel_assets.stages.evaluation.programs import score_programs
from edsel_assets.stages.held_out import loss_scores, losses
from edsel_assets.study import FinetuningSettings, Study, TaskSettings

_COPIED = 1 << 30  # bytes of weights up to which a merged copy is cheaper than a slower forward pass


def finetune_settings(tuning: FinetuningSettings, **changes: Any) -> Any:
    """The study's finetuning section as the engine's settings."""
    from edsel_assets.llm.training.settings import FinetuneSettings

    return FinetuneSettings.from_dict(tuning.model_dump(exclude={"seeds", "random_seeds"}) | changes)


SCORES = pa.schema(
    [
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("stderr", pa.float64()),
        ("n", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Scored:
    """Scores of one model.

    Attributes:
        table: ``task, metric, value, stderr, n``.
        items: scores by item, as ``stages.evaluation.items.ITEMS``.
        files: local data sets that the tasks read.
    """

    table: pa.Table
    items: pa.Table
    files: list[Path]


def nothing_to_score(study: Study, held_out: pa.Table) -> str | None:
    """Why no model has to be loaded; None where there is something to score it on."""
    if study.evaluation.tasks or study.evaluation.humaneval is not None or held_out.num_rows:
        return None
    return (
        "Nothing to score on, so no model was loaded: there is no task, and no prompt that is held out "
        "or bought to validate is answered."
    )


def evaluate_study(
    model: Any,
    tokenizer: Any,
    study: Study,
    held_out: pa.Table,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Scores of the study's tasks and of the held-out prompts on a model, an adapter applied or not."""

    rows: list[dict[str, Any]] = []
    items: list[pa.Table] = []
    paths: set[Path] = set()
    for tasks in _calls(study.evaluation.tasks):
        scores, found, read = _score_tasks(model, tokenizer, study, tasks, progress)
        rows += scores
        items.append(found)
        paths |= read
    if study.evaluation.humaneval is not None:
        row, found = score_programs(model, tokenizer, study)
        rows.append(row)
        items.append(found)
    if held_out.num_rows:
        nll, tokens = losses(model, tokenizer, held_out, study.model.template, study.forward.batch_tokens)
        rows += loss_scores(nll, tokens)
        items.append(held_out_items(held_out["prompt_id"].to_pylist(), {NLL: nll, TOKENS: tokens}))
    if held_out.num_rows and study.evaluation.held_out_answers:
        scores, found = score_answers(model, tokenizer, study, held_out)
        rows += scores
        items.append(found)
    joined = pa.concat_tables(items) if items else ITEMS.empty_table()
    return Scored(pa.Table.from_pylist(rows, schema=SCORES), joined, sorted(paths))


def _calls(tasks: Sequence[TaskSettings]) -> Iterator[list[TaskSettings]]:
    """Tasks that lm-eval can score in one call: it cuts all of a call alike, and knows each name once.

    A task with a label has a call of its own.
    """
    calls: dict[tuple[Any, ...], list[TaskSettings]] = {}
    for number, task in enumerate(tasks):
        before = sum(other.name == task.name for other in tasks[:number])
        calls.setdefault((task.limit, task.share, before, task.label), []).append(task)
    yield from calls.values()


def _score_tasks(
    model: Any,
    tokenizer: Any,
    study: Study,
    tasks: Sequence[TaskSettings],
    progress: Callable[[int, int], None] | None,
) -> tuple[list[dict[str, Any]], pa.Table, set[Path]]:
    """(rows of scores, scores by item, data files read) of tasks with one limit and share."""
    from edsel_assets.llm import evaluate
    from edsel_assets.llm.scoring.evaluation import LM_EVAL_SEED, ItemScore
    from edsel_assets.llm.scoring.tasks import data_paths

    settings, folder = study.evaluation, tasks_folder(study)
    names = [task.name for task in tasks]
    shots = {task.name: task.num_fewshot for task in tasks if task.num_fewshot is not None}
    lengths = {task.name: task.max_new_tokens for task in tasks if task.max_new_tokens is not None}
    found: list[ItemScore] = []
    scores = evaluate(
        model,
        tokenizer,
        tasks=names,
        include_path=folder,
        data_directory=settings.data_directory,
        num_fewshot=shots,
        max_new_tokens=lengths,
        chat_template=study.model.template if settings.chat_template == "model" else settings.chat_template,
        fewshot_as_multiturn=settings.fewshot_as_multiturn,
        limit=tasks[0].limit,
        sample_share=tasks[0].share,
        sample_seed=settings.share_seed,
        seed=LM_EVAL_SEED if settings.seed is None else settings.seed,
        batch_tokens=settings.batch_tokens,
        max_length=settings.max_length,
        backend=settings.backend,
        backend_arguments=settings.backend_arguments,
        items=found,
        progress=progress,
    )
    shown = {task.name: task.shown for task in tasks}
    label = tasks[0].label  # of the one task there then is
    rest = f"{label}/" if label else ""  # before the parts of a group that is scored with other shots too
    rows = [asdict(s) | {"task": shown.get(s.task, f"{rest}{s.task}")} for s in scores]
    paths = data_paths(names, folder, settings.data_directory, shots, lengths)
    return rows, task_items(found, shown), set(paths)


def wants_whole(study: Study) -> bool:
    """Whether the study's backend reads a checkpoint from a folder."""
    from edsel_assets.llm.scoring.backends import READ_FOLDERS

    return study.evaluation.backend in READ_FOLDERS


def benchmark_texts(study: Study) -> list[str]:
    """The items of the study's tasks as a model is asked them; ``evaluate_study`` has loaded them already."""
    from edsel_assets.llm.scoring.tasks import item_texts

    settings = study.evaluation
    shots = {task.name: task.num_fewshot for task in settings.tasks if task.num_fewshot is not None}
    names = [task.name for task in settings.tasks]
    return item_texts(names, tasks_folder(study), settings.data_directory, shots)


def tasks_folder(study: Study) -> Path | None:
    """The folder of task YAML files; the demo's own for ``builtin:demo``."""
    if study.evaluation.include_path is None:
        return None
    return local_path(study.evaluation.include_path, "tasks")


@contextmanager
def finetuned(model: Any, adapter: Path, *, whole: bool = False) -> Iterator[Any]:
    """``model`` with an adapter, as it is scored: merged into a copy if small and float32, else beside it.

    ``whole``: merged in any case, for who reads it as a checkpoint.
    """
    import torch

    from edsel_assets.llm import adapted

    size = sum(p.numel() * p.element_size() for p in model.parameters())
    small = size <= _COPIED and model.dtype == torch.float32
    with adapted(model, adapter, merge=whole or small) as scored:
        yield scored


@contextmanager
def adapted_chain(model: Any, adapters: Sequence[Path]) -> Iterator[Any]:
    """``model`` with each adapter merged into what the ones before it made; itself for none."""
    from edsel_assets.llm import adapted

    whole = [place for place, path in enumerate(adapters) if not (path / ADAPTER_CONFIG).is_file()]
    with ExitStack() as stack:
        for path in adapters[whole[-1] if whole else 0 :]:  # a full checkpoint holds all before it
            model = stack.enter_context(adapted(model, path, merge=True))
        yield model
