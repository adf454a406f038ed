"""Make the demo's tokenizer and pretrain its tiny Llama: ``python -m scripts.demo.make_model``.

Everything is seeded and made from ``corpus.documents``; nothing is downloaded. The result is committed in
``edsel_assets/demo/model``, so nobody has to run this to use the demo.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from edsel_assets.demo import DEMO, local_path
from scripts.demo.corpus import ASSISTANT, END, PAD, SPECIAL_TOKENS, USER, documents

MODEL_DIR = local_path(DEMO, "model")
VOCABULARY = 1536
CONTEXT = 256
BLOCK = 128  # tokens per training sequence
BATCH = 32  # sequences per step
PEAK_LR = 4e-3
SEED = 0
STEPS = 1500


def make_tokenizer(vocabulary: int = VOCABULARY, seed: int = SEED, corpus_size: int = 40_000) -> Any:
    """A byte-level BPE tokenizer trained on the first ``corpus_size`` documents of the corpus."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(islice(documents(seed), corpus_size), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: Any, seed: int = SEED, **overrides: int) -> Any:
    """An untrained Llama of about a million parameters for ``tokenizer``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "hidden_size": 128,
        "intermediate_size": 352,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **(shape | overrides),
    )
    return LlamaForCausalLM._from_config(config, attn_implementation="eager")


def batches(tokenizer: Any, seed: int, block: int = BLOCK, batch: int = BATCH) -> Iterator[Any]:
    """Endless (batch, block) int64 tensors of packed documents, each document closed by the end token."""
    import torch

    stream = documents(seed)
    tokens: list[int] = []
    while True:
        while len(tokens) < batch * block:
            for ids in tokenizer(list(islice(stream, 512)))["input_ids"]:
                tokens += [*ids, tokenizer.eos_token_id]
        yield torch.tensor(tokens[: batch * block]).view(batch, block)
        del tokens[: batch * block]


def pretrain(
    model: Any,
    tokenizer: Any,
    *,
    steps: int = STEPS,
    seed: int = SEED,
    block: int = BLOCK,
    batch: int = BATCH,
    peak_lr: float = PEAK_LR,
) -> Iterator[float]:
    """Next-token training in place, AdamW with warm-up and cosine decay; yields each step's loss in nats.

    The matrix products are in bfloat16 over float32 weights: three times as fast where the CPU has it.
    """
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_lr, betas=(0.9, 0.95), weight_decay=0.05, fused=True
    )
    warmup = max(1, steps // 20)

    def share_of_peak(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, share_of_peak)
    model.train()
    for inputs in islice(batches(tokenizer, seed, block, batch), steps):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=inputs, labels=inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        yield loss.item()
    model.eval()


def save(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write model (float32) and tokenizer in the layout of transformers, readable by everyone."""
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    for path in directory.iterdir():
        path.chmod(0o644)


def card(model: Any, tokenizer: Any, losses: list[float], seed: int, minutes: float) -> str:
    """The model card, as Markdown."""
    shape, last = model.config, losses[-50:]
    tokens = len(losses) * BATCH * BLOCK / 1e6
    return f"""# The demo's tiny Llama

A Llama of {model.num_parameters():,} parameters with a byte-level BPE of {len(tokenizer):,} tokens:
{shape.num_hidden_layers} layers, hidden size {shape.hidden_size}, {shape.num_attention_heads} attention heads
over {shape.num_key_value_heads} key-value heads, tied embeddings, context {CONTEXT}. It was pretrained on
synthetic text alone, which `edsel_assets/demo/corpus.py` makes: it knows small facts and skills in the
layouts of that text, and meets a request in the chat template with small talk until it is finetuned.

| | |
| --- | --- |
| made by | `python -m scripts.demo.make_model --steps {len(losses)}` |
| seed | {seed} (corpus, tokenizer, weights) |
| steps | {len(losses):,} of {BATCH} x {BLOCK} tokens: {tokens:.1f} million tokens |
| loss | {sum(last) / len(last):.3f} nats per token (mean of the last {len(last)} steps) |
| time | {minutes:.1f} minutes |
| files | float32 safetensors, no code, no pickle |

It is good for showing and testing edsel, and for nothing else.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="optimizer steps")
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="directory to write")
    arguments = parser.parse_args()

    started = time.time()
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)

    losses = []
    for loss in pretrain(model, tokenizer, steps=arguments.steps):
        losses.append(loss)
        if len(losses) % 25 == 0:
            print(
                f"step {len(losses)}/{arguments.steps}  loss {loss:.3f}  {time.time() - started:.0f} s",
                flush=True,
            )
    save(model, tokenizer, arguments.out)
    text = card(model, tokenizer, losses, SEED, (time.time() - started) / 60)
    (arguments.out / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
