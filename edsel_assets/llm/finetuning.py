"""Finetuning: packed, response-only, seeded, resumable; the base model is shared and left as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from . import processes
from ._tokens import max_positions
from .adapters import model_to_train, save_adapter, seeded
from .finetune_settings import Example, FinetuneResult, FinetuneSettings
from .packing import encode_examples
from .training import Trained, planned_steps, train

__all__ = ["Example", "FinetuneResult", "FinetuneSettings", "finetune", "planned_steps"]

LOG_FILE = "training_log.json"


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
    passes, packed or padded. Each epoch visits the examples in an order drawn from ``seed``.

    Writes ``output_dir`` atomically, replacing what is there: a peft adapter, or for method ``full`` a
    checkpoint with tokenizer, and ``training_log.json``. With ``checkpoint_steps``, a killed run goes on
    from its last checkpoint (a hidden file beside ``output_dir``) and ends in the same bytes as one that was
    not killed. The same arguments on the same machine and thread count give the same weights, byte for byte.

    ``model`` is a causal language model without adapters. It ends as it was, so that many runs share it.
    ``progress`` is called with (steps done, steps in all).

    Raises ``ValueError`` before any training for no examples, for none that fits ``max_length``, for a
    warm-up longer than the run, and for a model whose attention cannot be packed; ``MemoryError`` where a
    GPU runs out, with the settings to lower.

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
        from .launching import launch

        return launch(model, tokenizer, examples, settings, seed, folder, progress)
    return finetune_here(model, tokenizer, examples, settings, seed, folder, progress)


def finetune_here(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: FinetuneSettings,
    seed: int,
    folder: Path,
    progress: Callable[[int, int], None] | None,
    *,
    keep_base: bool = True,
) -> FinetuneResult:
    """``finetune`` in this process, which may be one of a process group; the first of them writes."""
    began = perf_counter()
    length = min(settings.max_length, max_positions(model) or settings.max_length)
    encoded = encode_examples(tokenizer, examples, length)
    if not encoded.sequences:
        raise ValueError(
            f"no example fits: every prompt takes {length} tokens or more. "
            "Raise max_length (within the model's context), or shorten the prompts."
        )
    checkpoint = folder.parent / f".{folder.name}.checkpoint"
    dtype = model.dtype
    with seeded(model), model_to_train(model, settings, seed, keep_base=keep_base) as (learner, wrapper):
        trained = train(learner, encoded.sequences, settings, seed, checkpoint, progress)
        state = processes.whole_state(learner) if wrapper is None else None
        if processes.rank() == 0:
            with _written_atomically(folder) as unfinished:
                if state is None:
                    save_adapter(wrapper, unfinished)
                else:
                    learner.save_pretrained(
                        unfinished, state_dict={name: tensor.to(dtype) for name, tensor in state.items()}
                    )
                    tokenizer.save_pretrained(unfinished)
                _write_log(unfinished, trained, settings, seed)
            checkpoint.unlink(missing_ok=True)
    return FinetuneResult(
        path=folder,
        log=trained.log,
        tokens_per_second=trained.tokens_per_second,
        steps=len(trained.log),
        final_loss=trained.log[-1]["loss"],
        seconds=perf_counter() - began,
        truncated=encoded.truncated,
        dropped=encoded.dropped,
        peak_share=trained.peak_share,
        resumed_at=trained.resumed_at,
    )


@contextmanager
def _written_atomically(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes the name ``folder`` once it is whole; an older one is replaced."""
    unfinished = folder.parent / f".{folder.name}.partial"
    former = folder.parent / f".{folder.name}.former"
    for left_over in (unfinished, former):  # of a run that was killed while it wrote
        shutil.rmtree(left_over, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        if folder.exists():
            folder.rename(former)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def _write_log(folder: Path, trained: Trained, settings: FinetuneSettings, seed: int) -> None:
    import peft
    import torch
    import transformers

    values = {
        "settings": settings.to_dict(),
        "seed": seed,
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "tokens_per_second": trained.tokens_per_second,
        "seconds": trained.seconds,
        "peak_share": trained.peak_share,
        "steps": trained.log,
    }
    (folder / LOG_FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
