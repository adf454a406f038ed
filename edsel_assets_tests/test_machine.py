"""What a machine says of itself: a GPU that PyTorch can use, and instructions of the CPU."""

import os
from pathlib import Path

import pytest

from edsel_assets import machine

CPU = "processor\t: 0\nflags\t\t: fpu avx2 {}\nprocessor\t: 1\nflags\t\t: fpu amx_bf16\n"


@pytest.mark.parametrize(("flag", "found"), [("avx512_bf16", True), ("amx_bf16 x", True), ("avx512f", False)])
def test_instructions_for_bfloat16_are_read_off_the_first_processor(
    tmp_path, monkeypatch, flag, found
) -> None:
    (tmp_path / "cpuinfo").write_text(CPU.format(flag))
    monkeypatch.setattr(machine, "_CPU_FACTS", tmp_path / "cpuinfo")
    machine.multiplies_bfloat16.cache_clear()
    assert machine.multiplies_bfloat16() is found
    machine.multiplies_bfloat16.cache_clear()


def test_a_system_that_says_nothing_has_no_flags(tmp_path) -> None:
    assert machine.cpu_flags(tmp_path / "absent") == set()
    (tmp_path / "arm").write_text("Features\t: fp asimd bf16\n")
    assert machine.cpu_flags(tmp_path / "arm") == set()


def test_the_answer_is_pytorchs_own() -> None:
    import torch

    assert machine.has_gpu() == torch.cuda.is_available()
    if Path("/proc/cpuinfo").exists():
        named = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        assert machine.multiplies_bfloat16() == named


@pytest.mark.parametrize(
    ("version", "hidden", "found"),
    [("2.13.0", None, True), ("2.13.0+cpu", None, False), ("2.13.0", "", False), ("2.13.0", "-1", False)],
)
def test_a_gpu_counts_where_pytorch_can_use_it(monkeypatch, version, hidden, found) -> None:
    monkeypatch.setattr(machine, "_torch_version", lambda: version)
    monkeypatch.setattr(machine.Path, "exists", lambda path: os.fspath(path) == "/dev/nvidia0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert machine.has_gpu() is found
