"""What Hugging Face calls things, for each family: the fields of `config.json` and the names of the tensors.

The only file that knows those names, except for tokenizers, generation settings and the names of the files. In: a parsed
`config.json`. Out: a `Config`, and which parameters of the decoder each stored tensor holds; and the reverse for writing.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from liuli.errors import LiuliError
from liuli.fields import is_size
from liuli.files import read_json
from liuli.model.config import LARGEST, Config, Family, RotaryScaling
from liuli.model.formats.weight_files import listed, quoted, shown, without_wrappers

FAMILIES = get_args(Family)
LONGEST_MESSAGE = 300  # characters of a message that quotes config.json
ARCHITECTURES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
ACTIVATION_OF = {
    "swish": "silu", "silu": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh", "relu": "relu",
}  # fmt: skip
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
DEFAULTS = {  # for fields that config.json may leave out; the others are required, except as `_config` says
    "n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    "head_dim": None, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": None,
}  # fmt: skip
DEFAULT_THETA = 10_000.0
ROTARY_KINDS = ("default", "linear", "llama3", "yarn")
REFUSED = {  # settings that change the maths in ways that the decoder does not follow, and the values that change nothing
    "quantization_config": (None,),
    "scale_attn_weights": (None, True),
    "scale_attn_by_inverse_layer_idx": (None, False),
    "add_cross_attention": (None, False),
    "partial_rotary_factor": (None, 1, 1.0),
}
HEAD = "lm_head.weight"


def read_config(folder: Path) -> Config:
    """The `Config` in a folder's `config.json`.

    Raises:
        LiuliError: there is none; it is broken; a field that is missing, out of bounds, or not supported.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise LiuliError(f"{folder} holds no config.json, so it is not a model's folder{_hint(folder)}")
    return config_from(read_json(path), str(path))


def _hint(folder: Path) -> str:
    """What the user may have meant by a folder that is a run's or an adapter's."""
    if (folder / "model" / "config.json").is_file():
        return f"; its model is {folder / 'model'}"
    return "; it is an adapter's: give its base's folder, and --adapter" if (folder / "adapter_config.json").is_file() else ""


def config_from(raw: dict[str, Any], where: str) -> Config:
    """A `Config` from a parsed `config.json`; `where` names the file in errors. Raises as `read_config`."""
    family: Any = raw.get("model_type")
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise LiuliError(f"{where}: the architecture {quoted(family)} is not supported; supported: {known}")
    for name, harmless in REFUSED.items():
        if raw.get(name) not in harmless:
            raise LiuliError(f"{where}: {name} = {quoted(raw[name])} is not supported")
    try:
        return _config(family, raw)
    except KeyError as error:
        raise LiuliError(f"{where} is broken: it has no {error.args[0]}") from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise LiuliError(f"{where} is broken: {shown(str(error), LONGEST_MESSAGE)}") from error
    except LiuliError as error:
        raise LiuliError(f"{where}: {shown(str(error), LONGEST_MESSAGE)}") from error


def config_to(config: Config) -> dict[str, Any]:
    """The `config.json` that `transformers` reads as this `Config`."""
    names = GPT2_NAMES if config.family == "gpt2" else LLAMA_NAMES
    raw: dict[str, Any] = {"architectures": [ARCHITECTURES[config.family]], "model_type": config.family}
    raw |= {theirs: getattr(config, ours) for theirs, ours in names.items()}
    activation = next(name for name, ours in reversed(ACTIVATION_OF.items()) if ours == config.activation)
    if config.family == "gpt2":
        return raw | {"activation_function": activation}
    raw["hidden_act"] = activation
    if config.rope_scaling:
        raw |= _scaling_to(config.rope_scaling)
    if config.family in ("llama", "qwen3"):
        raw["attention_bias"] = config.qkv_bias
    if config.family == "llama":
        raw["mlp_bias"] = config.feed_forward_bias
    return raw | _windows_to(config)


