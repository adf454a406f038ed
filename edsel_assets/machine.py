"""What this machine computes with, told without loading a library."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_DEVICES = Path("/dev")
_CPU_FACTS = Path("/proc/cpuinfo")
_MEMORY_FACTS = Path("/proc/meminfo")
#: Names that Linux gives to instructions which multiply bfloat16 at a higher rate than float32.
_BFLOAT16 = {"amx_bf16", "avx512_bf16"}


def has_gpu() -> bool:
    """Whether PyTorch can use an NVIDIA GPU here: there is one, it is not hidden, PyTorch is built for it."""
    return bool(visible_gpus()) and not _torch_version().endswith("+cpu")


def visible_gpus() -> list[str]:
    """The GPUs that a process here may use, as ``CUDA_VISIBLE_DEVICES`` names them: numbers or names."""
    there = sorted(file.name.removeprefix("nvidia") for file in _DEVICES.glob("nvidia[0-9]*"))
    there = there or ["0"] * (_DEVICES / "dxg").exists()  # of a system inside Windows
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None or not there:
        return there
    return [each.strip() for each in named.split(",") if each.strip() not in {"", "-1"}]


def gpu_facts(*fields: str) -> list[list[str]]:
    """What the driver's tool says of each GPU, by its names of fields; none where there is no such tool."""
    ask = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[value.strip() for value in line.split(",")] for line in said.splitlines() if line.strip()]


def models_at_once() -> int:
    """How many models may be held here at a time: one on each GPU, else one for each core of the CPU."""
    return max(1, len(visible_gpus())) if has_gpu() else os.cpu_count() or 1


@cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products in bfloat16 (x86: AMX or AVX-512 BF16).

    False where the system does not say, and on other architectures, where we have measured nothing.
    """
    return bool(_BFLOAT16 & cpu_flags(_CPU_FACTS))


@cache
def gpu_multiplies_bfloat16() -> bool:
    """Whether the first GPU has products in bfloat16: compute capability 8 (Ampere, 2020) or above.

    The driver's tool is asked: PyTorch would have to be imported, and counts emulation. True where there is
    no such tool.
    """
    found = gpu_facts("compute_cap")
    return not found or float(found[0][0]) >= 8


def cpu_flags(file: Path) -> set[str]:
    """The flags of the first processor in a file such as ``/proc/cpuinfo``; none where it is not there."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    flags = (line.partition(":")[2] for line in lines if line.partition(":")[0].strip() == "flags")
    return set(next(flags, "").split())


def free_memory(device: Any = None) -> int:
    """Bytes that can be had now: of a CUDA device (a ``torch.device``), or of the machine without one.

    What PyTorch keeps of memory that it has given up counts as free, and so do files that the system keeps.
    """
    if device is not None and device.type == "cuda":
        from torch import cuda

        return cuda.mem_get_info(device)[0] + cuda.memory_reserved(device) - cuda.memory_allocated(device)
    try:
        lines = _MEMORY_FACTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    facts = (line.split() for line in lines if line.startswith("MemAvailable:"))
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return next((int(fact[1]) * 1024 for fact in facts), everything)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch or Python says that there was no memory, on a GPU or beside it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # PyTorch's allocator on the CPU has no class of its own.
    texts = ("can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


@cache
def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "+cpu"
