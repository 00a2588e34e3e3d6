"""GGUF's names of metadata keys and tensors for each architecture, with Hugging Face's names for the same things.

Reading and writing use the same tables, because they are one-to-one. The canonical name of a tensor is its name in Hugging
Face's format (`tensor_names.py`).

Source: gguf-py's constants.py and tensor_mapping.py, and llama.cpp's conversion/*.py.
"""

from typing import Any

import torch
from torch import Tensor

from liuli.model.config import Family

# GGUF's name of the architecture of each family. In GGUF, Mistral is Llama; its window is a setting.
ARCHITECTURE_OF: dict[str, str] = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2",
    "gemma3_text": "gemma3",
}  # fmt: skip

_ROTARY_KEYS = {  # GGUF's key, below the architecture's name -> config.json's field
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
_GPT2_KEYS = {
    "context_length": "n_positions",
    "embedding_length": "n_embd",
    "block_count": "n_layer",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}
WINDOW_KEY = "attention.sliding_window"
# Gemma 3: all layers except every n-th have a sliding window and their own rotary base.
PATTERN_KEY, SLIDING_BASE_KEY = "attention.sliding_window_pattern", "rope.freq_base_swa"
SCALING_KEYS = {  # GGUF's key, below the architecture's name -> the field of config.json's rope_scaling
    "rope.scaling.type": "rope_type",
    "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}
# llama.cpp multiplies cosine and sine by this and by YaRN's 0.1 ln(factor) + 1; attention_factor in config.json includes both.
ATTENTION_FACTOR_KEY = "rope.scaling.attn_factor"
FREQUENCIES = "rope_freqs.weight"  # llama3's scaling: the divisor of each pair's frequency, (head width / 2) F32

_ROTARY_MODULES = {  # Hugging Face's name of a module, within its block if it is in one -> GGUF's name
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_GEMMA_MODULES = _ROTARY_MODULES | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_GPT2_MODULES = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
BLOCKS = ("model.layers.", "transformer.h.")


def keys_of(family: Family) -> dict[str, str]:
    """Returns the fields of `config.json` by GGUF's keys, without the architecture's prefix."""
    return _GPT2_KEYS if family == "gpt2" else _ROTARY_KEYS


def gguf_name(canonical: str, family: Family) -> str:
    """Returns a tensor's name in a GGUF file from its canonical name, such as `model.layers.0.self_attn.q_proj.weight`."""
    modules = {"gpt2": _GPT2_MODULES, "gemma3_text": _GEMMA_MODULES}.get(family, _ROTARY_MODULES)
    path, _, kind = canonical.rpartition(".")
    for root in BLOCKS:
        if path.startswith(root):
            layer, _, module = path.removeprefix(root).partition(".")
            return f"blk.{layer}.{modules[module]}.{kind}"
    return f"{modules[path]}.{kind}"


def is_permuted(canonical: str, family: Family) -> bool:
    """Returns whether GGUF stores a tensor's rows in the order of `interleaved`. This is so for Llama's queries and keys."""
    return family in ("llama", "mistral") and (".q_proj." in canonical or ".k_proj." in canonical)


def interleaved(heads: int, rows: int) -> Tensor:
    """Returns, for each row of GGUF's matrix or bias, the number of that row in Hugging Face's, (rows) int64.

    Rotary positions rotate pairs of numbers. In llama.cpp, a pair is (2i, 2i + 1); in Hugging Face, it is (i, i + D/2) in a
    head of width D. `matrix[interleaved(…)]` converts Hugging Face's order to GGUF's, and `matrix[interleaved(…).argsort()]`
    converts it back.
    """
    return torch.arange(rows).view(heads, 2, -1).transpose(1, 2).flatten()


def stored_shift(canonical: str, family: Family) -> float:
    """Returns the number that GGUF adds to a tensor: 1 for Gemma's norms, whose weights w Hugging Face stores as w − 1, else
    0."""
    return 1.0 if family == "gemma3_text" and canonical.endswith("norm.weight") else 0.0


def without_architecture(metadata: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Returns the metadata of an architecture by key, without the architecture's prefix."""
    prefix = f"{architecture}."
    return {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