def _config(family: Family, raw: dict[str, Any]) -> Config:
    names = GPT2_NAMES if family == "gpt2" else LLAMA_NAMES
    given = DEFAULTS | {"tie_word_embeddings": family == "gpt2"} | raw
    if family == "llama":
        given["num_key_value_heads"] = raw.get("num_key_value_heads") or raw["num_attention_heads"]
    found: dict[str, Any] = {ours: given[theirs] for theirs, ours in names.items()}
    for theirs, ours in names.items():
        if ours in ("width", "layers", "heads") and not is_size(found[ours]):
            raise LiuliError(f"{theirs} must be a whole number above 0, not {found[ours]!r}")
        if ours in ("width", "layers", "heads") and found[ours] > LARGEST[ours]:
            raise LiuliError(f"{theirs} must be at most {LARGEST[ours]:,}, not {found[ours]:,}")
    if found["activation"] not in ACTIVATION_OF:
        raise LiuliError(
            f"the activation {quoted(found['activation'])} is not supported; supported: {', '.join(ACTIVATION_OF)}"
        )
    found["activation"] = ACTIVATION_OF[found["activation"]]
    width, heads = found["width"], found["heads"]
    if family == "gpt2":
        if width % heads:
            raise LiuliError(f"n_embd {width} is not a multiple of n_head {heads}")
        found |= {"kv_heads": heads, "head_width": width // heads, "feed_forward_width": raw.get("n_inner") or 4 * width}
        return Config("gpt2", **found, qkv_bias=True, output_bias=True, feed_forward_bias=True)
    found["head_width"] = found["head_width"] or (128 if family == "qwen3" else width // heads)
    found["rope_theta"], found["rope_scaling"], found["context"] = _rotary(raw)
    bias = raw.get("attention_bias", False)
    return Config(
        family, **found, qkv_bias=family == "qwen2" or bias, output_bias=family in ("llama", "qwen3") and bias,
        feed_forward_bias=family == "llama" and raw.get("mlp_bias", False), windows=_windows(family, raw),
    )  # fmt: skip


def _windows(family: Family, raw: dict[str, Any]) -> tuple[int | None, ...]:
    """One window per layer, or () if every layer sees all."""
    layers, window = raw["num_hidden_layers"], raw.get("sliding_window", 4096)
    types = raw.get("layer_types")
    if types is not None and not (isinstance(types, list) and all(isinstance(kind, str) for kind in types)):
        raise LiuliError(f"layer_types must be a list of names, not {quoted(types)}")
    if family == "mistral":
        slides = [True] * layers
    elif family == "llama" or not raw.get("use_sliding_window", False):
        slides = [False] * layers
    elif types is not None:
        unknown = set(types) - {"full_attention", "sliding_attention"}
        if unknown:
            raise LiuliError(f"attention layers of type {listed(sorted(unknown))} are not supported")
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


def _rotary(raw: dict[str, Any]) -> tuple[float, RotaryScaling | None, int]:
    """(theta, scaling, context), from the old `rope_theta` + `rope_scaling` or the new `rope_parameters`."""
    given = _rotary_settings(raw)
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ROTARY_KINDS or any(isinstance(value, dict) for value in given.values()):
        kind = kind if kind not in ROTARY_KINDS else "one for each type of layer"
        raise LiuliError(f"the rotary scaling {quoted(kind)} is not supported; supported: {', '.join(ROTARY_KINDS)}")
    if given.get("partial_rotary_factor", 1.0) != 1.0:
        raise LiuliError(f"partial_rotary_factor = {quoted(given['partial_rotary_factor'])} is not supported")
    theta = float(given.get("rope_theta") or raw.get("rope_theta") or DEFAULT_THETA)
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


def _rotary_settings(raw: dict[str, Any]) -> dict[str, Any]:
    """`rope_scaling` if it says anything, else `rope_parameters`, as `transformers` has it.

    Raises:
        LiuliError: both are there, and the base of the rotary positions would be lost with `rope_parameters`.
    """
    scaling, parameters = raw.get("rope_scaling"), raw.get("rope_parameters")
    if scaling and parameters and not (scaling.get("rope_theta") or raw.get("rope_theta")):
        theta = parameters.get("rope_theta") or DEFAULT_THETA
        if theta != DEFAULT_THETA:
            raise LiuliError(
                f"rope_scaling stands in place of all of rope_parameters, so its rope_theta {quoted(theta)} would be lost: "
                f"move the fields of rope_scaling into rope_parameters, and remove rope_scaling"
            )
    return scaling or parameters or {}


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
    if scaling.kind == "linear":  # `transformers` does not count it into the context
        return {"rope_scaling": raw, "max_position_embeddings": scaling.original}
    raw["original_max_position_embeddings"] = scaling.original
    if scaling.kind == "llama3":
        raw |= {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    else:
        raw |= {name: getattr(scaling, name) for name in ("beta_fast", "beta_slow", "truncate", "attention_factor")}
    return {"rope_scaling": raw}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in the file: the decoder's parameters that it holds, one below the other. `transposed`: the file stores matrices
    as (inputs, outputs)."""

    parts: tuple[str, ...]
    transposed: bool = False


def tensor_names(config: Config) -> dict[str, StoredTensor]:
    """Every tensor of a complete checkpoint, by Hugging Face's name."""
    names: dict[str, StoredTensor] = {}
    for theirs, ours, bias in _layers(config):
        transposed = ".c_" in theirs  # GPT-2's projections, attn.c_attn to mlp.c_proj
        names[f"{theirs}.weight"] = StoredTensor(tuple(f"{part}.weight" for part in ours), transposed)
        if bias:
            names[f"{theirs}.bias"] = StoredTensor(tuple(f"{part}.bias" for part in ours))
    return names if config.tied else names | {HEAD: StoredTensor(("head.weight",))}


def block_modules(config: Config) -> dict[str, tuple[str, ...]]:
    """The modules with weights in the blocks: the decoder's names of what each holds, by Hugging Face's name. GPT-2's c_attn is
    q, k and v at once."""
    return {theirs: tuple(ours) for theirs, ours, _ in _layers(config) if ours[0].startswith("blocks.")}


def table_names(config: Config) -> dict[str, str]:
    """Hugging Face's names of the embedding and the head, by the decoder's names."""
    return {ours[0]: theirs for theirs, ours, _ in _layers(config) if ours == ["embedding"]} | {"head": "lm_head"}


def _layers(config: Config) -> Iterator[tuple[str, list[str], bool]]:
    """(Hugging Face's name, the decoder's parts, whether it has a bias) of every module with weights, except the head."""
    if config.family == "gpt2":
        root, blocks = "transformer", "transformer.h"
        outside = [("wte", "embedding", False), ("wpe", "positions", False), ("ln_f", "norm", True)]
        block = [
            ("ln_1", "attention_norm", True), ("attn.c_attn", "attention.q attention.k attention.v", True),
            ("attn.c_proj", "attention.out", True), ("ln_2", "feed_forward_norm", True),
            ("mlp.c_fc", "feed_forward.up", True), ("mlp.c_proj", "feed_forward.down", True),
        ]  # fmt: skip
    else:
        root, blocks = "model", "model.layers"
        outside = [("embed_tokens", "embedding", False), ("norm", "norm", False)]
        block = [
            ("input_layernorm", "attention_norm", False),
            ("self_attn.q_proj", "attention.q", config.qkv_bias),
            ("self_attn.k_proj", "attention.k", config.qkv_bias),
            ("self_attn.v_proj", "attention.v", config.qkv_bias),
            ("self_attn.o_proj", "attention.out", config.output_bias),
            ("post_attention_layernorm", "feed_forward_norm", False),
            ("mlp.gate_proj", "feed_forward.gate", config.feed_forward_bias),
            ("mlp.up_proj", "feed_forward.up", config.feed_forward_bias),
            ("mlp.down_proj", "feed_forward.down", config.feed_forward_bias),
        ]
        if config.qk_norm:
            block += [("self_attn.q_norm", "attention.q_norm", False), ("self_attn.k_norm", "attention.k_norm", False)]
    for theirs, ours, bias in outside:
        yield f"{root}.{theirs}", [ours], bias
    for i in range(config.layers):
        for theirs, ours, bias in block:
            yield f"{blocks}.{i}.{theirs}", [f"blocks.{i}.{part}" for part in ours.split()], bias


def canonical_name(name: str, config: Config) -> str:
    """The full name of a tensor that a file may hold without its family's prefix, or with that of a wrapper."""
    name = without_wrappers(name)
    prefix = "transformer." if config.family == "gpt2" else "model."
    return name if name.startswith(prefix) or name == HEAD else prefix + name


def is_known_extra(name: str) -> bool:
    """Whether a tensor (by its canonical name) is not a weight but one that real checkpoints hold too: masks and rotary
    frequencies that were saved as buffers."""
    masks, frequencies = r"transformer\.h\.\d+\.attn\.(masked_)?bias", r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"
    return re.fullmatch(f"{masks}|{frequencies}", name) is not None
