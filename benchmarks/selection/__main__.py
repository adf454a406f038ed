"""Run the cases, one process per contender, and write results.json and results.md beside this file.

python -m benchmarks.selection                 every case that is not slow
python -m benchmarks.selection --only NAME...  these cases (results of others are kept)
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.selection.case import Case

HERE = Path(__file__).parent
FLOOR = "floor"


def cases() -> dict[str, Case]:
    """Every case by its name on the command line. A new module of cases is added here."""
    from benchmarks.selection import cases_clusters, cases_facility

    return {**cases_facility.CASES, **cases_clusters.CASES}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="CASE", help="run these cases alone")
    parser.add_argument("--list", action="store_true", help="print the cases and their contenders")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = cases()
    if options.child:
        return run_child(known[options.child[0]], options.child[1])
    if options.list:
        for name, case in known.items():
            print(f"{name}{' (slow)' if case.slow else ''}: {', '.join(case.contenders)}")
        return 0
    unknown = set(options.only or ()) - set(known)
    if unknown:
        parser.error(f"no such case: {sorted(unknown)}; there are {sorted(known)}")
    names = options.only or [name for name, case in known.items() if not case.slow]
    path = HERE / "results.json"
    for name in names:
        result = run_case(name, known[name])
        results = json.loads(path.read_text()) if path.exists() else {}  # another run may have added to it
        results[name] = result
        path.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "results.md").write_text(table(results))
    print((HERE / "results.md").read_text())
    return 0


def run_case(name: str, case: Case) -> dict[str, Any]:
    """Each contender and the floor, one after another, in fresh processes on the same input."""
    rows = {}
    for contender in (*((FLOOR,) if case.floor else ()), *case.contenders):
        command = [sys.executable, "-m", "benchmarks.selection", "--child", name, contender]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1])
        if done.returncode:
            rows[contender] = {"error": (done.stderr.strip() or "killed").splitlines()[-1]}
        else:
            rows[contender] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name} {contender}: {rows[contender]}", file=sys.stderr, flush=True)
    return {
        "title": case.title,
        "higher_is_better": case.higher_is_better,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "contenders": rows,
    }


def run_child(case: Case, contender: str) -> int:
    """Time one contender in this process and print its row as JSON."""
    data = case.load()
    if contender in case.warm:
        case.warm[contender]()
    run = case.floor if contender == FLOOR else case.contenders[contender]
    assert run is not None
    baseline = _peak()
    start, used = time.perf_counter(), time.process_time()
    outcome = run(data)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    # Processor time beside the clock: it tells a busy machine from a slow method.
    print(
        json.dumps(
            {"seconds": seconds, "cpu_seconds": used, "peak_gib": _peak(), "loaded_gib": baseline, **outcome}
        )
    )
    return 0


def _peak() -> float:
    """Peak resident memory of this process so far, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def table(results: dict[str, Any]) -> str:
    """The results as Markdown: one table per case, ratios against ours (the first) and the floor."""
    parts = ["# Selection benchmarks", ""]
    for result in results.values():
        rows = result["contenders"]
        ours = next(row for name, row in rows.items() if name != FLOOR)
        parts += [f"## {result['title']}", "", f"On {result['machine']['cores']} cores.", ""]
        parts += [
            "| contender | seconds | times ours | times the floor | CPU seconds | peak GiB | objective |"
        ]
        parts += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
        for name, row in rows.items():
            if "error" in row:
                parts.append(f"| {name} | failed: {row['error']} | | | | | |")
                continue
            times = [f"{row['seconds'] / base['seconds']:.2f}" if "seconds" in base else ""
                     for base in (ours, rows.get(FLOOR, {}))]  # fmt: skip
            objective = f"{row['objective']:,.2f}" if row.get("objective") is not None else ""
            parts.append(
                f"| {name} | {row['seconds']:.2f} | {times[0]} | {times[1]} "
                f"| {row['cpu_seconds']:.2f} | {row['peak_gib']:.2f} | {objective} |"
            )
        parts.append("")
        if "picks" in ours and isinstance(ours["picks"], str):  # a digest of the choice and its order
            same = [
                name for name, row in rows.items() if row is not ours and row.get("picks") == ours["picks"]
            ]
            parts += [f"The very same picks in the same order: {', '.join(same) or 'nobody else'}.", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
