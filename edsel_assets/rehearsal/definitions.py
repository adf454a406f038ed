"""Task definitions of a rehearsal: the study's own, with few items, on their data or on made-up items.

Each is a YAML file that includes the task's own definition, so prompts, output type, filters and metrics are
those of the study. What differs is the data, where it is not at hand, and the longest answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edsel_assets.llm.scoring.definitions import named_in
from edsel_assets.rehearsal.made_up import FORMS, PLAIN, write_items
from edsel_assets.rehearsal.sizes import Size
from edsel_assets.study import Study
from edsel_assets.study.trials import TaskSettings

_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_FUNCTIONS = ("process_docs", "process_results", "doc_to_text", "doc_to_target", "doc_to_choice")
_FILES = ("json", "csv", "parquet", "text", "arrow")
_ITEMS = "items-{}.json"


@dataclass
class Tasks:
    """What became of the study's tasks.

    Attributes:
        own: those that are rehearsed on their own data. ``made_up``: those on made-up items.
        left_out: the others, with the reason.
        data_sets: name of each data set to the folder where it is, None where it is not at hand.
    """

    own: list[str] = field(default_factory=list)
    made_up: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    data_sets: dict[str, str | None] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset([*self.own, *self.made_up])


class _LeftOut(ValueError):
    """A task that cannot be rehearsed, and why."""


def write_tasks(study: Study, size: Size, data: Path | None, folder: Path) -> Tasks:
    """Write the definitions of the study's tasks into ``folder``; the tasks must be known to lm-eval.

    Args:
        data: folder laid out as the hub is.
    """
    from edsel_assets.llm.scoring.tasks import task_index
    from edsel_assets.stages.trials import tasks_folder

    names = list(dict.fromkeys(task.name for task in study.evaluation.tasks))
    found = Tasks()
    if not names:
        return found
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(task_index(names, tasks_folder(study)), size, data, folder)
    for name in names:
        settings = [task for task in study.evaluation.tasks if task.name == name]
        try:
            own = writer.write(name, settings)
        except _LeftOut as reason:
            found.left_out[name] = str(reason)
        else:
            (found.own if own else found.made_up).append(name)
    found.data_sets = writer.data_sets
    return found


class _Writer:
    def __init__(self, manager: Any, size: Size, data: Path | None, folder: Path) -> None:
        self._manager, self._size, self._data, self._folder = manager, size, data, folder
        self.data_sets: dict[str, str | None] = {}
        self._written: dict[str, int] = {}  # items by data set

    def write(self, name: str, settings: Sequence[TaskSettings]) -> bool:
        """Write a task, or a group and the first tasks of it; whether all run on their own data."""
        shots = max((task.num_fewshot or 0 for task in settings), default=0)
        self._note_data(name)
        return self._write(name, shots)

    def _write(self, name: str, shots: int) -> bool:
        from lm_eval.tasks._index import Kind

        kind = self._manager.task_index[name].kind
        if kind in (Kind.GROUP, Kind.TAG):
            return self._write_group(name, kind == Kind.GROUP, shots)
        return self._write_task(name, shots)

    def _write_group(self, name: str, has_scores: bool, shots: int) -> bool:
        own, why = True, "lm-eval knows no task of it"
        members: list[str] = []
        for member in self._members(name):
            if len(members) == self._size.members:
                break
            try:
                own &= self._write(member, shots)
                members.append(member)
            except _LeftOut as reason:
                why = str(reason)
        if not members:
            raise _LeftOut(why)
        if has_scores:
            config = {key: value for key, value in self._definition(name).items() if key != "include"}
            self._put(name, {**config, "task": members})
        return own

    def _members(self, name: str) -> Iterator[str]:
        """Tasks and groups right below a group; those of its tags in their place."""
        from lm_eval.tasks._index import Kind

        index = self._manager.task_index
        if index[name].kind == Kind.TAG:
            yield from sorted(index[name].tags)
            return
        for known in named_in(self._definition(name).get("task")):
            if known in index and index[known].kind == Kind.TAG:
                yield from sorted(index[known].tags)
            elif known in index:
                yield known

    def _write_task(self, name: str, shots: int) -> bool:
        config, entry = self._definition(name), self._manager.task_index[name]
        if "class" in config or entry.yaml_path is None:
            raise _LeftOut("it is written in Python and has no definition to give other data to")
        change: dict[str, Any] = {"include": str(entry.yaml_path), "task": name}
        if config.get("output_type") == "generate_until":
            written = config.get("generation_kwargs") or {"until": ["\n\n"], "do_sample": False}
            change["generation_kwargs"] = {**written, "max_gen_toks": self._size.new_tokens}
        at_hand = config.get("custom_dataset") is not None or self._place(config) is not None
        if not at_hand:
            change |= self._made_up(config, shots)
        self._put(name, change)
        return at_hand

    def _made_up(self, config: dict[str, Any], shots: int) -> dict[str, Any]:
        data_set = str(config.get("dataset_path"))
        count = max(self._size.items, shots + 1, config.get("num_fewshot") or 0) + 1
        change = {} if data_set in FORMS else _plain_columns(config)
        path = self._folder / _ITEMS.format(data_set.replace("/", "--"))
        if count > self._written.get(data_set, 0):
            write_items(path, data_set, count)
            self._written[data_set] = count
        names = sorted({str(config[split]) for split in _SPLITS if config.get(split)})
        reads = {"items_file": str(path), "items_splits": names}
        return {**change, "dataset_kwargs": reads, "custom_dataset": None}

    def _note_data(self, name: str) -> None:
        from edsel_assets.llm.scoring.definitions import leaves

        for _, config in leaves(self._manager, name):
            if config.get("custom_dataset") is None and config.get("dataset_path"):
                self.data_sets[str(config["dataset_path"])] = self._place(config)

    def _place(self, config: dict[str, Any]) -> str | None:
        """Where a task's data is on this machine."""
        base, name = self._data or Path.cwd(), str(config.get("dataset_path"))
        if name in _FILES:
            files = (config.get("dataset_kwargs") or {}).get("data_files") or []
            listed = list(files.values()) if isinstance(files, dict) else files
            flat = [str(file) for each in _as_list(listed) for file in _as_list(each)]
            return str(base) if flat and all((base / file).exists() for file in flat) else None
        return str(base / name) if (base / name).is_dir() else None

    def _definition(self, name: str) -> dict[str, Any]:
        from edsel_assets.llm.scoring.definitions import definition

        return definition(self._manager, name)

    def _put(self, name: str, config: dict[str, Any]) -> None:
        text = yaml.safe_dump(config, sort_keys=False)
        text = text.replace(
            "custom_dataset: null", "custom_dataset: !function edsel_assets.rehearsal.made_up.splits"
        )
        (self._folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def _plain_columns(config: dict[str, Any]) -> dict[str, Any]:
    """What to read of plain items in place of the data set's own columns.

    Raises _LeftOut where only the task's own code could read its items.
    """
    kind = config.get("output_type", "generate_until")
    if kind not in PLAIN:
        raise _LeftOut(f"its data is not at hand, and its output type {kind} has no made-up items")
    if config.get("process_results") is not None:
        raise _LeftOut("its data is not at hand, and its scores are computed by code of its own")
    unread = {name: None for name in _FUNCTIONS if config.get(name) is not None}
    unread |= {name: None for name in ("fewshot_config",) if config.get(name) is not None}
    return {**unread, "should_decontaminate": False, **PLAIN[kind]}


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
