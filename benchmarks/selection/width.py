"""The kernel width that ``gamma="auto"`` takes against every other width, on eight pools.

python -m benchmarks.selection.width                   all pools; those whose data is not there are named
python -m benchmarks.selection.width --only NAME...    these pools (results of others are kept)

Coverage is the mean over the pool of the best cosine to a pick, so higher is better. The rule must reach 95 %
of the best coverage of any width or of cosine, and beat random draws by two standard deviations wherever any
width does. Budgets are cuts of one ranking, as in a study. Writes width.json and width.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.selection.width_pools import POOLS, Missing
from edsel_assets.selection import NarrowKernel, facility_location

HERE = Path(__file__).parent
BUDGETS = (20, 50, 100, 200)
WIDTHS = (0.002, *(float(f"{width:.2g}") for width in np.geomspace(1e-3, 1e2, 16)))
DRAWS = 30  # of random
SHARE, DEVIATIONS = 0.95, 2.0  # what the rule must reach


def unit_rows(points: np.ndarray) -> np.ndarray:
    """(N, d) float32 rows of norm 1."""
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def coverage(rows: np.ndarray, picks: np.ndarray) -> float:
    """Mean over the pool of the best cosine to a pick; ``rows`` are of norm 1."""
    return float((rows @ rows[picks].T).max(axis=1).mean())


def measure(points: np.ndarray, budgets: Sequence[int] = BUDGETS, widths: Sequence[float] = WIDTHS) -> dict:
    """Coverage at each budget by the rule, by each width, by cosine, and of random draws."""
    rows = unit_rows(points)
    cuts = [budget for budget in budgets if budget < len(rows)]
    kernels: dict[str, dict[str, Any]] = {"auto": {}, "cosine": {"kernel": "cosine"}}
    kernels |= {f"{width:g}": {"gamma": width} for width in widths}
    found: dict[str, list[float]] = {}
    for name, arguments in kernels.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NarrowKernel)
            ranking = facility_location(rows, max(cuts), **arguments)
        found[name] = [coverage(rows, ranking.indices[:cut]) for cut in cuts]
        if name == "auto":
            gamma = ranking.details["gamma"]
    draws = np.random.default_rng(0)
    chance = [
        [coverage(rows, draws.choice(len(rows), cut, replace=False)) for _ in range(DRAWS)] for cut in cuts
    ]
    return {
        "rows": len(rows),
        "dimensions": rows.shape[1],
        "gamma": gamma,
        "budgets": [
            _at_budget(cut, {name: values[i] for name, values in found.items()}, np.array(chance[i]))
            for i, cut in enumerate(cuts)
        ],
    }


def _at_budget(budget: int, found: dict[str, float], chance: np.ndarray) -> dict[str, Any]:
    mean, deviation = float(chance.mean()), float(chance.std(ddof=1))
    best = max(found, key=lambda name: found[name])
    return {
        "budget": budget,
        "random": mean,
        "random_deviation": deviation,
        "best": best,
        "share_of_best": found["auto"] / found[best],
        "deviations": (found["auto"] - mean) / deviation,
        "deviations_of_best": (found[best] - mean) / deviation,
        "coverage": found,
    }


def passes(row: dict[str, Any]) -> bool:
    """Whether the rule reaches what it must at one budget of one pool."""
    near_best = row["share_of_best"] >= SHARE
    beats_random = row["deviations"] > DEVIATIONS or row["deviations_of_best"] <= DEVIATIONS
    return near_best and beats_random


HEAD = f"""# Kernel width

Coverage: mean over the pool of the best cosine to a pick. Deviations: standard deviations above the mean of
{DRAWS} random draws. `auto` is `gamma="auto"`; the best is the best of {len(WIDTHS)} widths from 0.001 to
100, of cosine, and of `auto`.

Rows in a narrow cone are all near each other, so that any picks cover them. There the share of the gain over
random says more: how far the coverage of `auto` lies on the way from random's mean to the best.

| pool | width of auto | budget | coverage | of the best | of its gain over random | best | deviations: auto \
| best | 0.002 | 0.1 | passes |
| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- |
"""


def table(results: dict[str, Any]) -> str:
    """The results as Markdown, a line for each pool and budget."""
    lines = []
    for pool, result in results.items():
        shown = f"{pool}, {result['rows']:,} x {result['dimensions']}", f"{result['gamma']:g}"
        lines += [_line(*shown, row) for row in result["budgets"]]
    return HEAD + "\n".join(lines) + "\n"


def _line(pool: str, gamma: str, row: dict[str, Any]) -> str:
    above = {
        name: f"{(value - row['random']) / row['random_deviation']:.1f}"
        for name, value in row["coverage"].items()
    }
    cells = [
        pool,
        gamma,
        f"{row['budget']}",
        f"{row['coverage']['auto']:.4f}",
        f"{row['share_of_best']:.1%}",
        f"{row['deviations'] / row['deviations_of_best']:.0%}",
        row["best"],
        above["auto"],
        above[row["best"]],
        above["0.002"],
        above["0.1"],
        "yes" if passes(row) else "NO",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection.width",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", metavar="POOL", choices=list(POOLS), help="these pools alone")
    names = parser.parse_args().only or list(POOLS)
    path = HERE / "width.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        try:
            points = POOLS[name]()
        except Missing as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
            continue
        results[name] = measure(points)
        print(f"{name}: done", file=sys.stderr)
        results = {pool: results[pool] for pool in POOLS if pool in results}
        path.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "width.md").write_text(table(results))
    print(table(results))
    return 0 if all(passes(row) for result in results.values() for row in result["budgets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
