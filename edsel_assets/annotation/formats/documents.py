"""Reading and writing the JSON files of other tools."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from edsel_assets.annotation.errors import AnnotationError
from edsel_assets.pools import PoolError, prompt_id
from edsel_assets.pools.packed import refuse_stand_in
from edsel_assets.pools.text import shown
from edsel_assets.store import atomic_path


def load(path: Path) -> Any:
    """The content of a JSON file; of a page of a server's answer, its items.

    Raises:
        AnnotationError: the file is absent, or no JSON in UTF-8.
    """
    try:
        with path.open("rb") as file:
            refuse_stand_in(file, str(path))
            content = json.loads(file.read().decode("utf-8-sig"), object_pairs_hook=_object)
    except PoolError as error:
        raise AnnotationError(str(error)) from error
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text. Export it again, as JSON.") from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path} is not valid JSON ({error}). Export it again.") from error
    except OSError as error:
        raise AnnotationError(f"Cannot read {path}: {error.strerror}. Check the path.") from error
    items = content.get("items") if isinstance(content, dict) else None
    return items if isinstance(items, list) else content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice, 60)} is there twice")
    return dict(pairs)


def read_objects(path: Path, tool: str) -> list[dict[str, Any]]:
    """The objects of a JSON file that is a list of them.

    Raises:
        AnnotationError: naming the file, and the row where it has one.
    """
    content = load(path)
    if not isinstance(content, list):
        raise AnnotationError(
            f"{path} should be a list of {tool} records, but is {type(content).__name__}. "
            "Export it as JSON again."
        )
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise AnnotationError(
                f"{path}, row {number} should be an object, but is {type(record).__name__}. Export it again."
            )
    return content


def id_of(record: dict[str, Any]) -> Any:
    """The id of a record's prompt: as it stands there, or by the prompt's text."""
    prompt = record.get("prompt")
    return record.get("prompt_id") or (
        prompt_id(prompt) if isinstance(prompt, str) and prompt.strip() else None
    )


def write_json(path: Path, content: Any) -> Path:
    return write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def known(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields of ``row`` that are there and not null."""
    return {name: row[name] for name in names if row.get(name) is not None}


def rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


def text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)
