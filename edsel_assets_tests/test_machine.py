"""What a machine says of itself: a GPU that PyTorch can use, and instructions of the CPU."""

import os
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("said", "found"),
    [("echo 9.0", True), ("echo 7.5", False), ("printf '8.6\\n7.0'", True), ("exit 9", True)],
)
def test_a_gpus_bfloat16_goes_by_its_compute_capability(tmp_path, monkeypatch, said, found) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{said}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    machine.gpu_multiplies_bfloat16.cache_clear()
    assert machine.gpu_multiplies_bfloat16() is found
    machine.gpu_multiplies_bfloat16.cache_clear()


def test_free_memory_is_what_the_system_can_give(tmp_path, monkeypatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemFree: 2 kB\nMemAvailable: 5 kB\n")
    monkeypatch.setattr(machine, "_MEMORY_FACTS", tmp_path / "meminfo")
    assert machine.free_memory() == 5 * 1024
    monkeypatch.setattr(machine, "_MEMORY_FACTS", tmp_path / "absent")
    assert machine.free_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_what_says_that_there_is_no_memory() -> None:
    import torch

    full = [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("[enforce fail] not enough memory: y")]
    assert all(map(machine.out_of_memory, full))
    assert not any(map(machine.out_of_memory, [RuntimeError("shapes"), ValueError("not enough memory")]))


def test_sums_of_cublas_come_in_one_order_unless_the_user_says_otherwise() -> None:
    code = "import os, edsel_assets; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    for before, after in (({}, ":4096:8"), ({"CUBLAS_WORKSPACE_CONFIG": ":0:0"}, ":0:0")):
        env = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"} | before
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        )
        assert found.stdout.strip() == after


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
def test_a_gpu_counts_where_pytorch_can_use_it(tmp_path, monkeypatch, version, hidden, found) -> None:
    monkeypatch.setattr(machine, "_torch_version", lambda: version)
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert machine.has_gpu() is found
