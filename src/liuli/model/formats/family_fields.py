"""The `config.json` of each family: names, defaults and restrictions of its fields. `families.py` uses this table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from liuli.model.config import Family

GPT2_NAMES = {  # Hugging Face's name -> ours
    "vocab_size": "vocab_size", "n_embd": "width", "n_layer": "layers", "n_head": "heads", "n_positions": "context",
    "n_inner": "feed_forward_width", "activation_function": "activation", "layer_norm_epsilon": "norm_epsilon",
    "tie_word_embeddings": "tied",
}  # fmt: skip
LLAMA_NAMES = {
    "vocab_size": "vocab_size", "hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads", "head_dim": "head_width", "intermediate_size": "feed_forward_width",
    "max_position_embeddings": "context", "hidden_act": "activation", "rms_norm_eps": "norm_epsilon",
    "rope_theta": "rope_theta", "tie_word_embeddings": "tied",
}  # fmt: skip
GEMMA_NAMES = {name: ours for name, ours in LLAMA_NAMES.items() if name != "hidden_act"} | {
    "hidden_activation": "activation", "rope_local_base_freq": "sliding_rope_theta",
    "query_pre_attn_scalar": "query_pre_attn_scalar",
}  # fmt: skip


def _even_heads(raw: dict[str, Any]) -> int:
    return raw["hidden_size"] // raw["num_attention_heads"]


LLAMA_DEFAULTS: dict[str, Any] = {
    "head_dim": _even_heads, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "tie_word_embeddings": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FamilyFields:
    """The `config.json` of one family.

    Attributes:
        names: the field of `Config` for each of Hugging Face's fields.
        defaults: values of fields that may be missing; the others are required. If the default is a function of the parsed
            file, it also replaces null.
        fixed: fields of `Config` that have one value in the whole family.
        biases: for each true/false field of the file, the fields of `Config` that it sets.
        refused: settings that change the computation and are not supported, with the values that change nothing.
        window_fields: the fields that define attention windows; (): the family has none.
        window: the window, in tokens, of a file without `sliding_window`.
        slides: (the parsed file, a layer's number) -> whether that layer has a window, if the file has no `layer_types`.
        rope_by_layer: whether layers with a window have their own RoPE base.
    """

    architecture: str
    names: dict[str, str]
    defaults: dict[str, Any]
    fixed: dict[str, Any] = field(default_factory=dict)
    biases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    window_fields: tuple[str, ...] = ()
    window: int | None = 4096
    slides: Callable[[dict[str, Any], int], bool] = lambda raw, layer: True
    rope_by_layer: bool = False


FIELDS: dict[Family, FamilyFields] = {
    "gpt2": FamilyFields(
        "GPT2LMHeadModel",
        GPT2_NAMES,
        {
            "n_inner": lambda raw: 4 * raw["n_embd"], "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
            "tie_word_embeddings": True,
        },
        fixed={"qkv_bias": True, "output_bias": True, "feed_forward_bias": True},
    ),
    "llama": FamilyFields(
        "LlamaForCausalLM",
        LLAMA_NAMES,
        LLAMA_DEFAULTS | {"num_key_value_heads": lambda raw: raw["num_attention_heads"]},
        biases={"attention_bias": ("qkv_bias", "output_bias"), "mlp_bias": ("feed_forward_bias",)},
    ),
    "mistral": FamilyFields(
        "MistralForCausalLM",
        LLAMA_NAMES,
        LLAMA_DEFAULTS,
        refused={"attention_bias": (None, False)},
        window_fields=("sliding_window",),
    ),
    "qwen2": FamilyFields(
        "Qwen2ForCausalLM",
        LLAMA_NAMES,
        LLAMA_DEFAULTS,
        fixed={"qkv_bias": True},
        window_fields=("use_sliding_window", "sliding_window", "layer_types"),
        slides=lambda raw, layer: layer >= raw.get("max_window_layers", 28),
    ),
    "qwen3": FamilyFields(
        "Qwen3ForCausalLM",
        LLAMA_NAMES,
        LLAMA_DEFAULTS | {"head_dim": lambda raw: 128},
        biases={"attention_bias": ("qkv_bias", "output_bias")},
        window_fields=("use_sliding_window", "sliding_window", "layer_types"),
        slides=lambda raw, layer: layer >= raw.get("max_window_layers", 28),
    ),
    "gemma3_text": FamilyFields(
        "Gemma3ForCausalLM",
        GEMMA_NAMES,
        LLAMA_DEFAULTS
        | {
            "head_dim": lambda raw: 256, "hidden_activation": "gelu_pytorch_tanh", "rope_theta": 1_000_000.0,
            "rope_local_base_freq": 10_000.0, "query_pre_attn_scalar": 256, "tie_word_embeddings": True,
        },
        biases={"attention_bias": ("qkv_bias", "output_bias")},
        refused={
            "final_logit_softcapping": (None,), "attn_logit_softcapping": (None,), "use_bidirectional_attention": (None, False),
        },
        window_fields=("sliding_window", "layer_types"),
        slides=lambda raw, layer: (layer + 1) % raw.get("sliding_window_pattern", 6) != 0,
        rope_by_layer=True,
    ),
}  # fmt: skip
