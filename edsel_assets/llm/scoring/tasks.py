"""Task definitions, lm-eval's or one's own: found, checked, and loaded with their data once per process."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

from . import task_files
from .decoding import LENGTHS, check_decoding
from .definitions import declared_metrics, leaves, lower_metrics, names_below, runs_code


def check_tasks(
    tasks: Sequence[str], include_path: str | Path | None = None, *, allow_code_execution: bool = False
) -> None:
    """Raise ``ValueError`` for a task that is unknown, or that would run code which a model wrote.

    Needs no model, no data and no torch. ``include_path`` is a folder of task YAML files.
    """
    if not tasks:
        raise ValueError("no tasks to evaluate; name at least one.")
    manager = _manager_for(tuple(tasks), include_path)
    for name in tasks:
        if name not in manager.task_index:
            near = task_files.names_like(name, manager.all_tasks)
            hint = f"near matches: {', '.join(near)}" if near else "nothing is named like it"
            where = f" or {include_path}" if include_path else ""
            raise ValueError(f"no task {name!r} in lm-eval{where}; {hint}.")
        if runs_code(manager, name) and not allow_code_execution:
            raise ValueError(
                f"task {name!r} runs code that the model writes, and lm-eval has no sandbox for it. Leave it "
                "out; evaluation.humaneval scores programs in a sandbox."
            )


def check_shots(name: str, shots: int | None, include_path: str | Path | None = None) -> None:
    """Raise ``ValueError`` where a task cannot be given so many examples; it needs no data.

    lm-eval leaves a task that is defined with 0 examples at 0, whatever is asked for.
    """
    if not shots:
        return
    for leaf, config in leaves(_manager_for((name,), include_path), name):
        if config.get("num_fewshot") == 0:
            raise ValueError(
                f"{leaf} is defined with 0 examples and stays at them; set its num_fewshot to 0."
            )
        samples = (config.get("fewshot_config") or {}).get("samples")
        if isinstance(samples, list) and len(samples) < shots:
            raise ValueError(
                f"{leaf} has {len(samples)} examples; {shots} were asked for. Lower num_fewshot."
            )


def check_generation(
    name: str, longest: int | None, room: int | None, include_path: str | Path | None = None
) -> None:
    """Raise ``ValueError`` where a task's answers cannot be decoded as it asks; it needs no data, no model.

    Args:
        longest: of its answers in tokens, in place of the task's own.
        room: as in ``check_decoding``.
    """
    for leaf, config in leaves(_manager_for((name,), include_path), name):
        if config.get("output_type", "generate_until") == "generate_until":
            wanted = config.get("generation_kwargs") or {}
            if longest is not None:
                wanted = {**{k: v for k, v in wanted.items() if k not in LENGTHS}, LENGTHS[0]: longest}
            try:
                check_decoding(wanted, room)
            except ValueError as error:
                raise ValueError(f"{leaf}: {error}") from None


def metrics_of(name: str, include_path: str | Path | None = None) -> set[str] | None:
    """The metrics of a task or group as in ``Score``, by its definition; None where that does not say.

    Raises ``ValueError`` for a group or tag that lm-eval gives no score of its own.
    """
    return declared_metrics(_manager_for((name,), include_path), name)


def check_direction(name: str, metric: str, include_path: str | Path | None = None) -> None:
    """Raise ``ValueError`` for a metric of a task or group of which a lower value is better."""
    if metric.partition(",")[0] in lower_metrics(_manager_for((name,), include_path), name):
        raise ValueError(
            f"of {name}'s metric {metric} a lower value is better, and a report takes a higher score for the "
            "better one. Name another metric, or leave the task out; evaluation.held_out scores a loss."
        )


def shots_by_task(
    tasks: Sequence[str], num_fewshot: int | Mapping[str, int] | None
) -> tuple[int | None, ...]:
    return _by_task("num_fewshot", tasks, num_fewshot)


def lengths_by_task(
    tasks: Sequence[str], max_new_tokens: int | Mapping[str, int] | None
) -> tuple[int | None, ...]:
    return _by_task("max_new_tokens", tasks, max_new_tokens)


def _by_task(
    setting: str, tasks: Sequence[str], value: int | Mapping[str, int] | None
) -> tuple[int | None, ...]:
    if not isinstance(value, Mapping):
        return (value,) * len(tasks)
    unknown = sorted(set(value) - set(tasks))
    if unknown:
        raise ValueError(f"{setting} names {unknown}, which are not among the tasks {list(tasks)}.")
    return tuple(value.get(name) for name in tasks)


@dataclass(frozen=True)
class Suite:
    """Loaded tasks by name, groups by name, and which requested name each task belongs to."""

    tasks: dict[str, Any]
    groups: dict[str, Any]
    requested: dict[str, str]

    def as_lm_eval(self) -> dict[str, Any]:
        members = {name: group.child_names for name, group in self.groups.items()}
        return {"tasks": self.tasks, "groups": self.groups, "group_map": members}


@lru_cache(maxsize=32)
def load_tasks(
    tasks: tuple[str, ...],
    include_path: str | None,
    data_directory: str | None,
    shots: tuple[int | None, ...],
    lengths: tuple[int | None, ...] = (),
) -> Suite:
    """Task objects with their data. ``data_directory`` is the working directory by now, and here a key.

    ``lengths``: of each task's longest generated answer, None for its own; empty for all their own.
    """
    manager = _manager_for(tasks, include_path)
    suite = Suite({}, {}, {})
    for name, shot, length in zip(tasks, shots, lengths or (None,) * len(tasks), strict=True):
        loaded = manager.load([name])
        for task_name, task in loaded["tasks"].items():
            if task_name in suite.tasks:
                raise ValueError(f"task {task_name!r} is asked for twice, by {name!r} too. Leave one out.")
            default = task.get_config("num_fewshot")
            if default is None or (shot is not None and default != 0):
                task.set_config(key="num_fewshot", value=shot or 0)
            if length is not None and task.get_config("output_type") == "generate_until":
                task.set_config(key="generation_kwargs", value={"max_gen_toks": length}, update=True)
            suite.tasks[task_name] = task
            suite.requested[task_name] = name
        suite.groups.update(loaded.get("groups", {}))
    return suite


def data_paths(
    tasks: Sequence[str],
    include_path: str | Path | None,
    data_directory: str | Path | None,
    num_fewshot: Mapping[str, int] | None = None,
    max_new_tokens: Mapping[str, int] | None = None,
) -> list[Path]:
    """Local files and folders that the tasks' data sets lie in, absolute; none for those of a hub.

    The arguments are those of ``evaluate``, which has loaded the tasks already.
    """
    with quiet(), in_directory(data_directory):
        suite = load_tasks(
            tuple(tasks),
            path_text(include_path),
            path_text(data_directory),
            shots_by_task(tasks, num_fewshot),
            lengths_by_task(tasks, max_new_tokens),
        )
        names: set[str] = set()
        for task in suite.tasks.values():
            files = (task.get_config("dataset_kwargs") or {}).get("data_files") or ()
            listed = files.values() if isinstance(files, Mapping) else [files]
            names |= {
                str(name) for entry in listed for name in ([entry] if isinstance(entry, str) else entry)
            }
            names.add(task.get_config("dataset_path") or "")
        return sorted(Path(name).absolute() for name in names if name and Path(name).exists())


def item_texts(
    tasks: Sequence[str],
    include_path: str | Path | None,
    data_directory: str | Path | None,
    num_fewshot: Mapping[str, int] | None = None,
) -> list[str]:
    """Every item of the tasks as a model is asked it, without examples; arguments as in ``evaluate``."""
    with quiet(), in_directory(data_directory):
        texts = []
        for name in tasks:  # one by one, as ``evaluate`` may have been called with other sets of them
            suite = load_tasks(
                (name,),
                path_text(include_path),
                path_text(data_directory),
                ((num_fewshot or {}).get(name),),
            )
            for task in suite.tasks.values():
                texts += [str(task.doc_to_text(document)) for document in task.eval_docs]
        return texts


def _manager_for(tasks: tuple[str, ...], include_path: str | Path | None) -> Any:
    """A task index that holds ``tasks`` and all below them, where they exist: of ``include_path`` and of
    those of lm-eval's folders that are needed, as reading all of them takes seconds."""
    if include_path is not None and not Path(include_path).is_dir():
        raise ValueError(f"no folder of task definitions at {include_path}.")
    from lm_eval.tasks._index import Kind

    own, folders = path_text(include_path), set[str]()
    while True:
        manager = _manager(own, tuple(sorted(folders)))
        index, below = manager.task_index, {each for name in tasks for each in names_below(manager, name)}
        more = task_files.folders_of(
            name for name in below if name not in index or index[name].kind == Kind.TAG
        )
        if more <= folders:
            return manager
        folders |= more


