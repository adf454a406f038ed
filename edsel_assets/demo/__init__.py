"""The embedded demo study: a pool, a pretrained tiny model and its benchmarks, all made by this package.

``pool.demo_pool`` makes the pool, ``benchmark.TASKS`` in ``benchmark.TASKS_DIR`` are the lm-eval tasks, and
``make_model.MODEL_DIR`` holds the model that ``python -m edsel_assets.demo.make_model`` made. A study names
all three as ``builtin:demo``; ``local_path`` is the one place where that name becomes a path.
"""

from pathlib import Path

DEMO = "builtin:demo"


def local_path(name: str, part: str = "") -> Path:
    """``name`` as a path; of ``builtin:demo`` its ``model``, its ``tasks``, or the package itself."""
    return Path(__file__).resolve().parent / part if name == DEMO else Path(name)


def model_folder(name: str) -> str:
    """A model's folder or its name at the hub; the demo's own for ``builtin:demo``."""
    return str(local_path(name, "model")) if name == DEMO else name
