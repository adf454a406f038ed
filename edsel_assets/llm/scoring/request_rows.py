"""lm-eval's requests as sequences to read: choices that share a context stand in one row and read it once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from ..models.split import SplitModel
from ..reading.comparison import branch_mask
from ..reading.decode import right_padded
from ..reading.statistics import CHUNK_ELEMENTS

Pair = tuple[list[int], list[int]]
"""Tokens of a context and of its continuation."""


@dataclass(frozen=True)
class RequestRow:
    """One or more requests in one sequence: a prefix that they share, then what each has of its own.

    ``tokens``, ``positions``, ``branch``: (length,) int64; branch is 0 for the prefix, else 1, 2, ...
    ``scored``: per request (number, its columns that predict, the tokens they should predict).
    """

    tokens: np.ndarray
    positions: np.ndarray
    branch: np.ndarray
    scored: list[tuple[int, np.ndarray, np.ndarray]]


def request_rows(
    contexts: Sequence[Any], pairs: list[Pair], max_length: int, share: bool
) -> Iterator[RequestRow]:
    """Neighbouring requests of the same context in one row, where that saves a fifth of the tokens."""
    for _, members in groupby(range(len(pairs)), key=lambda number: contexts[number]):
        numbers = list(members)
        sequences = []
        for number in numbers:
            head, tail = pairs[number]
            if not tail or len(tail) > max_length:
                raise ValueError(
                    f"a continuation must have 1 to {max_length} tokens, the model's length; got {len(tail)}."
                )
            sequences.append(np.asarray((head + tail)[-(max_length + 1) :], dtype=np.int64))
        sizes = [len(pairs[number][1]) for number in numbers]
        prefix = _shared_prefix(sequences) if share and len(sequences) > 1 else 0
        each = sum(len(sequence) - 1 for sequence in sequences)
        if prefix and each >= 1.25 * (each - prefix * (len(sequences) - 1)):
            yield _row(numbers, sequences, sizes, prefix)
        else:
            for number, sequence, size in zip(numbers, sequences, sizes, strict=True):
                yield _row([number], [sequence], [size], len(sequence) - 1)


def _shared_prefix(sequences: list[np.ndarray]) -> int:
    """Length of the longest common prefix of the inputs (all but each one's last token)."""
    length = min(len(sequence) for sequence in sequences) - 1
    differs = np.zeros(length, dtype=bool)
    for sequence in sequences[1:]:
        differs |= sequence[:length] != sequences[0][:length]
    return int(differs.argmax()) if differs.any() else length


def _row(numbers: list[int], sequences: list[np.ndarray], sizes: list[int], prefix: int) -> RequestRow:
    tokens, positions = [sequences[0][:prefix]], [np.arange(prefix)]
    branch, scored = [np.zeros(prefix, dtype=np.int64)], []
    start = prefix
    for count, (number, sequence, size) in enumerate(zip(numbers, sequences, sizes, strict=True), 1):
        own = sequence[prefix:-1]
        tokens.append(own)
        positions.append(prefix + np.arange(len(own)))
        branch.append(np.full(len(own), count))
        places = np.arange(len(sequence) - 1 - size, len(sequence) - 1)
        columns = np.where(places < prefix, places, places - prefix + start)
        scored.append((number, columns, sequence[-size:]))
        start += len(own)
    return RequestRow(np.concatenate(tokens), np.concatenate(positions), np.concatenate(branch), scored)


@torch.inference_mode()
def score_rows(split: SplitModel, rows: list[RequestRow]) -> list[tuple[int, float, bool]]:
    """(request, log p, greedy) of everything scored in these rows."""
    tokens = right_padded([row.tokens for row in rows], split.device)
    inputs: dict[str, Any] = {"input_ids": tokens, "use_cache": False}
    if any(row.branch[-1] for row in rows):
        inputs["position_ids"] = right_padded([row.positions for row in rows], split.device)
        inputs["attention_mask"] = branch_mask(right_padded([row.branch for row in rows], split.device))
    hidden = split.hidden(**inputs)
    scored = [(place, *item) for place, row in enumerate(rows) for item in row.scored]
    lines = np.concatenate([np.full(len(columns), place) for place, _, columns, _ in scored])
    columns = np.concatenate([columns for _, _, columns, _ in scored])
    wanted = torch.from_numpy(np.concatenate([targets for *_, targets in scored])).to(split.device)
    found = hidden[torch.from_numpy(lines).to(split.device), torch.from_numpy(columns).to(split.device)]
    logprobs, hits = [], []
    step = max(1, CHUNK_ELEMENTS // split.vocabulary)
    for i in range(0, len(found), step):
        logits, targets = split.logits(found[i : i + step]), wanted[i : i + step]
        chosen = logits.gather(1, targets[:, None])[:, 0]
        logprobs.append((chosen - logits.logsumexp(dim=-1)).double())
        hits.append(logits.argmax(dim=-1) == targets)
    values, right = torch.cat(logprobs).cpu().numpy(), torch.cat(hits).cpu().numpy()
    ends = np.cumsum([len(columns) for _, _, columns, _ in scored])[:-1]
    return [
        (number, float(part.sum()), bool(hit.all()))
        for (_, number, _, _), part, hit in zip(
            scored, np.split(values, ends), np.split(right, ends), strict=True
        )
    ]
