from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edsel_assets.llm.training.examples import TokenSequence
from edsel_assets.llm.training.packed_attention import PackedLayout, packed_attention_of
from edsel_assets.llm.training.packing import make_micro_batch, split_batch, token_losses
from edsel_assets_tests.llm.tiny import BYTE_FAMILIES, byte_model

CPU = torch.device("cpu")


def random_sequences(count: int, seed: int = 0) -> list[TokenSequence]:
    rng = np.random.default_rng(seed)
    lengths = sorted(rng.integers(2, 60, count).tolist())
    return [TokenSequence(rng.integers(0, 256, n), int(rng.integers(1, n))) for n in lengths]


def loss_and_gradient(model: Any, batches: list[Any]) -> tuple[float, torch.Tensor]:
    model.zero_grad()
    total = 0.0
    for batch in batches:
        loss = token_losses(model, batch).sum()
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("family", BYTE_FAMILIES)
def test_packed_and_padded_equal_one_by_one(family: str) -> None:
    model = byte_model(family)
    sequences = random_sequences(12)
    alone, expected = loss_and_gradient(model, [make_micro_batch([s], False, CPU) for s in sequences])
    padded, padded_gradient = loss_and_gradient(model, [make_micro_batch(sequences, False, CPU)])
    with packed_attention_of(model):
        packed, packed_gradient = loss_and_gradient(model, [make_micro_batch(sequences, True, CPU)])
    scale = expected.abs().max().item()
    assert packed == pytest.approx(alone, rel=1e-5)
    assert padded == pytest.approx(alone, rel=1e-5)
    assert (packed_gradient - expected).abs().max().item() <= 1e-5 * scale
    assert (padded_gradient - expected).abs().max().item() <= 1e-5 * scale


def test_loss_equals_the_model_s_own_on_response_tokens() -> None:
    model = byte_model()
    sequence = TokenSequence(np.arange(10, 30), 7)
    tokens = torch.from_numpy(sequence.tokens)[None]
    labels = tokens.clone()
    labels[0, :7] = -100
    mean = model(input_ids=tokens, labels=labels).loss.item()  # over the 13 response tokens
    assert token_losses(model, make_micro_batch([sequence], False, CPU)).sum().item() == pytest.approx(
        13 * mean, rel=1e-6
    )


def test_a_sequence_s_neighbours_change_nothing() -> None:
    model = byte_model()
    one, other, third = random_sequences(3)

    def losses(*sequences: TokenSequence) -> torch.Tensor:
        with packed_attention_of(model), torch.no_grad():
            return token_losses(model, make_micro_batch(sequences, True, CPU))

    expected = losses(one)
    for neighbour in (other, third):
        beside = losses(one, neighbour)
        assert torch.allclose(beside[: len(expected)], expected, atol=1e-5)
        assert torch.allclose(beside[len(expected) :], losses(neighbour), atol=1e-5)


def test_attention_is_given_back() -> None:
    model = byte_model()
    before = model.config._attn_implementation
    with packed_attention_of(model):
        assert model.config._attn_implementation != before
    assert model.config._attn_implementation == before


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(1, 300), st.booleans())
def test_micro_batches_hold_every_row_once_within_the_limit(
    lengths: list[int], limit: int, packing: bool
) -> None:
    batches = split_batch(lengths, limit, packing)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        size = sum(lengths[row] for row in rows) if packing else len(rows) * max(lengths[row] for row in rows)
        assert size <= limit or len(rows) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=40))
def test_layout_covers_the_row_and_wastes_little(lengths: list[int]) -> None:
    lengths = sorted(lengths)
    layout = PackedLayout.of(lengths, CPU)
    assert layout.boundaries.tolist() == [0, *np.cumsum(lengths).tolist()]
    assert [group[0] for group in layout.groups] == [0, *[group[1] for group in layout.groups[:-1]]]
    assert layout.groups[-1][1] == sum(lengths)
    for first, end, rows, width, slots in layout.groups:
        tokens = end - first
        assert rows * width - tokens <= max(128, tokens // 10)
        assert (slots is None) == (rows * width == tokens)
        if slots is not None:
            assert len(set(slots.tolist())) == tokens
