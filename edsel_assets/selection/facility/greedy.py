"""Greedy facility location: prompts that stand for the whole pool (Bhatt et al. 2024, Eqs. 3 and 4)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edsel_assets.selection.core import checks, draws
from edsel_assets.selection.core.embeddings import Embeddings, as_embeddings
from edsel_assets.selection.core.ranking import Ranking
from edsel_assets.selection.core.scale import scale_of
from edsel_assets.selection.money import spending

if TYPE_CHECKING:
    import torch

    from edsel_assets.selection.core.inputs import Keys, Matrix, Numbers, Rows
    from edsel_assets.selection.facility.run import Outcome

KERNELS = ("rbf", "cosine")
MOST_UNSEEN = 0.5  # of the pool: with more at similarity 0 to every pick, the kernel is too narrow


class NarrowKernel(UserWarning):
    """A kernel so narrow that most prompts count for nothing in the choice."""


def facility_location(
    embeddings: Matrix,
    budget: float,
    *,
    kernel: str = "rbf",
    gamma: float | Literal["auto"] = "auto",
    utility: Numbers | None = None,
    utility_weight: float = 1.0,
    selected: Rows = (),
    tie_break: Keys | None = None,
    normalise: bool = True,
    engine: str = "auto",
    memory_limit: int | None = None,
    device: str | torch.device = "auto",
    stochastic: float | None = None,
    seed: int | None = None,
    prices: Numbers | None = None,
    progress: Callable[[int, int], None] | None = None,
    begun: Ranking | None = None,
    demand: Numbers | None = None,
    sample: int | None = None,
) -> Ranking:
    """Choose ``budget`` prompts that greedily maximise how well the pool is covered (higher is better).

    F(S) = sum over the pool of a_i max over j in S of w_ij + utility_weight * log(1 + sum of u over S),
    with w = exp(-|x_i - x_j|^2 / gamma) or max(0, cosine), in [0, 1] (Bhatt et al. 2024, Eq. 3, with
    the log term Eq. 4). F is monotone submodular, whatever the demand weights a: greedy reaches at least
    1 - 1/e of the best (Nemhauser et al. 1978), and the ranking at a large budget holds each smaller one as
    its prefix.

    Args:
        embeddings: (N, d) array or tensor, float16, bfloat16, float32 or float64, also memory-mapped.
        budget: how many prompts to choose beside ``selected``, at most N less those; with ``prices``, the
            money that they may cost.
        kernel: ``"rbf"`` or ``"cosine"``.
        gamma: width of the RBF kernel, in squared distance, over 0; or ``"auto"``, the pool's own scale
            (:func:`auto_gamma`). ``details`` has what it came to. Cosine does not use it.
        utility: (N,) numbers u >= 0, higher is preferred; None leaves the log term out.
        utility_weight: lambda >= 0, the weight of the log term.
        selected: rows chosen already: they count as chosen, are never returned, and every gain is
            conditioned on them.
        tie_break: (N,) unique sortable keys; equal gains go by the lower key. With it the ranking
            does not depend on row order. Row order without it.
        normalise: scale rows to unit norm before the RBF kernel. Cosine always does.
        engine: ``"dense"`` holds the similarity (4 N^2 bytes), ``"sparse"`` the pairs near enough to
            matter, ``"blocked"`` computes rows as it needs them, ``"apricot"`` is the reference
            (24 N^2 bytes; no utility). These choose alike, up to gains that float32 products cannot tell
            apart (about 1e-6 relative). Two choose for a sample of the points in demand, and nearly as
            well: ``"sampled"`` among prompts drawn at random, for few picks, ``"partitioned"`` among what
            greedy finds in random parts of the pool, for many. ``"auto"`` takes the fastest exact one that
            ``memory_limit`` allows; above 2e14 operations N^2 d (1e16 on a GPU) one of the last two.
        memory_limit: bytes; four fifths of what is free on the device where None.
        device: ``"auto"``, ``"cpu"`` or a CUDA device.
        stochastic: an epsilon in (0, 1): stochastic greedy (Mirzasoleiman et al. 2015), which looks
            at N / budget * log(1 / epsilon) random candidates a step and reaches 1 - 1/e - epsilon in
            expectation. Not exact, not nested, and labelled in ``details``; needs ``seed``.
        seed: of the draws of ``stochastic``, or of the engines that draw (0 where None).
        prices: (N,) what each prompt costs, at least 0. The choice is then the better of greedy by gain per
            price and greedy by gain, each passing over what cannot be paid: at least (1 - 1/e) / 2 of the
            best (Leskovec et al. 2007, Khuller et al. 1999, Krause and Guestrin 2005). Gains may rise, and
            a larger budget may choose others. ``details`` has both runs' objective by money spent.
        progress: called with (picked, budget).
        begun: a ranking by the same arguments at a smaller budget, whose first picks need not be found
            again. The result is the same but for ``upper_bound``, which may be higher. One of another width
            is left aside, as is any by the engines that draw: their rankings are not nested in each other.
        demand: (N,) demand weights a_i >= 0: how much it counts that prompt i is covered. They are scaled to
            mean 1 and rounded to 2^-12. None counts all alike, as equal weights do to the last bit.
        sample: points of each sample of the engines that draw, and prompts of a part; 50,000 where None.

    Returns:
        A ranking with ``objective`` F(selected and picks) over the untruncated kernel and a certified
        ``upper_bound`` over all choices of ``budget`` prompts given ``selected``. Of the RBF kernel,
        ``details`` has ``gamma`` and ``unseen``, the share of the pool at similarity 0 to every pick.
        Of the engines that draw, ``objective`` is an estimate from a second sample, ``objective_error`` in
        ``details`` its standard error, and the bound holds with the ``confidence`` there; ``certified`` is
        the share of the best that the choice reaches at least, with that confidence.

    Raises:
        ValueError: on any argument outside the above, before any work.

    Warns:
        NarrowKernel: where most of the pool is unseen, so that picks stand for themselves alone and go by
            ``tie_break``. ``details`` has the text as ``warning``.

    The engines that draw read the pool block by block and hold nothing of its size but vectors: a part takes
    one product of M x M, the bound one of N x M (M: ``sample``).

    Weights are rounded to 2^-20, so that gains are exact integer sums, and the float32 products behind
    them are good to about 1e-6. Time on a CPU: half an N x N product, N^2 d operations, for a narrow
    RBF kernel; about ln(picks until the pairs fit) + 3/2 products for cosine or a wide one. Memory:
    4 N d bytes for the points and up to 32 for each pair that matters, or 4 N^2 in the dense engine.
    """
    _check_settings(kernel, gamma, engine, stochastic, seed, memory_limit, sample)
    views = as_embeddings(embeddings, normalise=normalise or kernel == "cosine", device=device)
    chosen = checks.selected_rows(selected, views.size)
    costs = None
    if prices is None:
        budget = checks.budget_within(budget, views.size, len(chosen))
    else:
        costs, budget = spending.checked(prices, budget, views.size)
        _no_sample(stochastic)
    weight, values = _utility(utility, utility_weight, views.size)
    units = demand_units(demand, views.size)
    if engine == "apricot" and costs is None and not (values is None and units is None):
        raise ValueError("engine='apricot' takes neither a utility nor a demand; choose another engine.")
    # Everything below works in priority order, so that equal gains go to the lower row.
    priority = checks.tie_order(tie_break, views.size)
    order = np.argsort(priority, kind="stable")

    # torch and the compiled parts take seconds to import: only who runs this pays for them.
    from edsel_assets.selection.facility.engines import (
        LARGE,
        SAMPLE,
        Job,
        Start,
        choose_engine,
        choose_full_engine,
        large_engine,
        memory_of,
    )
    from edsel_assets.selection.facility.objective import Utility
    from edsel_assets.selection.facility.run import run
    from edsel_assets.selection.facility.similarity import make_kernel

    limit = memory_of(views.device) if memory_limit is None else memory_limit
    if costs is None and stochastic is None:
        engine = large_engine(engine, views.size, views.dim, int(budget), sample or SAMPLE, views.device)
    if engine in LARGE:
        from edsel_assets.selection.facility.large import Task, choose_large

        if costs is not None:
            raise ValueError(
                f"engine={engine!r} counts prompts, not money; choose another engine, or no prices."
            )
        width = _width(views, kernel, gamma)
        return choose_large(
            Task(
                views, kernel, width, order, units, values, weight, chosen, int(budget), sample or SAMPLE,
                seed or 0, limit, progress,
            ),
            engine,
        )  # fmt: skip
    place = (engine, views.size, views.dim, limit, views.device)
    name = choose_engine(*place, stochastic is not None) if costs is None else choose_full_engine(*place)
    width = _width(views, kernel, gamma)
    built = make_kernel(views, kernel, width, None if tie_break is None else order, units)
    chosen = priority[chosen]
    sampling = None
    if stochastic is not None and seed is not None:
        keys = draws.keys_of(tie_break, views.size)[order]
        sampling = float(stochastic), draws.keyed_words(seed, keys, "stochastic greedy")
    term = Utility(None if values is None else values[order], weight, chosen, built.demand_unit)
    if costs is None:
        same = begun is not None and begun.details.get("gamma", width) == width
        known = begun if same else None
        start = None if known is None else Start.of(known, priority, int(budget), built.unit)
        outcome = run(Job(built, term, chosen, int(budget), name, limit, sampling, progress, start))
    else:
        from edsel_assets.selection.money.knapsack import run_for_money

        # Progress is in hundredths of the money.
        job = Job(built, term, chosen, 100, name, limit, None, progress)
        outcome = run_for_money(job, costs[order], budget)
    details = {
        "engine": name,
        "kernel": kernel,
        "device": str(views.device),
        "greedy": "exact" if stochastic is None else "stochastic",
        **({} if stochastic is None else {"epsilon": stochastic, "seed": seed}),
        **outcome.details,
        **(_sight(views, width, outcome) if kernel == "rbf" else {}),
    }
    return Ranking(order[outcome.picks], outcome.gains, outcome.objective, outcome.upper_bound, details)


def _width(pool: Embeddings, kernel: str, gamma: float | Literal["auto"]) -> float:
    """The RBF kernel's width; 1 for cosine, which has none."""
    if kernel == "cosine":
        return 1.0
    return scale_of(pool) if isinstance(gamma, str) else float(gamma)


