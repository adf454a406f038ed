"""The pass over a pool and finetuning by a model of 7B's shape with random weights, beside the usual way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.job import Job, Result
from benchmarks.gpu.what_is_here import products_per_second, seconds

_SHAPES: dict[bool, dict[str, int]] = {
    False: {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "max_position_embeddings": 4096,
        "vocab_size": 32_000,
    },
    True: {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "vocab_size": 1536,
    },
}


def opened(job: Job) -> tuple[Any, Any]:
    """A Llama of random weights, bfloat16 on a GPU, and the demo's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from edsel_assets.demo import DEMO, model_folder

    config = LlamaConfig(**_SHAPES[job.small], eos_token_id=0, bos_token_id=0, pad_token_id=1)
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if job.device.startswith("cuda") else torch.float32)
    try:
        with torch.device(job.device):
            model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    return model, AutoTokenizer.from_pretrained(model_folder(DEMO))


def texts(job: Job, count: int) -> list[str]:
    """Prompts of many lengths, a median of 120 words or so."""
    draws = np.random.default_rng(0)
    middle, most = (8, 30) if job.small else (120, 700)
    words = ["red", "blue", "seven", "cat", "house", "long", "the", "of", "and", "paper"]
    lengths = np.clip(np.exp(draws.normal(np.log(middle), 0.7, count)).astype(int), 3, most)
    return [" ".join(draws.choice(words, length)) for length in lengths]


def reading(job: Job) -> Result:
    """Tokens a second of the pass, its share of the product's peak, and the same by ``generate``."""
    import torch

    from edsel_assets.llm import forward_pool

    model, tokenizer = opened(job)
    count, steps, few = (6, 3, 3) if job.small else (512, 32, 64)
    prompts = texts(job, count)
    options = {"max_new_tokens": steps, "max_prompt_tokens": 1024, "batch_tokens": 65_536}

    def ours(which: list[str]) -> list[Any]:
        return list(forward_pool(model, tokenizer, which, **options))

    ours(prompts[:few])  # kernels are chosen and the reading is compared with the model's own
    records: list[Any] = []
    took = seconds(job, lambda: records.extend(ours(prompts)))
    tokens = sum(record.prompt_tokens + len(record.token_id) for record in records)
    usual = prompts[:few]
    beside = seconds(job, lambda: _generate(model, tokenizer, usual, steps))
    same = sum(record.prompt_tokens + steps for record in records[:few])
    peak = products_per_second(job, next(model.parameters()).dtype)
    found = {
        "prompts": count,
        "tokens": tokens,
        "tokens a second": round(tokens / took),
        "share of the product's peak": round(2 * _weights(model) * tokens / took / peak, 3),
        "tokens a second, generate() in batches of 16": round(same / beside),
        "times as fast": round(tokens / took / (same / beside), 2),
    }
    if job.device.startswith("cuda"):
        found["most memory, GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return found


def _generate(model: Any, tokenizer: Any, prompts: list[str], steps: int) -> None:
    import torch

    tokenizer.padding_side = "left"
    for start in range(0, len(prompts), 16):
        batch = tokenizer(prompts[start : start + 16], return_tensors="pt", padding=True)
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            model.generate(
                **batch.to(model.device),
                max_new_tokens=steps,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
                pad_token_id=tokenizer.pad_token_id,
            )


def _weights(model: Any) -> int:
    whole = sum(parameter.numel() for parameter in model.parameters())
    return whole - model.get_input_embeddings().weight.numel()


def training(job: Job) -> Result:
    """Tokens a second of LoRA, its share of the product's peak, and the same by a plain loop."""
    import torch

    from edsel_assets.llm import Example, FinetuneSettings, finetune

    model, tokenizer = opened(job)
    count, rank = (8, 4) if job.small else (128, 64)
    prompts = texts(job, count)
    examples = [Example(text, " " + text[:200]) for text in prompts]
    settings = FinetuneSettings(
        rank=rank, epochs=2, batch_size=count // 2, micro_batch_tokens=8192, dropout=0.0, warmup=0
    )
    with tempfile.TemporaryDirectory() as folder:
        done = finetune(model, tokenizer, examples, settings, seed=0, output_dir=Path(folder) / "adapter")
    found: Result = {
        "examples": count,
        "steps": done.steps,
        "loss, first and last": f"{done.log[0]['loss']:.3f}, {done.final_loss:.3f}",
        "tokens a second": round(done.tokens_per_second),
        "share of the product's peak": done.peak_share and round(done.peak_share, 3),
    }
    if job.device.startswith("cuda"):
        found["most memory, GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    found["tokens a second, plain loop in batches of 8"] = round(_plain_training(job, examples, rank))
    return found


def _plain_training(job: Job, examples: list[Any], rank: int) -> float:
    """peft and padded batches of eight with labels, as most scripts do it."""
    import torch
    from peft import LoraConfig, get_peft_model

    model, tokenizer = opened(job)
    config = LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    learner = get_peft_model(model, config).train()
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=1e-4)
    kind, tokens = torch.device(job.device).type, 0
    tokenizer.padding_side = "right"
    batches = []
    for start in range(0, len(examples), 8):
        part = [example.prompt + example.response for example in examples[start : start + 8]]
        batch = tokenizer(part, return_tensors="pt", padding=True).to(job.device)
        batch.pop("token_type_ids", None)
        batches.append((batch, batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)))
        tokens += int(batch["attention_mask"].sum())

    def run() -> None:
        for batch, labels in batches:
            with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
                learner(**batch, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return tokens / seconds(job, run)
