"""Folders of tiny seeded models that score: a sequence-classification model on the demo's tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch

from edsel_assets.demo import DEMO, model_folder

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"


def reward_folder(folder: Path, *, seed: int = 3, chat_template: str | None = None) -> Path:
    """A Llama with one label and random weights, spread so that rewards differ clearly."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(model_folder(DEMO))
    tokenizer.chat_template = chat_template
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_labels": 1}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512}
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForSequenceClassification(LlamaConfig(**sizes, **ends)).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
