"""The engine against lm-eval's own adapter for transformers, request by request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from edsel_assets.llm.reading.comparison import branch_mask
from edsel_assets.llm.scoring.lm_eval_model import EngineLM
from edsel_assets.llm.scoring.request_rows import request_rows
from edsel_assets_tests.llm.tiny import BYTE_FAMILIES, byte_model, byte_tokenizer

CHOICES = [
    ("What is this? Answer:", " a dog"),
    ("What is this? Answer:", " a cat"),
    ("What is this? Answer:", " something else, of which nobody has heard"),
    ("Letter:", "A"),
    ("Letter:", "B"),
    ("Letter:", "B and more"),
    ("", "no context at all"),
    ("a context with spaces at its end  ", "word"),
    ("long " * 60, "tail"),
    ("long " * 60, "another tail"),
    ("Letter:", "again, later"),
]


def instances(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [
        Instance(request_type=kind, doc={}, arguments=argument, idx=i, metadata=("t", i, 1))
        for i, argument in enumerate(arguments)
    ]


def their_model(model: Any) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=byte_tokenizer(), batch_size=3, max_length=128)


def our_model(model: Any, **changes: Any) -> EngineLM:
    return EngineLM(model, byte_tokenizer(), **{"batch_tokens": 256} | changes)


@pytest.mark.parametrize("family", BYTE_FAMILIES)
def test_log_likelihoods_equal_lm_eval_s(family: str) -> None:
    model = byte_model(family)
    theirs = their_model(model).loglikelihood(instances("loglikelihood", CHOICES), disable_tqdm=True)
    ours = our_model(model).loglikelihood(instances("loglikelihood", CHOICES))
    assert [value for value, _ in ours] == pytest.approx([value for value, _ in theirs], rel=1e-5)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_the_greedy_answer_is_recognised() -> None:
    model = byte_model()
    (answer,) = our_model(model).generate_until(
        instances("generate_until", [("abc", {"until": [], "max_gen_toks": 3, "do_sample": False})])
    )
    ids = torch.tensor([byte_tokenizer()("abc")["input_ids"]])
    best = int(model(ids).logits[0, -1].argmax())
    letters = [byte_tokenizer().decode([best]), byte_tokenizer().decode([(best + 1) % 94 + 33])]
    found = our_model(model).loglikelihood(instances("loglikelihood", [("abc", c) for c in letters]))
    assert [greedy for _, greedy in found] == [True, False]
    assert answer.startswith(letters[0])


@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_batches_change_nothing(budget: int) -> None:
    model = byte_model()
    requests = instances("loglikelihood", CHOICES)
    expected = our_model(model, batch_tokens=256).loglikelihood(requests)
    found = our_model(model, batch_tokens=budget).loglikelihood(requests)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], rel=1e-5)


def test_rolling_windows_equal_lm_eval_s() -> None:
    model = byte_model()
    texts = [("a text that is longer than the model's context " * 7,), ("short",)]
    theirs = their_model(model).loglikelihood_rolling(
        instances("loglikelihood_rolling", texts), disable_tqdm=True
    )
    ours = our_model(model).loglikelihood_rolling(instances("loglikelihood_rolling", texts))
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("family", BYTE_FAMILIES)
def test_answers_equal_lm_eval_s(family: str) -> None:
    model = byte_model(family, seed=3)
    contexts = ["Say something", "And now", "A much longer context, so that batches need padding", "x" * 150]
    for until in ([], ["e"], ["th", "\n"]):
        settings = {"until": until, "max_gen_toks": 20, "do_sample": False}
        requests = [(context, settings) for context in contexts]
        theirs = their_model(model).generate_until(instances("generate_until", requests), disable_tqdm=True)
        ours = our_model(model).generate_until(instances("generate_until", requests))
        assert ours == theirs


def test_sampled_answers_depend_on_seed_and_repetition_alone() -> None:
    model = byte_model()
    settings = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 0.8}
    requests = instances("generate_until", [("one", settings), ("one", settings), ("two words", settings)])
    first = our_model(model, seed=1).generate_until(requests)
    assert first == our_model(model, seed=1, batch_tokens=20).generate_until(requests)
    assert first != our_model(model, seed=2).generate_until(requests)
    assert first[0] != first[1]


def test_decoding_that_is_not_ours_is_refused() -> None:
    lm = our_model(byte_model())
    beams = {"until": [], "max_gen_toks": 4, "do_sample": False, "num_beams": 4}
    with pytest.raises(ValueError, match="num_beams"):
        lm.generate_until(instances("generate_until", [("a", beams)]))
    endless = {"until": [], "max_gen_toks": 128, "do_sample": False}
    with pytest.raises(ValueError, match="up to 128 tokens, and the model has room for 128"):
        lm.generate_until(instances("generate_until", [("a", endless)]))


def test_choices_share_their_context_by_hand() -> None:
    # Contexts 1 2 3 with the choices 4 5 and 4 6 7: inputs 1 2 3 4 and 1 2 3 4 6, of which 1 2 3 4 is shared.
    pairs = [([1, 2, 3], [4, 5]), ([1, 2, 3], [4, 6, 7])]
    (row,) = request_rows(["c", "c"], pairs, 100, True)
    assert row.tokens.tolist() == [1, 2, 3, 4, 6]
    assert row.branch.tolist() == [0, 0, 0, 0, 2]
    assert row.positions.tolist() == [0, 1, 2, 3, 4]
    scored = [(number, columns.tolist(), targets.tolist()) for number, columns, targets in row.scored]
    assert scored == [(0, [2, 3], [4, 5]), (1, [2, 3, 4], [4, 6, 7])]
    assert len(list(request_rows(["c", "c"], pairs, 100, False))) == 2
    assert len(list(request_rows(["c", "d"], pairs, 100, True))) == 2


def test_branches_see_the_prefix_and_themselves() -> None:
    mask = branch_mask(torch.tensor([[0, 0, 1, 1, 2]]))[0, 0].int().tolist()
    assert mask == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]


def test_progress_counts_requests() -> None:
    seen: list[tuple[int, int]] = []
    lm = our_model(byte_model(), progress=lambda done, total: seen.append((done, total)))
    lm.loglikelihood(instances("loglikelihood", CHOICES))
    assert seen[-1] == (len(CHOICES), len(CHOICES))
    assert np.all(np.diff([done for done, _ in seen]) > 0)
