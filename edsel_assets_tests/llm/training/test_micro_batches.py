from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edsel_assets.llm.training.examples import TokenSequence
from edsel_assets.llm.training.micro_batches import make_micro_batch, split_batch, token_losses
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
def test_rows_beside_each_other_equal_one_by_one(family: str) -> None:
    model = byte_model(family)
    sequences = random_sequences(12)
    alone, expected = loss_and_gradient(model, [make_micro_batch([s], CPU) for s in sequences])
    beside, gradient = loss_and_gradient(model, [make_micro_batch(sequences, CPU)])
    assert beside == pytest.approx(alone, rel=1e-5)
    assert (gradient - expected).abs().max().item() <= 1e-5 * expected.abs().max().item()


def test_loss_equals_the_model_s_own_on_response_tokens() -> None:
    model = byte_model()
    sequence = TokenSequence(np.arange(10, 30), 7)
    tokens = torch.from_numpy(sequence.tokens)[None]
    labels = tokens.clone()
    labels[0, :7] = -100
    mean = model(input_ids=tokens, labels=labels).loss.item()  # over the 13 response tokens
    losses = token_losses(model, make_micro_batch([sequence], CPU))
    assert losses.sum().item() == pytest.approx(13 * mean, rel=1e-6)


def test_code_that_takes_no_mask_gives_the_same_losses() -> None:
    model = byte_model()
    batch = make_micro_batch(random_sequences(5), CPU)
    expected = token_losses(model, batch)

    class Foreign(type(model)):  # type: ignore[misc]
        def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
            return super().forward(input_ids=input_ids, use_cache=use_cache)

    model.__class__ = Foreign
    assert torch.allclose(token_losses(model, batch), expected, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=40), st.integers(1, 300))
def test_micro_batches_hold_every_row_once_within_the_limit(lengths: list[int], limit: int) -> None:
    batches = split_batch(lengths, limit)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) * max(lengths[row] for row in rows) <= limit or len(rows) == 1
