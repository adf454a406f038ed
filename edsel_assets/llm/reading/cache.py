"""A key-value cache that takes prompts padded on the right and decodes them aligned on the right.

Padded on the right, a causal model needs no mask to read prompts of different length, so that the
fastest attention kernel serves. Aligned on the right, every row appends its next token in the same
column, and the distance between columns is the distance between positions, as sliding windows need.
Moving the rows is one copy per layer, done as the prompts are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class AlignedCache(Cache):
    """Keys and values of R rows: columns for the longest prompt, then ``room`` for new tokens.

    ``lengths``: tokens of each row so far. ``starts``: (R,) int64, the first column of each row.
    ``columns``: columns filled. ``reading``: the rows that are being read, or None while decoding.
    """

    def __init__(self, lengths: list[int], room: int):
        self.lengths = lengths
        self.columns = max(lengths)
        self.capacity = self.columns + room
        self.starts = self.columns - np.array(lengths, dtype=np.int64)
        self.reading: slice | None = None
        super().__init__(layer_class_to_replicate=lambda: _AlignedLayer(self))  # type: ignore[arg-type]

    def mask(self, device: torch.device) -> torch.Tensor:
        """(R, capacity) bool, False on the padding at the left."""
        first = torch.as_tensor(self.starts, device=device)
        return torch.arange(self.capacity, device=device)[None] >= first[:, None]

    def keep(self, rows: torch.Tensor, numbers: list[int]) -> None:
        """Drop all rows but these, and the columns that only dropped rows needed."""
        self.lengths = [self.lengths[number] for number in numbers]
        self.starts = self.starts[numbers]
        spare = int(self.starts.min())
        self.starts -= spare
        self.columns -= spare
        self.capacity -= spare
        for layer in self.layers:
            assert isinstance(layer, _AlignedLayer)
            own = rows.to(layer.keys.device)  # the layers of a spread model lie on several
            layer.keys = layer.keys[:, :, spare:].index_select(0, own)
            layer.values = layer.values[:, :, spare:].index_select(0, own)

    def release(self) -> None:
        """Free the memory now: cache and layers refer to each other, and a collector may come late."""
        self.layers.clear()

    def token_bytes(self) -> int:
        """Bytes that one token of one row takes in all layers."""
        held = 0
        for layer in self.layers:
            assert isinstance(layer, _AlignedLayer)
            held += layer.keys.nbytes + layer.values.nbytes
        return held // (len(self.lengths) * self.capacity)

    def advance(self) -> None:
        """Count the column that a decoding step appended to every row."""
        self.columns += 1
        self.lengths = [length + 1 for length in self.lengths]


class _AlignedLayer(CacheLayerMixin):
    """One layer's keys and values, each (R, heads, capacity, head size)."""

    is_sliding = False
    keys: Any
    values: Any

    def __init__(self, cache: AlignedCache):
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros: a masked column still enters the product with weight 0, and 0 x NaN would be NaN.
        rows, capacity = len(self.cache.lengths), self.cache.capacity
        self.keys, self.values = (
            states.new_zeros(rows, states.shape[1], capacity, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        cache = self.cache
        for stored, states in ((self.keys, key_states), (self.values, value_states)):
            if cache.reading is None:
                stored[:, :, cache.columns : cache.columns + 1] = states
            else:
                _align(stored, states, cache.reading.start, cache.lengths[cache.reading], cache.columns)
        if cache.reading is not None:
            return key_states, value_states
        seen = cache.columns + 1
        return self.keys[:, :, :seen], self.values[:, :, :seen]

    def get_seq_length(self) -> int:
        return 0 if self.cache.reading is not None else self.cache.columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


def _align(stored: torch.Tensor, states: torch.Tensor, first: int, lengths: list[int], columns: int) -> None:
    """Copy rows padded on the right into ``stored`` from row ``first``, each ending at ``columns``."""
    start = 0
    while start < len(lengths):  # Rows come sorted, so that one copy takes all rows of a length.
        length = lengths[start]
        stop = start
        while stop < len(lengths) and lengths[stop] == length:
            stop += 1
        stored[first + start : first + stop, :, columns - length : columns] = states[start:stop, :, :length]
        start = stop
