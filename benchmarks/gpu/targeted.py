"""Whether aiming pays, in a minute: picks for one task against random ones, by held-out loss."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.job import Job, Result


def targeted(job: Job) -> Result:
    """Nats a token on held-out answers of one task: untrained, after random picks, after aimed ones."""
    from edsel_assets.demo import DEMO, model_folder
    from edsel_assets.llm import DEFAULT_TEMPLATE, Example, format_prompt, forward_pool, load_model

    model, tokenizer = load_model(job.model or model_folder(DEMO), device=job.device)
    rows, task = _pool(job)
    prompts = [format_prompt(DEFAULT_TEMPLATE, prompt) for prompt in rows["prompt"]]
    answers, tasks = rows["response"].tolist(), rows["task"].to_numpy()
    of_task = np.flatnonzero(tasks == task)
    few = 5 if job.small else 10
    asked, held = of_task[:few], of_task[few : few + (5 if job.small else 60)]
    free = np.setdiff1d(np.arange(len(rows)), [*asked, *held])
    options = {"max_new_tokens": 0, "max_prompt_tokens": 256, "batch_tokens": 16_384}
    records = forward_pool(model, tokenizer, prompts, prompt_likelihood=False, pooling="mean", **options)
    vectors = np.stack([record.embedding for record in records])
    vectors -= vectors.mean(axis=0)
    picks = _picks(job, vectors, free, asked, budget=4 if job.small else 100)
    found: Result = {
        "task": task,
        "prompts": len(rows),
        "model": str(job.model or DEMO),
        "loss untrained": round(_loss(model, tokenizer, prompts, answers, held), 4),
    }
    for name, chosen in picks.items():
        examples = [Example(prompts[row], answers[row]) for row in chosen]
        own = float((tasks[chosen] == task).mean())
        loss = _trained_loss(job, model, tokenizer, examples, prompts, answers, held)
        found[f"loss after {len(chosen)} picks, {name}"] = f"{loss:.4f}, {own:.0%} of them of the task"
    return found


def _pool(job: Job) -> tuple[Any, str]:
    """Prompts with responses and tasks in random order, and a task of middling size with enough of them."""
    import pandas as pd

    from edsel_assets.demo import demo_pool

    columns = ["prompt", "response", "task"]
    rows = pd.read_parquet(job.pool, columns=columns) if job.pool else pd.DataFrame(demo_pool())[columns]
    rows = rows[rows["response"].str.len() > 0].sample(frac=1, random_state=0).reset_index(drop=True)
    rows = rows.head(120 if job.small else 5000)
    counts = rows["task"].value_counts()
    enough = counts[counts >= (10 if job.small else 90)]
    return rows, str(enough.index[-1])


def _picks(
    job: Job, vectors: np.ndarray, free: np.ndarray, asked: np.ndarray, budget: int
) -> dict[str, np.ndarray]:
    from edsel_assets.selection import demand_from_queries, facility_location, nearest, random_subset

    pool, queries = vectors[free], vectors[asked]
    weights = demand_from_queries(pool, queries).weights
    aimed = facility_location(pool, budget, kernel="cosine", demand=weights, device=job.device)
    return {
        "random": free[random_subset(len(free), budget, seed=0).indices],
        "facility location with demand": free[aimed.indices],
        "nearest": free[nearest(pool, queries, budget, device=job.device).indices],
    }


def _trained_loss(
    job: Job,
    model: Any,
    tokenizer: Any,
    examples: list[Any],
    prompts: list[str],
    answers: list[str],
    held: np.ndarray,
) -> float:
    from edsel_assets.llm import FinetuneSettings, adapted, finetune

    settings = FinetuneSettings(rank=8, epochs=1 if job.small else 3, max_length=512, dropout=0.0)
    with tempfile.TemporaryDirectory() as folder:
        done = finetune(model, tokenizer, examples, settings, seed=0, output_dir=Path(folder) / "adapter")
        with adapted(model, done.path) as trained:
            return _loss(trained, tokenizer, prompts, answers, held)


def _loss(model: Any, tokenizer: Any, prompts: list[str], answers: list[str], held: np.ndarray) -> float:
    from edsel_assets.llm import log_likelihoods

    found = log_likelihoods(
        model, tokenizer, [prompts[row] for row in held], [answers[row] for row in held], batch_tokens=8192
    )
    return float(-found.total.sum() / found.tokens.sum())
