"""What the demo study can show: ``python -m benchmarks.demo [--seeds 3] [--out results.json]``.

Finetunes the demo's model on prompts chosen in two ways, at three budgets: at random from the pool, and
spread evenly over its task families ("even": what an oracle that knows families and junk would pick). Prints
the score of each, mean and standard error over seeds, with the base model and all the data as references;
then how far the embeddings separate families, and how far likelihood tells junk.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from edsel_assets.demo import DEMO, demo_pool, local_path
from edsel_assets.llm import (
    DEFAULT_TEMPLATE,
    Example,
    FinetuneSettings,
    evaluate,
    finetune,
    format_prompt,
    forward_pool,
    load_model,
)

BUDGETS = (100, 200, 400)
SETTINGS = FinetuneSettings(
    rank=16, alpha=32, dropout=0.0, learning_rate=2e-3, epochs=5, batch_size=32, max_length=256
)

_TASKS = ("edsel_demo_choice", "edsel_demo_generate")


def choose_random(pool: pd.DataFrame, budget: int, seed: int) -> pd.DataFrame:
    return pool.sample(budget, random_state=seed)


def choose_even(pool: pd.DataFrame, budget: int, seed: int) -> pd.DataFrame:
    """The same number from every family, no junk; where a family runs out, more from the others."""
    shuffled = pool[pool["source"] != "junk"].sample(frac=1, random_state=seed)
    turn = shuffled.groupby("task").cumcount()
    return shuffled.loc[turn.sort_values(kind="stable").index[:budget]]


def score(model: Any, tokenizer: Any) -> dict[str, float]:
    """Accuracy on each benchmark task, in [0, 1], higher is better, and their mean."""
    metrics = dict(zip(_TASKS, ("acc", "exact_match"), strict=True))
    scores = evaluate(
        model, tokenizer, tasks=_TASKS, include_path=local_path(DEMO, "tasks"), bootstrap_iters=0
    )
    found = {s.task: float(s.value) for s in scores if metrics.get(s.task) == s.metric}
    values = {"choice": found["edsel_demo_choice"], "generate": found["edsel_demo_generate"]}
    return values | {"mean": sum(values.values()) / 2}


def trial(model: Any, tokenizer: Any, rows: pd.DataFrame, seed: int) -> dict[str, float]:
    pairs = zip(rows["prompt"], rows["response"], strict=True)
    examples = [Example(format_prompt(DEFAULT_TEMPLATE, prompt), response) for prompt, response in pairs]
    with tempfile.TemporaryDirectory() as folder:
        result = finetune(
            model, tokenizer, examples, SETTINGS, seed=seed, output_dir=Path(folder) / "adapter"
        )
        adapted, _ = load_model(local_path(DEMO, "model"), adapter=result.path)
    began = time.perf_counter()
    values = score(adapted, tokenizer)
    return values | {"train_seconds": result.seconds, "score_seconds": time.perf_counter() - began}


def diagnose(model: Any, tokenizer: Any, pool: pd.DataFrame) -> dict[str, float]:
    """Share of the 5 nearest neighbours (cosine) in a prompt's own family; AUC of junk by likelihood."""
    from sklearn.metrics import roc_auc_score

    prompts = [format_prompt(DEFAULT_TEMPLATE, prompt) for prompt in pool["prompt"]]
    records = list(
        forward_pool(model, tokenizer, prompts, max_new_tokens=1, max_prompt_tokens=128, batch_tokens=4096)
    )
    embeddings = np.stack([record.embedding for record in records]).astype(np.float64)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, :5]
    tasks = pool["task"].to_numpy(dtype=object)
    sound = (pool["source"] != "junk").to_numpy(dtype=bool)
    same = pd.Series((tasks[nearest] == tasks[:, None]).mean(axis=1))[sound]
    shares = pool["task"].value_counts(normalize=True)
    likelihood = np.array([record.prompt_logprob / record.prompt_tokens for record in records])
    return {
        "neighbours_of_own_family": float(same.mean()),
        "neighbours_of_own_family_mean_over_families": float(same.groupby(tasks[sound]).mean().mean()),
        "neighbours_by_chance": float((shares**2).sum()),
        "junk_auc": float(roc_auc_score(sound, likelihood)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="finetuning seeds, each with its own sample")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/demo/results.json"), help="results file")
    arguments = parser.parse_args()

    model, tokenizer = load_model(local_path(DEMO, "model"))
    pool = pd.DataFrame(demo_pool()).drop_duplicates("prompt", ignore_index=True)
    base = score(model, tokenizer)
    print(f"base model: {base}")
    rows = []
    cells = [(name, budget) for budget in BUDGETS for name in ("random", "even")] + [("all", len(pool))]
    for name, budget in cells:
        choose = choose_even if name == "even" else choose_random
        trials = [
            trial(model, tokenizer, choose(pool, budget, seed), seed) for seed in range(arguments.seeds)
        ]
        table = pd.DataFrame(trials)
        rows.append(
            {"strategy": name, "budget": budget}
            | {key: float(table[key].mean()) for key in table}
            | {f"{key}_se": float(table[key].sem()) for key in ("choice", "generate", "mean")}
        )
        print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1), flush=True)
    results = {"base": base, "trials": rows, "diagnostics": diagnose(model, tokenizer, pool)}
    print(results["diagnostics"])
    arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
