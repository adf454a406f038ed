"""What a model is read from: the files of its folder, or a commit of the hub. Imports no heavy library."""

from __future__ import annotations

import re
from pathlib import Path

_WEIGHTS = {".safetensors", ".bin", ".pt", ".gguf"}
_DOCUMENTS = {".md", ".png", ".jpg"}
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
_HUB_SECONDS = 10.0
#: Files that one model or another has at its root.
_ROOT_FILES = ("config.json", "modules.json")


def model_files(folder: Path, *, with_code: bool = False, below: bool = False) -> list[Path]:
    """The files of a model's folder that decide what it says, in order of name; hidden ones are none.

    Args:
        with_code: whether code that comes with the model is run.
        below: with the folders below, where sentence-transformers keeps what follows the encoder.
    """
    files = [f for f in sorted(folder.rglob("*") if below else folder.iterdir()) if f.is_file()]
    files = [f for f in files if not any(part.startswith(".") for part in f.relative_to(folder).parts)]
    # Weights in other formats beside safetensors are not read.
    whole = {f.parent for f in files if f.suffix == ".safetensors"}
    unread = _WEIGHTS - {".safetensors"}
    files = [f for f in files if f.parent not in whole or f.suffix not in unread]
    if not with_code:
        files = [f for f in files if f.suffix != ".py"]
    return [f for f in files if f.suffix.lower() not in _DOCUMENTS]


def sentence_model(name: str) -> str:
    """A name as sentence-transformers takes it: one without an owner is its own."""
    return name if "/" in name else f"sentence-transformers/{name}"


def model_commit(name: str, revision: str | None) -> str | None:
    """The commit of a model of the hub that loading it gives now.

    The hub is asked, unless ``revision`` is a commit already. Where it does not answer, or is not to be asked
    (``HF_HUB_OFFLINE``), loading takes what was downloaded before, so that commit counts.

    Args:
        name: OWNER/NAME; anything else is no model of the hub.
        revision: branch, tag or commit; None for the main branch.

    Returns:
        None where neither knows.
    """
    if revision and _COMMIT.match(revision):
        return revision
    if not _NAME.match(name) or name.startswith("."):
        return None
    from huggingface_hub import HfApi

    try:
        return str(HfApi().model_info(name, revision=revision, timeout=_HUB_SECONDS).sha)
    except Exception:  # no answer: the library, its HTTP client and its offline mode raise many kinds
        return _downloaded(name, revision)


def _downloaded(name: str, revision: str | None) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, file, revision=revision) for file in _ROOT_FILES)
    return next((Path(file).parent.name for file in found if isinstance(file, str)), None)
