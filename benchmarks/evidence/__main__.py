"""Run the study ``t0_heldout`` and keep its table: ``EDSEL_DATA=path/to/data python -m benchmarks.evidence``.

Killed, it goes on where it was. Writes beside this file ``results.md``, ``results.csv``, the plots, and
``items.parquet``: the loss of every held-out prompt in every trial, which all figures come from. With
``--kept`` the rest is made again from that file, in seconds; the data are not read.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from edsel_assets.cli.making import make
from edsel_assets.keys import parse_budget_trial
from edsel_assets.planning.cells import Cell, Scope
from edsel_assets.report.tables import BASE
from edsel_assets.stages.evaluation.items import NLL, TOKENS, item_values
from edsel_assets.stages.held_out import METRICS, TASK, loss_scores
from edsel_assets.stages.summary import Report, Scores, summarise
from edsel_assets.stages.trials import SCORES
from edsel_assets.store import Home, Store, read_table, write_table
from edsel_assets.study import Study

HERE = Path(__file__).parent
REPORT = Cell("label_efficiency")
ITEMS = pa.schema(
    {
        "strategy": pa.string(),
        "budget": pa.int32(),
        "seed": pa.int32(),
        "item": pa.int32(),
        "nll": pa.float32(),
        "tokens": pa.int32(),
    }
)
_PLOTS = ("score_by_budget", "annotation_saved", "differences", "heat_map")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="t0_heldout", help="name or file of the study")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--home", type=Path, default=None, help="where results lie; default $EDSEL_HOME")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table and the plots")
    parser.add_argument(
        "--there", action="store_true", help="make no trial but the control's: report what there is"
    )
    parser.add_argument("--kept", action="store_true", help="make the report again from the kept losses")
    options = parser.parse_args()
    study, home = Study.load(options.study), Home.at(options.home)
    if options.kept:
        _write(options.out, *_kept(study, options.out))
        return
    start = time.perf_counter()
    # The report is of the trials that there are, so the control's alone have to be made before it.
    control = Scope(frozenset({"label_efficiency"}), strategies=frozenset({study.control or ""}))
    make(study, control if options.there else Scope(), home, options.workers)
    took = (time.perf_counter() - start) / 60
    store = home.store(study.name)
    options.out.mkdir(parents=True, exist_ok=True)
    head = (
        f"# Evidence: `{study.name}`\n\n"
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, {options.workers} "
        f"workers. {_cost(study, store, options.workers)}\n\n"
    )
    trials = {cell.partition or "": _scores(store, cell) for cell in _made(store, "benchmark_scores")}
    write_table(options.out / "items.parquet", _items(trials))
    _write(options.out, head, summarise(study, _scores(store, Cell("base_scores")), trials, {}))
    print(store.text(REPORT, ".txt").read_text("utf-8"))
    print(f"{took:.1f} minutes; {options.out / 'results.md'}")


def _write(out: Path, head: str, report: Report) -> None:
    (out / "results.md").write_text(head + report.texts[".md"], encoding="utf-8")
    (out / "results.csv").write_text(report.texts[".csv"], encoding="utf-8")
    for name in _PLOTS:
        (out / f"{name}.png").write_bytes(report.plots[name])


def _kept(study: Study, out: Path) -> tuple[str, Report]:
    """The kept report's head, and the report of the kept losses; the base model's score is the report's."""
    head = (out / "results.md").read_text("utf-8").partition("# Label efficiency")[0]
    table = pd.read_csv(out / "results.csv")
    base = table[(table["strategy"] == BASE) & (table["task"] == TASK)]["mean"].item()
    rows = [{"task": TASK, "metric": METRICS[0], "value": base, "stderr": None, "n": None}]
    trials = {}
    for key, part in read_table(out / "items.parquet").to_pandas().groupby(["budget", "strategy", "seed"]):
        losses = {name: part.set_index("item")[name].astype(float) for name in (NLL, TOKENS)}
        scores = loss_scores(*(values.to_numpy() for values in losses.values()))
        items = {f"{TASK}/{name}": values for name, values in losses.items()}
        trials["{:05}|{}.s{}".format(*key)] = Scores(pa.Table.from_pylist(scores, SCORES), items)
    return head, summarise(study, Scores(pa.Table.from_pylist(rows, SCORES), {}), trials, {})


def _made(store: Store, asset: str) -> list[Cell]:
    """The trials of ``asset`` that there are, by budget, strategy and seed."""
    files = sorted((store.folder / asset).glob("*/*.json"))
    return [Cell(asset, f"{file.parent.name}|{file.stem}") for file in files]


def _cost(study: Study, store: Store, workers: int) -> str:
    """How much is there and what it took, by the ledgers: runs that were cut short count too."""
    files = [json.loads(file.read_text("utf-8")) for file in store.folder.rglob("*.json")]
    minutes = sum(ledger["seconds"] for ledger in files if "asset" in ledger) / 60
    made = len(_made(store, "benchmark_scores"))
    trials = sum(
        len(study.seeds(name)) * len(study.selection.budgets_for(name)) for name in study.selection.names
    )
    return (
        f"{made} of {trials} trials are there. All that the study is made of took {minutes:.0f} minutes of a "
        f"process, so {minutes / workers:.0f} of {workers}."
    )


def _scores(store: Store, cell: Cell) -> Scores:
    return Scores(read_table(store.table(cell)), item_values(read_table(store.items(cell))))


def _items(trials: dict[str, Scores]) -> pa.Table:
    """``strategy, budget, seed, item, nll, tokens``: a row per held-out prompt of each trial."""
    parts = []
    for key, scores in trials.items():
        budget, strategy, seed = parse_budget_trial(key)
        nll, tokens = (scores.items[f"{TASK}/{name}"] for name in (NLL, TOKENS))
        row = {"strategy": strategy, "budget": budget, "seed": seed}
        parts.append(pd.DataFrame({**row, "item": np.arange(len(nll)), "nll": nll, "tokens": tokens}))
    return pa.Table.from_pandas(pd.concat(parts), schema=ITEMS, preserve_index=False)


if __name__ == "__main__":
    main()
