"""Training examples as token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.tokens import encode
from .settings import Example


@dataclass(frozen=True)
class TokenSequence:
    """One example's tokens: (length,) int64, of which the first ``prompt_length`` carry no loss."""

    tokens: np.ndarray
    prompt_length: int

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Encoded:
    """The sequences that can be trained on, and how many examples were cut or left out."""

    sequences: list[TokenSequence]
    truncated: int
    dropped: int


def encode_pairs(
    tokenizer: Any, prompts: Sequence[str], responses: Sequence[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens of each prompt and of its response, both (length,) int64, without an end token.

    The prompt's tokens are what generation from that prompt sees. The response's are the rest of prompt and
    response tokenised together where that begins with the prompt's tokens (it nearly always does), else the
    response tokenised by itself.
    """
    heads = encode(tokenizer, prompts)
    full = encode(tokenizer, [p + r for p, r in zip(prompts, responses, strict=True)])
    pairs = []
    for head, tokens, response in zip(heads, full, responses, strict=True):
        if np.array_equal(tokens[: len(head)], head):
            pairs.append((head, tokens[len(head) :]))
        else:
            alone = tokenizer(response, add_special_tokens=False)["input_ids"]
            pairs.append((head, np.asarray(alone, dtype=np.int64)))
    return pairs


def encode_examples(tokenizer: Any, examples: Sequence[Example], max_length: int) -> Encoded:
    """Prompt, response and end token of each example, at most ``max_length`` tokens.

    A longer response is cut at the right (and then has no end token). An example whose prompt leaves no room
    for a token of the response is dropped. Sequences keep the order of the examples.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end token (eos_token), so no response can be learnt to end.")
    pairs = encode_pairs(tokenizer, [e.prompt for e in examples], [e.response for e in examples])
    sequences, truncated, dropped = [], 0, 0
    for head, tail in pairs:
        tokens = np.concatenate([head, tail, [tokenizer.eos_token_id]])
        if len(head) >= max_length or not len(head):
            dropped += 1
            continue
        truncated += len(tokens) > max_length
        sequences.append(TokenSequence(tokens[:max_length], len(head)))
    return Encoded(sequences, truncated, dropped)
