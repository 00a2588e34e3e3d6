"""What GGUF calls things, for each architecture: metadata keys and tensor names next to Hugging Face's.

One table for reading and for writing. In: metadata without the architecture's prefix, or a tensor's canonical name
(`families.py`). Out: the same settings as a `config.json` has, or the tensor's name in a GGUF file. Whoever writes goes the
other way: `keys_of` and `gguf_name` are one-to-one.

Source: gguf-py's constants.py and tensor_mapping.py, and llama.cpp's conversion/*.py.
"""

from typing import Any

import torch
from torch import Tensor

from liuli.model.config import Family

# The architecture that a family is written as. Mistral is Llama there, with a window if it slides.
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
# Gemma 3: the window slides in all layers but every n-th, and there positions turn with a base of their own.
PATTERN_KEY, SLIDING_BASE_KEY = "attention.sliding_window_pattern", "rope.freq_base_swa"
SCALING_KEYS = {  # GGUF's key, below the architecture's name -> the field of config.json's rope_scaling
    "rope.scaling.type": "rope_type",
    "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}
# cosine and sine are multiplied by it, and by YaRN's own 0.1 ln(factor) + 1, which config.json's attention_factor includes
ATTENTION_FACTOR_KEY = "rope.scaling.attn_factor"
FREQUENCIES = "rope_freqs.weight"  # llama3's scaling: what each pair's frequency is divided by, (head width / 2) F32

_ROTARY_MODULES = {  # Hugging Face's module, in a block or outside -> GGUF's
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
    """GGUF's keys, below the architecture's name -> the fields of `config.json`."""
    return _GPT2_KEYS if family == "gpt2" else _ROTARY_KEYS


def gguf_name(canonical: str, family: Family) -> str:
    """A tensor's name in a GGUF file, by its canonical name, such as `model.layers.0.self_attn.q_proj.weight`."""
    modules = {"gpt2": _GPT2_MODULES, "gemma3_text": _GEMMA_MODULES}.get(family, _ROTARY_MODULES)
    path, _, kind = canonical.rpartition(".")
    for root in BLOCKS:
        if path.startswith(root):
            layer, _, module = path.removeprefix(root).partition(".")
            return f"blk.{layer}.{modules[module]}.{kind}"
    return f"{modules[path]}.{kind}"


def is_permuted(canonical: str, family: Family) -> bool:
    """Whether GGUF stores a tensor's rows in the order of `interleaved`: those of Llama's queries and keys."""
    return family in ("llama", "mistral") and (".q_proj." in canonical or ".k_proj." in canonical)


def interleaved(heads: int, rows: int) -> Tensor:
    """The row of Hugging Face's matrix (or bias) that each row of GGUF's is, (rows) int64.

    llama.cpp turns neighbours, (2i, 2i + 1); Hugging Face turns halves of a head, (i, i + D/2). `matrix[interleaved(…)]` is
    GGUF's, and `matrix[interleaved(…).argsort()]` takes GGUF's back.
    """
    return torch.arange(rows).view(heads, 2, -1).transpose(1, 2).flatten()


def stored_shift(canonical: str, family: Family) -> float:
    """What GGUF adds to a tensor's numbers: norms that Hugging Face stores as their difference from 1 are whole there."""
    return 1.0 if family == "gemma3_text" and canonical.endswith("norm.weight") else 0.0


def without_architecture(metadata: dict[str, Any], architecture: str) -> dict[str, Any]:
    """The metadata of an architecture, by the keys below its name."""
    prefix = f"{architecture}."
    return {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
