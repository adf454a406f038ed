"""What this machine computes with, told without loading a library."""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata
from pathlib import Path

_CPU_FACTS = Path("/proc/cpuinfo")
#: Names that Linux gives to instructions which multiply bfloat16 at a higher rate than float32.
_BFLOAT16 = {"amx_bf16", "avx512_bf16"}


def has_gpu() -> bool:
    """Whether PyTorch can use an NVIDIA GPU here: there is one, it is not hidden, PyTorch is built for it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return False
    there = Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()
    return there and not _torch_version().endswith("+cpu")


@cache
def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products in bfloat16 (x86: AMX or AVX-512 BF16).

    False where the system does not say, and on other architectures, where we have measured nothing.
    """
    return bool(_BFLOAT16 & cpu_flags(_CPU_FACTS))


def cpu_flags(file: Path) -> set[str]:
    """The flags of the first processor in a file such as ``/proc/cpuinfo``; none where it is not there."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    flags = (line.partition(":")[2] for line in lines if line.partition(":")[0].strip() == "flags")
    return set(next(flags, "").split())


@cache
def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "+cpu"
