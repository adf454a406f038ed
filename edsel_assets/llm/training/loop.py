"""The training loop: one optimizer step at a time, over micro-batches, on one process or several."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from edsel_assets.threads import one_core_each

from . import processes
from .checkpoint import fingerprint, load_checkpoint, save_checkpoint
from .device import deterministic, peak_share, precision
from .examples import TokenSequence
from .micro_batches import make_micro_batch, split_batch, token_losses
from .schedules import rate_factor, warmup_steps
from .settings import FinetuneSettings, batch_size_for, optimizer_steps

Log = list[dict[str, float]]

SMALL_GRADIENTS = 256 << 20
"""Bytes of gradients of which each thread may hold a copy."""


@dataclass(frozen=True)
class Trained:
    """The log of every step, the step that a checkpoint had reached, and seconds since then."""

    log: Log
    resumed_at: int
    seconds: float
    peak_share: float | None

    @property
    def tokens_per_second(self) -> float:
        tokens = sum(entry["tokens"] for entry in self.log[self.resumed_at :])
        return tokens / self.seconds if tokens else 0.0


def planned_steps(examples: int, settings: FinetuneSettings) -> int:
    """Optimizer steps of a run over ``examples`` examples; an error when its warm-up is too long for it."""
    steps = optimizer_steps(examples, settings.epochs, settings.batch_size)
    warmup_steps(settings.warmup, steps)
    return steps


def train(
    model: Any,
    sequences: Sequence[TokenSequence],
    settings: FinetuneSettings,
    seed: int,
    checkpoint: Path,
    progress: Callable[[int, int], None] | None,
    longest: int = sys.maxsize,
) -> Trained:
    """Trains the parameters of ``model`` that require a gradient. Assumes checked input.

    A sequence above ``longest`` tokens has a micro-batch of its own.

    Order, dropout and adapter come from ``seed`` and the step's number alone, so a resumed run needs no
    random state from before.
    """
    steps = planned_steps(len(sequences), settings)
    warmup = warmup_steps(settings.warmup, steps)
    run = fingerprint(model, sequences, settings, seed)
    if settings.fsdp and processes.count() > 1:
        processes.shard(model)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = _optimizer(named, settings)
    log = load_checkpoint(checkpoint, named, optimizer, run)
    resumed_at = len(log)
    with ExitStack() as stack:
        stack.enter_context(deterministic(model.device))
        if settings.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        pool = stack.enter_context(_threads(model, named))
        began = perf_counter()
        for step, batch in enumerate(_batches(len(sequences), settings, seed)):
            if step < resumed_at:
                continue
            rate = settings.peak_rate * rate_factor(settings.schedule, step, steps, warmup)
            rows = [sequences[row] for row in batch]
            try:
                entry = _step(model, named, optimizer, rows, settings, rate, (seed, step), pool, longest)
            except torch.OutOfMemoryError as error:
                tokens = _micro_batch_tokens(model, settings, pool)
                raise MemoryError(
                    f"out of memory with {tokens} tokens in a forward pass. "
                    "Lower micro_batch_tokens or max_length, or set gradient_checkpointing."
                ) from error
            log.append({"step": step + 1, **entry})
            every = settings.checkpoint_steps
            if every and (step + 1) % every == 0 and step + 1 < steps:
                save_checkpoint(checkpoint, named, optimizer, log, run)
            if progress:
                progress(step + 1, steps)
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        seconds = perf_counter() - began
    return Trained(log, resumed_at, seconds, peak_share(model, named, log[resumed_at:], seconds, settings))


def _batches(examples: int, settings: FinetuneSettings, seed: int) -> Iterator[np.ndarray]:
    """Rows of each optimizer step; every epoch holds every row once, in its own order."""
    size = batch_size_for(examples, settings.epochs, settings.batch_size)
    for epoch in range(settings.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(examples)
        yield from np.split(order, range(size, examples, size))


def _step(
    model: Any,
    named: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    batch: list[TokenSequence],
    settings: FinetuneSettings,
    rate: float,
    draw: tuple[int, int],
    pool: ThreadPoolExecutor | None,
    longest: int,
) -> dict[str, float]:
    """One optimizer step over ``batch``; its share of the log."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    _seed_dropout(*draw)
    lengths = [len(sequence) for sequence in batch]
    micro_batches = split_batch(lengths, _micro_batch_tokens(model, settings, pool), longest)
    targets = sum(len(s) - s.prompt_length for s in batch)
    loss = torch.zeros((), device=model.device)
    optimizer.zero_grad(set_to_none=True)

    def loss_of(rows: list[int]) -> torch.Tensor:
        weight = 1.0 if rows else 0.0  # without rows: sharded weights need every process in every pass
        members = [batch[row] for row in rows or micro_batches[0]]
        micro_batch = make_micro_batch(members, model.device)
        with precision(model.device, settings):
            return token_losses(model, micro_batch).sum() * (weight / targets)

    own = processes.own_share(micro_batches, in_step=processes.is_sharded(model))
    if pool is None:
        for rows in own:
            part = loss_of(rows)
            part.backward()
            loss += part.detach()
    else:
        for part, found in pool.map(partial(_differentiated, loss_of, list(named.values())), own):
            loss += part
            for parameter, gradient in zip(named.values(), found, strict=True):
                if gradient is not None and parameter.grad is not None:
                    parameter.grad.add_(gradient)
                elif gradient is not None:
                    parameter.grad = gradient.clone()
    gradients = _gradients(named)
    processes.all_reduce([loss, *gradients])
    if processes.is_sharded(model):  # which averages over processes, where each has its part of the sum
        torch._foreach_mul_(gradients, processes.count())
    norm = torch.nn.utils.clip_grad_norm_(named.values(), settings.max_grad_norm or math.inf)
    optimizer.step()
    length = processes.full_tensor(norm).item()
    return {
        "loss": loss.item(),
        "lr": rate,
        "tokens": sum(lengths),
        "response_tokens": targets,
        "grad_norm": length,
    }


