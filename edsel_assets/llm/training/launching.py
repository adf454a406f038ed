"""Finetuning on several processes of this machine, started by ``accelerate launch``.

The base model, the examples and the settings go to the processes through a job folder beside the output;
progress comes back line by line, the result as JSON. What each process runs is :mod:`.worker`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .settings import Example, FinetuneResult, FinetuneSettings

STEP = "edsel-step"
"""Begins each line of a process's output that says how far it is: STEP, steps done, steps in all."""


def launch(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: FinetuneSettings,
    seed: int,
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> FinetuneResult:
    """``finetune`` on ``settings.processes`` processes; the model leaves its GPU meanwhile.

    Each process takes its share of every batch's micro-batches. The sums of their losses and gradients are
    those of one process up to rounding and dropout, which each draws for itself.
    """
    job = folder.parent / f".{folder.name}.job"
    shutil.rmtree(job, ignore_errors=True)  # of a run that was killed
    job.mkdir()
    try:
        _write_job(job, model, tokenizer, examples, settings, seed, folder)
        with _off_device(model):
            _run(job, settings.processes, progress)
        values = json.loads((job / "result.json").read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(job, ignore_errors=True)
    return FinetuneResult(**values | {"path": folder})


def _write_job(
    job: Path,
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    settings: FinetuneSettings,
    seed: int,
    folder: Path,
) -> None:
    model.save_pretrained(job / "base")
    tokenizer.save_pretrained(job / "base")
    values = {
        "examples": [asdict(example) for example in examples],
        "settings": settings.to_dict(),
        "seed": seed,
        "folder": str(folder),
        "device": model.device.type,
    }
    (job / "job.json").write_text(json.dumps(values), encoding="utf-8")


def _run(job: Path, processes: int, progress: Callable[[int, int], None] | None) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
    command += ["--num_processes", str(processes), "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0", "--module", "edsel_assets.llm.training.worker", str(job)]
    root = str(Path(__file__).parents[3])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with (job / "stderr.txt").open("w+", encoding="utf-8") as errors:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"PYTHONPATH": paths}
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith(STEP) and progress:
                    done, total = line.split()[1:]
                    progress(int(done), int(total))
            code = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
        if code != 0:
            errors.seek(0)
            raise RuntimeError(f"finetuning on {processes} processes failed:\n{errors.read()[-4000:]}")


@contextmanager
def _off_device(model: Any) -> Iterator[None]:
    """The GPU's memory is the launched processes' while they run."""
    device = model.device
    if device.type == "cpu":
        yield
        return
    import torch

    model.to("cpu")
    torch.cuda.empty_cache()
    try:
        yield
    finally:
        model.to(device)
