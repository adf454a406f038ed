"""Memory and hours of each stage by the size of the base model, for readers who choose a GPU.

By the formulas of the plan (hours), of a rehearsal (memory while training) and of selection's engines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edsel_assets.kinds.work import Lengths, Work, operations_per_weight, pass_work, training_work
from edsel_assets.planning.estimates import GPU_RATE
from edsel_assets.rehearsal.amounts import Shape, memory, reading_memory
from edsel_assets.selection.facility.engines import needs
from edsel_assets.study import Study
from edsel_assets.study.inputs import ForwardSettings, ModelSettings
from edsel_assets.study.trials import FinetuningSettings

PROMPTS, ANSWERS = 100_000, 10_000
LENGTHS = Lengths(PROMPTS, prompt=200, response=150)
SHAPES = {
    "1B": Shape(1.24e9, 2048, 16, 128_256, "Llama 3.2"),
    "7B": Shape(6.74e9, 4096, 32, 32_000, "Llama 2"),
    "13B": Shape(13.0e9, 5120, 40, 32_000, "Llama 2"),
}


def stages() -> list[tuple[str, ...]]:
    """A row for each stage: its name, and for each of ``SHAPES`` what it takes of one GPU."""
    study = Study.load("demo").model_copy(
        update={
            "model": ModelSettings(dtype="bfloat16"),
            "forward": ForwardSettings(),
            "finetuning": FinetuningSettings(),
        }
    )
    rows = [
        (f"the pass over {PROMPTS:,} prompts, 64 tokens decoded", _reading(study)),
        ("a trial by LoRA of rank 64", _training(study)),
        ("the same, `gradient_checkpointing`", _training(study, gradient_checkpointing=True)),
        ("a trial of all weights (`full`)", _training(study, method="full")),
        ("the same on 8 GPUs with `fsdp`, each", _training(study, **_EIGHT)),
        (f"facility location of {PROMPTS:,} prompts, dense", _selection("dense")),
        ("the same, blocked", _selection("blocked")),
    ]
    return [(name, *map(takes, SHAPES.values())) for name, takes in rows]


_EIGHT = {"method": "full", "launcher": "accelerate", "processes": 8, "fsdp": True}
Takes = Callable[[Shape], str]


def _reading(study: Study) -> Takes:
    work = pass_work(study, LENGTHS)
    return lambda shape: f"{_gib(reading_memory(study, shape))}, {_hours(study, work, shape)}"


def _training(study: Study, **changes: object) -> Takes:
    tuned = study.model_copy(update={"finetuning": study.finetuning.model_copy(update=changes)})
    work = training_work(tuned, LENGTHS, ANSWERS, tuned.finetuning.epochs)
    share = tuned.finetuning.processes

    def takes(shape: Shape) -> str:
        done = None if work is None else replace(work, tokens=work.tokens / share)
        return f"{_gib(memory(tuned, shape).total)}, {_hours(tuned, done, shape)}"

    return takes


def _selection(engine: str) -> Takes:
    return lambda shape: _gib(needs(PROMPTS, shape.width)[engine])


def _hours(study: Study, work: Work | None, shape: Shape) -> str:
    assert work is not None, "lengths are given above"
    return f"{operations_per_weight(study, work) * shape.weights / GPU_RATE / 3600:.2g} h"


def _gib(size: float) -> str:
    return f"{size / 2**30:.0f} GiB"
