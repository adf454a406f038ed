"""One pass over a pool against the usual way: prompts per second, peak memory, and whether the numbers agree.

python -m benchmarks.llm forward                        the small models, prompts cut to 1,024 tokens, CPU
python -m benchmarks.llm forward --own-window           prompts cut to the models' own 256 and 512 positions
python -m benchmarks.llm forward --config llama-2-7b    random weights of that shape in bfloat16, on a GPU

The usual way is ``generate(output_scores=True)`` on padded batches of 16 in file order, the statistics taken
from the scores, then a second forward pass for the hidden state; or the same prompt by prompt. Each contender
runs in a process of its own, in turns; the best of its runs counts, as others may use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DATA = Path(os.environ.get("EDSEL_DATA", HERE.parents[1] / ".." / "shared" / "data"))
RANDOM = "llama-1.9m"
MODELS = {
    "demo": HERE.parents[1] / "edsel_assets" / "demo" / "model",
    "tinystories-260k": DATA / "models" / "tinystories-260k",
    RANDOM: None,  # random weights and room for long prompts, which the two others cut off
}
LONGEST = 1024  # tokens of a prompt, as studies cut them by default
CONFIGS: dict[str, dict[str, int]] = {
    "llama-2-7b": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
    },
    "small": {  # to try the mode itself on a CPU
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 4000,
        "max_position_embeddings": 1024,
    },
}
PAPER_POOL = 99_000
PER_PROMPT_SHARE = 5  # one in so many prompts goes to the slowest contender, whose rate does not depend on N


def prompts_of_t0(count: int) -> list[str]:
    """``count`` prompts in a seeded order, with the default template."""
    import pyarrow.parquet as pq

    from edsel_assets.llm import DEFAULT_TEMPLATE, format_prompt

    pool = pq.read_table(DATA / "t0_pool.parquet", columns=["prompt"])["prompt"]
    rows = np.random.default_rng(0).permutation(len(pool))[:count]
    return [format_prompt(DEFAULT_TEMPLATE, pool[int(row)].as_py()) for row in rows]


def one_pass(
    model: Any, tokenizer: Any, prompts: list[str], limit: int, options: argparse.Namespace, likelihood: bool
) -> dict[str, np.ndarray]:
    from edsel_assets.llm import forward_pool

    records = list(
        forward_pool(
            model,
            tokenizer,
            prompts,
            max_new_tokens=options.new_tokens,
            max_prompt_tokens=limit,
            batch_tokens=options.batch_tokens,
            prompt_likelihood=likelihood,
        )
    )
    return {
        "embedding": np.stack([record.embedding for record in records]),
        "entropy": np.array([record.entropy.mean() for record in records]),
        "prompt_tokens": np.array([record.prompt_tokens for record in records]),
        "new_tokens": np.array([len(record.token_id) for record in records]),
    }


def usual_way(
    model: Any, tokenizer: Any, prompts: list[str], limit: int, options: argparse.Namespace, batch: int
) -> dict[str, np.ndarray]:
    import torch

    tokenizer.padding_side = tokenizer.truncation_side = "left"
    embeddings, entropies = [], []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(
            prompts[start : start + batch],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=limit,
            return_token_type_ids=False,
        ).to(model.device)
        with torch.inference_mode():
            found = model.generate(
                **inputs,
                max_new_tokens=options.new_tokens,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
                pad_token_id=tokenizer.pad_token_id,
            )
            scores = torch.stack(found.scores, dim=1).float()  # (B, T, V)
            p = scores.softmax(dim=-1)
            entropy = -(p * p.clamp(min=1e-30).log()).sum(dim=-1)
            p.topk(2, dim=-1)
            p.gather(2, found.sequences[:, -scores.shape[1] :, None])
            inside = _steps_that_count(found.sequences[:, -scores.shape[1] :], model.generation_config)
            entropies.append(((entropy * inside).sum(dim=1) / inside.sum(dim=1)).cpu().numpy())
            hidden = model(**inputs, output_hidden_states=True).hidden_states[-1]
            embeddings.append(hidden[:, -1].float().cpu().numpy())
    return {"embedding": np.concatenate(embeddings), "entropy": np.concatenate(entropies)}


def _steps_that_count(tokens: Any, settings: Any) -> Any:
    """(B, T) bool: the steps up to the end token, it included."""
    import torch

    ended = torch.isin(tokens, torch.as_tensor(settings.eos_token_id, device=tokens.device)).int()
    return (ended.cumsum(dim=1) - ended) == 0


CONTENDERS: dict[str, Callable[..., dict[str, np.ndarray]]] = {
    "one pass": lambda *a: one_pass(*a, likelihood=False),
    "one pass, prompt likelihood too": lambda *a: one_pass(*a, likelihood=True),
    "usual way, batches of 16": lambda *a: usual_way(*a, batch=16),
    "usual way, prompt by prompt": lambda *a: usual_way(*a, batch=1),
}


def child(name: str, contender: str, out: str, options: argparse.Namespace) -> None:
    """Time one contender in this process; its row goes to stdout, its numbers to ``out``."""
    import torch

    torch.set_num_threads(options.threads)
    from edsel_assets.llm import load_model

    model, tokenizer = load_model(MODELS[name] or MODELS["tinystories-260k"], dtype="float32", device="cpu")
    if name == RANDOM:
        model = random_model(tokenizer)
    if not options.own_window:
        # Rotary positions have no table: the time is that of a model trained for longer prompts.
        model.config.max_position_embeddings = LONGEST + options.new_tokens
    limit = model.config.max_position_embeddings - options.new_tokens
    prompts = prompts_of_t0(options.prompts)
    if contender == "usual way, prompt by prompt":
        prompts = prompts[: max(1, len(prompts) // PER_PROMPT_SHARE)]
    CONTENDERS[contender](model, tokenizer, prompts[:2], limit, options)  # first calls allocate and dispatch
    loaded = _peak_mib()
    start, busy = perf_counter(), process_time()
    numbers = CONTENDERS[contender](model, tokenizer, prompts, limit, options)
    row = {"seconds": perf_counter() - start, "cpu_seconds": process_time() - busy, "prompts": len(prompts)}
    np.savez(out, embedding=numbers["embedding"], entropy=numbers["entropy"])
    print(json.dumps({**row, "peak_mib": _peak_mib(), "loaded_mib": loaded}))


def random_model(tokenizer: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Every contender on one model, in turns."""
    rows: dict[str, dict[str, Any]] = {}
    numbers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for contender in options.contenders:
                out = str(Path(folder) / "numbers.npz")
                given = [name, contender, out]
                command = [sys.executable, "-m", "benchmarks.llm", *sys.argv[1:], "--child", *given]
                command.insert(3, "forward")
                done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1])
                if done.returncode:
                    raise RuntimeError(f"{name}, {contender}: {done.stderr.strip().splitlines()[-1]}")
                row = json.loads(done.stdout.splitlines()[-1])
                print(f"{name}, {contender}: {row}", file=sys.stderr, flush=True)
                numbers[contender] = dict(np.load(out))
                if contender not in rows or row["seconds"] < rows[contender]["seconds"]:
                    rows[contender] = row
    ours = numbers["one pass"]
    for contender, found in numbers.items():
        count = len(found["entropy"])
        rows[contender]["embedding_difference"] = float(
            np.abs(found["embedding"] - ours["embedding"][:count]).max()
        )
        rows[contender]["entropy_difference"] = float(
            np.abs(found["entropy"] - ours["entropy"][:count]).max()
        )
    return rows


