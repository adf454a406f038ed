"""Learning-rate schedules, and how many warm-up steps a run takes."""

from __future__ import annotations

import math


def warmup_steps(warmup: float | int, total_steps: int) -> int:
    """Warm-up in optimizer steps.

    A float is a share of the run, rounded up but always shorter than the run. An int is taken as it is, and
    refused when the run has no more steps than that: the learning rate would never reach its peak.
    """
    if isinstance(warmup, float):
        return min(math.ceil(warmup * total_steps), total_steps - 1)
    if warmup >= total_steps > 0 and warmup > 0:
        raise ValueError(
            f"the warm-up must be shorter than the run; got {warmup} steps of {total_steps} "
            "(epochs x examples / batch_size). Give warmup as a share of the run (0.03), or fewer steps."
        )
    return warmup


def rate_factor(schedule: str, step: int, total_steps: int, warmup: int) -> float:
    """Share of the peak learning rate at ``step`` (from 0).

    Rises over the warm-up as (step + 1) / (warmup + 1), so that no step is spent at rate zero, then holds
    (``constant``) or falls towards 0, which it would reach at ``total_steps``, in a line (``linear``) or half
    a cosine (``cosine``).
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total_steps - warmup)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - done
    return 0.5 * (1.0 + math.cos(math.pi * done))
