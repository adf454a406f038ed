"""lm-eval tasks on edsel's model for lm-eval, against lm-eval's ``HFLM``: seconds, and equality of scores.

python -m benchmarks.llm scoring
python -m benchmarks.llm scoring --models demo --limit 50

Both get the same loaded tasks, items and model, so that what differs is how requests become forward passes.
The contenders take turns in one process; the best of their runs counts, as others may use the machine.
The data sets are those of ``$EDSEL_DATA/hub``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EDSEL_DATA", HERE.parents[1] / ".." / "shared" / "data"))
MODELS = {
    "demo": HERE.parents[1] / "edsel_assets" / "demo" / "model",
    "tinystories-260k": DATA / "models" / "tinystories-260k",
}
TASKS = ("arc_challenge", "truthfulqa_mc2", "mmlu_astronomy", "mmlu_anatomy")
OURS = "edsel"


def contenders(batch_tokens: int) -> dict[str, Callable[[Any, Any], Any]]:
    """Makers of a model for lm-eval from (model, tokenizer)."""
    from lm_eval.models.huggingface import HFLM

    from edsel_assets.llm.scoring.lm_eval_model import EngineLM

    def hflm(rows: int) -> Callable[[Any, Any], Any]:
        return lambda model, tokenizer: HFLM(pretrained=model, tokenizer=tokenizer, batch_size=rows)

    return {
        OURS: lambda model, tokenizer: EngineLM(model, tokenizer, batch_tokens=batch_tokens),
        "HFLM, batches of 16": hflm(16),
        "HFLM, batches of 64": hflm(64),
    }


def compare(name: str, suite: Any, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Per contender: seconds, CPU seconds, and its scores by task and metric."""
    import torch
    from lm_eval import evaluator

    from edsel_assets.llm import load_model
    from edsel_assets.llm.scoring.tasks import quiet

    torch.set_num_threads(options.threads)
    model, tokenizer = load_model(MODELS[name], dtype="float32", device="cpu")

    def run(make: Callable[[Any, Any], Any], limit: int) -> dict[str, Any]:
        began, busy = perf_counter(), process_time()
        found = evaluator.evaluate(
            make(model, tokenizer),
            task_dict=suite.as_lm_eval(),
            limit=limit,
            bootstrap_iters=0,
            log_samples=False,
        )
        row = {"seconds": perf_counter() - began, "cpu_seconds": process_time() - busy}
        return {**row, "scores": _scores(found["results"])}

    rows: dict[str, dict[str, Any]] = {}
    with quiet():
        for turn in range(options.repeats + 1):
            for contender, make in contenders(options.batch_tokens).items():
                row = run(make, options.limit if turn else 2)  # first calls allocate and dispatch
                print(f"{name}, {contender}: {row['seconds']:.2f} s", flush=True)
                if turn and (contender not in rows or row["seconds"] < rows[contender]["seconds"]):
                    rows[contender] = row
    return rows


def _scores(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {
        f"{task} {key}": float(value)
        for task, values in results.items()
        for key, value in values.items()
        if key.endswith(",none") and "_stderr" not in key
    }


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["# lm-eval tasks on edsel's model, against lm-eval's own", ""]
    for name, result in results.items():
        rows, ours = result["rows"], result["rows"][OURS]
        lines += [f"## {name}", "", result["where"], ""]
        lines += ["| | seconds | edsel is | CPU seconds | edsel is | largest difference of a score |"]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: |"]
        for contender, row in rows.items():
            gap = max(abs(row["scores"][key] - value) for key, value in ours["scores"].items())
            lines.append(
                f"| {contender} | {row['seconds']:.2f} | {row['seconds'] / ours['seconds']:.2f} x "
                f"| {row['cpu_seconds']:.2f} | {row['cpu_seconds'] / ours['cpu_seconds']:.2f} x | {gap:.1g} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm scoring", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--limit", type=int, default=100, help="items of each task")
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()

    from edsel_assets.llm.scoring.tasks import in_directory, load_tasks, quiet

    shots = (options.shots or None,) * len(options.tasks)
    with quiet(), in_directory(DATA / "hub"):
        suite = load_tasks(tuple(options.tasks), None, str(DATA / "hub"), shots)
    path = HERE / "scoring.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in options.models:
        where = (
            f"{', '.join(options.tasks)}: {options.limit} items each, {options.shots} shots. "
            f"{options.threads} of {os.cpu_count()} threads, {platform.machine()}, "
            f"best of {options.repeats}; other work ran on the machine."
        )
        key = f"{name}, {options.shots} shots"
        results[key] = {"where": where, "rows": compare(name, suite, options)}
    path.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "scoring.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
