"""One trial: train on a selection, score, compare with the control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from edsel_assets.demo import local_path
from edsel_assets.stages.held_out import loss_scores, losses
from edsel_assets.study import FinetuningSettings, Study

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
        items: arrays by name: ``TASK/METRIC`` by item, and ``held_out_nll`` (nats) and ``held_out_tokens`` of
            each held-out prompt.
        files: local data sets that the tasks read.
    """

    table: pa.Table
    items: dict[str, np.ndarray]
    files: list[Path]


def evaluate_study(
    model: Any,
    tokenizer: Any,
    study: Study,
    held_out: pa.Table,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Scores of the study's tasks and of the held-out prompts on a model, an adapter applied or not."""
    from edsel_assets.llm import evaluate
    from edsel_assets.llm.scoring.tasks import data_paths

    settings, folder = study.evaluation, tasks_folder(study)
    scores: list[Any] = []
    paths: set[Path] = set()
    values: dict[tuple[str, str], np.ndarray] = {}
    # lm-eval limits all the tasks of a call alike.
    for limit, share in dict.fromkeys((task.limit, task.share) for task in settings.tasks):
        tasks = [task for task in settings.tasks if (task.limit, task.share) == (limit, share)]
        names = [task.name for task in tasks]
        shots = {task.name: task.num_fewshot for task in tasks if task.num_fewshot is not None}
        scores += evaluate(
            model,
            tokenizer,
            tasks=names,
            include_path=folder,
            data_directory=settings.data_directory,
            num_fewshot=shots,
            limit=limit,
            sample_share=share,
            sample_seed=settings.seed,
            seed=settings.seed,
            batch_tokens=settings.batch_tokens,
            max_length=settings.max_length,
            items=values,
            progress=progress,
        )
        paths |= set(data_paths(names, folder, settings.data_directory, shots))
    rows = [asdict(score) for score in scores]
    items = {f"{task}/{metric}": found for (task, metric), found in values.items()}
    if held_out.num_rows:
        nll, tokens = losses(model, tokenizer, held_out, study.model.template, study.forward.batch_tokens)
        rows += loss_scores(nll, tokens)
        items |= {"held_out_nll": nll, "held_out_tokens": tokens}
    return Scored(pa.Table.from_pylist(rows, schema=SCORES), items, sorted(paths))


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
def finetuned(model: Any, adapter: Path) -> Iterator[Any]:
    """``model`` with an adapter, as it is scored: merged into a copy if small and float32, else beside it."""
    import torch

    from edsel_assets.llm import adapted

    size = sum(p.numel() * p.element_size() for p in model.parameters())
    with adapted(model, adapter, merge=size <= _COPIED and model.dtype == torch.float32) as scored:
        yield scored


@contextmanager
def adapted_chain(model: Any, adapters: Sequence[Path]) -> Iterator[Any]:
    """``model`` with each adapter merged into what the ones before it made; itself for none."""
    from edsel_assets.llm import adapted

    with ExitStack() as stack:
        for path in adapters:
            model = stack.enter_context(adapted(model, path, merge=True))
        yield model


def compare(nll: np.ndarray, control_nll: np.ndarray, control: str) -> pa.Table:
    """The weighted win rate of a trial against the control: ``metric, value, stderr, n, control``.

    Over the held-out prompts, which neither was trained on: the posterior, at even odds, that a response was
    written by the trial's model rather than by the control's, from both models' likelihoods.

    Args:
        nll, control_nll: (n,) negative log-likelihood of each held-out response, in nats.
        control: name of the control's trial.
    """
    from edsel_assets.llm import win_rate

    rate = win_rate(-nll, -control_nll)
    return pa.table(
        {
            "metric": ["win_rate"],
            "value": [float(rate.value)],
            "stderr": [float(rate.stderr)],
            "n": [len(nll)],
            "control": [control],
        }
    )
