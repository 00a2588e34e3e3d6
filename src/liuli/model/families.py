"""What Hugging Face calls things, for each family: the fields of `config.json` and the names of the tensors.

Together with `folder.py` the only place that knows those names, but for tokenizers and generation settings. In: a parsed
`config.json`. Out: a `Config`, and where each stored tensor goes in the decoder; and the other way round for writing.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from liuli.errors import LiuliError
from liuli.model.config import Activation, Config, Family, RotaryScaling
from liuli.tokens.layouts import read_json

FAMILIES = get_args(Family)
ARCHITECTURES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
ACTIVATION_OF = {
    "swish": "silu",
    "silu": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "relu": "relu",
}
ROTARY_KINDS = ("default", "linear", "llama3", "yarn")
REFUSED = {  # settings that change the maths in ways that the decoder does not follow, and the values that do not
    "quantization_config": (None,),
    "scale_attn_weights": (None, True),
    "scale_attn_by_inverse_layer_idx": (None, False),
    "add_cross_attention": (None, False),
    "partial_rotary_factor": (None, 1, 1.0),
}


def read_config(folder: Path) -> Config:
    """The `Config` in a folder's `config.json`."""
    path = folder / "config.json"
    if not path.is_file():
        raise LiuliError(f"{folder} holds no config.json, so it is not a model's folder")
    return config_from(read_json(path), str(path))


def config_from(raw: dict[str, Any], where: str) -> Config:
    """A `Config` from a parsed `config.json`; `where` names the file in errors."""
    family: Any = raw.get("model_type")
    if family not in FAMILIES:
        raise LiuliError(f"{where}: the architecture {family!r} is not supported; supported: {', '.join(FAMILIES)}")
    for name, harmless in REFUSED.items():
        if raw.get(name) not in harmless:
            raise LiuliError(f"{where}: {name} = {raw[name]!r} is not supported")
    try:
        return _gpt2_config(raw) if family == "gpt2" else _llama_like_config(family, raw, where)
    except KeyError as error:
        raise LiuliError(f"{where} is broken: it has no {error.args[0]}") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise LiuliError(f"{where} is broken: {error}") from None
    except LiuliError as error:
        raise LiuliError(str(error) if where in str(error) else f"{where}: {error}") from None


def config_to(config: Config) -> dict[str, Any]:
    """The `config.json` that `transformers` reads as this `Config`."""
    common = {
        "architectures": [ARCHITECTURES[config.family]],
        "model_type": config.family,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tied,
    }
    hf_activation = next(name for name, ours in reversed(ACTIVATION_OF.items()) if ours == config.activation)
    if config.family == "gpt2":
        return common | {
            "n_positions": config.context, "n_embd": config.width, "n_layer": config.layers, "n_head": config.heads,
            "n_inner": config.feed_forward_width, "activation_function": hf_activation,
            "layer_norm_epsilon": config.norm_epsilon,
        }  # fmt: skip
    scaling = config.rope_scaling
    linear = scaling is not None and scaling.kind == "linear"
    raw = common | {
        "hidden_size": config.width, "intermediate_size": config.feed_forward_width,
        "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads, "head_dim": config.head_width, "hidden_act": hf_activation,
        "max_position_embeddings": scaling.original if scaling and linear else config.context,
        "rms_norm_eps": config.norm_epsilon, "rope_theta": config.rope_theta,
    }  # fmt: skip
    if scaling:
        raw["rope_scaling"] = _scaling_to(scaling)
    if config.family in ("llama", "qwen3"):
        raw["attention_bias"] = config.qkv_bias
    if config.family == "llama":
        raw["mlp_bias"] = config.feed_forward_bias
    return raw | _windows_to(config)


def _gpt2_config(raw: dict[str, Any]) -> Config:
    width, heads = _size(raw, "n_embd"), _size(raw, "n_head")
    if width % heads:
        raise LiuliError(f"n_embd {width} is not a multiple of n_head {heads}")
    return Config(
        "gpt2", raw["vocab_size"], width, raw["n_layer"], heads, heads, width // heads, raw.get("n_inner") or 4 * width,
        raw["n_positions"], _activation(raw.get("activation_function", "gelu_new")), raw.get("layer_norm_epsilon", 1e-5),
        qkv_bias=True, output_bias=True, feed_forward_bias=True, tied=raw.get("tie_word_embeddings", True),
    )  # fmt: skip


