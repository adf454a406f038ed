"""Which engine runs, by memory and device. Symbols: N prompts, d dimensions."""

from __future__ import annotations

import os

import torch

from edsel_assets.selection._facility_rows import CHUNK_BYTES

ENGINES = ("auto", "dense", "sparse", "blocked", "apricot")
MEMORY_SHARE = 0.5  # of the machine's memory, when no limit is given
PAIR_COST = 20  # bytes a kept pair takes at the most, both directions and the pass that finds them


def memory_of(device: torch.device) -> int:
    """Bytes that may be used where no limit is given: half of the machine's, or of the GPU's."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * MEMORY_SHARE)
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)


def needs(size: int, dim: int) -> dict[str, int]:
    """Bytes that each engine takes at the least on a pool of (size, dim)."""
    base = 4 * size * dim + 64 * size + 6 * CHUNK_BYTES
    return {
        "dense": base + 4 * size * size,
        "sparse": base + 2 * PAIR_COST * size,
        "blocked": base,
        "apricot": base + 24 * size * size,
    }


def choose_engine(engine: str, kernel: str, size: int, dim: int, limit: int, device: torch.device) -> str:
    """The engine to run within ``limit`` bytes; a ValueError where none or not the one asked for fits."""
    wanted = needs(size, dim)
    fits = [name for name, need in wanted.items() if need <= limit]
    for name in ["dense", "blocked"] if engine == "auto" else [engine]:
        if name in fits:
            return name
    listed = ", ".join(f"{name} {need / 2**30:.2f} GiB" for name, need in wanted.items())
    raise ValueError(
        f"memory_limit must hold the engine ({engine}); got {limit / 2**30:.2f} GiB, and on {size} prompts "
        f"of {dim} dimensions they need: {listed}. Raise memory_limit, choose another engine or a smaller pool."
    )
