"""python -m benchmarks.llm PART [options]: command, defaults, forward, finetune, precision, scoring."""

from __future__ import annotations

import sys
from importlib import import_module

PARTS = ("command", "defaults", "forward", "finetune", "precision", "scoring")

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        sys.exit(f"usage: python -m benchmarks.llm {'|'.join(PARTS)} [options]")
    part = sys.argv.pop(1)
    import_module(f"benchmarks.llm.{part}").main()
