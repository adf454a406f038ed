from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from edsel_assets.llm import DEFAULT_TEMPLATE, ModelError, format_prompt, forward_pool, load_model
from edsel_assets.llm.models.split import SplitModel
from edsel_assets.llm.reading import decode, way
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.llm.tiny import STEPS, prompts

FAMILIES = [
    "llama",
    "llama_full_heads",
    "qwen2",
    "qwen3",
    "mistral_window",
    "gemma2",
    "cohere",
    "granite",
    "gpt2",
    "bloom",
]


@pytest.fixture(autouse=True)
def several_decode_batches(monkeypatch) -> None:
    """These models are so small that one decode batch would hold every prompt."""
    monkeypatch.setattr(way, "SMALL_CACHE", 0)


def run(model, texts, **changes):
    settings = {"max_new_tokens": 6, "max_prompt_tokens": 200, "batch_tokens": 128} | changes
    return list(forward_pool(model, tiny.tokenizer(), texts, **settings))


def assert_equal(found, expected, pooling="last"):
    np.testing.assert_allclose(found.embedding, expected[pooling], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.prompt_logprob, expected["prompt_logprob"], rtol=1e-5, atol=1e-5)
    assert found.token_id.tolist() == expected["token_id"].tolist()
    for name in STEPS[1:]:
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_a_plain_loop_whatever_the_batches(family) -> None:
    model = tiny.model(family)
    texts = prompts(9)
    expected = [tiny.plain(model, tiny.tokenizer()(text)["input_ids"], 6) for text in texts]
    for batch_tokens in (1, 128, 100_000):
        for found, wanted in zip(run(model, texts, batch_tokens=batch_tokens), expected, strict=True):
            assert_equal(found, wanted)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_small_model_decodes_all_rows_together_to_the_same_numbers(monkeypatch, workers) -> None:
    model, seen = tiny.model("llama"), []
    monkeypatch.setattr(SplitModel, "workers", workers)
    apart = run(model, prompts(40), progress=lambda done, total: seen.append(done))
    batches = len(seen)
    monkeypatch.setattr(way, "SMALL_CACHE", 64 << 20)
    together = run(model, prompts(40), progress=lambda done, total: seen.append(done))
    assert batches > workers
    assert len(seen) - batches == workers  # one for each thread
    assert seen[-1] == 40
    for found, wanted in zip(together, apart, strict=True):
        np.testing.assert_allclose(found.embedding, wanted.embedding, rtol=1e-5, atol=1e-5)
        assert found.token_id.tolist() == wanted.token_id.tolist()


def test_rows_that_end_leave_the_batch_and_the_rest_stay_as_they_were() -> None:
    model = tiny.model("llama")
    texts = prompts(12, seed=3)
    whole = [tiny.plain(model, tiny.tokenizer()(text)["input_ids"], 12, ends=()) for text in texts]
    # Let the token that most rows choose early end an answer, so that rows leave at different steps.
    first = np.concatenate([row["token_id"][:4] for row in whole])
    model.generation_config.eos_token_id = [1, int(np.bincount(first).argmax())]
    ends = tuple(model.generation_config.eos_token_id)
    expected = [tiny.plain(model, tiny.tokenizer()(text)["input_ids"], 12, ends) for text in texts]
    lengths = {len(row["token_id"]) for row in expected}
    assert len(lengths) > 2, "the case must hold rows of several lengths"
    for batch_tokens in (64, 10_000):
        for found, wanted in zip(
            run(model, texts, max_new_tokens=12, batch_tokens=batch_tokens), expected, strict=True
        ):
            assert_equal(found, wanted)
            assert found.token_id[-1] in ends or len(found.token_id) == 12


def test_mean_pooling_is_the_mean_over_the_prompts_own_tokens() -> None:
    model = tiny.model("llama")
    texts = prompts(5)
    for found, text in zip(run(model, texts, pooling="mean"), texts, strict=True):
        assert_equal(found, tiny.plain(model, tiny.tokenizer()(text)["input_ids"], 6), "mean")


