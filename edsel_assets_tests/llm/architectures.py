"""Causal models of many architectures, tiny and with random weights, for the demo's tokenizer."""

from __future__ import annotations

from functools import cache
from typing import Any

VOCABULARY = 1536
_ENDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
_SIZES = _ENDS | {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
_DEEPSEEK = _LATENT | {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24} | {
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4
}  # fmt: skip
_GPT = _ENDS | {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
_DECODER = _ENDS | {"vocab_size": VOCABULARY, "d_model": 32, "decoder_layers": 2, "encoder_layers": 2} | {
    "decoder_attention_heads": 4, "encoder_attention_heads": 4, "decoder_ffn_dim": 48, "encoder_ffn_dim": 48,
    "max_position_embeddings": 256,
}  # fmt: skip
_FALCON = _ENDS | {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_STATE = {"state_size": 8, "conv_kernel": 4, "expand": 2}
_MAMBA2 = {"num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}
_HYBRID = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2}
_WINDOW = {"head_dim": 8, "sliding_window": 9}
_LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [3.0] * 4, "rope_theta": 10000.0,
    "original_max_position_embeddings": 32, "factor": 8.0, "partial_rotary_factor": 1.0,
}  # fmt: skip

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "apertus": ("Apertus", {}),
    "arcee": ("Arcee", {}),
    "bamba": (
        "Bamba",
        _HYBRID | {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "attn_layer_indices": [1]},
    ),
    "bart": ("Bart", _DECODER),
    "biogpt": ("BioGpt", {}),
    "bitnet": ("BitNet", {}),
    "blenderbot": ("Blenderbot", _DECODER),
    "bloom": ("Bloom", _ENDS | {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "codegen": ("CodeGen", _GPT | {"rotary_dim": 4}),
    "cohere": ("Cohere", {"logit_scale": 0.25}),
    "cohere2": ("Cohere2", {"sliding_window": 9, "logit_scale": 0.25}),
    "deepseek_v2": ("DeepseekV2", _DEEPSEEK),
    "deepseek_v3": ("DeepseekV3", _DEEPSEEK),
    "diffllama": ("DiffLlama", {}),
    "doge": ("Doge", {}),
    "ernie4_5": ("Ernie4_5", {"head_dim": 8}),
    "ernie4_5_moe": ("Ernie4_5_Moe", {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 24}),
    "exaone4": ("Exaone4", {"sliding_window": 9, "sliding_window_pattern": 2}),
    "falcon_7b": ("Falcon", _FALCON | {"multi_query": True, "alibi": False}),
    "falcon_40b": ("Falcon", _FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True, "alibi": False}),
    "falcon_rw": ("Falcon", _FALCON | {"multi_query": False, "alibi": True}),
    "falcon_h1": (
        "FalconH1",
        _HYBRID | {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64, "mamba_n_groups": 1},
    ),
    "falcon_mamba": ("FalconMamba", _STATE),
    "flex_olmo": ("FlexOlmo", {"num_experts": 4, "num_experts_per_tok": 2}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma2": ("Gemma2", _WINDOW),
    "gemma3": ("Gemma3", _WINDOW | {"sliding_window_pattern": 2}),
    "gemma4": (
        "Gemma4",
        _WINDOW | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY},
    ),
    "glm": ("Glm", {"head_dim": 8}),
    "glm4": ("Glm4", {"head_dim": 8}),
    "glm4_moe": (
        "Glm4Moe",
        {"head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    ),
    "gpt2": ("GPT2", _GPT),
    "gpt_bigcode": ("GPTBigCode", _GPT),
    "gpt_neo": (
        "GPTNeo",
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 9},
    ),
    "gpt_neox": ("GPTNeoX", {}),
    "gpt_neox_japanese": ("GPTNeoXJapanese", {}),
    "gpt_oss": ("GptOss", _WINDOW | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "gptj": ("GPTJ", _GPT | {"rotary_dim": 4}),
    "granite": ("Granite", {"logits_scaling": 2.0}),
    "granitemoe": ("GraniteMoe", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "granitemoehybrid": (
        "GraniteMoeHybrid",
        _HYBRID
        | {
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_n_groups": 1,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 24,
            "layer_types": ["mamba", "attention"],
        },
    ),
    "helium": ("Helium", {"head_dim": 8}),
    "hunyuan_dense": ("HunYuanDenseV1", {"head_dim": 8}),
    "hunyuan_moe": (
        "HunYuanMoEV1",
        {"head_dim": 8, "num_experts": 4, "moe_topk": 2, "moe_intermediate_size": 24},
    ),
    "jamba": (
        "Jamba",
        _HYBRID
        | {
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "jetmoe": ("JetMoe", {"num_local_experts": 4, "num_experts_per_tok": 2, "kv_channels": 8}),
    "lfm2": ("Lfm2", {"block_ff_dim": 48, "layer_types": ["conv", "full_attention"]}),
    "lfm2_moe": ("Lfm2Moe", _MOE | {"num_dense_layers": 1, "layer_types": ["conv", "full_attention"]}),
    "llama": ("Llama", {}),
    "llama4": (
        "Llama4",
        {
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 48,
            "attention_chunk_size": 16,
        },
    ),
    "mamba": ("Mamba", _STATE),
    "mamba2": ("Mamba2", _STATE | _MAMBA2),
    "marian": ("Marian", _DECODER),
    "mbart": ("MBart", _DECODER),
    "mimo_v2_flash": (
        "MiMoV2Flash",
        _WINDOW | {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    ),
    "minimax": (
        "MiniMax",
        {
            "head_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["linear_attention", "full_attention"],
            "block_size": 16,
        },
    ),
    "ministral": ("Ministral", _WINDOW),
    "mistral": ("Mistral", {"sliding_window": 9}),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "mpt": (
        "Mpt",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256},
    ),
    "nanochat": ("NanoChat", {}),
    "nemotron": ("Nemotron", {}),
    "olmo": ("Olmo", {}),
    "olmo2": ("Olmo2", {}),
    "olmo3": ("Olmo3", {"sliding_window": 9}),
    "olmoe": ("Olmoe", {"num_experts": 4, "num_experts_per_tok": 2}),
    "opt": ("OPT", {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "pegasus": ("Pegasus", _DECODER),
    "persimmon": ("Persimmon", {}),
    "phi": ("Phi", {}),
    "phi3": ("Phi3", {}),
    "phi3_longrope": (
        "Phi3",
        {"original_max_position_embeddings": 32, "sliding_window": None, "rope_parameters": _LONGROPE},
    ),
    "phimoe": ("Phimoe", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "plbart": ("PLBart", _DECODER),
    "qwen2": ("Qwen2", {}),
    "qwen2_moe": ("Qwen2Moe", _MOE | {"shared_expert_intermediate_size": 24}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "qwen3_moe": ("Qwen3Moe", _MOE | {"head_dim": 8}),
    "qwen3_next": (
        "Qwen3Next",
        _MOE
        | {
            "head_dim": 8,
            "shared_expert_intermediate_size": 24,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"],
        },
    ),
    "recurrent_gemma": (
        "RecurrentGemma",
        {"lru_width": 32, "attention_window_size": 9, "head_dim": 8, "num_hidden_layers": 3},
    ),
    "seed_oss": ("SeedOss", {"head_dim": 8}),
    "smollm3": ("SmolLM3", {}),
    "stablelm": ("StableLm", {}),
    "starcoder2": ("Starcoder2", {"sliding_window": 9}),
    "xglm": (
        "XGLM",
        _ENDS
        | {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "num_layers": 2,
            "attention_heads": 4,
            "ffn_dim": 48,
            "max_position_embeddings": 256,
        },
    ),
    "youtu": ("Youtu", _LATENT | {"num_key_value_heads": 4}),
}
"""By name: what transformers calls it, and sizes that differ from the usual ones."""


@cache
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    import edsel_assets.demo

    return AutoTokenizer.from_pretrained(f"{edsel_assets.demo.__path__[0]}/model")


def architecture(name: str, **changes: Any) -> Any:
    """The model in float32 and evaluation mode, its weights spread enough for logits that differ."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    kind, extra = ARCHITECTURES[name]
    own = (
        extra
        if {"d_model", "n_embd", "multi_query", "num_kv_heads"} & set(extra) or name == "bloom"
        else _SIZES | extra
    )
    config = getattr(transformers, f"{kind}TextConfig", None) or getattr(transformers, f"{kind}Config")
    chosen = config(**own | changes)
    for key, value in chosen.to_dict().items():
        if isinstance(value, float) and ("drop" in key or "jitter" in key):
            setattr(chosen, key, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        made = AutoModelForCausalLM.from_config(chosen).eval()
        with torch.no_grad():
            for key, parameter in made.named_parameters():
                if parameter.ndim > 1:
                    parameter.mul_(4.0)
                elif "sink" in key:
                    parameter.normal_(1.0, 1.0)
    return made
