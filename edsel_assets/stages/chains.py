"""The last model of a chain of rounds: trained on from what the rounds before it left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edsel_assets.llm.models.adapters import ADAPTER_CONFIG
from edsel_assets.stages.trials import adapted_chain, finetuned


@contextmanager
def scored_chain(model: Any, chain: Sequence[Path]) -> Iterator[Any]:
    """The last model of a chain, made as trials are scored: adapters beside a base in its own format.

    Several adapters count as their sum, which is one.
    """
    from edsel_assets.llm import sum_adapters

    whole = [place for place, path in enumerate(chain) if not (path / ADAPTER_CONFIG).is_file()]
    if whole or len(chain) == 1:
        with finetuned(model, chain[-1]) as scored:
            yield scored
        return
    with TemporaryDirectory() as folder:
        sum_adapters(chain, folder)
        with finetuned(model, Path(folder)) as scored:
            yield scored


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
