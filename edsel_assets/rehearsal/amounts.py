"""What a full study takes, by stated formulas: tokens, operations, memory. Coarse: it tells hours from weeks.

Symbols: P weights of the base model, of which T are trained; h its width, L its layers, V its vocabulary.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edsel_assets.kinds.assets import Cells
from edsel_assets.kinds.work import CHARACTERS_PER_TOKEN, Lengths, Work, operations_per_weight
from edsel_assets.llm.reading.way import DECODE_MULTIPLE
from edsel_assets.planning.estimates import GPU_RATE, assumed_lengths, model_weights, size_in_name
from edsel_assets.planning.external import model_path
from edsel_assets.rehearsal.pool import PoolFacts
from edsel_assets.study import Study

_USUAL_LAYERS = 32
_LINEAR_PER_LAYER = 7  # of a Llama
_MICRO_BATCH = 16_384  # tokens, where the study does not say
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "auto": 2}
#: A100-hours of a trial with its evaluation by budget, LoRA on 7B (Bhatt et al. 2024, Section 5).
_PAPER_BUDGETS, _PAPER_HOURS = (30_000, 45_000, 90_000), (9.0, 15.0, 24.0)
PAPER_EMBEDDING_HOURS = 12.0


def lengths_of(study: Study, pool: PoolFacts | None) -> Lengths:
    """By the pool, or assumed where it is not here."""
    if pool is None:
        return assumed_lengths(study)
    prompt, response = pool.prompt_characters, pool.response_characters
    return Lengths(pool.prompts, prompt / CHARACTERS_PER_TOKEN, response / CHARACTERS_PER_TOKEN)


def trials(study: Study) -> list[tuple[str, int]]:
    """(strategy, budget) of every trial of the study."""
    selection = study.selection
    return [
        (name, budget)
        for name in selection.names
        for budget in selection.budgets_for(name)
        for _ in study.seeds(name)
    ]


def work_of(study: Study, lengths: Lengths) -> list[Work]:
    """What the models of the study's own do, over all that a run makes; a pass with kept rows counts once."""
    table = Cells(study)
    found: list[Work] = []
    kept: dict[str, Work] = {}
    for name, key in sorted(table.made, key=str):
        asset = table.assets[name]
        work = asset.kind.work(study, lengths, asset.at(key)) if asset.kind.work else None
        if work is not None and work.kept:
            kept[work.kept] = work
        elif work is not None:
            found.append(work)
    return [*kept.values(), *found]


def read_tokens(study: Study, lengths: Lengths) -> float:
    """Tokens that the base model reads and writes."""
    return sum(work.tokens for work in work_of(study, lengths) if not work.trained)


def trained_tokens(study: Study, lengths: Lengths) -> float:
    """Tokens that trials and rounds are trained on, once for each epoch."""
    return sum(work.tokens for work in work_of(study, lengths) if work.trained)


def embedded_tokens(study: Study, lengths: Lengths) -> float:
    """Tokens that embedding models other than the base model read."""
    return sum(
        (lengths.prompts or 0) * (lengths.prompt + lengths.response * (embeddings.input == "prompt_response"))
        for embeddings in (study.embeddings, *study.other_embeddings.values())
        if embeddings.source not in ("model", "file")
    )


@dataclass(frozen=True)
class Shape:
    """Of the base model; ``source`` says how it is known."""

    weights: float
    width: int
    layers: int
    vocabulary: int
    source: str

    @classmethod
    def of(cls, study: Study) -> Shape | None:
        """From the model's files, else from the size in its name (``7b``); None where neither tells."""
        path = model_path(study)
        weights, source = model_weights(path), "its files"
        if weights is None:
            weights, source = size_in_name(study.model.path), "its name"
        if weights is None:
            return None
        config = _config(Path(path))
        layers = int(config.get("num_hidden_layers", _USUAL_LAYERS))
        width = int(config.get("hidden_size", math.sqrt(weights / (12 * layers))))
        return cls(weights, width, layers, int(config.get("vocab_size", 32_000)), source)


