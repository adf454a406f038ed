"""Finding the files that a source names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from edsel_assets.demo import DEMO
from edsel_assets.pools.packed import members
from edsel_assets.pools.source import PoolError, PoolSource

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_ZIP = ".zip"
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", _ZIP)
_HTTP = ("http://", "https://")
#: Under which names file systems give their own mark of a file's content.
_TAGS = ("md5Hash", "Content-MD5", "content_md5", "ETag", "etag")
_DATA_SET = re.compile(r"^[\w.-]+/[\w.-]+(:[\w.-]+)?$")


@dataclass(frozen=True)
class Opened:
    """One input: ``name`` as shown in errors and in ``source``, ``path`` for its file system, and the
    ``member`` where the file is an archive.
    """

    name: str
    path: str
    format: str
    fs: Any = None
    member: str = ""


def open_source(source: PoolSource) -> list[Opened]:
    """Every input that ``source`` names, each once, in order of name.

    Raises:
        PoolError: where a path names nothing, or a file's format cannot be told.
    """
    found = {
        (opened.path, opened.member): opened for path in source.paths for opened in _open_path(path, source)
    }
    return [found[key] for key in sorted(found)]


class ListedFile(NamedTuple):
    """A file of a source, as its file system lists it.

    Attributes:
        bytes: its size.
        modified: seconds since 1970; 0 where the file system does not say.
        tag: the store's own mark of its content (ETag, MD5); "" where there is none.
        local: whether it lies on a local disk, where its content can be hashed.
    """

    path: str
    bytes: int
    modified: float
    tag: str = ""
    local: bool = False


def pool_files(source: PoolSource) -> list[ListedFile]:
    """Each file of ``source``, by name.

    Lists only, reads nothing: it is what a trigger compares to notice new files. Listings that a file
    system keeps are asked for anew. The demo and data sets of the hub have no files to watch.
    """
    listed = []
    for opened in open_source(source):
        if opened.fs is None:
            continue
        # Only a data set is a folder here; asking a web server would download the file.
        directory = opened.format == "hf" and opened.fs.isdir(opened.path)
        for path in sorted(opened.fs.find(opened.path)) if directory else [opened.path]:
            listed.append(_listed(opened.fs, path))
    return list(dict.fromkeys(listed))  # an archive is one file


def _listed(fs: Any, path: str) -> ListedFile:
    try:
        info = fs.info(path)
        tag = next((str(info[name]) for name in _TAGS if info.get(name)), "")
        modified = _modified(fs, path, info)
    except Exception as error:  # each file system raises kinds of its own
        raise PoolError(
            f"Cannot look up {path}: {first_line(error)}. Check the path and its access."
        ) from error
    return ListedFile(path, int(info["size"] or 0), modified, tag, isinstance(fs, LocalFileSystem))


def _modified(fs: Any, path: str, info: dict[str, Any]) -> float:
    """Seconds since 1970; 0 where the server or the file system does not say."""
    if is_http(path):
        stated = info.get("Last-Modified")
        return parsedate_to_datetime(stated).timestamp() if stated else 0.0
    try:
        return float(fs.modified(path).timestamp())
    except NotImplementedError:
        return 0.0


def _open_path(path: str, source: PoolSource) -> list[Opened]:
    if path == DEMO:
        return [Opened(DEMO, DEMO, "demo")]
    if is_http(path):
        return _open_http(path, source)
    try:
        fs, inner = fsspec.core.url_to_fs(path)
        fs.invalidate_cache()  # a file system keeps its listings as long as its process lives
        if fs.isfile(inner):
            return _opened_files(fs, inner, source)
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


def _open_http(path: str, source: PoolSource) -> list[Opened]:
    """One file: a web server lists none."""
    if any(sign in without_query(path) for sign in "*["):
        raise PoolError(f"{path}: a pattern does not work over HTTP. Name each file, in a list.")
    if without_query(path).lower().endswith(_ZIP):
        raise PoolError(f"{path}: a zip archive is not read over HTTP. Download it, and name it here.")
    try:
        fs, inner = fsspec.core.url_to_fs(path)
        found = fs.isfile(inner)
    except Exception as error:  # the HTTP library raises many kinds of its own
        raise PoolError(f"Cannot look up {path}: {first_line(error)}. Check the address.") from error
    if not found:
        raise PoolError(f"There is no file {path}, or its server does not answer. Check the address.")
    return [_opened_file(fs, inner, source)]


def _open_directory(fs: Any, inner: str, path: str, source: PoolSource) -> list[Opened]:
    if source.format == "hf" or (source.format == "auto" and _is_data_set(fs, inner)):
        return [Opened(path, inner, "hf", fs)]
    files = [p for p in fs.find(inner) if not _hidden(p[len(inner) :])]
    if source.format == "auto":
        files = [p for p in files if suffix(p) in SUFFIXES or p.lower().endswith(_ZIP)]
    if not files:
        raise PoolError(
            f"Directory {path} holds no file of a known suffix ({', '.join(SUFFIXES)}). Name its "
            "files, or set format."
        )
    return [opened for p in files for opened in _opened_files(fs, p, source)]


def _open_glob(fs: Any, inner: str, path: str, source: PoolSource) -> list[Opened]:
    files = [p for p in fs.glob(inner) if fs.isfile(p)]
    if not files:
        raise PoolError(f"No file matches {path}. Check the pattern and the directory it starts from.")
    return [opened for p in files for opened in _opened_files(fs, p, source)]


def _opened_files(fs: Any, path: str, source: PoolSource) -> list[Opened]:
    """A file, or each file of a known suffix of a zip archive."""
    if not path.lower().endswith(_ZIP):
        return [_opened_file(fs, path, source)]
    with fs.open(path, "rb") as file:
        names = [each for each in members(file, path) if source.format != "auto" or suffix(each) in SUFFIXES]
    if not names:
        raise PoolError(
            f"{path} holds no file of a known suffix ({', '.join(SUFFIXES)}). Unpack it, and name its files."
        )
    found = [_opened_file(fs, each, source) for each in names]
    return [
        replace(opened, name=f"{path}/{each}", path=path, member=each)
        for opened, each in zip(found, names, strict=True)
    ]


def _opened_file(fs: Any, path: str, source: PoolSource) -> Opened:
    kind = SUFFIXES.get(suffix(path)) if source.format == "auto" else source.format
    if kind is None or kind == "hf":
        raise PoolError(
            f"The format of {path} cannot be told from its suffix; set format to one of "
            "parquet, arrow, jsonl, json, csv, or hf for a data set's directory."
        )
    return Opened(path, path, kind, fs)


def _is_data_set(fs: Any, path: str) -> bool:
    """Written by ``save_to_disk``, or laid out as on the hub, with a card that has metadata."""
    if any(fs.exists(f"{path}/{name}") for name in ("dataset_dict.json", "state.json")):
        return True
    card = f"{path}/README.md"
    return bool(fs.exists(card)) and fs.cat_file(card, start=0, end=3) == b"---"


def is_http(path: str) -> bool:
    """Whether ``path`` is an address of the web."""
    return path.lower().startswith(_HTTP)


def without_query(path: str) -> str:
    """``path``; of an address only the part that names the file."""
    return re.split("[?#]", path, maxsplit=1)[0] if is_http(path) else path


def suffix(path: str) -> str:
    """The suffix, in lower case, of what a file holds: ``.jsonl`` of ``a.jsonl.gz``."""
    name = PurePosixPath(without_query(path))
    return (PurePosixPath(name.stem) if name.suffix in _COMPRESSED else name).suffix.lower()


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(path.lstrip("/")).parts)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without its final stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
