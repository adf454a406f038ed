from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edsel_assets.llm._model import SplitModel
from edsel_assets.llm.cpu import cpu_model, frozen_products, log_likelihood, parts
from edsel_assets.llm.cpu.attention import KEYS, causal_attention
from edsel_assets.llm.cpu.decoding import WIDTH, decoding_attention
from edsel_assets.llm.cpu.model import CPU_ATTENTION
from edsel_assets.llm.cpu.pointwise import gated, rms_norm, rotated
from edsel_assets.llm.cpu.product import DEPTH, in_order, product
from edsel_assets.llm.cpu.tile import LANES, ROWS, WIDE
from edsel_assets_tests.llm import tiny


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("rows", [1, ROWS, 7, 400])
@pytest.mark.parametrize("columns", [3, 5, LANES, LANES + 1, 3 * LANES - 7])
@pytest.mark.parametrize("terms", [1, 33, DEPTH, 2 * DEPTH + 9])
def test_a_product_is_what_float64_makes_of_it(threads, rows, columns, terms) -> None:
    x, weight = draw(rows, terms), draw(columns, terms, seed=1)
    found = product(x, weight)
    np.testing.assert_allclose(found, x.double() @ weight.double().T, rtol=0, atol=2e-5 * terms**0.5)
    assert torch.equal(found, product(x, weight, in_order(weight)))


def test_a_rows_product_does_not_depend_on_its_batch(threads) -> None:
    x, weight = draw(3, 300, 70), draw(90, 70, seed=1)
    whole = product(x, weight)
    assert whole.shape == (3, 300, 90)
    for count in (1, 5, 130):
        assert torch.equal(product(x[1, 100 : 100 + count], weight), whole[1, 100 : 100 + count])


@pytest.mark.parametrize("length", [1, 2, 5, LANES, KEYS - 1, KEYS + 1, 300])
@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (4, 2), (6, 2), (3, 1)])
@pytest.mark.parametrize("size", [4, 12, 32])
def test_causal_attention_is_what_float64_makes_of_it(threads, length, heads, groups, size) -> None:
    query, key, value = (draw(2, length, n, size, seed=i) for i, n in enumerate((heads, groups, groups)))
    found = causal_attention(query, key, value, 0.4)
    expected = functional.scaled_dot_product_attention(
        *(states.double().transpose(1, 2) for states in (query, key, value)),
        is_causal=True,
        scale=0.4,
        enable_gqa=True,
    ).transpose(1, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    query, key, value = (draw(1, 200, 1, 8, seed=seed) for seed in range(3))
    key[0, ::50] *= 1e4  # scores of thousands
    found = causal_attention(query, key, value, 1.0)
    expected = functional.scaled_dot_product_attention(
        *(states.double().transpose(1, 2) for states in (query, key, value)), is_causal=True, scale=1.0
    ).transpose(1, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    assert torch.isfinite(found).all()


def test_padding_on_the_right_changes_no_bit_of_a_row() -> None:
    query, key, value = (draw(1, 300, heads, 8, seed=heads) for heads in (4, 2, 2))
    whole = causal_attention(query, key, value, 0.4)
    short = causal_attention(query[:, :170], key[:, :170], value[:, :170], 0.4)
    assert torch.equal(whole[:, :170], short)


def test_narrower_numbers_are_widened() -> None:
    query, key, value = (draw(1, 20, 2, 8, seed=seed).bfloat16() for seed in range(3))
    found = causal_attention(query, key, value, 0.4)
    assert found.dtype == torch.bfloat16
    wide = causal_attention(query.float(), key.float(), value.float(), 0.4)
    assert torch.equal(found, wide.bfloat16())


@pytest.mark.parametrize("size", [WIDTH, 3 * WIDTH])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2)])
@pytest.mark.parametrize("columns", [WIDTH, 70])
def test_decoding_attends_to_the_columns_of_each_row(threads, size, heads, groups, columns) -> None:
    rows, seen = 20, columns - 3
    query, keys, values = draw(rows, heads, size), draw(rows, groups, columns, size), None
    values = draw(rows, groups, columns, size, seed=1)
    starts = np.random.default_rng(0).integers(0, seen, rows)
    starts[:2] = 0, seen - 1
    for row, start in enumerate(starts):  # what lies outside must not be looked at
        for kept in (keys, values):
            kept[row, :, :start] = kept[row, :, seen:] = float("nan")
    found = decoding_attention(query, keys, values, starts, seen, 0.4)
    for row, start in enumerate(starts):
        kept = (states[row : row + 1, :, start:seen].double() for states in (keys, values))
        wanted = functional.scaled_dot_product_attention(
            query[row][None, :, None].double(), *kept, scale=0.4, enable_gqa=True
        )
        np.testing.assert_allclose(found[row], wanted[0, :, 0], rtol=0, atol=2e-6)