def test_without_new_tokens_it_gives_embeddings_alone() -> None:
    model = tiny.model("qwen2")
    texts = prompts(4)
    with_steps = run(model, texts)
    for found, other in zip(
        run(model, texts, max_new_tokens=0, prompt_likelihood=False), with_steps, strict=True
    ):
        np.testing.assert_allclose(found.embedding, other.embedding, rtol=1e-5, atol=1e-5)
        assert found.token_id.shape == found.entropy.shape == (0,)
        assert np.isnan(found.prompt_logprob)


def test_dtypes_and_shapes() -> None:
    record = run(tiny.model("llama"), ["hello"])[0]
    assert record.embedding.dtype == np.float32
    assert record.embedding.shape == (32,)
    assert record.token_id.dtype == np.int32
    assert {getattr(record, name).dtype for name in STEPS[1:]} == {np.dtype(np.float32)}
    assert record.prompt_tokens == 6  # five characters and the start token
    assert (record.top1 >= record.top2).all()


def test_bfloat16_keeps_the_softmax_in_float32() -> None:
    model = tiny.model("llama").to(torch.bfloat16)
    record = run(model, ["hello world"])[0]
    # In bfloat16 a probability has 8 bits, and log p of the chosen token could not equal log(top1) to 1e-6.
    np.testing.assert_allclose(np.log(record.top1), record.logprob, atol=1e-6)


def test_long_prompts_lose_their_left_end_and_keep_the_start_token() -> None:
    model = tiny.model("llama")
    text = "abcdefghij" * 5
    short, cut = run(model, ["abc", text], max_prompt_tokens=12)
    assert not short.truncated
    assert cut.truncated
    assert cut.prompt_tokens == 12
    assert_equal(cut, tiny.plain(model, tiny.tokenizer()(text[-11:])["input_ids"], 6))


def test_prompt_and_answer_are_kept_within_the_models_positions() -> None:
    model = tiny.model("gpt2", n_positions=20)
    text = "abcdefghij" * 5
    (record,) = run(model, [text], max_new_tokens=8)
    assert record.truncated
    assert record.prompt_tokens == 12
    assert_equal(record, tiny.plain(model, tiny.tokenizer()(text[-11:])["input_ids"], 8))
    with pytest.raises(ValueError, match="20 positions"):
        run(model, [text], max_new_tokens=20)


def test_records_come_in_pool_order_window_by_window() -> None:
    model = tiny.model("llama")
    texts = prompts(11)
    whole = run(model, texts)
    seen: list[tuple[int, int]] = []
    windows = run(model, texts, window=4, progress=lambda done, total: seen.append((done, total)))
    assert [r.prompt_tokens for r in windows] == [len(text) + 1 for text in texts]
    for one, other in zip(windows, whole, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, rtol=1e-5, atol=1e-5)
    assert seen[-1] == (11, 11)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_the_same_call_gives_the_same_bytes() -> None:
    texts = prompts(7)
    one, other = (run(tiny.model("llama"), texts) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert a.embedding.tobytes() == b.embedding.tobytes()
        assert a.entropy.tobytes() == b.entropy.tobytes()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_halves_the_budget_and_goes_on(monkeypatch, caplog, error) -> None:
    model = tiny.model("llama")
    texts = prompts(20)
    expected = run(model, texts)
    real, sizes = decode.read, []

    def limited(split, tokens, cache, rows):
        sizes.append(tokens.numel())
        if tokens.numel() > 150:
            raise error
        return real(split, tokens, cache, rows)

    monkeypatch.setattr(decode, "read", limited)
    found = run(model, texts, batch_tokens=1000)
    assert sizes[0] > 150
    assert "125 tokens" in caplog.text
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.embedding, b.embedding, rtol=1e-5, atol=1e-5)
        assert a.token_id.tolist() == b.token_id.tolist()


