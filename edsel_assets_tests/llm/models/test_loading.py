from __future__ import annotations

import numpy as np
import pytest
import torch

from edsel_assets.llm import ModelError, forward_pool, load_model
from edsel_assets_tests.llm import tiny


@pytest.fixture
def saved(tmp_path):
    tiny.model("llama").save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_a_saved_model_comes_back_ready_to_use(saved) -> None:
    model, tokenizer = load_model(saved, device="cpu")
    assert not model.training
    assert model.dtype == torch.float32
    ids = torch.tensor([tokenizer("hello")["input_ids"]])
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, tiny.model("llama")(ids).logits)
    assert load_model(saved, dtype="bfloat16", device="cpu")[0].dtype == torch.bfloat16


def test_a_missing_pad_token_is_set(saved) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(saved)
    assert load_model(saved)[1].pad_token == "</s>"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_changes_the_model_as_peft_would(saved, tmp_path, dtype) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(tiny.model("llama"), config).save_pretrained(tmp_path / "adapter")
    model, tokenizer = load_model(saved, dtype=dtype, adapter=tmp_path / "adapter", device="cpu")
    assert isinstance(model, PeftModel) == (dtype == "bfloat16")
    plain = PeftModel.from_pretrained(load_model(saved, dtype=dtype, device="cpu")[0], tmp_path / "adapter")
    base, _ = load_model(saved, dtype=dtype, device="cpu")
    ids = torch.tensor([tokenizer("hello")["input_ids"]])
    with torch.inference_mode():
        found = model(ids).logits.float()
        tolerance = 1e-4 if dtype == "float32" else 1e-6
        torch.testing.assert_close(found, plain.eval()(ids).logits.float(), atol=tolerance, rtol=tolerance)
        assert (found - base(ids).logits.float()).abs().max() > 0.01
    settings = {"max_new_tokens": 2, "max_prompt_tokens": 9, "batch_tokens": 9}
    (record,) = forward_pool(model, tokenizer, ["hello"], **settings)
    np.testing.assert_allclose(record.logprob[0], torch.log_softmax(found[0, -1], 0).max(), atol=2e-2)


def test_each_thing_missing_is_named_in_one_line(saved, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    cases = [
        ({"name_or_path": ""}, "empty string"),
        ({"name_or_path": tmp_path / "nowhere"}, "no model directory"),
        ({"name_or_path": tmp_path / "empty"}, "config.json"),
        ({"name_or_path": "nobody/nothing"}, "nobody/nothing.*hub"),
        ({"name_or_path": "nobody/nothing", "revision": "v9"}, "revision 'v9'"),
        ({"name_or_path": saved, "revision": "main"}, "is a directory"),
        ({"name_or_path": saved, "dtype": "int8"}, "dtype must be"),
        ({"name_or_path": saved, "dtype": "nothing"}, "dtype must be"),
        ({"name_or_path": saved, "device": "abacus"}, "device must be"),
        ({"name_or_path": saved, "adapter": tmp_path / "empty"}, "adapter_config.json is missing"),
    ]
    for arguments, message in cases:
        with pytest.raises(ModelError, match=message) as caught:
            load_model(**arguments)
        assert "\n" not in str(caught.value)


def test_a_model_without_tokenizer_or_safetensors_is_refused(saved) -> None:
    weights = saved / "model.safetensors"
    torch.save(tiny.model("llama").state_dict(), saved / "pytorch_model.bin")
    kept = weights.read_bytes()
    weights.unlink()
    with pytest.raises(ModelError, match="safetensors"):
        load_model(saved)
    weights.write_bytes(kept)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (saved / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="tokenizer"):
        load_model(saved)


def with_weights(folder, change) -> None:
    """Changes the tensors of the checkpoint or adapter at ``folder``."""
    from safetensors.torch import load_file, save_file

    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    change(weights)
    save_file({name: tensor.clone() for name, tensor in weights.items()}, path, metadata={"format": "pt"})


Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


def test_weights_that_lack_more_or_do_not_fit_are_refused_by_name(saved) -> None:
    kept = (saved / "model.safetensors").read_bytes()
    cases = [
        (lambda weights: weights.pop(Q_PROJ), rf"lacks the weights {Q_PROJ}, which would be random"),
        (lambda weights: weights.update(extra=torch.zeros(2)), "holds the weights extra, which its arch"),
        (
            lambda weights: weights.update({Q_PROJ: torch.zeros(2, 2)}),
            rf"{Q_PROJ} of shape \(2, 2\); its",
        ),
        (lambda weights: weights.pop("lm_head.weight"), "lacks the weights lm_head.weight"),
    ]
    for change, message in cases:
        (saved / "model.safetensors").write_bytes(kept)
        with_weights(saved, change)
        with pytest.raises(ModelError, match=message) as caught:
            load_model(saved, device="cpu")
        assert "\n" not in str(caught.value)


def test_a_tied_head_need_not_be_there(tmp_path) -> None:
    tiny.model("llama", tie_word_embeddings=True).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    model, _ = load_model(tmp_path, device="cpu")
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_that_lacks_weights_or_has_others_is_refused(saved, tmp_path, dtype) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(tiny.model("llama"), config).save_pretrained(tmp_path / "adapter")
    key = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
    with_weights(tmp_path / "adapter", lambda weights: weights.update({key.replace("0", "9"): weights[key]}))
    with pytest.raises(ModelError, match=r"holds the weights .*layers.9"):
        load_model(saved, dtype=dtype, adapter=tmp_path / "adapter", device="cpu")
    with_weights(tmp_path / "adapter", lambda weights: weights.pop(key))
    with pytest.raises(ModelError, match=r"the adapter in .* lacks the weights .*layers.0.mlp.up_proj"):
        load_model(saved, dtype=dtype, adapter=tmp_path / "adapter", device="cpu")


def test_tokens_beyond_the_embedding_are_found_at_load(saved, caplog) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<more_{n}>" for n in range(30)]})
    tokenizer.save_pretrained(saved)
    model, loaded = load_model(saved, device="cpu")
    assert "has no row for" in caplog.text
    settings = {"max_new_tokens": 1, "max_prompt_tokens": 9, "batch_tokens": 9}
    assert len(list(forward_pool(model, loaded, ["more"], **settings))) == 1
    with pytest.raises(ValueError, match=r"token \d+, and the model has rows for 64 tokens"):
        list(forward_pool(model, loaded, ["<more_29>"], **settings))
    tokenizer.chat_template = "{% for m in messages %}<more_29>{{ m.content }}{% endfor %}"
    tokenizer.save_pretrained(saved)
    with pytest.raises(ModelError, match=r"uses '<more_29>' as token \d+, and the model has 64 rows"):
        load_model(saved, device="cpu")
