"""Benchmark scores through lm-eval: its task definitions, prompts, filters and metrics, on our engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edsel_assets.store.atomic import atomic_path

from .backends import OWN, backend_model
from .tasks import (
    Suite,
    check_tasks,
    in_directory,
    lengths_by_task,
    load_tasks,
    path_text,
    quiet,
    shots_by_task,
)

__all__ = ["ItemScore", "Score", "check_tasks", "evaluate", "sampled_ids"]

LM_EVAL_SEED = 1234
"""lm-eval's own default, so that few-shot examples are those that others report with."""


@dataclass(frozen=True)
class Score:
    """One number of one task or group of tasks.

    ``metric`` is lm-eval's name, with the filter after a comma where there is one
    (``exact_match,strict-match``).
    ``stderr`` is NaN where lm-eval has none. ``n`` is how many items the value is over.
    """

    task: str
    metric: str
    value: float
    stderr: float
    n: int


@dataclass(frozen=True)
class ItemScore:
    """One number of one item. ``task`` is the name that was asked for, ``subtask`` the task with the item.

    ``item``: its number in that task's data, as text. ``metric`` as in ``Score``. ``text``: what the model
    wrote, where the task has it write.
    """

    task: str
    subtask: str
    item: str
    metric: str
    value: float
    text: str | None


def evaluate(
    model: Any,
    tokenizer: Any,
    *,
    tasks: Sequence[str],
    include_path: str | Path | None = None,
    data_directory: str | Path | None = None,
    num_fewshot: int | Mapping[str, int] | None = None,
    max_new_tokens: int | Mapping[str, int] | None = None,
    chat_template: bool | str = False,
    fewshot_as_multiturn: bool = True,
    limit: int | None = None,
    sample_share: float | Mapping[str, float] | None = None,
    sample_seed: int = 0,
    seed: int = LM_EVAL_SEED,
    batch_tokens: int = 8192,
    max_length: int | None = None,
    backend: str = OWN,
    backend_arguments: Mapping[str, Any] | None = None,
    allow_code_execution: bool = False,
    bootstrap_iters: int = 1000,
    samples_path: str | Path | None = None,
    items: list[ItemScore] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Score]:
    """Score ``model`` (a causal model, or a peft model with its adapter) on lm-eval tasks.

    Task definitions and data are loaded once per process; a second model is scored at the cost of its
    forward passes.

    Args:
        tasks: names of tasks, groups or tags, of lm-eval or of ``include_path``, a folder of task YAML files.
        data_directory: a folder laid out as the hub is (``allenai/ai2_arc/...``), read instead of it.
        num_fewshot: for all tasks, or by name as in ``tasks``. As in lm-eval, a task that is defined with 0
            stays at 0.
        max_new_tokens: longest answer of tasks that generate, for all or by name; else the task's own.
        chat_template: put items by the tokenizer's chat template, or by a text with ``{prompt}`` as they are
            trained on; each few-shot example as a turn of its own with ``fewshot_as_multiturn``.
        limit: the first so many items of each task. ``sample_share``: a random share of each task's items
            instead, in (0, 1], for all tasks or by name; ``sample_seed`` and the task's name fix which ones.
        seed: of the few-shot examples, and of sampled answers.
        batch_tokens: tokens in a batch, padding included; halved whenever memory runs out.
        max_length: of context and continuation in tokens; else the model's own.
        backend: ``edsel``, or another of lm-eval's models (``backends.PACKAGES``), made with
            ``backend_arguments``; ``batch_tokens``, ``max_length`` and ``progress`` are not for those.
        bootstrap_iters: resamplings for the standard error of metrics that have no closed form; 0 for none.
        samples_path: a folder for one JSONL file per task: each item's id, prompt, answer and metrics.
        items: extended by the values of every item.
        progress: called with (requests done, requests in all), once over for each kind of request.

    Returns: one score per task, metric and filter, groups included, in the order of their names.

    Raises ``ValueError`` as ``check_tasks`` does, and for a limit or share out of range.
    """
    check_tasks(tasks, include_path, allow_code_execution=allow_code_execution)
    _check_sampling(limit, sample_share)
    with ExitStack() as stack:
        for context in (quiet(), in_directory(data_directory), _evaluation_mode(model)):
            stack.enter_context(context)
        from lm_eval import evaluator

        suite = load_tasks(
            tuple(tasks),
            path_text(include_path),
            path_text(data_directory),
            shots_by_task(tasks, num_fewshot),
            lengths_by_task(tasks, max_new_tokens),
        )
        for task in suite.tasks.values():
            task.set_fewshot_seed(seed)
        if backend == OWN:
            from .lm_eval_model import EngineLM

            settings: dict[str, Any] = {"batch_tokens": batch_tokens, "max_length": max_length, "seed": seed}
            settings["template"] = chat_template if isinstance(chat_template, str) else None
            lm: Any = EngineLM(model, tokenizer, **settings, progress=progress)
        else:
            lm = stack.enter_context(backend_model(backend, backend_arguments or {}, model, tokenizer))
        results = evaluator.evaluate(
            lm=lm,
            task_dict=suite.as_lm_eval(),
            samples=_sampled_ids(suite, sample_share, sample_seed),
            limit=None if sample_share is not None else limit,
            bootstrap_iters=bootstrap_iters,
            log_samples=samples_path is not None or items is not None,
            apply_chat_template=bool(chat_template),
            fewshot_as_multiturn=bool(chat_template) and fewshot_as_multiturn,
            confirm_run_unsafe_code=allow_code_execution,
        )
    if items is not None:
        items.extend(_item_scores(results["samples"], suite))
    if samples_path is not None:
        _write_samples(Path(samples_path), results["samples"])
    return _scores(results)