def _config(folder: Path) -> dict[str, int]:
    file = folder / "config.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


@dataclass(frozen=True)
class Memory:
    """Bytes of one GPU while training, and the words of the formula."""

    weights: float
    state: float
    activations: float
    formula: str

    @property
    def total(self) -> float:
        return self.weights + self.state + self.activations


def memory(study: Study, shape: Shape) -> Memory:
    """Memory of the fullest GPU: base model, trained weights with their gradients and moments, activations.

    Activations by Korthikanti et al. 2022: 34 h bytes per token and layer in 16 bits, without the attention
    matrix; with checkpointing 2 h per layer and the whole of one layer; and float32 logits twice.
    """
    tuning = study.finetuning
    trained = shape.weights if tuning.method == "full" else _adapter_weights(study, shape)
    shards = tuning.processes if tuning.fsdp else 1
    base = _BYTES[study.model.dtype]
    tokens = tuning.micro_batch_tokens or _MICRO_BATCH
    layer = 34 * shape.width
    kept = 2 * shape.width * shape.layers + layer if tuning.gradient_checkpointing else layer * shape.layers
    factor = 1 if tuning.dtype != "float32" else 2
    activations = tokens * (factor * kept + 8 * shape.vocabulary)
    per_token = "2 h L + 34 h" if tuning.gradient_checkpointing else "34 h L"
    formula = (
        f"{base:g} P + 16 T{f' / {shards} processes' if shards > 1 else ''} + {tokens} tokens x "
        f"({f'{factor} x ' if factor > 1 else ''}({per_token}) + 8 V), P = {shape.weights:.3g} (by "
        f"{shape.source}), T = {trained:.3g}, h = {shape.width}, L = {shape.layers}, V = {shape.vocabulary}"
    )
    return Memory(base * shape.weights, 16 * trained / shards, activations, formula)


def reading_memory(study: Study, shape: Shape) -> float:
    """Bytes of the pass: the base model, a head in float32, and the keys and values of a decode batch.

    That batch has 4 times the tokens that are read at once, where as much memory is free: at first it is cut
    to half of what is. Activations of a reading batch without gradients are small beside it.
    """
    size = _BYTES[study.model.dtype]
    head = 0 if size == 4 else 4 * shape.vocabulary * shape.width
    kept = 2 * shape.layers * shape.width * size
    return size * shape.weights + head + kept * DECODE_MULTIPLE * study.forward.batch_tokens


def _adapter_weights(study: Study, shape: Shape) -> float:
    """r (in + out) over all linear layers, taken as square and equal: in + out = 2 sqrt(P / layers)."""
    matrices = _LINEAR_PER_LAYER * shape.layers
    return study.finetuning.rank * 2 * math.sqrt(shape.weights * matrices)


def hours(study: Study, shape: Shape, lengths: Lengths) -> tuple[float, float]:
    """GPU-hours of (all that is read, all training), by the operations of ``kinds.work``."""
    done = work_of(study, lengths)
    each = shape.weights / GPU_RATE / 3600
    read, trained = (
        sum(operations_per_weight(study, work) for work in done if work.trained == training)
        for training in (False, True)
    )
    return each * read, each * trained


def paper_hours(study: Study) -> float:
    """A100-hours of all trials at Bhatt et al.'s rate by budget, straight lines between their three."""
    budgets = np.array([budget for _, budget in trials(study)], dtype=float)
    below = budgets / _PAPER_BUDGETS[0] * _PAPER_HOURS[0]
    between = np.interp(budgets, _PAPER_BUDGETS, _PAPER_HOURS)
    above = budgets / _PAPER_BUDGETS[-1] * _PAPER_HOURS[-1]
    low, high = budgets < _PAPER_BUDGETS[0], budgets > _PAPER_BUDGETS[-1]
    return float(np.where(low, below, np.where(high, above, between)).sum())
