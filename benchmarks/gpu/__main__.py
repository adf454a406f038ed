"""Everything to be known of a GPU, in eight minutes: ``python -m benchmarks.gpu``.

Parts run one after the other, each in a process of its own under a time limit of its own. What a part found
is kept in ``--out`` as soon as it is done, so that a part that fails or hangs costs no other. Needs torch,
transformers, peft, numpy, scipy, scikit-learn, numba, pyarrow, pandas and pydantic; for the tests pytest and
hypothesis.

``--device cpu --small`` runs the same script anywhere, in seconds. Exit code 1: a part failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.gpu.job import Job, run_all
from benchmarks.gpu.parts import PARTS


def main(arguments: list[str] | None = None) -> int:
    """Run the parts asked for; 0 where none failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", help="a torch device; cpu to try the script")
    parser.add_argument("--small", action="store_true", help="made-up sizes, seconds on a CPU")
    parser.add_argument("--model", type=Path, help="folder of a small model for the targeted part: SmolLM2")
    parser.add_argument("--pool", type=Path, help="Parquet with prompt, response, task for the targeted part")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results", help="folder of results"
    )
    options = parser.parse_args(arguments)
    job = Job(options.device, options.small, options.model, options.pool)
    return run_all(job, {name: PARTS[name] for name in options.parts}, options.out)


if __name__ == "__main__":
    sys.exit(main())
