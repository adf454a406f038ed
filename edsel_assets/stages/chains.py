"""The last model of a chain of rounds: trained on from what the rounds before it left."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edsel_assets.stages.trials import adapted_chain


def continue_chain(
    model: Any,
    tokenizer: Any,
    chain: Sequence[Path],
    examples: Sequence[Any],
    settings: Any,
    *,
    seed: int,
    folder: Path,
) -> Any:
    """Finetune from the last of ``chain`` and write a model of the base to ``folder``; the training's result.

    An adapter that goes on from others is written as the sum of all of them, so that whoever scores it puts
    one adapter on the base; a full checkpoint is whole as it is.

    Args:
        chain: what each round left, first to last: adapters, or full checkpoints.
        settings: of the engine; see ``finetune_settings``.
    """
    from edsel_assets.llm import finetune, sum_adapters

    if settings.method == "full":
        with adapted_chain(model, chain) as start:
            return finetune(start, tokenizer, examples, settings, seed=seed, output_dir=folder)
    part = folder.parent / f".{folder.name}.last"
    with adapted_chain(model, chain) as start:
        result = finetune(start, tokenizer, examples, settings, seed=seed, output_dir=part)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(part, folder)
    sum_adapters([*chain, part], folder)
    shutil.rmtree(part)
    return result
