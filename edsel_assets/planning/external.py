"""Files outside the store that cells read: the pool's, the answers', the model's, the tasks'.

Each has a name that does not hold its folder, so a moved folder with the same content is the same.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from edsel_assets.demo import DEMO, data_files, model_folder
from edsel_assets.kinds import external_of, sources
from edsel_assets.llm.models.identity import encoder_name, model_contents
from edsel_assets.store import Home
from edsel_assets.store.hashes import FileHashes
from edsel_assets.study import Study


class External:
    """The external inputs of a study as they are now; each source is looked at once."""

    def __init__(self, study: Study, home: Home) -> None:
        self._study, self._hashes = study, FileHashes(home)
        self._known: dict[str, dict[str, str]] = {}

    def of(
        self, kind: str, recorded: Mapping[str, str] | None = None, partition: str | None = None
    ) -> dict[str, str]:
        """Hash by name of the files that a cell reads; without a partition, those of any cell of the kind.

        Args:
            recorded: the names in a cell's ledger: data sets of tasks are known from there.

        Raises:
            ValueError, OSError: where a file that the study names is not there.
        """
        found: dict[str, str] = {}
        for name in external_of(self._study, kind, partition):
            found |= self.source(name)
        for name in recorded or ():
            if name.startswith(_DATA) and name not in found:
                found[name] = self._data_set(name)
        return found

    def source(self, name: str) -> dict[str, str]:
        """Hash by name of the files of one source, such as ``sources.POOL_FILES``.

        Raises:
            ValueError, OSError: where a file that the study names is not there.
        """
        if name not in self._known:
            other = _embedder_files if sources.is_embedder(name) else _scorer_files
            other = _query_files if sources.target_at(name) else other
            made = _SOURCES.get(name, partial(other, name))
            self._known[name] = made(self._study, self._hashes)
            self._hashes.save()
        return self._known[name]

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


def model_path(study: Study) -> str:
    """Where the base model is: the demo's own for ``builtin:demo``."""
    return model_folder(study.model.path)


def _pool_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    from edsel_assets.stages.pools import pool_source

    return _listed("pool", pool_source(study.pool), hashes)


def _query_files(place: str, study: Study, hashes: FileHashes) -> dict[str, str]:
    """The files of a target's prompts."""
    from edsel_assets.stages.pools import pool_source

    target = study.targets[sources.target_at(place) or ""]
    found = _listed(place, pool_source(target.source), hashes)
    if target.embeddings is not None:
        found |= _vector_file(f"{place}.embeddings", target.embeddings, hashes)
    return found


def _annotation_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    from edsel_assets.pools import PoolSource

    if study.pool.annotations is None:
        return {}
    return _listed("annotations", PoolSource(study.pool.annotations), hashes)


def _order_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    store = hashes.home.store(study.name)
    names = store.order_names()
    files = [file for name in names for file in (store.path(store.order(name)), store.order_table(name))]
    return {f"orders/{file.name}": hashes.of(file) for file in files if file.exists()}


def _purchase_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    file = hashes.home.store(study.name).purchases
    return {file.name: hashes.of(file)} if file.exists() else {}


def _listed(prefix: str, source: Any, hashes: FileHashes) -> dict[str, str]:
    """The files of a source: local ones by content, remote ones by the store's own mark or time of change."""
    from edsel_assets.pools import data_set_commit, pool_files
    from edsel_assets.store import fingerprint

    if DEMO in source.paths:
        return {f"{prefix}/{DEMO}": _sources_hash(hashes)}
    found = {}
    listed = pool_files(source)
    near = [file.path for file in listed if file.local]
    # Beside local files a remote one has its whole address, which no name of theirs can be.
    shared = {True: _shared(near), False: 0 if near else _shared([file.path for file in listed])}
    for file in listed:
        name = f"{prefix}/{'/'.join(file.path.split('/')[shared[file.local] :])}"
        stamp = {"tag": file.tag} if file.tag else {"changed": file.modified}
        found[name] = hashes.of(Path(file.path)) if file.local else fingerprint(size=file.bytes, **stamp)
    # A data set of the hub has no files here: the commit that would be read stands for it.
    return found or {f"{prefix}/{path}": data_set_commit(path, source.revision) for path in source.paths}


def _shared(paths: Sequence[str]) -> int:
    """How many parts the folders of all paths begin with."""
    folders = zip(*(path.split("/")[:-1] for path in paths), strict=False)
    return sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, folders))


