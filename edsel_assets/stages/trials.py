"""One trial: train on a selection, score, compare with the control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.demo import local_path
from edsel_assets.stages.training_sets import known_responses
from edsel_assets.study import FinetuningSettings, Study

_COPIED = 1 << 30  # bytes of weights up to which a merged copy is cheaper than a slower forward pass


def finetune_settings(tuning: FinetuningSettings, **changes: Any) -> Any:
    """The study's finetuning section as the engine's settings."""
    from edsel_assets.llm.training.settings import FinetuneSettings

    return FinetuneSettings.from_dict(tuning.model_dump(exclude={"seeds", "random_seeds"}) | changes)


def scores_table(scores: Sequence[Any]) -> pa.Table:
    """lm-eval scores as ``task, metric, value, stderr, n``."""
    columns = {
        name: [getattr(s, name) for s in scores] for name in ("task", "metric", "value", "stderr", "n")
    }
    schema = pa.schema(
        [
            ("task", pa.string()),
            ("metric", pa.string()),
            ("value", pa.float64()),
            ("stderr", pa.float64()),
            ("n", pa.int64()),
        ]
    )
    return pa.table(columns, schema=schema)


def comparison_prompts(study: Study, pool: pa.Table, annotations: pa.Table) -> pa.Table:
    """``prompt_id, prompt, response`` of prompts with a response, in a fixed random order.

    So many that ``evaluation.win_rate_prompts`` are left when any two training sets are taken away.
    """
    prompts, responses = known_responses(pool, annotations)
    most = study.evaluation.win_rate_prompts + 2 * max(study.selection.budgets)
    # A prompt_id is a hash, so its order is a fixed random one.
    ids = [p for p in sorted(responses) if p in prompts and responses[p] is not None][:most]
    return pa.table(
        {
            "prompt_id": pa.array(ids, pa.string()),
            "prompt": pa.array([prompts[p] for p in ids], pa.large_string()),
            "response": pa.array([responses[p] for p in ids], pa.large_string()),
        }
    )


def evaluate_study(
    model: Any, tokenizer: Any, study: Study, progress: Callable[[int, int], None] | None = None
) -> tuple[pa.Table, list[Path]]:
    """Scores of the study's tasks on a model, an adapter applied or not, and the local data they read."""
    from edsel_assets.llm import evaluate
    from edsel_assets.llm.scoring.tasks import data_paths

    settings, folder = study.evaluation, tasks_folder(study)
    scores: list[Any] = []
    paths: set[Path] = set()
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
            progress=progress,
        )
        paths |= set(data_paths(names, folder, settings.data_directory, shots))
    return scores_table(scores), sorted(paths)


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


@dataclass(frozen=True)
class Trial:
    """A finetuned model to compare: its name, its adapter, what it was trained on."""

    name: str
    adapter: Path
    trained_on: frozenset[str]


def compare(
    model: Any, tokenizer: Any, study: Study, held_out: pa.Table, trial: Trial, control: Trial
) -> pa.Table:
    """The weighted win rate of ``trial`` against ``control``: ``metric, value, stderr, n, control``.

    Over the first of the ``held_out`` prompts that neither was trained on.

    Raises:
        ValueError: when no such prompt is left.
    """
    from edsel_assets.llm import format_prompt, log_likelihoods, win_rate

    seen = pa.array(sorted(trial.trained_on | control.trained_on), pa.string())
    left = held_out.filter(pc.invert(pc.is_in(held_out["prompt_id"], value_set=seen)))
    left = left.slice(0, study.evaluation.win_rate_prompts)
    if not left.num_rows:
        raise ValueError(
            "No prompt with a response is left to compare on: every one was trained on. Lower the largest "
            "budget, or enlarge the pool."
        )
    prompts = [format_prompt(study.model.template, p) for p in left["prompt"].to_pylist()]
    responses = left["response"].to_pylist()
    found = []
    for rival in (trial, control):
        with finetuned(model, rival.adapter) as scored:
            found.append(
                log_likelihoods(
                    scored, tokenizer, prompts, responses, batch_tokens=study.forward.batch_tokens
                )
            )
    rate = win_rate(found[0].total, found[1].total)
    return pa.table(
        {
            "metric": ["win_rate"],
            "value": [float(rate.value)],
            "stderr": [float(rate.stderr)],
            "n": [left.num_rows],
            "control": [control.name],
        }
    )