def test_the_likelihood_of_a_column_is_what_float64_makes_of_it(threads) -> None:
    x, weight = draw(50, 33) * 3, draw(LANES + 9, 33, seed=1)
    chosen = torch.randint(0, LANES + 9, (50,), generator=torch.Generator().manual_seed(0))
    expected = (x.double() @ weight.double().T).log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0]
    found = log_likelihood(x, in_order(weight), LANES + 9, chosen)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-5)


def test_norm_and_gate(threads) -> None:
    x, up, weight = draw(2, 700, 37) * 3, draw(2, 700, 37, seed=1), draw(37, seed=2)
    x[0, 0] = torch.linspace(-200, 200, 37)
    expected = functional.rms_norm(x.double(), (37,), weight.double(), 1e-5)
    np.testing.assert_allclose(rms_norm(x, weight, 1e-5), expected, rtol=2e-6, atol=1e-6)
    wanted = functional.silu(x.double()) * up.double()
    np.testing.assert_allclose(gated(x.clone(), up), wanted, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_rotation_is_that_of_transformers(threads, batch) -> None:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x, cos, sin = draw(3, 700, 2, 8), draw(batch, 700, 8, seed=1), draw(batch, 700, 8, seed=2)
    wanted, _ = apply_rotary_pos_emb(x, x, cos, sin, unsqueeze_dim=2)
    torch.testing.assert_close(rotated(x, cos, sin), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "layers"), [("llama", 3), ("mistral_window", 0), ("qwen2", 3), ("cohere", 0), ("gpt2", 0)]
)
def test_attention_layers_known_to_be_alike_are_replaced(family, layers) -> None:
    model = cpu_model(tiny.model(family))
    replaced = [type(module).__name__ for module in model.modules() if "forward" in vars(module)]
    assert sum(name.endswith("Attention") for name in replaced) == layers


def test_parts_cover_everything_once_and_pass_errors_on(monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    for count in (0, 1, 9, 10, 101):
        seen = np.zeros(count, dtype=int)

        def kernel(first: int, last: int, seen: np.ndarray = seen) -> None:
            seen[first:last] += 1

        parts.in_parts(kernel, (), count, 3)
        assert (seen == 1).all()

    def fails(first: int, last: int) -> None:
        if last == 100:
            raise ValueError("the last part")

    with pytest.raises(ValueError, match="the last part"):
        parts.in_parts(fails, (), 100, 3)


def test_the_copy_shares_the_weights_and_leaves_the_model_alone() -> None:
    model = tiny.model("llama")
    before = {type(module) for module in model.modules()}
    copied = cpu_model(model)
    assert model.config._attn_implementation == "sdpa"
    assert copied.config._attn_implementation == CPU_ATTENTION
    assert {type(module) for module in model.modules()} == before
    for name, weight in model.named_parameters():
        assert copied.get_parameter(name).data_ptr() == weight.data_ptr()


def test_an_attention_that_the_user_chose_stays() -> None:
    model = tiny.model("llama")
    model.set_attn_implementation("eager")
    assert cpu_model(model).config._attn_implementation == "eager"


@pytest.mark.parametrize(("family", "replaced"), [("llama", 7), ("qwen3", 13), ("gemma2", 0)])
def test_only_norms_that_are_what_they_seem_are_replaced(family, replaced) -> None:
    model = cpu_model(tiny.model(family))
    norms = [module for module in model.modules() if type(module).__name__.endswith("RMSNorm")]
    assert sum("forward" in vars(norm) for norm in norms) == replaced


def test_every_door_is_used(monkeypatch) -> None:
    from edsel_assets.llm import forward_pool
    from edsel_assets.llm.cpu import model as doors

    least = {"causal_attention": 3, "decoding_attention": 3, "rms_norm": 7, "rotated": 6, "gated": 3}
    if WIDE:
        least["product"] = 3 * 7
    calls = dict.fromkeys(least, 0)
    real = {name: getattr(doors, name) for name in calls}
    for name in calls:

        def counted(*arguments, name=name, **options):
            calls[name] += 1
            return real[name](*arguments, **options)

        monkeypatch.setattr(doors, name, counted)
    monkeypatch.setattr(SplitModel, "workers", 1)
    options = {"max_new_tokens": 3, "max_prompt_tokens": 50, "batch_tokens": 1000}
    list(forward_pool(tiny.model("llama"), tiny.tokenizer(), ["abc def", "a", "hello"], **options))
    assert {name: calls[name] >= count for name, count in least.items()} == dict.fromkeys(least, True)


def test_products_beside_frozen_weights_have_the_gradient_of_a_linear_layer() -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(40, 70), torch.nn.Linear(70, 30), torch.nn.Linear(30, 5))
    layers[0].requires_grad_(False)
    layers[2].requires_grad_(False)
    x = draw(2, 60, 40).requires_grad_()
    (wanted,) = torch.autograd.grad(layers(x).square().sum(), [x])
    with frozen_products(layers):
        if WIDE:
            assert [type(layer) is torch.nn.Linear for layer in layers] == [False, True, False]
        (found,) = torch.autograd.grad(layers(x).square().sum(), [x])
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert all(type(layer) is torch.nn.Linear for layer in layers)
