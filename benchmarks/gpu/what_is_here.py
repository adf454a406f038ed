"""The hardware and its libraries, what its products reach, and the tests that only a GPU can run."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.gpu.job import Job, LeftOut, Result

_LIBRARIES = ("torch", "transformers", "peft", "numpy", "scipy", "scikit-learn", "numba", "pyarrow", "pandas")
_ROOT = Path(__file__).parents[2]
_TESTS = (
    "llm/reading/test_forward.py",
    "llm/training/test_finetuning.py",
    "selection/clustering/test_kmeans.py",
    "selection/facility/test_greedy.py",
    "selection/test_farthest_first.py",
    "selection/core/test_embeddings.py",
)


def environment(job: Job) -> Result:
    """Names, versions, memory, and operations a second of plain products."""
    import torch

    device = torch.device(job.device)
    found: Result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        **{name: metadata.version(name) for name in _LIBRARIES},
    }
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        free, total = torch.cuda.mem_get_info(device)
        found |= {
            "gpu": facts.name,
            "gpus": torch.cuda.device_count(),
            "compute capability": f"{facts.major}.{facts.minor}",
            "CUDA of PyTorch": torch.version.cuda,
            "memory, GiB": f"{free / 2**30:.1f} free of {total / 2**30:.1f}",
        }
    for dtype in (torch.float32, torch.bfloat16):
        found[f"TFLOP/s, {str(dtype)[6:]}"] = round(products_per_second(job, dtype) / 1e12, 3)
    return found


def products_per_second(job: Job, dtype: Any) -> float:
    """Operations a second of a square matrix product: the peak that models are held to."""
    import torch

    size, times = (256, 2) if job.small else (8192, 10)
    a, b = (torch.randn(size, size, device=job.device).to(dtype) for _ in range(2))
    a @ b
    return times * 2 * size**3 / seconds(job, lambda: [a @ b for _ in range(times)])


def seconds(job: Job, work: Any) -> float:
    """What ``work()`` takes, until the device is done."""
    _wait(job)
    began = perf_counter()
    work()
    _wait(job)
    return perf_counter() - began


def _wait(job: Job) -> None:
    import torch

    if job.device.startswith("cuda"):
        torch.cuda.synchronize()


def marked_tests(job: Job) -> Result:
    """The tests marked ``gpu``, by pytest, without the parts of the suite that need other libraries."""
    if not job.device.startswith("cuda"):
        raise LeftOut("The tests marked gpu need a GPU.")
    absent = [name for name in ("pytest", "hypothesis") if importlib.util.find_spec(name) is None]
    if absent:
        raise LeftOut(f"Not installed: {', '.join(absent)}.")
    files = [str(_ROOT / "edsel_assets_tests" / name) for name in _TESTS]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--noconftest", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT)
    said = done.stdout.strip().splitlines()
    if done.returncode:
        raise RuntimeError("\n".join([said[-1] if said else done.stderr, *said[-60:]]))
    return {"pytest": said[-1]}
