"""The embedded demo study: a pool, a pretrained tiny model and its benchmarks.

A study names all three as ``builtin:demo``; ``local_path`` is the one place where that name becomes a path.
``scripts/demo`` of the repository made the files.
"""

import json
from pathlib import Path
from typing import Any

DEMO = "builtin:demo"


def local_path(name: str, part: str = "") -> Path:
    """``name`` as a path; of ``builtin:demo`` its ``model``, its ``tasks``, or the package itself."""
    return Path(__file__).resolve().parent / part if name == DEMO else Path(name)


def model_folder(name: str) -> str:
    """A model's folder or its name at the hub; the demo's own for ``builtin:demo``."""
    return str(local_path(name, "model")) if name == DEMO else name


def data_files() -> list[Path]:
    """The pool, and the items of the benchmarks."""
    return sorted(local_path(DEMO).rglob("*.jsonl"))


def demo_pool() -> list[dict[str, str]]:
    """The pool: ``prompt, response, task, source`` of each row."""
    return read_rows("pool.jsonl")


def choice_items(**_: Any) -> dict[str, Any]:
    """``{"test": Dataset}`` with prompt, choices (2 to 4, shuffled), label (an index into them), task.

    lm-eval calls this and ``generate_items`` through ``custom_dataset``, so the tasks load offline, from
    anywhere.
    """
    return _test_split("tasks/choice.jsonl")


def generate_items(**_: Any) -> dict[str, Any]:
    """``{"test": Dataset}`` with prompt, response and task."""
    return _test_split("tasks/generate.jsonl")


def read_rows(name: str) -> list[dict[str, Any]]:
    """The rows of one of the demo's files."""
    text = local_path(DEMO, name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _test_split(name: str) -> dict[str, Any]:
    import datasets

    return {"test": datasets.Dataset.from_list(read_rows(name))}
