"""Trials of a known truth: curves of the budget, training seeds, and items that all trials share."""

import numpy as np
import pandas as pd


def simulate(
    truth: dict[str, dict[int, float]],
    seeds: dict[str, int],
    *,
    tasks: int = 1,
    items: int = 100,
    shared: float = 0.005,
    nested: float = 0.004,
    own: float = 0.006,
    interaction: float = 0.05,
    noise: float = 0.2,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(trial scores, item scores) with means ``truth[strategy][budget]`` and ``seeds[strategy]`` trials.

    Standard deviations: ``shared`` of a training seed's effect on every trial, ``nested`` on a
    strategy's budgets alike, ``own`` of a trial; by item: ``interaction`` of a cell, ``noise`` of a trial.
    """
    generator = np.random.default_rng(seed)
    everyone = shared * generator.standard_normal(max(seeds.values()))
    difficulty = 0.3 * generator.standard_normal((tasks, items))
    rows, by_item = [], []
    for strategy, curve in truth.items():
        alike = everyone[: seeds[strategy]] + nested * generator.standard_normal(seeds[strategy])
        for budget, mean in curve.items():
            cell = difficulty + interaction * generator.standard_normal((tasks, items))
            for s in range(seeds[strategy]):
                level = mean + alike[s] + own * generator.standard_normal()
                scores = level + cell + noise * generator.standard_normal((tasks, items))
                for t in range(tasks):
                    trial = {"strategy": strategy, "budget": budget, "seed": s, "task": f"task_{t}"}
                    value, spread = scores[t].mean(), scores[t].std(ddof=1)
                    stderr = spread / np.sqrt(items)
                    rows.append({**trial, "metric": "acc", "value": value, "stderr": stderr, "n": items})
                    by_item.append(pd.DataFrame({**trial, "item": range(items), "value": scores[t]}))
    return pd.DataFrame(rows), pd.concat(by_item, ignore_index=True)


def rising(budgets: list[int], step: float = 0.06, shift: float = 1.0) -> dict[int, float]:
    """0.3 at 100 prompts and ``step`` more with every doubling, as if ``shift`` times as many were bought."""
    return {b: 0.3 + step * float(np.log2(shift * b / 100)) for b in budgets}
