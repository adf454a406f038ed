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
