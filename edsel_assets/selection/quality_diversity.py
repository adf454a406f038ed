"""Baselines that trade quality against diversity: Deita and QDIT (Yu et al. 2024, Section 3.3).

Symbols: N prompts, d dimensions, k budget, q quality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edsel_assets.selection.core import checks
from edsel_assets.selection.core.embeddings import as_embeddings
from edsel_assets.selection.core.ranking import Ranking
from edsel_assets.selection.facility.greedy import demand_units
from edsel_assets.selection.money import spending
from edsel_assets.selection.scores import top_scores

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Numbers, Rows

CANDIDATES = 1024  # prompts that one round of deita looks at
ENGINES = ("auto", "dense", "sparse", "blocked")  # of facility location; apricot takes no second term
ROUNDING = 1e-6  # of a cosine similarity in float32
PRODUCT_ROWS = 8192  # chosen prompts compared with them at a time


def deita(
    embeddings: Matrix,
    quality: Numbers,
    complexity: Numbers,
    budget: int,
    *,
    threshold: float = 0.9,
    selected: Rows = (),
    tie_break: Keys | None = None,
    device: str | torch.device = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Ranking:
    """The best by complexity x quality that are not near-duplicates of a better one (Liu et al. 2023).

    Prompts are taken by falling score; one is passed over if its cosine similarity to any prompt
    chosen before, or to any of ``selected``, is ``threshold`` or more. Where the pool runs out before the
    budget, the best of those passed over fill it, by score: the accepted come first.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        quality: (N,) at least 0, higher is better.
        complexity: (N,) at least 0, higher is more complex.
        budget: prompts to choose, at most N less the selected.
        threshold: cosine similarity in (-1, 1] from which two prompts count as the same.
        selected: rows annotated already; never returned.
        tie_break: (N,) unique keys; equal scores go by the lower key. Row order without it.
        device: "auto", "cpu", "cuda" or another torch device.
        progress: called with (prompts chosen, budget) after every round.

    Returns:
        A ranking whose gains are the scores (complexity x quality). ``details``: ``accepted``,
        ``passed_over`` and ``filled`` counts.

    Raises:
        ValueError: on bad embeddings, scores, threshold, budget, rows or keys.

    Time O(V k d) flops in matrix products for V prompts looked at, memory O(N + k d). Similarities are
    float32: 1e-6 under the threshold counts as reaching it, so that equal prompts do at threshold 1.
    """
    import torch

    if not -1 < threshold <= 1:
        raise ValueError(f"threshold must be a cosine similarity over -1, at most 1; got {threshold!r}.")
    pool = as_embeddings(embeddings, device=device)
    scores = checks.at_least_zero("quality", quality, pool.size) * checks.at_least_zero(
        "complexity", complexity, pool.size
    )
    rows = checks.selected_rows(selected, pool.size)
    budget = checks.budget_within(budget, pool.size, len(rows))
    by_score = np.lexsort((checks.tie_order(tie_break, pool.size), -scores))
    by_score = by_score[~np.isin(by_score, rows)]
    chosen = torch.empty((len(rows) + budget, pool.dim), device=pool.device)
    chosen[: len(rows)] = pool.rows(rows)
    accepted: list[int] = []
    passed: list[int] = []
    looked = 0
    while len(accepted) < budget and looked < len(by_score):
        batch = by_score[looked : looked + CANDIDATES]
        points = pool.rows(batch)
        fresh = _unlike(points, chosen[: len(rows) + len(accepted)], threshold)
        kept = _first_of_kind(points, fresh, threshold, budget - len(accepted))
        last = kept[-1] + 1 if kept and len(accepted) + len(kept) == budget else len(batch)
        looked += last
        at = len(rows) + len(accepted)
        chosen[at : at + len(kept)] = points[kept]
        accepted += batch[kept].tolist()
        passed += batch[np.setdiff1d(np.arange(last), kept)].tolist()
        if progress is not None:
            progress(len(accepted), budget)
    filled = passed[: budget - len(accepted)]
    indices = np.array(accepted + filled, dtype=np.int64)
    counts = {"accepted": len(accepted), "passed_over": len(passed), "filled": len(filled)}
    return Ranking(indices, scores[indices], details=dict(counts))


def _unlike(points: torch.Tensor, chosen: torch.Tensor, threshold: float) -> np.ndarray:
    """(B,) bool, whether a candidate is below the threshold to everything chosen."""
    import torch

    fresh = torch.ones(len(points), dtype=torch.bool, device=points.device)
    for start in range(0, len(chosen), PRODUCT_ROWS):
        fresh &= (points @ chosen[start : start + PRODUCT_ROWS].T).amax(1) < threshold - ROUNDING
    return fresh.cpu().numpy()


def _first_of_kind(points: torch.Tensor, fresh: np.ndarray, threshold: float, limit: int) -> list[int]:
    """Up to ``limit`` candidates in order, each below the threshold to those kept before."""
    alike = (points @ points.T >= threshold - ROUNDING).cpu().numpy()
    fresh = fresh.copy()
    kept: list[int] = []
    for candidate in range(len(fresh)):
        if fresh[candidate]:
            kept.append(candidate)
            if len(kept) == limit:
                break
            fresh &= ~alike[candidate]
    return kept


def qdit(
    embeddings: Matrix,
    quality: Numbers,
    budget: float,
    *,
    alpha: float = 0.7,
    selected: Rows = (),
    tie_break: Keys | None = None,
    engine: str = "auto",
    memory_limit: int | None = None,
    device: str | torch.device = "auto",
    prices: Numbers | None = None,
    progress: Callable[[int, int], None] | None = None,
    begun: Ranking | None = None,
    demand: Numbers | None = None,
) -> Ranking:
    """Greedy on (1 - alpha) x facility location + alpha x quality (Bukharin & Zhao 2023).

    F(S) = (1 - alpha) sum_i a_i max_{j in S} max(0, cos(x_i, x_j)) + alpha sum_{j in S} q_j. The
    diversity term counts prompts of the pool that a pick brings nearer, so its first gains are of
    the order of N and its late ones below 1, while q keeps its own scale: rescale q to set at
    what point of the ranking quality takes over.

    Args:
        embeddings: (N, d) array or tensor of float16, bfloat16, float32 or float64.
        quality: (N,) at least 0, higher is better.
        budget: prompts to choose, at most N less the selected; with ``prices``, money.
        alpha: weight of quality in [0, 1]; 0 is facility location, 1 is the top by quality.
        selected: rows annotated already: never returned, and they cover the pool already.
        tie_break: (N,) unique keys; equal gains go by the lower key. Row order without it.
        engine, memory_limit, prices: as in :func:`facility_location`, apricot aside.
        device: "auto", "cpu", "cuda" or another torch device.
        progress: called with (prompts chosen, budget).
        begun, demand: as in :func:`facility_location`.

    Returns:
        A ranking with F as objective (counted with the selected prompts) and a certified bound.

    Raises:
        ValueError: on an alpha outside [0, 1] or any bad argument.

    Time and memory as facility location with the cosine kernel: the quality term is modular and
    costs nothing more.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be a weight from 0 to 1; got {alpha!r}.")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {ENGINES}; got {engine!r}.")
    pool = as_embeddings(embeddings, device=device)
    values = checks.at_least_zero("quality", quality, pool.size)
    rows = checks.selected_rows(selected, pool.size)
    costs = None
    if prices is None:
        budget = checks.budget_within(budget, pool.size, len(rows))
    else:
        costs, budget = spending.checked(prices, budget, pool.size)
    units = demand_units(demand, pool.size)
    priority = checks.tie_order(tie_break, pool.size)
    if alpha == 1:
        if costs is not None:
            return spending.top_worth(values, costs, budget, exclude=rows, tie_break=priority)
        return top_scores(values, int(budget), exclude=rows, tie_break=priority)
    # torch and the compiled parts take seconds to import: only who runs this pays for them.
    order = np.argsort(priority, kind="stable")
    bonus, scale = values * (alpha / (1 - alpha)), 1 - alpha
    if costs is None:
        from edsel_assets.selection.facility.engines import Start
        from edsel_assets.selection.facility.run import greedy_with_bonus
        from edsel_assets.selection.facility.similarity import DEMAND_UNIT, UNIT

        unit = UNIT if units is None else UNIT * DEMAND_UNIT
        start = None if begun is None else Start.of(begun, priority, int(budget), unit, scale)
        outcome, name = greedy_with_bonus(
            pool, bonus, int(budget), priority[rows], order, engine, memory_limit, progress, start, units
        )
    else:
        from edsel_assets.selection.money.knapsack import bonus_for_money

        outcome, name = bonus_for_money(
            pool, bonus, costs, budget, priority[rows], order, engine, memory_limit, progress, units
        )
    details = dict(outcome.details)
    if "curves" in details:
        details["curves"] = spending.scaled(details["curves"], scale)
    return Ranking(
        order[outcome.picks],
        outcome.gains * scale,
        outcome.objective * scale,
        outcome.upper_bound * scale,
        {"alpha": alpha, "engine": name, **details},
    )
