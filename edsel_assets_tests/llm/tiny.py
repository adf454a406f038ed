"""Tiny random models and tokenizers, prompts for them, and a plain reference loop: no download.

``model`` and ``tokenizer`` take one token per character and have many families; ``byte_model`` and
``byte_tokenizer`` take one token per byte, so that every text can be read.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

VOCABULARY = 64
BYTE_FAMILIES = ("llama", "qwen2", "mistral", "gpt2")
WINDOW = 8  # of the Mistral model: shorter than the test texts
STEPS = ("token_id", "logprob", "top1", "top2", "entropy")
CHARACTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ.\n{}<|>?"


def tokenizer() -> Any:
    """One token per character; token 0 begins, 1 ends, 2 is unknown."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {c: i + 3 for i, c in enumerate(CHARACTERS)}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def model(family: str, **changes: Any) -> Any:
    """A model of ``family`` whose logits are spread enough for a clear greedy choice."""
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    name, extra = {
        "llama": ("Llama", {}),
        "llama_full_heads": ("Llama", {"num_key_value_heads": 4}),
        "qwen2": ("Qwen2", {}),
        "qwen3": ("Qwen3", {"head_dim": 8}),
        "mistral_window": ("Mistral", {"sliding_window": 7}),
        "gemma2": ("Gemma2", {"head_dim": 8, "sliding_window": 9, "final_logit_softcapping": 5.0}),
        "cohere": ("Cohere", {"logit_scale": 0.25}),
        "granite": ("Granite", {"logits_scaling": 2.0}),
        "gpt2": ("GPT2", {}),
        "bloom": ("Bloom", {}),
    }[family]
    if family == "gpt2":
        sizes = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256}
        sizes |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if family == "bloom":
        sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 3, "n_head": 4}
        sizes |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = getattr(transformers, f"{name}Config")(**{**sizes, **extra, **changes})
    class_name = "GPT2LMHeadModel" if family == "gpt2" else f"{name}ForCausalLM"
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4.0)
    return made


def plain(made: Any, ids: list[int], steps: int, ends: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """The reference: one prompt, no cache, no batch, the whole sequence read anew for each token."""
    with torch.inference_mode():
        output = made(torch.tensor([ids]), output_hidden_states=True)
        hidden = output.hidden_states[-1][0]
        log_p = torch.log_softmax(output.logits[0].float(), dim=-1)
        likelihood = sum(float(log_p[i, ids[i + 1]]) for i in range(len(ids) - 1))
        rows: list[tuple[int, float, float, float, float]] = []
        answer = list(ids)
        for _ in range(steps):
            log_p = torch.log_softmax(made(torch.tensor([answer])).logits[0, -1].float(), dim=-1)
            p = log_p.exp()
            token = int(p.argmax())
            top1, top2 = p.topk(2).values.tolist()
            rows.append((token, float(log_p[token]), top1, top2, float(-(p * log_p).sum())))
            answer.append(token)
            if token in ends:
                break
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return {
        "last": hidden[-1].numpy(),
        "mean": hidden.mean(dim=0).numpy(),
        "prompt_logprob": likelihood,
        **{
            name: np.array(column)
            for name, column in zip(("token_id", "logprob", "top1", "top2", "entropy"), columns, strict=True)
        },
    }


def prompts(count: int, seed: int = 0, longest: int = 90) -> list[str]:
    """``count`` texts of 1 to ``longest`` - 1 characters."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, count)
    return ["".join(rng.choice(list(CHARACTERS[:30]), length)) for length in lengths]


@cache
def byte_tokenizer() -> Any:
    """One token per byte, then the end token 256; nothing is added to a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")


def byte_model(family: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """A causal model of ``family`` in float32 and evaluation mode, its weights drawn from ``seed``."""
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, MistralConfig, Qwen2Config

    sizes = {"vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 128}
    ends = {"bos_token_id": None, "eos_token_id": 256, "pad_token_id": 256}
    makers: dict[str, Any] = {
        "llama": lambda: LlamaConfig(**sizes | ends | changes),
        "qwen2": lambda: Qwen2Config(**sizes | ends | changes),
        "mistral": lambda: MistralConfig(**sizes | ends | {"sliding_window": WINDOW} | changes),
        "gpt2": lambda: GPT2Config(
            vocab_size=260,
            n_positions=128,
            n_embd=32,
            n_layer=2,
            n_head=4,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            **ends | changes,
        ),
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(makers[family]()).eval()
