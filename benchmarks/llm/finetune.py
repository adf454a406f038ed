"""Finetuning against the transformers Trainer: tokens per second at equal loss.

python -m benchmarks.llm.finetune                    both tiny models, adapters and full, three seeds, CPU
python -m benchmarks.llm.finetune --own-window       examples cut to the models' own 256 and 512 positions
python -m benchmarks.llm.finetune --shape llama-2-7b random weights of that shape, adapters, on a GPU

Both sides get the same token sequences of T0, the same optimizer, schedule and batch size; each shuffles
by its own rule. Tokens are those of prompts and responses, without padding; the time is that of the steps.
The loss is that of held-out responses after training, in nats per token, measured alike for both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from edsel_assets.llm.training.examples import TokenSequence, encode_examples
from edsel_assets.llm.training.learner import keep_random_state, model_to_train
from edsel_assets.llm.training.loop import train
from edsel_assets.llm.training.micro_batches import make_micro_batch, token_losses
from edsel_assets.llm.training.settings import Example, FinetuneSettings

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EDSEL_DATA", HERE.parents[1] / ".." / "shared" / "data"))
DEMO = HERE.parents[1] / "edsel_assets" / "demo" / "model"
TEMPLATE = "<|user|>\n{prompt}\n<|assistant|>\n"
HELD_OUT = 64
LONGEST = 1024  # tokens of an example, as studies cut prompts by default
LLAMA_2_7B = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32} | {
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}


@dataclass(frozen=True)
class Run:
    """One training: its tokens, the seconds and CPU seconds of its steps, held-out loss in nats per token."""

    tokens: float
    seconds: float
    cpu_seconds: float
    loss: float
    peak_share: float | None = None


@dataclass(frozen=True)
class Setting:
    model: Any
    tokenizer: Any
    examples: list[Example]
    held_out: list[Example]
    settings: FinetuneSettings


def examples_of_t0(count: int) -> list[Example]:
    """``count`` T0 prompts with their responses, in a seeded order."""
    import pandas as pd

    table = pd.read_parquet(DATA / "t0_pool.parquet")
    rows = table.iloc[np.random.default_rng(0).permutation(len(table))[:count]]
    return [
        Example(TEMPLATE.format(prompt=p), r) for p, r in zip(rows["prompt"], rows["response"], strict=True)
    ]


def held_out_loss(model: Any, setting: Setting) -> float:
    """Nats per response token over the held-out examples."""
    found = encode_examples(setting.tokenizer, setting.held_out, setting.settings.max_length)
    model.eval()
    with torch.inference_mode():
        losses = [
            token_losses(model, make_micro_batch([sequence], model.device)).cpu()
            for sequence in found.sequences
        ]
    return torch.cat(losses).mean().item()


def ours(setting: Setting, seed: int) -> Run:
    wanted = setting.settings
    sequences = encode_examples(setting.tokenizer, setting.examples, wanted.max_length).sequences
    with (
        tempfile.TemporaryDirectory() as folder,
        keep_random_state(setting.model),
        model_to_train(setting.model, wanted, seed) as (model, _),
    ):
        began, began_cpu = perf_counter(), process_time()
        trained = train(model, sequences, wanted, seed, Path(folder) / "checkpoint", None)
        seconds, cpu_seconds = perf_counter() - began, process_time() - began_cpu
        loss = held_out_loss(model, setting)
    tokens = wanted.epochs * sum(len(sequence) for sequence in sequences)
    return Run(tokens, seconds, cpu_seconds, loss, trained.peak_share)


def trainer(rows: int, by_length: bool = False) -> Callable[[Setting, int], Run]:
    """The Trainer with ``rows`` rows per pass, padded to the longest, accumulated to the same batch."""

    def run(setting: Setting, seed: int) -> Run:
        from transformers import Trainer

        wanted = setting.settings
        sequences = encode_examples(setting.tokenizer, setting.examples, wanted.max_length).sequences
        with (
            tempfile.TemporaryDirectory() as folder,
            keep_random_state(setting.model),
            model_to_train(setting.model, wanted, seed) as (model, wrapper),
        ):
            training = Trainer(
                model=model if wrapper is None else wrapper,
                args=_arguments(wanted, rows, by_length, seed, folder, setting.model.device.type),
                train_dataset=[_row(sequence) for sequence in sequences],
                data_collator=_padded,
            )
            began, began_cpu = perf_counter(), process_time()
            training.train()
            seconds, cpu_seconds = perf_counter() - began, process_time() - began_cpu
            loss = held_out_loss(model, setting)
        tokens = wanted.epochs * sum(len(sequence) for sequence in sequences)
        return Run(tokens, seconds, cpu_seconds, loss)

    return run


def _arguments(
    wanted: FinetuneSettings, rows: int, by_length: bool, seed: int, folder: str, device: str
) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=int(wanted.batch_size) // rows,
        learning_rate=wanted.peak_rate,
        lr_scheduler_type="linear",
        num_train_epochs=wanted.epochs,
        max_grad_norm=wanted.max_grad_norm or 0.0,
        train_sampling_strategy="group_by_length" if by_length else "random",
        bf16=device == "cuda",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        seed=seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _row(sequence: TokenSequence) -> dict[str, list[int]]:
    ids = sequence.tokens.tolist()
    return {"input_ids": ids, "labels": [-100] * sequence.prompt_length + ids[sequence.prompt_length :]}


def _padded(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Right padding to the longest row, as transformers' own collator does."""
    width = max(len(row["input_ids"]) for row in rows)
    gaps = [width - len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([r["input_ids"] + [0] * gap for r, gap in zip(rows, gaps, strict=True)]),
        "labels": torch.tensor([r["labels"] + [-100] * gap for r, gap in zip(rows, gaps, strict=True)]),
        "attention_mask": torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps]),
    }


