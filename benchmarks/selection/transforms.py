"""What centring and whitening do to eight pools: ``python -m benchmarks.selection.transforms --data DIR``.

``--data`` holds t0_pool.parquet and t0_minilm_embeddings.npy; ``--model`` names decoders that read prompts of
T0, the last 128 tokens of each. The table goes to the terminal; docs/strategies.md has it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edsel_assets.selection import facility_location
from edsel_assets.selection.geometry.chance import random_draws, standings
from edsel_assets.selection.geometry.figures import geometry
from edsel_assets.selection.geometry.transform import fit_transform
from edsel_assets.study import Study

BUDGETS = (20, 100)
TRANSFORMS = (
    ("none", None),
    ("centre", None),
    ("whiten", 32),
    ("whiten", 64),
    ("whiten", 128),
    ("whiten", 256),
)
T0, MINILM = "t0_pool.parquet", "t0_minilm_embeddings.npy"


class Pool(NamedTuple):
    """Embeddings to choose by, (N, d) ones that coverage is judged by, and tasks."""

    name: str
    chosen_by: np.ndarray
    judged_by: np.ndarray
    tasks: np.ndarray | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--prompts", type=int, default=500, help="prompts of T0 that each decoder reads")
    given = parser.parse_args()
    print("pool | transform | mean cosine | same task | coverage in sd above random | tasks")
    for pool in pools(given.data, given.model, given.prompts):
        for line in measured(pool):
            print(line, flush=True)


def measured(pool: Pool) -> Iterator[str]:
    draws = {budget: random_draws(np.arange(len(pool.judged_by)), budget, draws=30) for budget in BUDGETS}
    chance = {b: np.array([one.coverage for one in standings(pool.judged_by, d)]) for b, d in draws.items()}
    for kind, dimensions in TRANSFORMS:
        if dimensions is not None and dimensions >= pool.chosen_by.shape[1]:
            continue
        fitted = fit_transform(pool.chosen_by, kind, dimensions=dimensions)
        embeddings = fitted.apply(pool.chosen_by)
        lie = geometry(embeddings, tasks=None if pool.tasks is None else pool.tasks.tolist())
        picks = facility_location(embeddings, BUDGETS[-1], kernel="cosine").indices
        covered = standings(pool.judged_by, [picks[:budget] for budget in BUDGETS])
        above = [
            (one.coverage - chance[b].mean()) / chance[b].std()
            for b, one in zip(BUDGETS, covered, strict=True)
        ]
        same = "" if lie.same_task is None else f"{lie.same_task:.1%}"
        tasks = "" if pool.tasks is None else len(set(pool.tasks[picks].tolist()))
        told = " / ".join(f"{value:.1f}" for value in above)
        name = kind if dimensions is None else f"{kind}, {dimensions}"
        yield f"{pool.name} | {name} | {lie.mean_cosine:.2f} | {same} | {told} | {tasks}"


def pools(data: Path, models: list[str], prompts: int) -> Iterator[Pool]:
    import pyarrow.parquet as pq

    generator = np.random.default_rng(3)

    def alike(name: str, matrix: np.ndarray, tasks: np.ndarray | None = None) -> Pool:
        return Pool(name, matrix, matrix, tasks)

    yield alike("Gaussian, 1,500 x 48", generator.normal(size=(1500, 48)))
    shares = 1 / np.arange(1, 41)
    labels = generator.choice(40, 1500, p=shares / shares.sum())
    noise = 0.3 * generator.normal(size=(1500, 48))
    yield alike("40 clusters by Zipf's law, 1,500", generator.normal(size=(40, 48))[labels] + noise, labels)
    groups = generator.choice(300, 1500)
    yield alike("one-hot, 300 groups", np.eye(300)[groups], groups)
    table = pq.read_table(data / T0, columns=["prompt", "task"])
    order = np.random.default_rng(0).permutation(table.num_rows)
    tasks = table["task"].to_numpy()
    minilm = np.load(data / MINILM, mmap_mode="r")
    rows = np.sort(order[:2000])
    whole = minilm[rows].astype(np.float32)
    yield alike("T0 by MiniLM, 2,000", whole, tasks[rows])
    yield alike(
        "400 prompts five times each", np.repeat(whole[:400], 5, axis=0), np.repeat(tasks[rows[:400]], 5)
    )
    study = Study.load("demo")
    yield demo(study)
    few = np.sort(order[:prompts])
    for model in models:
        matrix = embedded(model, study.model.template, table["prompt"].take(few).to_pylist(), 128)
        yield Pool(f"T0 by {Path(model).name}, {prompts}", matrix, minilm[few].astype(np.float32), tasks[few])


def demo(study: Study) -> Pool:
    from edsel_assets.planning.external import model_path
    from edsel_assets.stages.pools import read_study_pool

    table = read_study_pool(study).selectable
    limit = study.forward.max_prompt_tokens
    matrix = embedded(model_path(study), study.model.template, table["prompt"].to_pylist(), limit)
    return Pool(f"the demo, {table.num_rows:,}", matrix, matrix, table["task"].to_numpy())


def embedded(path: str, template: str, prompts: list[str], most: int) -> np.ndarray:
    """(n, d) last hidden states of the last tokens of prompts."""
    from edsel_assets.llm import forward_pool, load_model

    texts = [template.replace("{prompt}", prompt) for prompt in prompts]
    limits = {"max_new_tokens": 0, "max_prompt_tokens": most, "batch_tokens": 4096}
    records = forward_pool(*load_model(path, dtype="float32"), texts, prompt_likelihood=False, **limits)
    return np.stack([record.embedding for record in records])


if __name__ == "__main__":
    main()
