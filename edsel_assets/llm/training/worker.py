"""What each process of a launched finetuning runs: ``python -m edsel_assets.llm.training.worker JOB``."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..models.weights import whole_model
from .launching import STEP
from .run import run_finetuning
from .settings import Example, FinetuneSettings


def main(job: Path) -> None:
    """Take this process's share of the job that :func:`~.launching.launch` wrote to the folder ``job``."""
    values = json.loads((job / "job.json").read_text(encoding="utf-8"))
    device = torch.device("cpu")
    if values["device"] == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        base = job / "base"
        model: Any = whole_model(AutoModelForCausalLM, base, dtype="auto", local_files_only=True)
        first = distributed.get_rank() == 0
        result = run_finetuning(
            model.to(device),
            AutoTokenizer.from_pretrained(base, local_files_only=True),
            [Example(**example) for example in values["examples"]],
            FinetuneSettings.from_dict(values["settings"]),
            values["seed"],
            Path(values["folder"]),
            (lambda done, total: print(STEP, done, total, flush=True)) if first else None,
            keep_base=False,
        )
        if first:
            written = json.dumps(asdict(result), default=str)
            (job / "result.json").write_text(written, encoding="utf-8")
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