def sampled_ids(
    tasks: Sequence[str],
    *,
    sample_share: float | Mapping[str, float],
    sample_seed: int = 0,
    include_path: str | Path | None = None,
    data_directory: str | Path | None = None,
) -> dict[str, list[int]]:
    """The items that ``evaluate`` scores under these arguments: ascending row numbers by task."""
    check_tasks(tasks, include_path, allow_code_execution=True)
    _check_sampling(None, sample_share)
    with quiet(), in_directory(data_directory):
        suite = load_tasks(
            tuple(tasks), path_text(include_path), path_text(data_directory), shots_by_task(tasks, None)
        )
        return _sampled_ids(suite, sample_share, sample_seed) or {}


def _check_sampling(limit: int | None, share: float | Mapping[str, float] | None) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit must be a whole number of at least 1, or none; got {limit!r}.")
    if limit is not None and share is not None:
        raise ValueError("give limit or sample_share, not both.")
    for value in share.values() if isinstance(share, Mapping) else [share]:
        if value is not None and not 0 < value <= 1:
            raise ValueError(f"sample_share must lie in (0, 1]; got {value!r}.")


def _sampled_ids(
    suite: Suite, share: float | Mapping[str, float] | None, seed: int
) -> dict[str, list[int]] | None:
    if share is None:
        return None
    picks = {}
    for name, task in suite.tasks.items():
        wanted = share.get(suite.requested[name], 1.0) if isinstance(share, Mapping) else share
        items = len(task.eval_docs)
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        chosen = np.random.default_rng([seed, key]).permutation(items)[: max(1, round(wanted * items))]
        picks[name] = sorted(chosen.tolist())
    return picks


def _scores(results: Mapping[str, Any]) -> list[Score]:
    counts = {name: found["effective"] for name, found in results["n-samples"].items()}
    scores = []
    for task, values in sorted((results["results"] | results.get("groups", {})).items()):
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, (int, float, np.number)):
                continue
            error = values.get(f"{metric}_stderr,{filtered}")
            stderr = float(error) if isinstance(error, (int, float, np.number)) else float("nan")
            name = metric if filtered == "none" else key
            items = counts.get(task) or _items_of_group(task, results["group_subtasks"], counts)
            scores.append(Score(task, name, float(value), stderr, int(items)))
    return scores


def _items_of_group(group: str, members: Mapping[str, list[str]], counts: Mapping[str, int]) -> int:
    return sum(counts.get(name) or _items_of_group(name, members, counts) for name in members.get(group, []))


def _item_scores(samples: Mapping[str, list[dict[str, Any]]], suite: Suite) -> Iterable[ItemScore]:
    """By task, item, filter and metric."""
    for name in sorted(samples):
        for sample in sorted(samples[name], key=lambda sample: (sample["doc_id"], sample["filter"])):
            said = sample["resps"][0][0]
            text = said if isinstance(said, str) else None
            for metric in sample["metrics"]:
                value = sample[metric]
                if isinstance(value, (bool, int, float, np.number)):
                    full = metric if sample["filter"] == "none" else f"{metric},{sample['filter']}"
                    item = str(sample["doc_id"])
                    yield ItemScore(suite.requested[name], name, item, full, float(value), text)


def _write_samples(folder: Path, samples: Mapping[str, list[dict[str, Any]]]) -> None:
    for task, items in samples.items():
        lines = [json.dumps(item, ensure_ascii=False, default=str, sort_keys=True) for item in items]
        with atomic_path(folder / f"{task}.jsonl") as unfinished:
            unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    """Dropout off, wherever it was on, and on again after."""
    on = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in on:
            module.training = True
