"""Our reading of a model, compared once with the model's own of one text at a time.

Batches without a mask, and keys and values that are moved in their cache, are right for most models. Not for
all: some count positions by the columns of the cache, keep another memory than keys and values, or choose
their rotary positions by the longest text of a batch.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ..models.split import SplitModel
from ..models.tokens import max_positions
from ..models.weights import ModelError
from .cache import AlignedCache
from .decode import next_hidden, read, right_padded
from .way import Way

logger = logging.getLogger(__name__)

LENGTHS = (23, 14, 8)
"""Tokens of the texts that are compared; the last ``STEPS`` of each are also read one by one."""
SHARED = 3
"""Tokens that the texts begin with, all of them."""
STEPS = 3
EXACT, ROUNDED = 1e-3, 0.25
"""Least difference that is no rounding, in float32 and in lower precision: see ``_difference``."""


PROMPT_TOKENS = 96
"""Of a compared prompt, at most; the rest of it is left out."""


_FOUND: dict[str, Way] = {}
_WITH_PROMPTS: set[str] = set()


def way_of(split: SplitModel, prompts: Sequence[np.ndarray] = ()) -> Way:
    """How the model of ``split`` is read; compared once in a process for models of one configuration.

    Args:
        prompts: token ids of what is to be read, of which a few are compared beside made-up texts. Where the
            first comparison had none, it is made again with them.

    Raises:
        ModelError: a model that cannot be read by itself either.

    Time: about 200 tokens, and as many of prompts.
    """
    model, key = split.model, _key(split.model)
    if key not in _FOUND or (len(prompts) and key not in _WITH_PROMPTS):
        training = model.training
        model.eval()
        try:
            _FOUND[key] = _compare(split, _few_of(split, prompts))
        finally:
            model.train(training)
        if len(prompts):
            _WITH_PROMPTS.add(key)
        if _FOUND[key].said is not None:
            logger.warning("%s", _FOUND[key].said)
    return _FOUND[key]


def said_of(model: Any) -> str | None:
    """What is not as usual about reading ``model``; None where nothing is, or it was not read yet."""
    found = _FOUND.get(_key(model))
    return None if found is None else found.said


def _key(model: Any) -> str:
    return f"{type(model)} {model.dtype} {model.device.type} {model.config.to_json_string(use_diff=False)}"


@torch.inference_mode()
def _compare(split: SplitModel, prompts: list[np.ndarray]) -> Way:
    texts = [*_texts(split), *prompts]
    plain = [split.own_logits(right_padded([text], split.device))[0] for text in texts]
    if not all(bool(logits.isfinite().any(dim=-1).all()) for logits in plain):
        raise ModelError(f"{type(split.model).__name__} gives no finite logits; its weights may be damaged.")
    exact = split.model.dtype == torch.float32
    reasons = []

    def fits(what: str, ours: Callable[[], Sequence[torch.Tensor]], firsts: Sequence[int]) -> bool:
        wanted = [logits[first:] for logits, first in zip(plain, firsts, strict=False)]
        why = _difference(ours, wanted, exact)
        if why and what:
            reasons.append(f"{what}, as {why} otherwise")
        return not why

    longest = _longest(split.model.config)
    if not fits("texts are read one at a time", lambda: _together(split, texts), [0] * len(texts)):
        longest = 0
    groups = [texts] if longest else [[text] for text in texts]
    sizes = [1]
    cached = fits(
        "answers are decoded without a cache",
        lambda: _stepwise(split, groups, sizes),
        [len(text) - STEPS - 1 for text in texts],
    )
    branched = longest == sys.maxsize and fits("", lambda: _branched(split, texts[:2]), [SHARED] * 2)
    if 0 < longest < sys.maxsize:
        reasons.append(f"texts above {longest} tokens are read one at a time, as its positions change there")
    said = f"{type(split.model).__name__}: {'; '.join(reasons)}." if reasons else None
    return Way(longest, cached, max(sizes), branched, said)


def _texts(split: SplitModel) -> list[np.ndarray]:
    """Token ids that begin alike; none that the configuration gives a meaning, such as an image."""
    config = split.model.config.to_dict()
    named = [v for name, v in config.items() if name.endswith(("token_id", "token_index", "token_ids"))]
    special = {number for value in named for number in (value if isinstance(value, list) else [value])}
    usual = np.array([n for n in range(min(split.rows, split.vocabulary)) if n not in special])
    draw = np.random.default_rng(0)
    shared = draw.choice(usual, SHARED)
    limit = max_positions(split.model) or LENGTHS[0]
    if limit < LENGTHS[-1]:
        raise ModelError(
            f"{type(split.model).__name__} has {limit} positions; at least {LENGTHS[-1]} are needed."
        )
    lengths = [min(length, limit) for length in LENGTHS]
    return [np.concatenate([shared, draw.choice(usual, length - SHARED)]) for length in lengths]


def _few_of(split: SplitModel, prompts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The shortest, the median and the longest prompt; of a long one its first tokens."""
    limit = min(PROMPT_TOKENS, max_positions(split.model) or PROMPT_TOKENS, _longest(split.model.config))
    fit = sorted((ids for ids in prompts if len(ids) > STEPS + 1), key=len)
    places = {0, len(fit) // 2, len(fit) - 1} if fit else set()
    return [np.asarray(fit[place][:limit], dtype=np.int64) for place in sorted(places)]


def _longest(config: Any) -> int:
    """Tokens above which a model reads all of a text in another way."""
    text = config.get_text_config(decoder=True)
    rotary = getattr(text, "rope_parameters", None) or {}
    kinds = [rotary, *(kind for kind in rotary.values() if isinstance(kind, dict))]
    limits = [
        kind["original_max_position_embeddings"] for kind in kinds if kind.get("rope_type") == "longrope"
    ]
    chunk = getattr(text, "attention_chunk_size", None)
    return min([*limits, *([chunk] if chunk else [])], default=sys.maxsize)


def _difference(
    ours: Callable[[], Sequence[torch.Tensor]], plain: Sequence[torch.Tensor], exact: bool
) -> str | None:
    """What is wrong with ``ours``; None where it is ``plain`` but for rounding.

    At each position, the length of the difference of the logits by the length of the logits about their
    mean. In float32 the largest counts. In lower precision it is the largest median over the positions of a
    text, since an expert may change by rounding.
    """
    try:
        found = ours()
    except Exception as error:  # foreign code, which may raise anything
        return f"it fails ({type(error).__name__})"
    worst = 0.0
    for one, other in zip(found, plain, strict=True):
        finite = other.isfinite().all(dim=0)  # a vocabulary may be padded with -inf
        one, other = one[:, finite], other[:, finite]
        errors = (one - other).norm(dim=-1) / (other - other.mean(dim=-1, keepdim=True)).norm(dim=-1)
        worst = max(worst, float((errors.max() if exact else errors.median()).nan_to_num(nan=np.inf)))
    if worst <= (EXACT if exact else ROUNDED):
        return None
    return f"its logits differ by {worst:.2g} of their spread"


def _together(split: SplitModel, texts: list[np.ndarray]) -> list[torch.Tensor]:
    hidden = split.hidden(input_ids=right_padded(texts, split.device), use_cache=False)
    return [split.logits(row[: len(text)]) for row, text in zip(hidden, texts, strict=True)]


def _stepwise(split: SplitModel, groups: list[list[np.ndarray]], sizes: list[int]) -> list[torch.Tensor]:
    """Logits of the last ``STEPS`` + 1 positions of each text, the last ``STEPS`` from the cache.

    ``sizes`` gets the bytes of one token in it.
    """
    found = []
    for texts in groups:
        heads = [text[:-STEPS] for text in texts]
        cache = AlignedCache([len(head) for head in heads], STEPS)
        tokens = right_padded(heads, split.device)
        hidden = read(split, tokens, cache, slice(0, len(texts)))
        each = [hidden[range(len(heads)), [len(head) - 1 for head in heads]]]
        mask = cache.mask(split.device)
        for step in range(-STEPS, 0):
            tokens = torch.tensor([int(text[step]) for text in texts], device=split.device)
            each.append(next_hidden(split, tokens, cache, mask))
        sizes.append(cache.token_bytes())
        cache.release()
        found += list(split.logits(torch.stack(each, dim=1)))
    return found


def _branched(split: SplitModel, texts: list[np.ndarray]) -> list[torch.Tensor]:
    """Logits after the shared tokens, of two texts in one row."""
    own = [text[SHARED:] for text in texts]
    ids = np.concatenate([texts[0][:SHARED], *own])
    positions = np.concatenate([np.arange(SHARED), *(SHARED + np.arange(len(part)) for part in own)])
    branch = np.concatenate([np.zeros(SHARED, np.int64), *(np.full(len(p), n) for n, p in enumerate(own, 1))])
    hidden = split.hidden(
        input_ids=right_padded([ids], split.device),
        position_ids=right_padded([positions], split.device),
        attention_mask=branch_mask(right_padded([branch], split.device)),
        use_cache=False,
    )[0]
    return list(split.logits(hidden[SHARED:]).split([len(part) for part in own]))


def branch_mask(branch: torch.Tensor) -> torch.Tensor:
    """(B, 1, L, L) bool: a token sees what is before it in the prefix, branch 0, and in its own branch."""
    same = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    return same.tril()[:, None]
