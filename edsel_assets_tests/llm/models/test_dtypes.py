"""What ``auto`` stands for, by stored format, device and instructions; and that models are loaded so."""

import json

import pytest
import torch

from edsel_assets.llm import load_model
from edsel_assets.llm.models import dtypes
from edsel_assets.llm.models.dtypes import dtype_here, training_dtype_here
from edsel_assets.llm.training.device import precision
from edsel_assets.llm.training.settings import FinetuneSettings
from edsel_assets_tests.llm import tiny
from edsel_assets_tests.second_device import second_device


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine is."""

    def be(gpu: bool = False, instructions: bool = False, new: bool = True) -> None:
        monkeypatch.setattr(dtypes, "has_gpu", lambda: gpu)
        monkeypatch.setattr(dtypes, "multiplies_bfloat16", lambda: instructions)
        monkeypatch.setattr(dtypes, "gpu_multiplies_bfloat16", lambda: new)

    be()
    return be


@pytest.mark.parametrize(
    ("stored", "device", "gpu", "instructions", "expected"),
    [
        ("bfloat16", "auto", False, False, "float32"),
        ("bfloat16", "auto", False, True, "bfloat16"),
        ("float16", "cpu", True, True, "float32"),
        ("float32", "cpu", False, True, "float32"),
        ("bfloat16", "cpu", True, False, "float32"),
        ("bfloat16", "auto", True, False, "bfloat16"),
        ("float16", "cuda:1", False, False, "float16"),
        (None, "auto", True, False, "auto"),
        (None, "auto", False, True, "float32"),
    ],
)
def test_auto_is_what_is_fast_on_a_cpu_and_as_stored_elsewhere(
    tmp_path, machine, stored, device, gpu, instructions, expected
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"dtype": stored} if stored else {}))
    machine(gpu, instructions)
    assert dtype_here("auto", device, str(tmp_path)) == expected
    assert dtype_here("float16", device, str(tmp_path)) == "float16", "what is named stays"


def test_older_configurations_and_broken_ones(tmp_path, machine) -> None:
    machine(gpu=True)
    (tmp_path / "config.json").write_text('{"torch_dtype": "torch.bfloat16"}')
    assert dtype_here("auto", "auto", str(tmp_path)) == "bfloat16"
    for text in ("{", "[]", '{"dtype": 3}'):
        (tmp_path / "config.json").write_text(text)
        assert dtype_here("auto", "auto", str(tmp_path)) == "auto"


def test_training_has_bfloat16_on_a_gpu_alone(machine) -> None:
    assert [training_dtype_here("auto", d) for d in ("auto", "cpu", "cuda:0")] == [
        "float32",
        "float32",
        "bfloat16",
    ]
    machine(gpu=True)
    assert [training_dtype_here("auto", d) for d in ("auto", "cpu")] == ["bfloat16", "float32"]
    assert training_dtype_here("float32", "auto") == "float32"


def test_a_gpu_that_emulates_bfloat16_trains_in_float32(machine) -> None:
    machine(gpu=True, new=False)
    assert training_dtype_here("auto", "auto") == "float32"
    assert training_dtype_here("bfloat16", "auto") == "bfloat16", "what is named stays"
    with second_device(is_bf16_supported=lambda including_emulation=True: including_emulation):
        for name, wanted in (("auto", False), ("bfloat16", True)):
            with precision(torch.device("cuda"), FinetuneSettings(dtype=name)):
                assert torch.is_autocast_enabled("cuda") == wanted


@pytest.mark.parametrize(("instructions", "expected"), [(False, torch.float32), (True, torch.bfloat16)])
def test_a_model_stored_in_bfloat16_is_loaded_so_where_that_is_fast(
    tmp_path, machine, instructions, expected
) -> None:
    machine(instructions=instructions)
    tiny.model("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert load_model(tmp_path, device="cpu")[0].dtype == expected
    assert load_model(tmp_path, device="cpu", dtype="float16")[0].dtype == torch.float16
