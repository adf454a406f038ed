"""What a home holds, to compare it with what it held before, or with another home."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from edsel_assets.store import content_hash

#: Files that say nothing of their own: they may be lost, and nobody needs to be told.
AIDS = ("edsel.json", "external_files.json", "fields.json", "purchases.jsonl.lines", "replies.jsonl.lines")


def contents(home: Path) -> dict[str, str]:
    """A hash of the content of every file of an artifact, every order, what was bought, and rows."""
    found = {}
    for path in sorted([*(home / "store").rglob("*"), *(home / "rows").rglob("*")]):
        name = path.relative_to(home)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and not is_ledger(path) and path.name not in AIDS:
            found[str(name)] = content_hash(_value(path))
    return found


def tables(home: Path) -> dict[str, str]:
    """A hash of every table of the store, but of the times in them, which are those of the home."""
    found = {}
    for path in sorted((home / "store").rglob("*.parquet")):
        table = pq.read_table(path)
        times = {"asked", "answered"} if path.name == "purchases.parquet" else set()
        kept = [name for name in table.column_names if name not in times]
        found[str(path.relative_to(home))] = content_hash(table.select(kept))
    return found


def is_ledger(path: Path) -> bool:
    return path.suffix == ".json" and "inputs" in json.loads(path.read_bytes())


def _value(path: Path) -> Any:
    """What a file says; of the log of a training all but the seconds that it took."""
    if path.suffix == ".parquet":
        return pq.read_table(path)
    if path.name == "training_log.json":
        log = json.loads(path.read_bytes())
        return json.dumps({name: value for name, value in log.items() if "second" not in name})
    return path
