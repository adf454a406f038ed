"""One trial: train on a selection, score, compare with the control."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from edsel_assets.study import FinetuningSettings, Study

_COPIED = 1 << 30  # bytes of weights up to which a merged copy is cheaper than a slower forward pass


class MissingResponses(ValueError):
    """Selected prompts that nobody has annotated yet."""


def selected_ids(selections: pa.Table, seed: int) -> list[str]:
    """Prompts of the replicate that a trial's seed picks, in rank order."""
    replicates = int(pc.max(selections["replicate"]).as_py()) + 1
    rows = selections.filter(pc.equal(selections["replicate"], seed % replicates)).sort_by("rank")
    return rows["prompt_id"].to_pylist()


def training_examples(
    prompt_ids: Sequence[str], pool: pa.Table, annotations: pa.Table, template: str
) -> list[Any]:
    """An ``Example`` per prompt; an annotation counts before the pool's response.

    Raises:
        MissingResponses: when a prompt has neither.
    """
    from edsel_assets.llm.models.templates import format_prompt
    from edsel_assets.llm.training.settings import Example

    prompts, responses = known_responses(pool, annotations)
    absent = [p for p in prompt_ids if responses.get(p) is None]
    if absent:
        raise MissingResponses(
            f"{len(absent)} of {len(prompt_ids)} selected prompts have no response (first: {absent[0]}). "
            "Annotate them and name the file in pool.annotations, or set pool.annotated_only to choose among "
            "the prompts that have one."
        )
    return [Example(format_prompt(template, prompts[p]), str(responses[p])) for p in prompt_ids]


def known_responses(pool: pa.Table, annotations: pa.Table) -> tuple[dict[str, str], dict[str, str | None]]:
    """Prompt and response by ``prompt_id``."""
    ids = pool["prompt_id"].to_pylist()
    prompts = dict(zip(ids, pool["prompt"].to_pylist(), strict=True))
    responses = dict(zip(ids, pool["response"].to_pylist(), strict=True))
    responses.update(
        zip(annotations["prompt_id"].to_pylist(), annotations["response"].to_pylist(), strict=True)
    )
    return prompts, responses


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


def held_back(pool: pa.Table, annotations: pa.Table, trained: Set[str], count: int) -> list[str]:
    """Up to ``count`` prompts with a response that no compared model was trained on, by hash order."""
    _, responses = known_responses(pool, annotations)
    # A prompt_id is a hash, so its order is a fixed random one.
    return [p for p in sorted(responses) if responses[p] is not None and p not in trained][:count]


def evaluate_study(
    model: Any, tokenizer: Any, study: Study, progress: Callable[[int, int], None] | None = None
) -> pa.Table:
    """The study's benchmark tasks on a model (an adapter applied or not)."""
    from edsel_assets.llm import evaluate

    settings = study.evaluation
    scores: list[Any] = []
    # lm-eval limits all the tasks of a call alike.
    for limit, share in dict.fromkeys((task.limit, task.share) for task in settings.tasks):
        tasks = [task for task in settings.tasks if (task.limit, task.share) == (limit, share)]
        scores += evaluate(
            model,
            tokenizer,
            tasks=[task.name for task in tasks],
            include_path=tasks_folder(study),
            data_directory=settings.data_directory,
            num_fewshot={task.name: task.num_fewshot for task in tasks if task.num_fewshot is not None},
            limit=limit,
            sample_share=share,
            sample_seed=settings.seed,
            seed=settings.seed,
            batch_tokens=settings.batch_tokens,
            max_length=settings.max_length,
            progress=progress,
        )
    return scores_table(scores)


def tasks_folder(study: Study) -> str | None:
    """The folder of task YAML files; the demo's own for ``builtin:demo``."""
    from edsel_assets.study import DEMO

    if study.evaluation.include_path == DEMO:
        return str(Path(__file__).resolve().parent.parent / "demo" / "tasks")
    return study.evaluation.include_path


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
    model: Any,
    tokenizer: Any,
    study: Study,
    pool: pa.Table,
    annotations: pa.Table,
    trial: Trial,
    control: Trial,
) -> pa.Table:
    """The weighted win rate of ``trial`` against ``control``: ``metric, value, stderr, n, control``.

    Over prompts with a response that neither was trained on.

    Raises:
        ValueError: when no such prompt is left.
    """
    from edsel_assets.llm import log_likelihoods, win_rate

    count = study.evaluation.win_rate_prompts
    ids = held_back(pool, annotations, trial.trained_on | control.trained_on, count)
    if not ids:
        raise ValueError(
            "No prompt with a response is left to compare on: every one was trained on. Lower the largest "
            "budget, or enlarge the pool."
        )
    examples = training_examples(ids, pool, annotations, study.model.template)
    prompts, responses = [e.prompt for e in examples], [e.response for e in examples]
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
            "n": [len(ids)],
            "control": [control.name],
        }
    )
