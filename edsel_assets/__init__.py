"""edsel: decide which prompts are worth paying to annotate."""

import os
from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# cuBLAS reads it once, as it starts: with it, sums on a GPU come in one order, and training repeats.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def __getattr__(name: str) -> Any:
    """``EdselStudy``, the component of Dagster, is imported when it is asked for."""
    if name == "EdselStudy":
        return import_module("edsel_assets.defs.component").EdselStudy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "EdselStudy"]
