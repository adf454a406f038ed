"""Run the study ``t0_heldout`` and keep its table: ``EDSEL_DATA=path/to/data python -m benchmarks.evidence``.

Killed, it goes on where it was. Writes ``results.md``, ``results.csv`` and the plots beside this file.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

from edsel_assets.cli.making import make
from edsel_assets.planning.cells import Scope
from edsel_assets.planning.ledger import read_ledger
from edsel_assets.store import edsel_home
from edsel_assets.study import Study

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="t0_heldout", help="name or file of the study")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--home", type=Path, default=None, help="where results lie; default $EDSEL_HOME")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table and the plots")
    options = parser.parse_args()
    study, home = Study.load(options.study), edsel_home(options.home)
    start = time.perf_counter()
    outcome, _ = make(study, Scope(), home, options.workers)
    took = (time.perf_counter() - start) / 60
    store = home / "store" / study.name
    ledgers = [read_ledger(store, cell) for cell in (*outcome.made, *outcome.fresh)]
    work = sum(ledger.seconds for ledger in ledgers if ledger is not None) / 60
    options.out.mkdir(parents=True, exist_ok=True)
    head = (
        f"# Evidence: `{study.name}`\n\n"
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, "
        f"{options.workers} workers. This run made {len(outcome.made)} cells in {took:.1f} minutes; all "
        f"cells together are {work:.0f} minutes of work.\n\n"
    )
    report = (store / "label_efficiency.md").read_text(encoding="utf-8")
    (options.out / "results.md").write_text(head + report, encoding="utf-8")
    (options.out / "results.csv").write_text(
        (store / "label_efficiency.csv").read_text(encoding="utf-8"), encoding="utf-8"
    )
    print((store / "label_efficiency.txt").read_text(encoding="utf-8"))
    print(f"{took:.1f} minutes; {options.out / 'results.md'}")


if __name__ == "__main__":
    main()
