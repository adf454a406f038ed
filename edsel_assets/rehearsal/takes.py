"""What the full study takes, in words: tokens, memory, hours, money."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edsel_assets.kinds.work import Lengths
from edsel_assets.machine import has_gpu
from edsel_assets.planning.estimates import GPU_RATE
from edsel_assets.rehearsal import amounts
from edsel_assets.rehearsal.need import Need, State
from edsel_assets.rehearsal.pool import PoolFacts
from edsel_assets.study import Study

_GPU_BYTES = 80e9  # of an A100 or H100
_INSTRUCTIONS = 805  # of AlpacaEval
_TEMPLATE_TOKENS = 200


def takes(study: Study, pool: PoolFacts | None) -> Iterator[Need]:
    """Every amount; where the pool is not here, by assumed lengths."""
    yield from _amounts(study, pool)
    yield from _money(study, pool)


def _amounts(study: Study, pool: PoolFacts | None) -> Iterator[Need]:
    lengths, shape = amounts.lengths_of(study, pool), amounts.Shape.of(study)
    count = len(amounts.trials(study))
    said = "assumed, as the pool is not here" if lengths.assumed else "by the pool, 4 characters a token"
    read, trained = amounts.read_tokens(study, lengths), amounts.trained_tokens(study, lengths)
    yield Need(
        State.TAKES,
        "tokens",
        f"{_large(read)} through the base model over {lengths.prompts} prompts, "
        f"{_large(trained)} trained on in {count} trials and their rounds "
        f"(prompt {lengths.prompt:.0f} + response {lengths.response:.0f} tokens, {said})",
    )
    if shape is None:
        yield Need(State.TAKES, "memory and hours", "not known: the model is not here and names no size")
        return
    yield from _hardware(study, amounts.memory(study, shape))
    read, trained = amounts.hours(study, shape, lengths)
    yield Need(
        State.TAKES,
        "hours",
        f"{read:.1f} for the pool and {trained:.0f} for training on one GPU at {GPU_RATE:.2g} operations a "
        "second; benchmarks come on top",
    )
    if 5e9 <= shape.weights <= 9e9:
        yield Need(
            State.TAKES,
            "hours",
            f"{amounts.PAPER_EMBEDDING_HOURS:.0f} + {amounts.paper_hours(study):.0f} A100-hours at the rate "
            "of Bhatt et al. (12 for embeddings; 9, 15, 24 per trial at 30K, 45K, 90K, benchmarks included)",
        )


def _hardware(study: Study, memory: amounts.Memory) -> Iterator[Need]:
    parts = " + ".join(f"{part / 1e9:.1f}" for part in (memory.weights, memory.state, memory.activations))
    text = f"{memory.total / 1e9:.1f} GB on the fullest GPU = {parts}: {memory.formula}"
    yield Need(State.TAKES, "GPU memory", text)
    if memory.total > _GPU_BYTES:
        text = f"more than {_GPU_BYTES / 1e9:.0f} GB; shard it (fsdp over more processes), or use lora"
        yield Need(State.MISSING, "GPU memory", text)
    if memory.total > 4e9:
        processes = study.finetuning.processes
        state = State.HERE if has_gpu() else State.MISSING
        there = "this machine has one or more" if has_gpu() else "this machine shows none"
        yield Need(state, "GPUs", f"{processes} of NVIDIA; {there}")


def _money(study: Study, pool: PoolFacts | None) -> Iterator[Need]:
    lengths, buys = amounts.lengths_of(study, pool), study.annotation
    unanswered = 0 if pool is None else pool.prompts - pool.answered
    if unanswered and buys.price_by == "prompt":
        most = sum(study.selection.budgets_for(name)[-1] for name in study.selection.names)
        price = buys.price * min(unanswered, most)
        yield Need(State.TAKES, "annotation", f"at most {price:g}, at {buys.price:g} a prompt")
    embedded = amounts.embedded_tokens(study, lengths)
    if embedded:
        yield Need(
            State.TAKES, "embeddings", f"{_large(embedded)} tokens read by other models than the base model"
        )
    yield from judged(study, lengths)


def judged(study: Study, lengths: Lengths) -> Iterator[Need]:
    """Requests to each judge that the study names, and what they cost at its prices."""
    trials = amounts.trials(study)
    judge = getattr(study.evaluation, "judge", None)
    if judge is not None and judge.model is not None:
        both = 2 if judge.kind == "preference" else 1
        count = judge.limit or _INSTRUCTIONS
        calls = (len(trials) - (both == 2)) * count * both  # the reference is not asked about
        written = 1 if both == 2 else judge.reply_tokens
        what = f"{calls} requests ({len(trials)} trials, {count} instructions, {both} orders)"
        yield Need(State.TAKES, "judge", what + _price(judge, calls, both * judge.max_new_tokens, written))
    pair = lengths.prompt + lengths.response
    judge = getattr(study.quality, "judge", None)
    if judge is not None:
        price = _price(judge, lengths.prompts or 0, pair, judge.reply_tokens)
        yield Need(State.TAKES, "judge of quality", f"{lengths.prompts} requests{price}")
    judge = getattr(study.rounds, "judge", None)
    if judge is not None:
        rated = sum(budget for name, budget in trials if study.strategy(name).scorer == "judge")
        price = _price(judge, 2 * rated, pair, judge.reply_tokens)
        yield Need(State.TAKES, "judge of rounds", f"about {2 * rated} requests{price}")


def _price(judge: Any, calls: int, read: float, written: int) -> str:
    """What ``calls`` cost, each reading the judge's template and ``read`` tokens and writing ``written``."""
    each = judge.price_prompt * (read + _TEMPLATE_TOKENS) + judge.price_reply * written
    if not each:
        return "; the study names no price"
    cost = calls * each / 1000
    stop = judge.max_cost is not None and judge.max_cost < cost
    words = f", up to {cost:.4g} at the study's prices, where every text is as long as it may be"
    return f"{words}; the study stops at max_cost: {judge.max_cost:g}" if stop else words


def _large(number: float) -> str:
    """A number of tokens in words: 32.5 million."""
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if number >= size:
            return f"{number / size:.3g}{word}"
    return f"{number:.0f}"
