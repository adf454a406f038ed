"""A check of what a training did: whether the loss fell. It warns, and names the remedy."""

from __future__ import annotations

import json
from pathlib import Path

from edsel_assets.llm.training.settings import LEAST_FALL, LOG_FILE, FinetuneResult
from edsel_assets.stages.checks import Finding

REMEDY = "Raise finetuning.learning_rate or finetuning.epochs, or lower finetuning.batch_size"


def loss_fell(result: FinetuneResult) -> Finding:
    """The mean loss of the last epoch is at least ``LEAST_FALL`` below that of the first."""
    figures: dict[str, int | float | str] = {
        "loss_fall": result.loss_fall,
        "steps": result.steps,
        "batch_size": result.batch_size,
        "learning_rate": result.learning_rate,
    }
    if result.loss_fall >= LEAST_FALL:
        return Finding(figures=figures)
    return Finding(
        f"Next to nothing was learnt: the loss fell by {result.loss_fall:.1%}, less than {LEAST_FALL:.0%}, "
        f"in {result.steps} steps of {result.batch_size} examples at rate {result.learning_rate:g}. "
        f"{REMEDY}.",
        figures,
    )


def training_fall(folder: Path) -> float | None:
    """By which share the loss of a training fell, by its log; None for what is no training."""
    log = folder / LOG_FILE
    if not log.is_file():
        return None
    fall = json.loads(log.read_text(encoding="utf-8"))["loss_fall"]
    return float(fall)
