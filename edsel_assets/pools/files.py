"""Finding the files that a source names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec

from edsel_assets.demo import DEMO
from edsel_assets.pools.errors import PoolError
from edsel_assets.pools.source import PoolSource

_SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_DATA_SET = re.compile(r"^[\w.-]+/[\w.-]+(:[\w.-]+)?$")


@dataclass(frozen=True)
class Opened:
    """One input: ``name`` as shown in errors and in ``source``, ``path`` for its file system."""

    name: str
    path: str
    format: str
    fs: Any = None


def open_source(source: PoolSource) -> list[Opened]:
    """Every input that ``source`` names, each once, in order of name.

    Raises:
        PoolError: where a path names nothing, or a file's format cannot be told.
    """
    found = {opened.path: opened for path in source.paths for opened in _open_path(path, source)}
    return [found[path] for path in sorted(found)]


def pool_files(source: PoolSource) -> list[tuple[str, int, float]]:
    """(path, bytes, modification time in seconds since 1970) of each file of ``source``, by name.

    Lists only, reads nothing: it is what a sensor compares to notice new files. The demo and
    data sets of the hub have no files to watch.
    """
    listed = []
    for opened in open_source(source):
        if opened.fs is None:
            continue
        directory = opened.fs.isdir(opened.path)
        for path in sorted(opened.fs.find(opened.path)) if directory else [opened.path]:
            size, modified = opened.fs.info(path)["size"], opened.fs.modified(path)
            listed.append((path, int(size or 0), modified.timestamp()))
    return listed


def _open_path(path: str, source: PoolSource) -> list[Opened]:
    if path == DEMO:
        return [Opened(DEMO, DEMO, "demo")]
    try:
        fs, inner = fsspec.core.url_to_fs(path)
        if fs.isfile(inner):
            return [_opened_file(fs, inner, source)]
        if fs.isdir(inner):
            return _open_directory(fs, inner, path, source)
        if any(sign in path for sign in "*?["):
            return _open_glob(fs, inner, path, source)
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, PoolError):
            raise
        raise PoolError(
            f"Cannot look up {path}: {first_line(error)}. Check the path and its access."
        ) from error
    if "://" not in path and (source.format == "hf" or (source.format == "auto" and _DATA_SET.match(path))):
        return [Opened(path, path, "hf")]
    raise PoolError(
        f"There is no file or directory {path}. Check the path; a data set of the hub is named OWNER/NAME."
    )


def _open_directory(fs: Any, inner: str, path: str, source: PoolSource) -> list[Opened]:
    if source.format == "hf" or (source.format == "auto" and _is_data_set(fs, inner)):
        return [Opened(path, inner, "hf", fs)]
    files = [p for p in fs.find(inner) if not _hidden(p[len(inner) :])]
    if source.format == "auto":
        files = [p for p in files if suffix(p) in _SUFFIXES]
    if not files:
        raise PoolError(f"Directory {path} holds no file of a known suffix ({', '.join(_SUFFIXES)}).")
    return [_opened_file(fs, p, source) for p in files]


def _open_glob(fs: Any, inner: str, path: str, source: PoolSource) -> list[Opened]:
    files = [p for p in fs.glob(inner) if fs.isfile(p)]
    if not files:
        raise PoolError(f"No file matches {path}. Check the pattern and the directory it starts from.")
    return [_opened_file(fs, p, source) for p in files]


def _opened_file(fs: Any, path: str, source: PoolSource) -> Opened:
    kind = _SUFFIXES.get(suffix(path)) if source.format == "auto" else source.format
    if kind is None or kind == "hf":
        raise PoolError(
            f"The format of {path} cannot be told from its suffix; set format to one of "
            "parquet, jsonl, json, csv, or hf for a data set's directory."
        )
    return Opened(path, path, kind, fs)


def _is_data_set(fs: Any, path: str) -> bool:
    """Written by ``save_to_disk``, or laid out as on the hub, with a card that has metadata."""
    if any(fs.exists(f"{path}/{name}") for name in ("dataset_dict.json", "state.json")):
        return True
    card = f"{path}/README.md"
    return bool(fs.exists(card)) and fs.cat_file(card, start=0, end=3) == b"---"


def suffix(path: str) -> str:
    name = PurePosixPath(path)
    return (PurePosixPath(name.stem) if name.suffix in _COMPRESSED else name).suffix.lower()


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(path.lstrip("/")).parts)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without its final stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
