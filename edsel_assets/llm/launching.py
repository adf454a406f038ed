"""Finetuning on several processes of this machine, started by ``accelerate launch``.

The base model, the examples and the settings go to the processes through a job folder beside the output;
progress comes back line by line, the result as JSON. Run as a module, this is what each process runs.
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

from .finetune_settings import Example, FinetuneResult, FinetuneSettings

_STEP = "edsel-step"


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
    command += ["--main_process_port", "0", "--module", "edsel_assets.llm.launching", str(job)]
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with (job / "stderr.txt").open("w+", encoding="utf-8") as errors:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"PYTHONPATH": paths}
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith(_STEP) and progress:
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


def _worker(job: Path) -> None:
    import torch
    from torch import distributed
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from .finetuning import finetune_here

    values = json.loads((job / "job.json").read_text(encoding="utf-8"))
    device = torch.device("cpu")
    if values["device"] == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        base = job / "base"
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype="auto", local_files_only=True)
        first = distributed.get_rank() == 0
        result = finetune_here(
            model.to(device),
            AutoTokenizer.from_pretrained(base, local_files_only=True),
            [Example(**example) for example in values["examples"]],
            FinetuneSettings.from_dict(values["settings"]),
            values["seed"],
            Path(values["folder"]),
            (lambda done, total: print(_STEP, done, total, flush=True)) if first else None,
            keep_base=False,
        )
        if first:
            written = json.dumps(asdict(result), default=str)
            (job / "result.json").write_text(written, encoding="utf-8")
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    _worker(Path(sys.argv[1]))
