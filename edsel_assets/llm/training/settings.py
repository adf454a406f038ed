"""What to finetune on and how: plain values, checked when they are made, free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

Method = Literal["lora", "dora", "full"]
Schedule = Literal["linear", "cosine", "constant"]
Launcher = Literal["accelerate"]
Dtype = Literal["auto", "float32", "bfloat16"]
AUTO: Literal["auto"] = "auto"
ALL_LINEAR = "all-linear"
#: Optimizer steps that ``batch_size: auto`` aims at, and its largest batch.
LEAST_STEPS, LARGEST_BATCH = 40, 128
#: What ``learning_rate: auto`` is.
ADAPTER_RATE, FULL_RATE = 5e-4, 1e-4
LOG_FILE = "training_log.json"  # beside the weights
#: Share of the first loss by which a training has to lower it; less is worth a warning.
LEAST_FALL = 0.02


@dataclass(frozen=True)
class Example:
    """One training example: a prompt in its final template, and the response to learn."""

    prompt: str
    response: str


@dataclass(frozen=True)
class FinetuneSettings:
    """How to finetune. The defaults are the LoRA recipe of open-instruct, but for what follows the examples.

    ``method``: ``lora``, ``dora`` (weight-decomposed LoRA) or ``full`` (every weight, in a float32 copy of
    the model).
    ``rank``, ``alpha``, ``dropout``, ``target_modules``: the adapter; the update is scaled by alpha / rank.
    ``"all-linear"`` is every linear layer but the output head (the seven projections of a Llama).
    ``warmup``: a share of the run in [0, 1) when a float, a number of steps when an int.
    ``learning_rate``: its peak; ``auto`` is 5e-4 for an adapter and 1e-4 for ``full``.
    ``batch_size``: examples per optimizer step, over all processes; ``auto`` is the largest power of two with
    which the run takes at least 40 steps, between 1 and 128 (``batch_size_for``).
    ``micro_batch_tokens``: tokens per forward pass, which bounds memory and changes no result beyond
    rounding; ``None`` is 1,024 on a CPU, where each core takes a micro-batch (4,096 with dropout, when all
    cores share one), and 16,384 elsewhere.
    ``max_length``: tokens per example with prompt, response and end token, capped at the model's
    context. ``packing``: only False is taken; rows are padded and grouped by length.
    ``dtype``: of the matrix products; ``auto`` is bfloat16 where a GPU has it, else float32.
    ``max_grad_norm``: ``None`` leaves gradients unclipped. ``checkpoint_steps``: optimizer steps between
    checkpoints to resume from; ``None`` writes none. ``launcher="accelerate"`` runs ``processes``
    processes on this machine, which share each batch; ``fsdp`` also shards the model over them.
    """

    method: Method = "lora"
    rank: int = 64
    alpha: float = 16
    dropout: float = 0.1
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    learning_rate: float | Literal["auto"] = AUTO
    schedule: Schedule = "linear"
    warmup: float | int = 0.03
    batch_size: int | Literal["auto"] = AUTO
    epochs: int = 5
    max_length: int = 2048
    packing: InitVar[bool] = False
    micro_batch_tokens: int | None = None
    gradient_checkpointing: bool = False
    weight_decay: float = 0.0
    max_grad_norm: float | None = 1.0
    dtype: Dtype = "auto"
    checkpoint_steps: int | None = None
    launcher: Launcher | None = None
    processes: int = 1
    fsdp: bool = False

    def __post_init__(self, packing: bool) -> None:
        if packing:
            raise ValueError("packing is gone: batches hold examples of like length. Leave it out.")
        for name, kind in (("method", Method), ("schedule", Schedule), ("dtype", Dtype)):
            if getattr(self, name) not in (choices := get_args(kind)):
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        for name in ("rank", "epochs", "max_length", "processes"):
            _at_least_one(name, getattr(self, name))
        for name, without in (("micro_batch_tokens", None), ("checkpoint_steps", None), ("batch_size", AUTO)):
            if getattr(self, name) != without:
                _at_least_one(name, getattr(self, name))
        for name in ("alpha", "learning_rate"):
            value = getattr(self, name)
            if value != AUTO and (isinstance(value, str) or not value > 0):
                raise ValueError(f"{name} must be positive; got {value!r}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout!r}.")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must not be negative; got {self.weight_decay!r}.")
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive, or null; got {self.max_grad_norm!r}.")
        if not isinstance(self.target_modules, str):
            object.__setattr__(self, "target_modules", tuple(self.target_modules))
        self._check_warmup()
        if self.launcher not in (None, "accelerate"):
            raise ValueError(f"launcher must be null or accelerate; got {self.launcher!r}.")
        if self.launcher is None and (self.processes > 1 or self.fsdp):
            raise ValueError("processes > 1 and fsdp need launcher: accelerate.")
        if self.fsdp and self.method != "full":
            raise ValueError(f"fsdp shards a full finetuning; got method {self.method!r}. Set fsdp: false.")

    def _check_warmup(self) -> None:
        steps = isinstance(self.warmup, int) and not isinstance(self.warmup, bool)
        if steps and self.warmup < 0:
            raise ValueError(f"warmup must not be negative; got {self.warmup}.")
        if not steps and not (isinstance(self.warmup, float) and 0 <= self.warmup < 1):
            raise ValueError(
                "warmup must be a share of the run in [0, 1) as a float, or whole steps as an int; "
                f"got {self.warmup!r}."
            )

    def for_examples(self, count: int) -> FinetuneSettings:
        """These settings with numbers for ``auto``, for a run over ``count`` examples that fit."""
        size = batch_size_for(count, self.epochs, self.batch_size)
        return replace(self, batch_size=size, learning_rate=self.peak_rate)

    @property
    def peak_rate(self) -> float:
        """``learning_rate`` as a number."""
        if not isinstance(self.learning_rate, str):
            return self.learning_rate
        return FULL_RATE if self.method == "full" else ADAPTER_RATE

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FinetuneSettings:
        """Settings from plain values (a study file); an unknown name is an error that lists the choices."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown finetuning settings {unknown}; known: {', '.join(known)}.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON and ``from_dict``."""
        return asdict(self)


