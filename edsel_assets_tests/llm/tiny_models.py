"""Random models of a few thousand weights, one per family, and a byte-level tokenizer: no download."""

from __future__ import annotations

from functools import cache
from typing import Any

FAMILIES = ("llama", "qwen2", "mistral", "gpt2")
WINDOW = 8  # of the Mistral model: shorter than the test texts


@cache
def tiny_tokenizer() -> Any:
    """One token per byte, then the end token 256; nothing is added to a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")


def tiny_model(family: str = "llama", seed: int = 0, **changes: Any) -> Any:
    """A causal model of ``family`` in float32 and evaluation mode, its weights drawn from ``seed``."""
    import torch
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
