"""What identifies a model: the content of its files, or its commit at the hub; for ledgers and kept rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from edsel_assets.llm.models.dtypes import dtype_here
from edsel_assets.llm.models.files import model_commit, model_files, sentence_model
from edsel_assets.store import Home
from edsel_assets.store.hashes import FileHashes


def model_contents(
    name: str,
    revision: str | None,
    hashes: FileHashes,
    *,
    with_code: bool = False,
    below: bool = False,
    commit: Callable[[str, str | None], str | None] = model_commit,
) -> dict[str, str]:
    """Hash by name of the files of a model; of one of the hub, the commit that loading it gives now.

    Args:
        name: a folder, or OWNER/NAME.
        with_code: whether code that comes with the model is run.
        below: with the folders below.
    """
    folder = Path(name)
    if not folder.is_dir():
        return {name: commit(name, revision) or revision or "not downloaded"}
    files = model_files(folder, with_code=with_code, below=below)
    return {file.relative_to(folder).as_posix(): hashes.of(file) for file in files}


#: One answer per process: it loads a model once, so its rows are of one commit.
_one_commit = cache(model_commit)


def model_identity(
    home: Home,
    name: str,
    revision: str | None,
    dtype: str | None,
    device: str,
    libraries: Mapping[str, str],
    *,
    with_code: bool = False,
    below: bool = False,
) -> dict[str, Any]:
    """What decides the numbers of a model that is loaded here, as JSON values; where it lies decides nothing.

    Args:
        home: where the hashes of its files are kept, so that large ones are read once.
        dtype: number format; None where the model is loaded in its own.
        device: on which ``auto`` is one format or another.
        libraries: versions of the distributions that compute them.
    """
    hashes = FileHashes(home)
    files = model_contents(name, revision, hashes, with_code=with_code, below=below, commit=_one_commit)
    hashes.save()
    known = None if dtype is None else dtype_here(dtype, device, name, revision)
    return {"revision": revision, "dtype": known, "files": files, "libraries": dict(libraries)}


def encoder_name(name: str) -> str:
    """The folder of a model of sentence-transformers, or its name at the hub."""
    return name if Path(name).is_dir() else sentence_model(name)
