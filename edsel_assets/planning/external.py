"""Files outside the store that cells read: the pool's, the answers', the model's, the tasks'.

Each has a name that does not hold its folder, so a moved folder with the same content is the same. The hash
of a file is kept with its size and time of change in ``HOME/external_files.json`` and computed again only
when these differ.
"""

import json
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from edsel_assets.demo import DEMO, local_path
from edsel_assets.planning import reads
from edsel_assets.study import Study

_CACHE = "external_files.json"
_WEIGHTS = {".safetensors", ".bin", ".pt", ".gguf"}
_DOCUMENTS = {".md", ".png", ".jpg"}
#: A file changed less than this before it was read may change again within the clock's step.
_SETTLED_SECONDS = 2


class FileHashes:
    """Content hashes of files, computed once per size and time of change."""

    def __init__(self, home: Path) -> None:
        self.home, self._path = home, home / _CACHE
        self._new: dict[str, list[Any]] = {}

    @cached_property
    def _known(self) -> dict[str, list[Any]]:
        try:
            content = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}  # a lost or damaged cache costs one reading of the files
        return content if isinstance(content, dict) else {}

    def of(self, path: Path) -> str:
        """Content hash of the file at ``path``."""
        from edsel_assets.store import content_hash

        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if isinstance(known, list) and known[:3] == stamp:
            return str(known[3])
        found = content_hash(path)
        if status.st_mtime < time.time() - _SETTLED_SECONDS:
            self._known[str(path)] = self._new[str(path)] = [*stamp, found]
        return found

    def save(self) -> None:
        """Keep what was computed since the last time; a home that is not there yet is not made for it."""
        from edsel_assets.store import atomic_path

        if not self._new or not self.home.exists():
            return
        with atomic_path(self._path) as temporary:
            temporary.write_text(json.dumps(self._known, indent=0, sort_keys=True), encoding="utf-8")
        self._new = {}


class External:
    """The external inputs of a study as they are now; each source is looked at once."""

    def __init__(self, study: Study, home: Path) -> None:
        self._study, self._hashes = study, FileHashes(home)
        self._known: dict[str, dict[str, str]] = {}

    def of(self, kind: str, recorded: Mapping[str, str] | None = None) -> dict[str, str]:
        """Hash by name of the files that a kind of cell reads.

        Args:
            recorded: the names in a cell's ledger: data sets of tasks are known from there.

        Raises:
            ValueError, OSError: where a file that the study names is not there.
        """
        found: dict[str, str] = {}
        for source in reads.external_of(self._study, kind):
            if source not in self._known:
                self._known[source] = _SOURCES[source](self._study, self._hashes)
                self._hashes.save()
            found |= self._known[source]
        for name in recorded or ():
            if name.startswith(_DATA) and name not in found:
                found[name] = self._data_set(name)
        return found

    def data_sets(self, paths: list[Path]) -> dict[str, str]:
        """Names and hashes of the data sets that tasks were found to read."""
        return {
            _data_name(self._study, path): self._data_set(_data_name(self._study, path)) for path in paths
        }

    def _data_set(self, name: str) -> str:
        if name not in self._known:
            path = _data_path(self._study, name)
            self._known[name] = {name: _folder_hash(path, self._hashes) if path.exists() else "absent"}
            self._hashes.save()
        return self._known[name][name]


_DATA = "data/"


def _data_name(study: Study, path: Path) -> str:
    base = study.evaluation.data_directory
    if base and path.is_relative_to(Path(base).absolute()):
        return _DATA + path.relative_to(Path(base).absolute()).as_posix()
    return f"{_DATA}{path}"


def _data_path(study: Study, name: str) -> Path:
    rest = name.removeprefix(_DATA)
    return Path(study.evaluation.data_directory or ".").absolute() / rest


def order_names(store: Path) -> tuple[str, ...]:
    """Names of the orders of a store, oldest first; reads file names alone."""
    names = (path.stem for path in (store / "orders").glob("order-*.json"))
    return tuple(sorted(names, key=lambda name: (len(name), name)))