@lru_cache(maxsize=32)
def _manager(include_path: str | None, folders: tuple[str, ...]) -> Any:
    """lm-eval's index of these folders of its own, and of ``include_path``."""
    with quiet():
        from lm_eval.tasks import TaskManager

        # Of two definitions of one name, lm-eval takes the first of its own files, and the last folder's.
        paths = sorted(folders, key=lambda folder: f"{folder}/", reverse=True)
        return TaskManager(
            include_path=[*paths, *([include_path] if include_path else [])], include_defaults=False
        )


def path_text(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


@contextmanager
def quiet() -> Iterator[None]:
    """lm-eval logs errors only, and shows no progress bars."""
    from tqdm import tqdm

    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with mock.patch("lm_eval.api.task.tqdm", partial(tqdm, disable=True)):
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def in_directory(folder: str | Path | None) -> Iterator[None]:
    """Work in ``folder`` and offline, so that data sets are found there by their names.

    lm-eval's loader prefers a local directory of a data set's name, and looks for it from the working
    directory, which belongs to the whole process: do not load tasks from several threads.
    """
    if folder is None:
        yield
        return
    if not Path(folder).is_dir():
        raise ValueError(f"no data directory at {folder}.")
    import datasets
    import huggingface_hub.constants

    before = Path.cwd()
    bars = datasets.are_progress_bars_disabled()
    os.chdir(folder)
    datasets.disable_progress_bars()
    try:
        with (
            mock.patch.object(datasets.config, "HF_HUB_OFFLINE", True),
            mock.patch.object(huggingface_hub.constants, "HF_HUB_OFFLINE", True),
        ):
            yield
    finally:
        os.chdir(before)
        if not bars:
            datasets.enable_progress_bars()


def task_index(tasks: Sequence[str], include_path: str | Path | None = None) -> Any:
    """lm-eval's manager of the definitions in which all of ``tasks`` are found."""
    return _manager_for(tuple(tasks), include_path)