def shape_on_device(config_name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The pass with random weights of one shape, and what share of the device's matrix rate it reaches."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        # No end token: random weights must not stop early by chance.
        model = LlamaForCausalLM(LlamaConfig(**CONFIGS[config_name], eos_token_id=None)).eval()
    torch.set_default_dtype(torch.float32)
    prompts = prompts_of_t0(options.prompts)
    tokenizer = trained_tokenizer(prompts, CONFIGS[config_name]["vocab_size"])
    tokenizer.eos_token = None
    limit = CONFIGS[config_name]["max_position_embeddings"] - options.new_tokens
    one_pass(model, tokenizer, prompts[:64], limit, options, True)
    start = perf_counter()
    numbers = one_pass(model, tokenizer, prompts, limit, options, True)
    seconds = perf_counter() - start
    weights = sum(p.numel() for p in model.parameters()) - model.model.embed_tokens.weight.numel()
    tokens = int(numbers["prompt_tokens"].sum() + numbers["new_tokens"].sum())
    rate = matrix_rate(device)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "prompts": len(prompts),
        "seconds": seconds,
        "prompts_per_second": len(prompts) / seconds,
        "prompt_tokens": int(numbers["prompt_tokens"].sum()),
        "new_tokens": int(numbers["new_tokens"].sum()),
        "matrix_tflops": rate / 1e12,
        "share_of_matrix_rate": 2 * weights * tokens / seconds / rate,
        "hours_for_the_papers_pool": PAPER_POOL / (len(prompts) / seconds) / 3600,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else _peak_mib() / 2**10,
    }


