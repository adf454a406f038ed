"""Scores through edsel against those of the ``lm_eval`` command, on one adapter: equal to the last digit?

python -m benchmarks.llm command
python -m benchmarks.llm command --limit 40

The command runs in a process of its own, with its own model (``hf``) and the adapter beside the base. Items
are compared one by one too, and the texts that were written. Texts part where the two likeliest tokens are
equal within the rounding of float32 (margins of about 1e-6), as both add numbers in another order. The
model is the tinystories Llama of ``$EDSEL_DATA``, and its adapter is trained here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EDSEL_DATA", HERE.parents[1] / ".." / "shared" / "data"))


@dataclass(frozen=True)
class Case:
    """A task as both score it; ``tokens``: of the longest generated answer."""

    task: str
    shots: int
    tokens: int | None = None


#: The model reads 512 tokens, so answers are shorter than the tasks' own.
CASES = (Case("mmlu", 5), Case("bbh_cot_fewshot", 3, 64), Case("gsm8k", 5, 128), Case("arc_challenge", 25))


@dataclass(frozen=True)
class Pair:
    """One score by both; of its items, how many have another value, or another text where one is written."""

    task: str
    metric: str
    ours: float
    theirs: float
    n: int
    items: int
    other_items: int
    texts: int
    other_texts: int

    @property
    def equal(self) -> bool:
        return self.ours == self.theirs and not self.other_items


def train(model_path: Path, folder: Path) -> Path:
    """An adapter that changes what the model says: trained on a few pairs, at a high rate."""
    from edsel_assets.llm import Example, FinetuneSettings, finetune, load_model

    model, tokenizer = load_model(model_path, dtype="float32", device="cpu")
    examples = [Example(f"Question: what is {i}?\nAnswer:", f" The answer is {i}.") for i in range(64)]
    settings = FinetuneSettings.from_dict({"rank": 8, "learning_rate": 5e-3, "batch_size": 8, "epochs": 2})
    finetune(model, tokenizer, examples, settings, seed=0, output_dir=folder)
    return folder


def ours(case: Case, model_path: Path, adapter: Path, data: Path, limit: int) -> tuple[Any, Any]:
    """(scores, scores by item) as edsel's assets make them."""
    import pyarrow as pa

    from edsel_assets.llm import load_model
    from edsel_assets.stages.held_out import HELD_OUT
    from edsel_assets.stages.trials import evaluate_study, finetuned
    from edsel_assets.study import Study

    task = {"name": case.task, "num_fewshot": case.shots, "max_new_tokens": case.tokens, "limit": limit}
    study = Study.model_validate(
        {
            "name": "equality",
            "selection": {"strategies": ["random"], "budgets": [1]},
            "evaluation": {"tasks": [task], "data_directory": str(data)},
        }
    )
    model, tokenizer = load_model(model_path, dtype="float32", device="cpu")
    with finetuned(model, adapter) as trial:
        scored = evaluate_study(trial, tokenizer, study, pa.Table.from_pylist([], schema=HELD_OUT))
    return scored.table.to_pylist(), scored.items.to_pylist()


def theirs(case: Case, model_path: Path, adapter: Path, data: Path, limit: int, out: Path) -> Any:
    """(results by task, (value, text or None) by (subtask, item, metric)) of the command."""
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--tasks", case.task]
    arguments = f"pretrained={model_path},peft={adapter},dtype=float32"
    command += ["--model_args", arguments, "--num_fewshot", str(case.shots), "--limit", str(limit)]
    command += ["--device", "cpu", "--batch_size", "8", "--log_samples", "--output_path", str(out)]
    if case.tokens is not None:
        command += ["--gen_kwargs", f"max_gen_toks={case.tokens}"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, cwd=data, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"lm_eval failed: {done.stderr[-2000:]}")
    (file,) = out.rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    items: dict[tuple[str, str, str], tuple[float, str | None]] = {}
    for part in out.rglob("samples_*.jsonl"):
        task = part.name.removeprefix("samples_").rpartition("_")[0]
        for line in part.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            said = sample["resps"][0][0]
            for metric in sample["metrics"]:
                name = metric if sample["filter"] == "none" else f"{metric},{sample['filter']}"
                text = said if isinstance(said, str) else None
                items[task, str(sample["doc_id"]), name] = float(sample[metric]), text
    return results["results"] | results.get("groups", {}), items


def compare(case: Case, model_path: Path, adapter: Path, data: Path, limit: int) -> Iterator[Pair]:
    """Every score that the command gives, beside ours."""
    rows, items = ours(case, model_path, adapter, data, limit)
    with tempfile.TemporaryDirectory() as folder:
        results, their_items = theirs(case, model_path, adapter, data, limit, Path(folder))
    scores = {(row["task"], row["metric"]): row for row in rows}
    our_items = {(r["subtask"], r["item"], r["metric"]): (r["value"], r["text"]) for r in items}
    if set(our_items) != set(their_items):
        raise RuntimeError(f"{case.task}: the items are not the same ones")
    for task, values in sorted(results.items()):
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, (int, float)):
                continue
            name = metric if filtered == "none" else key
            row = scores[task, name]
            mine = {k: v for k, v in our_items.items() if k[0] == task and k[2] == name}
            other = sum(v[0] != their_items[k][0] for k, v in mine.items())
            texts = [k for k, v in mine.items() if v[1] is not None]
            unlike = sum(mine[k][1] != their_items[k][1] for k in texts)
            yield Pair(task, name, row["value"], float(value), row["n"], len(mine), other, len(texts), unlike)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=20, help="items per task")
    parser.add_argument("--tasks", nargs="*", default=[case.task for case in CASES])
    parser.add_argument("--every", action="store_true", help="show the subtasks that are equal too")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    data = (DATA / "hub").resolve()
    model_path = (DATA / "models" / "tinystories-260k").resolve()
    with tempfile.TemporaryDirectory() as folder:
        adapter = train(model_path, Path(folder) / "adapter")
        unequal = 0
        for case in (case for case in CASES if case.task in options.tasks):
            pairs = list(compare(case, model_path, adapter, data, options.limit))
            items, other = sum(p.items for p in pairs), sum(p.other_items for p in pairs)
            counts = f"{len(pairs)} scores, {items} values by item, of which {other} differ"
            if written := sum(p.texts for p in pairs):
                counts += f", {written} texts, of which {sum(p.other_texts for p in pairs)} differ"
            print(f"{case.task}, {case.shots}-shot: {counts}", flush=True)
            for pair in pairs:
                unequal += not pair.equal
                if options.every or not pair.equal or pair.task == case.task:
                    sign = "=" if pair.equal else "!="
                    print(f"  {pair.task} {pair.metric}: {pair.ours!r} {sign} {pair.theirs!r} (n {pair.n})")
    print("equal to the last digit" if not unequal else f"{unequal} scores differ")
    sys.exit(bool(unequal))


if __name__ == "__main__":
    main()
