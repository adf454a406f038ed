"""Finetuning: response-only, seeded, resumable; the base model is shared and keeps its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .launching import launch
from .loop import planned_steps
from .run import run_finetuning
from .settings import Example, FinetuneResult, FinetuneSettings

__all__ = ["Example", "FinetuneResult", "FinetuneSettings", "finetune", "planned_steps"]


def finetune(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: FinetuneSettings,
    *,
    seed: int,
    output_dir: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> FinetuneResult:
    """Minimise the mean of -log p(response token | all before it), end token included, with AdamW.

    The mean is over all response tokens of an optimizer step's batch, however the batch is cut into forward
    passes. Each epoch visits the examples in an order drawn from ``seed``.

    Writes ``output_dir`` atomically, replacing what is there: a peft adapter, or for method ``full`` a
    checkpoint with tokenizer, and ``training_log.json``. With ``checkpoint_steps``, a killed run goes on
    from its last checkpoint (a hidden file beside ``output_dir``) and ends in the same bytes as one that was
    not killed. The same arguments on the same machine and thread count give the same weights, byte for byte.

    ``model`` is a causal language model without adapters. Its weights, flags and configuration are the same
    after the call, so that many runs share it. ``progress`` is called with (steps done, steps in all).

    Raises ``ValueError`` before any training for no examples, for none that fits ``max_length``, and for a
    warm-up longer than the run; ``MemoryError`` where a GPU runs out, with the settings to lower.

    Time is about 6 P (``full``) or 4 P (adapters) operations per token for P weights. Memory beside the
    model: adapters, their gradients and moments; activations of ``micro_batch_tokens`` tokens and logits of
    those of them that are responses. ``full`` adds 16 bytes per weight.
    """
    folder = Path(output_dir).resolve()
    if not examples:
        raise ValueError("no examples to finetune on; got an empty list.")
    planned_steps(len(examples), settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if settings.launcher == "accelerate":
        return launch(model, tokenizer, examples, settings, seed, folder, progress)
    return run_finetuning(model, tokenizer, examples, settings, seed, folder, progress)
