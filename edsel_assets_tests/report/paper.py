"""Table 1 (MMLU) of Bhatt et al. 2024 as trials: seeds whose mean and standard error are the paper's."""

import numpy as np
import pandas as pd

BUDGETS = (20_000, 30_000, 45_000)
MMLU = {
    "mean_entropy": (3, (43.85, 0.14), (45.38, 0.21), (46.45, 0.34)),
    "min_margin": (3, (44.55, 0.32), (45.62, 0.14), (45.31, 0.14)),
    "fl_rbf": (3, (45.08, 0.33), (47.12, 0.35), (47.63, 0.24)),
    "random": (6, (44.33, 0.32), (44.91, 0.50), (45.99, 0.37), (47.76, 0.57)),
}


def cell(strategy: str, budget: int, n: int, mean: float, se: float, task: str = "mmlu") -> list[dict]:
    """``n`` trials of exactly this mean and standard error."""
    spread = np.arange(n) - (n - 1) / 2
    values = mean + se * np.sqrt(n) * spread / spread.std(ddof=1) if n > 1 else [mean]
    return [
        {"strategy": strategy, "budget": budget, "seed": i, "task": task, "metric": "acc", "value": float(v)}
        for i, v in enumerate(values)
    ]


def mmlu() -> pd.DataFrame:
    rows = cell("base", 0, 1, 37.58, 0.0)
    for strategy, (n, *scores) in MMLU.items():
        for budget, (mean, se) in zip((*BUDGETS, 90_000), scores, strict=False):
            rows += cell(strategy, budget, n, mean, se)
    return pd.DataFrame(rows)