def _differentiated(
    loss_of: Callable[[list[int]], torch.Tensor], parameters: list[torch.nn.Parameter], rows: list[int]
) -> tuple[torch.Tensor, tuple[torch.Tensor | None, ...]]:
    loss = loss_of(rows)
    return loss.detach(), torch.autograd.grad(loss, parameters, allow_unused=True)


@contextmanager
def _threads(model: Any, named: dict[str, torch.nn.Parameter]) -> Iterator[ThreadPoolExecutor | None]:
    """On a CPU, threads that take a micro-batch each, on one core each; gradients are added up in order.

    None where they would share a state, which dropout draws from, or copies of the gradients would be large.
    """
    learning = sum(parameter.numel() * parameter.element_size() for parameter in named.values())
    random = _draws(model.config.to_dict()) or any(
        isinstance(module, torch.nn.Dropout) and module.p > 0 for module in model.modules()
    )
    if model.device.type != "cpu" or processes.is_sharded(model) or random or learning > SMALL_GRADIENTS:
        yield None
        return
    with one_core_each(torch.get_num_threads()) as pool:
        torch.set_num_threads(1)  # the waiting threads of PyTorch's own pool would take time from these
        yield pool


def _draws(settings: dict[str, Any]) -> bool:
    """Whether a model with this configuration draws numbers in training: dropout, router noise."""
    names = ("drop", "noise", "jitter")
    return any(
        isinstance(value, float) and value > 0 and any(part in name for part in names)
        for name, value in settings.items()
    )


def _micro_batch_tokens(model: Any, settings: FinetuneSettings, pool: ThreadPoolExecutor | None) -> int:
    usual = 16384 if model.device.type != "cpu" else 4096 if pool is None else 1024
    return settings.micro_batch_tokens or usual


def _optimizer(named: dict[str, torch.nn.Parameter], settings: FinetuneSettings) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only, as is usual, not on norms and biases."""
    matrices = [p for p in named.values() if p.ndim > 1]
    vectors = [p for p in named.values() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.peak_rate, fused=True)


def _seed_dropout(seed: int, step: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, step, processes.rank()]).generate_state(1)[0]))


def _gradients(named: dict[str, torch.nn.Parameter]) -> list[torch.Tensor]:
    for parameter in named.values():
        if parameter.grad is None:  # a process without a share of a small last batch
            parameter.grad = torch.zeros_like(parameter)
    return [p.grad for p in named.values() if p.grad is not None]