def _sight(pool: Embeddings, gamma: float, outcome: Outcome) -> dict[str, object]:
    """What ``details`` say of a width; warns where it is too narrow."""
    details: dict[str, object] = {"gamma": gamma, "unseen": round(outcome.unseen, 6)}
    if len(outcome.picks) and outcome.unseen > MOST_UNSEEN:
        details["warning"] = (
            f"gamma {gamma:g} is too narrow for these embeddings: {outcome.unseen:.0%} of the prompts have "
            "similarity 0 to every pick and count for nothing in the choice. Use gamma='auto', which is "
            f"{scale_of(pool):g} here."
        )
        warnings.warn(str(details["warning"]), NarrowKernel, stacklevel=3)
    return details


def _check_settings(
    kernel: str,
    gamma: object,
    engine: str,
    stochastic: float | None,
    seed: int | None,
    limit: int | None,
    sample: int | None,
) -> None:
    """Check the arguments that need no pool."""
    from edsel_assets.selection.facility.engines import ENGINES, LARGE

    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {KERNELS}; got {kernel!r}.")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {ENGINES}; got {engine!r}.")
    if not _is_auto(gamma) and not (_is_number(gamma) and gamma > 0):  # type: ignore[operator]
        raise ValueError(
            f"gamma must be 'auto' or a finite number over 0, a squared distance; got {gamma!r}."
        )
    if limit is not None:
        checks.whole_number("memory_limit", limit, 1)
    if sample is not None:
        checks.whole_number("sample", sample, 1)
    if seed is not None:
        checks.whole_number("seed", seed, 0)
    if stochastic is None:
        if seed is not None and engine not in LARGE:
            raise ValueError(
                f"seed is of stochastic and of the engines {LARGE}; pass one, or leave seed out."
            )
        return
    if not 0 < stochastic < 1:
        raise ValueError(f"stochastic must be an epsilon between 0 and 1; got {stochastic!r}.")
    if seed is None:
        raise ValueError("stochastic greedy needs a seed, so that a run can be repeated; pass seed.")
    if engine in ("apricot", "sparse", *LARGE):
        raise ValueError(f"engine={engine!r} does not take stochastic; choose dense, blocked or auto.")