CONTENDERS: dict[str, Callable[[Setting, int], Run]] = {
    "edsel": ours,
    "Trainer, 8 rows": trainer(8),
    "Trainer, 8 rows, grouped by length": trainer(8, by_length=True),
}


def tiny_settings(count: int, epochs: int, own_window: bool) -> dict[str, Setting]:
    """The demo model and tinystories-260k, with adapters and in full."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    examples = examples_of_t0(count + HELD_OUT)
    found = {}
    for name, path in (("demo", DEMO), ("tinystories-260k", DATA / "models" / "tinystories-260k")):
        model = AutoModelForCausalLM.from_pretrained(path)
        tokenizer = AutoTokenizer.from_pretrained(path)
        if not own_window:
            # Rotary positions have no table: the time is that of a model trained for longer prompts.
            model.config.max_position_embeddings = LONGEST
        for method, rate in (("lora", 2e-3), ("full", 5e-4)):
            settings = FinetuneSettings(
                method=method,
                rank=16,
                dropout=0.0,
                learning_rate=rate,
                warmup=0.0,
                batch_size=32,
                epochs=epochs,
                max_length=model.config.max_position_embeddings,
            )
            title = f"{name}, {method}" + (", its own window" if own_window else "")
            found[title] = Setting(model, tokenizer, examples[:count], examples[count:], settings)
    return found


def large_setting(count: int, tokenizer_path: str) -> dict[str, Setting]:
    """Llama-2-7B's shape with random weights in bfloat16 on the GPU: the speed of the real one."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    examples = examples_of_t0(count + 32)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA_2_7B), dtype=torch.bfloat16)
    settings = FinetuneSettings(
        epochs=1, batch_size=128, learning_rate=1e-4, dropout=0.0, gradient_checkpointing=True
    )
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    return {"llama-2-7b shape, lora": Setting(model, tokenizer, examples[:count], examples[count:], settings)}


def measure(setting: Setting, title: str, contenders: Sequence[str], seeds: int) -> dict[str, Any]:
    """Runs by contender; contenders take turns, so that a slow minute hits all of them."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for name in contenders:  # what is paid for once per process
        CONTENDERS[name](replace(setting, examples=setting.examples[:32], held_out=setting.held_out[:4]), 0)
    for seed in range(seeds):
        for name in contenders:
            run = CONTENDERS[name](setting, seed)
            runs[name].append(asdict(run))
            print(f"{title} | {name} | seed {seed} | {run}", flush=True)
    return runs


def table(results: dict[str, Any]) -> str:
    """Markdown: per contender the median speeds, how much faster edsel is, and the held-out loss."""
    lines = [f"# Finetuning against the Trainer\n\n{results['machine']}; {results['arguments']}\n"]
    for title, runs in results["settings"].items():
        lines += [
            f"\n## {title}\n",
            "| | tokens per second | edsel is | tokens per CPU second | edsel is | held-out loss |",
            "| --- | --: | --: | --: | --: | --: |",
        ]
        own, own_cpu = (_speed(runs["edsel"], by) for by in ("seconds", "cpu_seconds"))
        for name, values in runs.items():
            speed, cpu_speed = (_speed(values, by) for by in ("seconds", "cpu_seconds"))
            losses = [run["loss"] for run in values]
            spread = statistics.stdev(losses) if len(losses) > 1 else float("nan")
            lines.append(
                f"| {name} | {speed:,.0f} | {own / speed:.2f} x "
                f"| {cpu_speed:,.0f} | {own_cpu / cpu_speed:.2f} x "
                f"| {statistics.mean(losses):.4f} ± {spread:.4f} |"
            )
    return "\n".join(lines) + "\n"


def _speed(runs: list[dict[str, Any]], by: str) -> float:
    return statistics.median(run["tokens"] / run[by] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=["tiny", "llama-2-7b"], default="tiny")
    parser.add_argument("--own-window", action="store_true", help="cut examples to the model's own positions")
    parser.add_argument("--settings", nargs="+", help="some of the settings, by title")
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokenizer", default=str(DATA / "models" / "tinystories-260k"))
    options = parser.parse_args()
    if options.shape == "tiny":
        settings = tiny_settings(options.examples, options.epochs, options.own_window)
    else:
        settings = large_setting(options.examples, options.tokenizer)
    contenders = ["edsel", *[name for name in options.contenders if name != "edsel"]]
    device = f"{torch.get_num_threads()} CPU threads"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    arguments = f"{options.examples} examples, {options.epochs} epochs, {options.seeds} seeds"
    name = "finetune" if options.shape == "tiny" else f"finetune-{options.shape}"
    path = HERE / f"{name}.json"
    results: dict[str, Any] = {
        "machine": f"{device}, {platform.machine()}, torch {torch.__version__}",
        "arguments": arguments,
        "settings": json.loads(path.read_text())["settings"] if path.exists() else {},
    }
    for title in options.settings or settings:
        results["settings"][title] = measure(settings[title], title, contenders, options.seeds)
        path.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / f"{name}.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