def _llama_like_config(family: Family, raw: dict[str, Any], where: str) -> Config:
    heads, width, layers = (_size(raw, name) for name in ("num_attention_heads", "hidden_size", "num_hidden_layers"))
    kv_heads = raw.get("num_key_value_heads") or (heads if family == "llama" else raw["num_key_value_heads"])
    theta, scaling, context = _rotary(raw, where)
    attention_bias = raw.get("attention_bias", False)
    return Config(
        family, raw["vocab_size"], width, layers, heads, kv_heads,
        head_width=raw.get("head_dim") or (128 if family == "qwen3" else width // heads),
        feed_forward_width=raw["intermediate_size"], context=context,
        activation=_activation(raw.get("hidden_act", "silu")), norm_epsilon=raw.get("rms_norm_eps", 1e-6),
        rope_theta=theta, rope_scaling=scaling, qkv_bias=family == "qwen2" or attention_bias,
        output_bias=family in ("llama", "qwen3") and attention_bias,
        feed_forward_bias=family == "llama" and raw.get("mlp_bias", False),
        tied=raw.get("tie_word_embeddings", False), windows=_windows(family, raw),
    )  # fmt: skip


def _size(raw: dict[str, Any], name: str) -> int:
    if not isinstance(raw[name], int) or raw[name] < 1:
        raise LiuliError(f"{name} must be a whole number above 0, not {raw[name]!r}")
    return raw[name]


def _activation(name: str) -> Activation:
    if name not in ACTIVATION_OF:
        raise LiuliError(f"the activation {name!r} is not supported; supported: {', '.join(ACTIVATION_OF)}")
    return cast(Activation, ACTIVATION_OF[name])


def _windows(family: Family, raw: dict[str, Any]) -> tuple[int | None, ...]:
    """One window a layer, or () where every layer sees all."""
    layers, window = raw["num_hidden_layers"], raw.get("sliding_window", 4096)
    types = raw.get("layer_types")
    if family == "mistral":
        slides = [True] * layers
    elif family == "llama" or not raw.get("use_sliding_window", False):
        slides = [False] * layers
    elif types is not None:
        unknown = set(types) - {"full_attention", "sliding_attention"}
        if unknown:
            raise LiuliError(f"attention layers of type {', '.join(sorted(unknown))} are not supported")
        slides = [kind == "sliding_attention" for kind in types]
    else:
        slides = [layer >= raw.get("max_window_layers", 28) for layer in range(layers)]
    return tuple(window if slide else None for slide in slides) if window is not None and any(slides) else ()


def _windows_to(config: Config) -> dict[str, Any]:
    if config.family == "llama":
        return {}
    sliding = {window for window in config.windows if window is not None}
    assert len(sliding) <= 1, "config.json holds one window length"
    if config.family == "mistral":
        return {"sliding_window": max(sliding, default=None)}
    types = ["full_attention" if config.window(i) is None else "sliding_attention" for i in range(config.layers)]
    return {"use_sliding_window": bool(sliding), "sliding_window": max(sliding, default=None), "layer_types": types}


def _rotary(raw: dict[str, Any], where: str) -> tuple[float, RotaryScaling | None, int]:
    """(theta, scaling, context), from the old `rope_theta` + `rope_scaling` or the new `rope_parameters`."""
    given = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ROTARY_KINDS or any(isinstance(value, dict) for value in given.values()):
        kind = kind if kind not in ROTARY_KINDS else "one for each type of layer"
        raise LiuliError(f"{where}: the rotary scaling {kind!r} is not supported; supported: {', '.join(ROTARY_KINDS)}")
    if given.get("partial_rotary_factor", 1.0) != 1.0:
        raise LiuliError(f"{where}: partial_rotary_factor = {given['partial_rotary_factor']} is not supported")
    theta = float(given.get("rope_theta") or raw.get("rope_theta") or 10_000.0)
    trained = raw["max_position_embeddings"]
    if kind == "default":
        return theta, None, trained
    factor = float(given["factor"])
    original = given.get("original_max_position_embeddings") or trained
    if kind == "linear":
        return theta, RotaryScaling("linear", factor, trained), int(trained * factor)
    if kind == "llama3":
        return theta, RotaryScaling("llama3", factor, original, given["low_freq_factor"], given["high_freq_factor"]), trained
    scaling = RotaryScaling(
        "yarn", factor, original, beta_fast=given.get("beta_fast") or 32.0, beta_slow=given.get("beta_slow") or 1.0,
        truncate=given.get("truncate", True), attention_factor=_yarn_attention(given, factor),
    )  # fmt: skip
    return theta, scaling, max(trained, int(original * factor))


def _yarn_attention(given: dict[str, Any], factor: float) -> float:
    """How much cosine and sine grow: 0.1 ln(factor) + 1 unless given (YaRN, equation 22)."""

    def grown(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if given.get("attention_factor") is not None:
        return given["attention_factor"]
    if given.get("mscale") and given.get("mscale_all_dim"):
        return grown(given["mscale"]) / grown(given["mscale_all_dim"])
    return grown(1.0)


def _scaling_to(scaling: RotaryScaling) -> dict[str, Any]:
    raw: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        raw |= {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    if scaling.kind == "yarn":
        raw |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, "truncate": scaling.truncate}
        raw |= {"attention_factor": scaling.attention_factor}
    return raw if scaling.kind == "linear" else raw | {"original_max_position_embeddings": scaling.original}


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the file and the decoder's parameters that it holds, one below the other; `transposed`: the file
    keeps matrices as (inputs, outputs)."""

    parts: tuple[str, ...]
    transposed: bool = False


def tensor_names(config: Config) -> dict[str, Stored]:
    """Every tensor of a complete checkpoint, by Hugging Face's name."""
    names = _gpt2_names(config) if config.family == "gpt2" else _llama_like_names(config)
    return names if config.tied else names | {"lm_head.weight": Stored(("head.weight",))}


def canonical_name(name: str, config: Config) -> str:
    """The full name of a tensor that a file may hold without its family's prefix."""
    prefix = "transformer." if config.family == "gpt2" else "model."
    return name if name.startswith(prefix) or name == "lm_head.weight" else prefix + name


def is_known_extra(name: str, config: Config) -> bool:
    """Whether a tensor (by its canonical name) is one that real checkpoints carry and no weight: masks and rotary
    frequencies that were saved as buffers."""
    extras = (
        r"transformer\.h\.\d+\.attn\.(masked_)?bias"
        if config.family == "gpt2"
        else r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    )
    return re.fullmatch(extras, name) is not None


def _llama_like_names(config: Config) -> dict[str, Stored]:
    layer = {
        "input_layernorm.weight": "attention_norm.weight",
        "post_attention_layernorm.weight": "feed_forward_norm.weight",
    }
    projections = {
        "self_attn.q_proj": ("attention.q", config.qkv_bias),
        "self_attn.k_proj": ("attention.k", config.qkv_bias),
        "self_attn.v_proj": ("attention.v", config.qkv_bias),
        "self_attn.o_proj": ("attention.out", config.output_bias),
        "mlp.gate_proj": ("feed_forward.gate", config.feed_forward_bias),
        "mlp.up_proj": ("feed_forward.up", config.feed_forward_bias),
        "mlp.down_proj": ("feed_forward.down", config.feed_forward_bias),
    }
    for theirs, (ours, bias) in projections.items():
        layer[f"{theirs}.weight"] = f"{ours}.weight"
        if bias:
            layer[f"{theirs}.bias"] = f"{ours}.bias"
    if config.qk_norm:
        layer["self_attn.q_norm.weight"] = "attention.q_norm.weight"
        layer["self_attn.k_norm.weight"] = "attention.k_norm.weight"
    names = {"model.embed_tokens.weight": Stored(("embedding.weight",)), "model.norm.weight": Stored(("norm.weight",))}
    for i in range(config.layers):
        names |= {f"model.layers.{i}.{theirs}": Stored((f"blocks.{i}.{ours}",)) for theirs, ours in layer.items()}
    return names


def _gpt2_names(config: Config) -> dict[str, Stored]:
    names = {"transformer.wte.weight": Stored(("embedding.weight",)), "transformer.wpe.weight": Stored(("positions.weight",))}
    norms = {"ln_1": "attention_norm", "ln_2": "feed_forward_norm"}
    projections = {
        "attn.c_attn": ("attention.q", "attention.k", "attention.v"),
        "attn.c_proj": ("attention.out",),
        "mlp.c_fc": ("feed_forward.up",),
        "mlp.c_proj": ("feed_forward.down",),
    }
    for kind in ("weight", "bias"):
        names[f"transformer.ln_f.{kind}"] = Stored((f"norm.{kind}",))
        for i in range(config.layers):
            theirs, ours = f"transformer.h.{i}", f"blocks.{i}"
            names |= {f"{theirs}.{norm}.{kind}": Stored((f"{ours}.{name}.{kind}",)) for norm, name in norms.items()}
            for projection, parts in projections.items():
                places = tuple(f"{ours}.{part}.{kind}" for part in parts)
                names[f"{theirs}.{projection}.{kind}"] = Stored(places, transposed=kind == "weight")
    return names
