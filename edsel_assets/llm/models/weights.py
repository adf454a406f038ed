"""Weights that are those of an architecture, each and no other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


class ModelError(ValueError):
    """A model or tokenizer cannot be loaded or used; the message is one line."""


def whole_model(kind: Any, name: str | os.PathLike[str], **options: Any) -> Any:
    """``kind.from_pretrained``, whose weights must be those of the architecture, each and no other.

    What the architecture itself declares as left out (tied heads) or ignored (buffers) may be so.

    Raises:
        ModelError: for weights that would be random, or that the architecture has no place for.
    """
    from transformers.utils import logging

    asked = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    loud = logging.get_verbosity()
    logging.set_verbosity_error()  # what the library would print of keys is said below
    try:
        model, report = kind.from_pretrained(name, **asked, **options)
    finally:
        logging.set_verbosity(loud)
    for key, held, wanted in sorted(report["mismatched_keys"]):
        raise ModelError(f"{name} holds {key} of shape {tuple(held)}; its config.json says {tuple(wanted)}.")
    check_keys(os.fspath(name), report["missing_keys"], report["unexpected_keys"])
    return model


def check_keys(name: str, missing: Iterable[str], unexpected: Iterable[str]) -> None:
    """``ModelError`` that names the keys, if there are any."""
    lacks, extra = sorted(missing), sorted(unexpected)
    if lacks:
        raise ModelError(
            f"{name} lacks {_listed(lacks)}, which would be random numbers. Get the whole model."
        )
    if extra:
        raise ModelError(
            f"{name} holds {_listed(extra)}, which its architecture has no place for. "
            "Get weights and config.json from one source."
        )


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return f"the weights {', '.join(keys[:3])}{more}"
