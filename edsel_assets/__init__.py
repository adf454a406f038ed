"""edsel: decide which prompts are worth paying to annotate."""

import os

__version__ = "0.2.0"

# cuBLAS reads it once, as it starts: with it, sums on a GPU come in one order, and training repeats.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