def model_path(study: Study) -> str:
    """Where the base model is: the demo's own for ``builtin:demo``."""
    return str(local_path(study.model.path, "model")) if study.model.path == DEMO else study.model.path


def _pool_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    from edsel_assets.stages.pools import pool_source

    return _listed("pool", pool_source(study.pool), hashes)


def _annotation_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    from edsel_assets.pools import PoolSource

    if study.pool.annotations is None:
        return {}
    return _listed("annotations", PoolSource(study.pool.annotations), hashes)


def _order_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    folder = hashes.home / "store" / study.name / "orders"
    return {f"orders/{name}.json": hashes.of(folder / f"{name}.json") for name in order_names(folder.parent)}


def _purchase_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    file = hashes.home / "store" / study.name / "purchases.jsonl"
    return {file.name: hashes.of(file)} if file.exists() else {}


def _listed(prefix: str, source: Any, hashes: FileHashes) -> dict[str, str]:
    """The files of a source: local ones by content, remote ones by size and time of change."""
    from edsel_assets.pools import pool_files
    from edsel_assets.store import fingerprint

    if DEMO in source.paths:
        return {f"{prefix}/{DEMO}": _sources_hash(hashes)}
    found = {}
    listed = pool_files(source)
    base = os.path.commonpath([os.path.dirname(path) for path, _, _ in listed]) if listed else ""
    for path, size, changed in listed:
        local = Path(path)
        name = f"{prefix}/{os.path.relpath(path, base)}"
        found[name] = hashes.of(local) if local.is_file() else fingerprint(size=size, changed=changed)
    # A data set of the hub has no files here: its name and revision stand for it.
    return found or {f"{prefix}/{path}": fingerprint(revision=source.revision) for path in source.paths}


def _sources_hash(hashes: FileHashes) -> str:
    """The demo's pool is made by code, so its code is what it is made from."""
    from edsel_assets.store import fingerprint

    folder = local_path(DEMO)
    return fingerprint(files={f.name: hashes.of(f) for f in sorted(folder.glob("*.py"))})


def _model_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    folder = Path(model_path(study))
    if not folder.is_dir():
        return _hub_model(study)
    files = [f for f in sorted(folder.iterdir()) if f.is_file() and not f.name.startswith(".")]
    if any(f.suffix == ".safetensors" for f in files):
        # Weights in other formats beside them are not read.
        files = [f for f in files if f.suffix not in _WEIGHTS - {".safetensors"}]
    if not study.model.trust_remote_code:
        files = [f for f in files if f.suffix != ".py"]
    return {f"model/{f.name}": hashes.of(f) for f in files if f.suffix.lower() not in _DOCUMENTS}


def _hub_model(study: Study) -> dict[str, str]:
    """A model of the hub: its name, and the commit that is in the local cache where there is one."""
    from huggingface_hub import try_to_load_from_cache

    name, revision = study.model.path, study.model.revision
    found = try_to_load_from_cache(name, "config.json", revision=revision) if "/" in name else None
    commit = Path(found).parent.name if isinstance(found, str) else revision or "not downloaded"
    return {f"model/{name}": commit}


def _task_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    from edsel_assets.stages.trials import tasks_folder

    folder = tasks_folder(study)
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ValueError(f"evaluation.include_path: there is no folder {folder}. Check the path.")
    kept = {".yaml", ".yml", ".py", ".json", ".jsonl", ".csv", ".parquet"}
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix in kept]
    found = {f"tasks/{f.relative_to(folder).as_posix()}": hashes.of(f) for f in files}
    if study.evaluation.include_path == DEMO:
        found[f"tasks/{DEMO}"] = _sources_hash(hashes)
    return found


def _folder_hash(path: Path, hashes: FileHashes) -> str:
    from edsel_assets.store import fingerprint

    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    return fingerprint(files={f.relative_to(path.parent).as_posix(): hashes.of(f) for f in files})


_SOURCES = {
    reads.POOL_FILES: _pool_files,
    reads.ANNOTATION_FILES: _annotation_files,
    reads.ORDER_FILES: _order_files,
    reads.PURCHASE_FILES: _purchase_files,
    reads.MODEL_FILES: _model_files,
    reads.TASK_FILES: _task_files,
}