def _sources_hash(hashes: FileHashes) -> str:
    """The demo's pool and items."""
    from edsel_assets.store import fingerprint

    return fingerprint(files={file.name: hashes.of(file) for file in data_files()})


def _model_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    settings = study.model
    return _files_of_model("model", settings.path, settings.revision, settings.trust_remote_code, hashes)


def _vector_file(place: str, named: str, hashes: FileHashes) -> dict[str, str]:
    path = Path(named).expanduser()
    if not path.is_file():
        raise ValueError(f"{place}.path: there is no file {path}. Check the path.")
    return {place: hashes.of(path)}


def _scorer_files(place: str, study: Study, hashes: FileHashes) -> dict[str, str]:
    """The files of the model at ``place`` in the settings."""
    chosen = sources.setting(study, place)
    return _files_of_model(place, chosen.model, chosen.revision, False, hashes)


def _score_file(study: Study, hashes: FileHashes) -> dict[str, str]:
    file = Path(str(study.quality.file)).expanduser()
    if not file.is_file():
        raise ValueError(f"quality.file: there is no file {file}. Check the path.")
    return {sources.SCORE_FILE: hashes.of(file)}


def _files_of_model(
    prefix: str, name: str, revision: str | None, with_code: bool, hashes: FileHashes
) -> dict[str, str]:
    found = model_contents(model_folder(name), revision, hashes, with_code=with_code)
    return {f"{prefix}/{file}": digest for file, digest in found.items()}


def _embedder_files(place: str, study: Study, hashes: FileHashes) -> dict[str, str]:
    """The files of a model of sentence-transformers, or its commit at the hub; or a file of vectors."""
    settings = sources.embedder_at(study, place)
    if settings.source == "file":
        return _vector_file(place, str(settings.path), hashes)
    found = model_contents(encoder_name(str(settings.name)), settings.revision, hashes, below=True)
    return {f"{place}/{file}": digest for file, digest in found.items()}


def _task_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    from edsel_assets.stages.trials import tasks_folder

    folder = tasks_folder(study)
    problems = _problem_files(study, hashes)
    if folder is None:
        return problems
    if not folder.is_dir():
        raise ValueError(f"evaluation.include_path: there is no folder {folder}. Check the path.")
    kept = {".yaml", ".yml", ".py", ".json", ".jsonl", ".csv", ".parquet"}
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix in kept]
    found = {f"tasks/{f.relative_to(folder).as_posix()}": hashes.of(f) for f in files}
    if study.evaluation.include_path == DEMO:
        found[f"tasks/{DEMO}"] = _sources_hash(hashes)
    return found | problems


def _problem_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    """HumanEval's problems; none where the study does not score programs."""
    settings = study.evaluation.humaneval
    if settings is None:
        return {}
    path = Path(settings.problems).expanduser()
    if not path.exists():
        raise ValueError(f"evaluation.humaneval.problems: there is no file or folder {path}. Check the path.")
    return {"humaneval": _folder_hash(path, hashes)}


def _instruction_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    settings = study.evaluation.judge
    if settings is None:
        return {}
    path = Path(settings.instructions).expanduser()
    if not path.is_file():
        raise ValueError(f"evaluation.judge.instructions: there is no file {path}. Check the path.")
    return {"instructions": hashes.of(path)}


def _judge_files(study: Study, hashes: FileHashes) -> dict[str, str]:
    """A local judge's files, as those of the base model."""
    settings = study.evaluation.judge
    if settings is None or settings.model is None:
        return {}
    model = study.model.model_copy(
        update={"path": settings.model, "revision": settings.revision, "trust_remote_code": False}
    )
    found = _model_files(study.model_copy(update={"model": model}), hashes)
    return {f"judge/{name.removeprefix('model/')}": value for name, value in found.items()}


def _folder_hash(path: Path, hashes: FileHashes) -> str:
    from edsel_assets.store import fingerprint

    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    return fingerprint(files={f.relative_to(path.parent).as_posix(): hashes.of(f) for f in files})


_SOURCES = {
    sources.POOL_FILES: _pool_files,
    sources.ANNOTATION_FILES: _annotation_files,
    sources.ORDER_FILES: _order_files,
    sources.PURCHASE_FILES: _purchase_files,
    sources.MODEL_FILES: _model_files,
    sources.SELECTING_FILES: lambda study, hashes: _model_files(study.selecting, hashes),
    sources.TASK_FILES: _task_files,
    sources.INSTRUCTION_FILES: _instruction_files,
    sources.JUDGE_FILES: _judge_files,
    sources.SCORE_FILE: _score_file,
}