def test_a_prompt_that_can_never_fit_is_named_and_other_errors_pass(monkeypatch) -> None:
    model = tiny.model("llama")

    def fails(*arguments):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(decode, "read", fails)
    with pytest.raises(MemoryError, match="max_prompt_tokens"):
        run(model, ["abc"])

    def breaks(*arguments):
        raise RuntimeError("something else")

    monkeypatch.setattr(decode, "read", breaks)
    with pytest.raises(RuntimeError, match="something else"):
        run(model, ["abc"])


def test_arguments_are_checked_before_any_work() -> None:
    model = tiny.model("llama")
    for change, message in (
        ({"max_prompt_tokens": 0}, "max_prompt_tokens"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"pooling": "first"}, "pooling"),
        ({"window": 0}, "window"),
    ):
        with pytest.raises(ValueError, match=message):
            forward_pool(
                model,
                tiny.tokenizer(),
                ["a"],
                **{"max_new_tokens": 1, "max_prompt_tokens": 9, "batch_tokens": 9, **change},
            )


def test_a_prompt_without_tokens_is_refused() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer._tokenizer.post_processor = None
    with pytest.raises(ValueError, match="prompt 1 has no tokens"):
        list(
            forward_pool(
                tiny.model("llama"),
                tokenizer,
                ["a", ""],
                max_new_tokens=1,
                max_prompt_tokens=9,
                batch_tokens=9,
            )
        )
    assert run(tiny.model("llama"), []) == []


def test_unknown_heads_are_refused() -> None:
    model = tiny.model("cohere")
    head = model.lm_head
    model.lm_head = torch.nn.Sequential(head, torch.nn.Tanh())
    model.get_output_embeddings = lambda: head
    with pytest.raises(ModelError, match="logits"):
        run(model, ["a"])


def test_the_model_is_left_as_it_was() -> None:
    model = tiny.model("llama")
    before = model.config._attn_implementation
    run(model, ["abc"])
    assert model.config._attn_implementation == before


def test_a_decode_batchs_cache_is_freed_without_the_collector() -> None:
    import gc
    import weakref

    from edsel_assets.llm.reading import cache

    kept: list[weakref.ref] = []
    real = cache._AlignedLayer.lazy_initialization

    def noted(layer, *states):
        real(layer, *states)
        kept.append(weakref.ref(layer.keys))

    gc.collect()
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache._AlignedLayer, "lazy_initialization", noted)
            run(tiny.model("llama"), prompts(10), batch_tokens=64)
        assert len(kept) > 3
        assert all(reference() is None for reference in kept)
    finally:
        gc.enable()


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, edsel_assets.llm, edsel_assets.stages.kept_rows; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_tinystories_on_real_prompts_for_every_budget(data) -> None:
    import pandas as pd

    model, tokenizer = load_model(data / "models" / "tinystories-260k", dtype="float32", device="cpu")
    pool = pd.read_parquet(data / "t0_pool.parquet")["prompt"].iloc[::4500]
    texts = [format_prompt(DEFAULT_TEMPLATE, prompt) for prompt in pool]
    expected = []
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        expected.append(tiny.plain(model, ids if len(ids) <= 300 else [ids[0], *ids[-299:]], 8, ends=(2,)))
    for batch_tokens in (1, 500, 2000, 50_000):
        records = forward_pool(
            model, tokenizer, texts, max_new_tokens=8, max_prompt_tokens=300, batch_tokens=batch_tokens
        )
        for found, wanted in zip(records, expected, strict=True):
            assert_equal(found, wanted)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu() -> None:
    texts = prompts(20)
    on_cpu = run(tiny.model("llama"), texts)
    for a, b in zip(run(tiny.model("llama").cuda(), texts), on_cpu, strict=True):
        np.testing.assert_allclose(a.embedding, b.embedding, rtol=1e-4, atol=1e-4)
        assert a.token_id.tolist() == b.token_id.tolist()