def optimizer_steps(examples: int, epochs: int, batch_size: int | Literal["auto"]) -> int:
    """Steps of a run: every epoch holds each example once, the rest of a division in a smaller last batch."""
    return epochs * math.ceil(examples / batch_size_for(examples, epochs, batch_size))


def batch_size_for(examples: int, epochs: int, batch_size: int | Literal["auto"]) -> int:
    """``batch_size``, or for ``auto`` the largest power of two in [1, 128] that gives ``LEAST_STEPS`` steps.

    As a run takes epochs x ceil(examples / batch) steps, that is at most epochs x examples / 40. Fewer than
    40 / epochs examples are taken one at a time, and give fewer steps.
    """
    if not isinstance(batch_size, str):
        return batch_size
    most = max(1, epochs * examples // LEAST_STEPS)
    return min(LARGEST_BATCH, 1 << (most.bit_length() - 1))


def loss_fall(log: Sequence[Mapping[str, float]], epochs: int) -> float:
    """By which share of the first loss the loss has fallen; negative where it rose.

    Compares the mean loss per response token over the first epoch with that over the last: both hold the
    same examples. A run of one epoch shows each example once: there it is the first and the last quarter of
    the steps, whose examples differ.

    Args:
        log: of at least one optimizer step, as in ``FinetuneResult``.
    """
    part = len(log) // epochs if epochs > 1 else max(1, len(log) // 4)
    first, last = _mean_loss(log[:part]), _mean_loss(log[-part:])
    return (first - last) / first if first > 0 else 0.0


def _mean_loss(log: Sequence[Mapping[str, float]]) -> float:
    tokens = sum(entry["response_tokens"] for entry in log)
    return sum(entry["loss"] * entry["response_tokens"] for entry in log) / tokens


@dataclass(frozen=True)
class FinetuneResult:
    """What a finetuning made.

    ``log`` holds one dict per optimizer step: ``step`` (from 1), ``loss`` (nats per response token over the
    step's batch), ``lr``, ``tokens`` (non-padding tokens of the batch), ``response_tokens`` of them,
    ``grad_norm`` (before clipping).
    ``tokens_per_second`` counts non-padding tokens of the steps that this call ran, over their wall time,
    without set-up and saving; ``seconds`` is the whole call. ``truncated``: responses cut at ``max_length``;
    ``dropped``: examples whose prompt left no room for a response. ``batch_size`` and ``learning_rate`` are
    those of the run, also where they were ``auto``.
    ``loss_fall`` is by which share the loss fell, by the function of that name: below ``LEAST_FALL`` next to
    nothing was learnt. ``peak_share``: model FLOPs per second
    over the measured matrix-product rate of the GPU, ``None`` on a CPU. ``resumed_at``: the step a former
    checkpoint had reached, else 0.
    """

    path: Path
    log: list[dict[str, float]]
    tokens_per_second: float
    steps: int
    final_loss: float
    seconds: float
    truncated: int
    dropped: int
    batch_size: int
    learning_rate: float
    loss_fall: float
    peak_share: float | None = None
    resumed_at: int = 0


def _at_least_one(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