def matrix_rate(device: str) -> float:
    """Operations per second of a large bfloat16 matrix product on this device."""
    import torch

    size = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        start = perf_counter()
        (a @ b)[0, 0].item()  # reading a value waits for the device
        best = min(best, perf_counter() - start)
    return 2 * size**3 / best


def trained_tokenizer(texts: list[str], vocabulary: int) -> Any:
    """A byte-pair tokenizer of these texts, so that lengths are realistic without anyone's files."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    core = ByteLevelBPETokenizer()
    core.train_from_iterator(
        texts, vocab_size=vocabulary, special_tokens=["<s>", "</s>"], show_progress=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["# One pass over a pool, against the usual way", ""]
    for key, result in results.items():
        lines += [f"## {key}", "", result["where"], ""]
        rows = result["rows"]
        if "one pass" not in rows:
            lines += ["| | |", "| --- | ---: |"]
            lines += [f"| {k.replace('_', ' ')} | {_shown(v)} |" for k, v in rows.items()]
            lines.append("")
            continue
        lines += [
            "| | prompts/s | one pass is | CPU s per 1,000 | one pass is | peak MiB | embedding differs "
            "| entropy differs |"
        ]
        lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        ours = rows["one pass"]
        for name, row in rows.items():
            rate, base = row["prompts"] / row["seconds"], ours["prompts"] / ours["seconds"]
            cpu, cpu_base = (1000 * r["cpu_seconds"] / r["prompts"] for r in (row, ours))
            lines.append(
                f"| {name} | {rate:.1f} | {base / rate:.2f} x | {cpu:.1f} | {cpu / cpu_base:.2f} x "
                f"| {row['peak_mib']:.0f} | {row['embedding_difference']:.0e} "
                f"| {row['entropy_difference']:.0e} |"
            )
        lines.append("")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm forward", description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--config", choices=list(CONFIGS), help="random weights of this shape instead")
    parser.add_argument("--own-window", action="store_true", help="cut prompts to the model's own positions")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if "one pass" not in options.contenders:
        parser.error("--contenders must hold 'one pass', which the others are compared with.")
    if options.child:
        child(*options.child, options)
        return
    path = HERE / "forward.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    where = f"{options.prompts:,} T0 prompts, {options.new_tokens} new tokens, "
    if options.config:
        where += f"batches of {options.batch_tokens:,} tokens, bfloat16, random weights."
        results[options.config] = {"where": where, "rows": shape_on_device(options.config, options)}
    for name in () if options.config else options.models:
        at = (
            f"{options.threads} of {os.cpu_count()} threads, {platform.machine()}, best of {options.repeats}."
        )
        cut = "its own window" if options.own_window else f"{LONGEST:,} tokens"
        key = f"{name}, prompts cut to {cut}, {options.threads} threads"
        results[key] = {"where": where + at, "rows": compare(name, options)}
    path.write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "forward.md").write_text(table(results) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
