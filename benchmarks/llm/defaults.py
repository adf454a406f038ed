"""Loss after finetuning on few answers: batches of 128 at 1e-4, and the defaults, which follow the answers.

python -m benchmarks.llm defaults --model demo --answers 50 200
python -m benchmarks.llm defaults --model tinystories-260k --answers 50 200 1000
python -m benchmarks.llm defaults --model path/to/SmolLM2-135M-Instruct --answers 24 --characters 130

LoRA with dropout, as the defaults have it, one thread, 5 epochs: by how much the training loss falls from the
first epoch to the last, the loss on held-out responses before and after (nats per token), and tokens per CPU
second. Prompts are P3/T0's, and the demo's own for the demo. Results are added to those that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EDSEL_DATA", HERE.parents[1] / ".." / "shared" / "data"))
LONGEST = 192  # tokens
RECIPES: dict[str, dict[str, Any]] = {
    "128 at 1e-4": {"batch_size": 128, "learning_rate": 1e-4},
    "auto at 1e-4": {"learning_rate": 1e-4},
    "auto at auto": {},
    "auto at 2e-3": {"learning_rate": 2e-3},
}


def texts(model: str, characters: int) -> list[tuple[str, str]]:
    """Prompts with their responses, of at most so many characters together."""
    if model == "demo":
        from edsel_assets.pools import PoolSource, read_pool

        table = read_pool(PoolSource("builtin:demo")).table
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(DATA / "t0_pool.parquet")
    pairs = zip(table["prompt"].to_pylist(), table["response"].to_pylist(), strict=True)
    return [(p, r) for p, r in pairs if r and len(p) + len(r) < characters]


def measure(options: argparse.Namespace, answers: int) -> Iterator[dict[str, Any]]:
    """A row per recipe; the same answers and held-out prompts for all of them."""
    from edsel_assets.demo import DEMO, model_folder
    from edsel_assets.llm import (
        DEFAULT_TEMPLATE,
        Example,
        FinetuneSettings,
        adapted,
        finetune,
        format_prompt,
        load_model,
        log_likelihoods,
    )

    folders = {"demo": model_folder(DEMO), "tinystories-260k": str(DATA / "models" / "tinystories-260k")}
    model, tokenizer = load_model(folders.get(options.model, options.model), dtype="float32", device="cpu")
    found = texts(options.model, options.characters)
    rows = np.random.default_rng(7).permutation(len(found))[: answers + options.held_out]
    examples = [Example(format_prompt(DEFAULT_TEMPLATE, found[i][0]), found[i][1]) for i in rows]
    train, rest = examples[:answers], examples[answers:]

    def held_out(adapted_model: Any) -> float:
        asked, said = [e.prompt for e in rest], [e.response for e in rest]
        likely = log_likelihoods(adapted_model, tokenizer, asked, said, batch_tokens=4096)
        return float(-likely.total.sum() / likely.tokens.sum())

    before = held_out(model)
    for name in options.recipes:
        settings = FinetuneSettings(max_length=LONGEST, micro_batch_tokens=512, **RECIPES[name])
        with tempfile.TemporaryDirectory() as folder:
            began = process_time()
            result = finetune(model, tokenizer, train, settings, seed=0, output_dir=Path(folder) / "a")
            seconds = process_time() - began
            with adapted(model, result.path, merge=True) as trial:
                after = held_out(trial)
        yield {
            "model": Path(options.model).name,
            "answers": answers,
            "held_out": len(rest),
            "recipe": name,
            "batch_size": result.batch_size,
            "steps": result.steps,
            "loss_fall": result.loss_fall,
            "before": before,
            "after": after,
            "tokens_per_cpu_second": sum(entry["tokens"] for entry in result.log) / seconds,
        }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "# Finetuning on few answers",
        "",
        "LoRA, 5 epochs, one thread. Loss in nats per token; the training loss falls from the first",
        "epoch to the last.",
        "",
        "| model | answers | batch, rate | steps | training loss falls | held out | after | tokens/CPU s |",
        "| --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    for row in rows:
        recipe = row["recipe"].replace("auto at", f"auto ({row['batch_size']}) at")
        lines.append(
            f"| {row['model']} | {row['answers']} | {recipe} | {row['steps']} | {row['loss_fall']:.1%} | "
            f"{row['before']:.3f} | {row['after']:.3f} | {row['tokens_per_cpu_second']:,.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm defaults", description=__doc__)
    parser.add_argument("--model", default="demo", help="demo, tinystories-260k, or a folder")
    parser.add_argument("--answers", type=int, nargs="+", default=[50])
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--characters", type=int, default=380, help="of a prompt with its response, at most")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    file = HERE / "defaults.json"
    rows = json.loads(file.read_text()) if file.exists() else []
    for answers in options.answers:
        for row in measure(options, answers):
            same = ("model", "answers", "held_out", "recipe")
            rows = [old for old in rows if any(old[key] != row[key] for key in same)] + [row]
            rows.sort(key=lambda r: (r["model"], r["answers"], list(RECIPES).index(r["recipe"])))
            file.write_text(json.dumps(rows, indent=1) + "\n")
            (HERE / "defaults.md").write_text(table(rows) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
