"""Texts to token ids, and how many of them a model can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


AT_A_TIME = 64
"""Texts that the tokenizer gets at once: what else it makes of them takes ten times their memory."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of n texts, cut to length.

    Attributes:
        ids: n arrays (length,) int64.
        lengths: (n,) int64.
        truncated: (n,) bool, whether tokens were dropped.
    """

    ids: list[np.ndarray]
    lengths: np.ndarray
    truncated: np.ndarray


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[np.ndarray]:
    """Each text's token ids, with the start token if the tokenizer adds one.

    An end token that the tokenizer adds is taken off: what follows is the answer.
    """
    eos = tokenizer.eos_token_id
    encoded = []
    for first in range(0, len(texts), AT_A_TIME):
        some = list(texts[first : first + AT_A_TIME])
        # Not verbose: too long a text is cut below, which its record says.
        for text, ids in zip(some, tokenizer(some, verbose=False)["input_ids"], strict=True):
            if ids and ids[-1] == eos and not text.endswith(tokenizer.eos_token):
                ids = ids[:-1]
            encoded.append(np.asarray(ids, dtype=np.int64))
    return encoded


def check_rows(token: int, rows: int) -> None:
    """``ValueError`` where ``token``, the largest of some texts, is beyond the ``rows`` of an embedding."""
    if token >= rows:
        raise ValueError(
            f"a text holds token {token}, and the model has rows for {rows} tokens. "
            "Use the model's own tokenizer, or leave that token out of texts and template."
        )


def cut_left(ids: np.ndarray, limit: int, bos: int | None) -> np.ndarray:
    """The last ``limit`` tokens; a start token stays in front, since models were trained with it there."""
    if len(ids) <= limit:
        return ids
    if limit > 1 and bos is not None and ids[0] == bos:
        return np.concatenate([ids[:1], ids[len(ids) - limit + 1 :]])
    return ids[len(ids) - limit :]


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], limit: int, first: int
) -> Encoded:
    """Prompts cut from the left to ``limit`` tokens. ``first`` is the first one's number, for the error."""
    full = encode(tokenizer, prompts)
    for number, ids in enumerate(full):
        if not len(ids):
            raise ValueError(
                f"prompt {first + number} has no tokens: {prompts[number]!r}. Drop it, or use a template."
            )
    cut = [cut_left(row, limit, tokenizer.bos_token_id) for row in full]
    return Encoded(
        cut,
        np.array([len(row) for row in cut], dtype=np.int64),
        np.array([len(row) > limit for row in full], dtype=bool),
    )


def max_positions(model: PreTrainedModel) -> int | None:
    """The longest sequence the model was built for; None where its configuration states none."""
    config: Any = model.config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = getattr(config, name, None)
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def prompt_limit(model: PreTrainedModel, max_prompt_tokens: int, max_new_tokens: int) -> int:
    """``max_prompt_tokens``, lowered where prompt and answer would not fit into the model's positions."""
    least = {"max_prompt_tokens": (max_prompt_tokens, 1), "max_new_tokens": (max_new_tokens, 0)}
    for name, (value, bound) in least.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < bound:
            raise ValueError(f"{name} must be a whole number of at least {bound}; got {value!r}.")
    positions = max_positions(model)
    if positions is None:
        return int(max_prompt_tokens)
    if max_new_tokens >= positions:
        raise ValueError(
            f"max_new_tokens must leave room for a prompt in the model's {positions} positions; "
            f"got {max_new_tokens}. Lower it."
        )
    return min(int(max_prompt_tokens), positions - int(max_new_tokens))


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids that end an answer: the model's generation settings and the tokenizer's end token."""
    ids: set[int] = set()
    settings = getattr(model, "generation_config", None)
    for value in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        if value is not None:
            ids.update(value if isinstance(value, (list, tuple)) else [value])
    return sorted(ids)
