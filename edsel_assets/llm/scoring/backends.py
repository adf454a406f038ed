"""Other models of lm-eval in the place of our own, on the model that was trained."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

OWN = "edsel"
PACKAGES = {OWN: None, "hf": None, "vllm": "vllm", "sglang": "sglang"}
"""Each backend, and the package that it needs beyond ours."""
READ_FOLDERS = frozenset({"vllm", "sglang"})
"""Backends that load a checkpoint's folder; the others take the loaded model."""


def check_backend(name: str) -> None:
    """Raise ``ValueError`` for a backend that is unknown, or whose package is not installed."""
    if name not in PACKAGES:
        raise ValueError(f"there is no backend {name!r}; there are {', '.join(PACKAGES)}.")
    package = PACKAGES[name]
    if package is not None and find_spec(package) is None:
        raise ValueError(f"the backend {name} needs the package {package}: pip install {package}.")


@contextmanager
def backend_model(name: str, arguments: Mapping[str, Any], model: Any, tokenizer: Any) -> Iterator[Any]:
    """lm-eval's model ``name`` over ``model`` and ``tokenizer``.

    Args:
        arguments: of its constructor, such as ``batch_size``.
        model: for a backend that reads folders, one whose adapter is merged: it is written to a temporary
            folder, in its own dtype.
    """
    from lm_eval.api.registry import get_model

    check_backend(name)
    made = get_model(name)
    if name not in READ_FOLDERS:
        yield made(pretrained=model, tokenizer=tokenizer, **arguments)
        return
    with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        yield made(pretrained=folder, **arguments)