def _no_sample(stochastic: float | None) -> None:
    if stochastic is not None:
        raise ValueError("stochastic greedy counts prompts, not money; leave out stochastic or prices.")


def _is_auto(gamma: object) -> bool:
    return isinstance(gamma, str) and gamma == "auto"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and bool(np.isfinite(value))


def demand_units(demand: Any, size: int) -> np.ndarray | None:
    """(N,) int64 demand weights of mean 1, in units of 1 / DEMAND_UNIT; None where all count alike.

    Raises:
        ValueError: on weights that are not (N,) finite numbers of at least 0, or all 0.
    """
    from edsel_assets.selection.facility.similarity import DEMAND_UNIT

    if demand is None:
        return None
    weights = checks.at_least_zero("demand", demand, size)
    if size and not weights.any():
        raise ValueError("demand must be over 0 for some prompt; all weights are 0. Leave demand out.")
    if not size or (weights == weights[0]).all():
        return None
    return np.rint(weights / weights.mean() * DEMAND_UNIT).astype(np.int64)


def _utility(utility: Any, weight: float, size: int) -> tuple[float, np.ndarray | None]:
    if not (_is_number(weight) and weight >= 0):
        raise ValueError(f"utility_weight must be a finite number of at least 0; got {weight!r}.")
    if utility is None:
        return float(weight), None
    values = checks.finite_vector("utility", utility, size)
    negative = np.flatnonzero(values < 0)
    if negative.size:
        raise ValueError(
            f"utility must not be negative, or log(1 + sum u) is undefined; rows {negative[:5].tolist()} are "
            f"({negative.size} in all). Shift it, as 1 - margin does for a margin."
        )
    from edsel_assets.selection.facility.objective import LARGEST_TERM

    if not weight * np.log1p(values.sum()) < LARGEST_TERM:
        raise ValueError(
            f"utility_weight * log(1 + sum u) must stay under {LARGEST_TERM:.0e}; got weight {weight} "
            f"and a sum of {values.sum():.3g}. Scale them down."
        )
    return float(weight), values
