"""One finetuning in this process: encode, train, write; atomically, and resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from edsel_assets.store.atomic import atomic_path, sweep_temporaries

from ..models.split import SplitModel
from ..models.tokens import check_rows, max_positions
from ..reading.comparison import way_of
from . import processes
from .examples import encode_examples
from .learner import keep_random_state, model_to_train, save_adapter
from .loop import Trained, train
from .settings import LOG_FILE, Example, FinetuneResult, FinetuneSettings, batch_size_for, loss_fall


def run_finetuning(
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
    settings = settings.for_examples(len(encoded.sequences))
    check_rows(
        max(int(s.tokens.max()) for s in encoded.sequences), model.get_input_embeddings().weight.shape[0]
    )
    checkpoint = folder.parent / f".{folder.name}.checkpoint"
    dtype, way = model.dtype, way_of(SplitModel(model), [s.tokens for s in encoded.sequences])
    with (
        keep_random_state(model),
        model_to_train(model, settings, seed, keep_base=keep_base) as (learner, wrapper),
    ):
        trained = train(learner, encoded.sequences, settings, seed, checkpoint, progress, way.longest)
        state = processes.full_state(learner) if wrapper is None else {}
        if processes.rank() == 0:
            sweep_temporaries(folder.parent)  # of a run that was killed while it wrote
            with atomic_path(folder, directory=True) as unfinished:
                if wrapper is not None:
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
        batch_size=batch_size_for(len(encoded.sequences), settings.epochs, settings.batch_size),
        learning_rate=settings.peak_rate,
        loss_fall=loss_fall(trained.log, settings.epochs),
        peak_share=trained.peak_share,
        resumed_at=trained.resumed_at,
    )


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
        "loss_fall": loss_fall(trained.log, settings.epochs),
        "steps": trained.log,
    }
    (folder / LOG_FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
