"""Converts a GGUF file's metadata to the settings of a `config.json`.

In: an open file. Out: a dict for `families.config_from`, which checks it like any other `config.json`. A setting that is not
supported but would change the computation is refused by name.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from liuli.errors import LiuliError
from liuli.fields import is_size
from liuli.gguf_file import GGUFFile, is_finite_number
from liuli.model.formats.families import WITHOUT_IT
from liuli.model.formats.gguf_names import (
    ARCHITECTURE_OF,
    ATTENTION_FACTOR_KEY,
    FREQUENCIES,
    PATTERN_KEY,
    SCALING_KEYS,
    SLIDING_BASE_KEY,
    WINDOW_KEY,
    keys_of,
    without_architecture,
)
from liuli.model.formats.weight_files import quoted, shown
from liuli.units import counted

# Keys for which llama.cpp has a default; all other keys of `keys_of` are required.
OPTIONAL = ("attention.head_count_kv", "attention.key_length", "rope.freq_base")
HEAD_WIDTHS = ("attention.key_length", "attention.value_length", "rope.dimension_count")  # must all be equal
WINDOW_KEYS = {"mistral": (WINDOW_KEY,), "gemma3_text": (WINDOW_KEY, PATTERN_KEY, SLIDING_BASE_KEY)}
# Every sixth layer of Gemma 3 has full attention. The 27B model, which has 62 layers, scales attention scores differently.
GEMMA_PATTERN, GEMMA_27B = 6, 62
SCALING_KIND_KEY = "rope.scaling.type"
LINEAR_FACTOR_KEY = "rope.scale_linear"  # the old name of rope.scaling.factor
YARN_ATTENTION_KEY = "rope.scaling.yarn_attn_factor"  # config.json's attention_factor, as llama.cpp's converter writes it
# Keys whose values are numbers, in addition to those of `keys_of`.
NUMBERS = {
    *HEAD_WIDTHS, WINDOW_KEY, SLIDING_BASE_KEY, LINEAR_FACTOR_KEY, ATTENTION_FACTOR_KEY, YARN_ATTENTION_KEY,
    *(SCALING_KEYS.keys() - {SCALING_KIND_KEY}),
}  # fmt: skip
WITHOUT_EFFECT = {"vocab_size", "tensor_data_layout", "rope.scaling.finetuned"}  # the shapes are those of the tensors
# Settings with a value that changes nothing. For every setting, zero, false and an empty text change nothing.
HARMLESS = {"attention.causal": True, "rope.scaling.yarn_ext_factor": 1.0}
LLAMA3_BOUNDS = 1.0, 4.0  # low and high frequency factors of every published model with llama3's scaling
LLAMA3_ORIGINALS = [8192, *(2**power for power in range(4, 21))]  # contexts before scaling that are tried, in tokens


def settings_of(file: GGUFFile) -> dict[str, Any]:
    """Returns the settings as fields of a `config.json`.

    Raises:
        LiuliError: the architecture or a setting is not supported, a key is missing, or a value has the wrong type.
    """
    architecture, kind = file.text("general.architecture"), file.text("general.type")
    if kind not in (None, "model"):
        raise LiuliError(f"{file.path} is not a model (general.type is {shown(kind)}): give the model's file")
    families: dict[str, Any] = {theirs: family for family, theirs in reversed(ARCHITECTURE_OF.items())}
    if architecture not in families:
        known = ", ".join(dict.fromkeys(ARCHITECTURE_OF.values()))
        raise LiuliError(f"{file.path}: the architecture {quoted(architecture)} is not supported; supported: {known}")
    given = _values(file, architecture, keys_of(families[architecture]))
    family: Any = "mistral" if architecture == "llama" and given.get(WINDOW_KEY) else families[architecture]
    keys = keys_of(family)
    _refuse_unknown(file, architecture, given, {*keys, *WINDOW_KEYS.get(family, ())})
    for key in keys:
        if key not in given and key not in OPTIONAL:
            raise file.broken(f"its metadata has no {architecture}.{key}")
    found = {ours: given[key] for key, ours in keys.items() if key in given}
    if "token_embd.weight" not in file.tensors:
        raise LiuliError(
            f"{file.path} is not a model: it contains no tensor token_embd.weight, and may be only a vocabulary; give the "
            f"model's file"
        )
    for key in ("block_count", "embedding_length", "attention.head_count"):
        if not is_size(given[key]):
            raise file.broken(f"{architecture}.{key} must be an integer above 0, not {given[key]}")
    if given["block_count"] > len(file.tensors):
        raise file.broken(
            f"{architecture}.block_count is {given['block_count']:,}, but the file has {counted(len(file.tensors), 'tensor')}"
        )
    found |= {
        "model_type": family,
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    if family == "gpt2":
        return found
    found |= _rotary_settings(file, architecture, given, found)
    return found | _gemma_settings(file, given, found) if family == "gemma3_text" else found


def _values(file: GGUFFile, architecture: str, keys: Collection[str]) -> dict[str, Any]:
    """Returns the metadata of an architecture by key, without the architecture's prefix.

    Args:
        keys: keys whose value may be an array with a number for each layer. If all are equal, the number is returned.

    Raises:
        LiuliError: a value that `settings_of` needs has the wrong type, or is not the same in all layers.
    """
    given = without_architecture(file.metadata, architecture)
    file.text(f"{architecture}.{SCALING_KIND_KEY}")
    for key in [key for key in given if key in keys or key in NUMBERS]:
        name = f"{architecture}.{key}"
        if key in keys:
            given[key] = _same_in_all_layers(file, name, given[key])
        if not is_finite_number(given[key]):
            raise file.broken(f"{name} must be a number, not {shown(str(given[key]))}")
    return given


def _rotary_settings(file: GGUFFile, architecture: str, given: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings that only the families with rotary positions have."""
    heads = found["num_attention_heads"]
    head_width = found.get("head_dim", found["hidden_size"] // heads)
    for key in HEAD_WIDTHS:
        if given.get(key, head_width) != head_width:
            raise LiuliError(
                f"{file.path}: {architecture}.{key} = {quoted(given[key])} differs from the head width {shown(head_width)}, "
                f"which is not supported: use a model in which they are equal"
            )
    more = {
        "head_dim": head_width,
        "num_key_value_heads": found.get("num_key_value_heads", heads),
        "sliding_window": given.get(WINDOW_KEY) or None,
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_up.bias" in file.tensors,
    }
    theta = found.get("rope_theta", 10_000.0)
    scaling = _scaling(file, given, theta, head_width)
    return more | {"rope_theta": theta} | ({} if scaling is None else {"rope_scaling": scaling})


def _gemma_settings(file: GGUFFile, given: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Returns which layers have a window, their rotary base, and the divisor of attention scores, as in llama.cpp. Raises
    LiuliError: the pattern of windows is neither a number nor an array."""
    layers = range(found["num_hidden_layers"])
    pattern = given.get(PATTERN_KEY, GEMMA_PATTERN)
    if isinstance(pattern, np.ndarray):
        slides = pattern.astype(bool).tolist()
    elif type(pattern) is not int:
        raise file.broken(f"its {PATTERN_KEY} must be an integer or an array, not {shown(str(pattern))}")
    else:
        slides = [pattern == 0 or (layer + 1) % pattern != 0 for layer in layers]
    if found["sliding_window"] is None:
        slides = [False for _ in layers]
    by_width = len(layers) == GEMMA_27B
    return {
        "layer_types": ["sliding_attention" if each else "full_attention" for each in slides],
        "rope_local_base_freq": given.get(SLIDING_BASE_KEY, 10_000.0),
        "query_pre_attn_scalar": found["hidden_size"] // found["num_attention_heads"] if by_width else found["head_dim"],
    }


def _refuse_unknown(file: GGUFFile, architecture: str, given: dict[str, Any], known: set[str]) -> None:
    known = known | SCALING_KEYS.keys() | WITHOUT_EFFECT | {*HEAD_WIDTHS}
    known |= {ATTENTION_FACTOR_KEY, LINEAR_FACTOR_KEY, YARN_ATTENTION_KEY}
    for key, value in given.items():
        harmless = key in known or (isinstance(value, (bool, int, float, str)) and (not value or value == HARMLESS.get(key)))
        if not harmless:
            raise LiuliError(f"{file.path}: {shown(f'{architecture}.{key}')} = {quoted(value)} is not supported: {WITHOUT_IT}")


def _same_in_all_layers(file: GGUFFile, key: str, value: Any) -> Any:
    """Returns a value that may be given once for each layer."""
    if not isinstance(value, np.ndarray):
        return value
    if not len(value) or (value != value[0]).any():
        raise LiuliError(f"{file.path}: {key} must be the same in all layers: use another model")
    return value[0].item()


def _scaling(file: GGUFFile, given: dict[str, Any], theta: Any, head_width: Any) -> dict[str, Any] | None:
    """Returns `rope_scaling` as in a `config.json`; None: positions are not scaled."""
    kind = given.get(SCALING_KIND_KEY, "linear")
    factor = given.get("rope.scaling.factor", given.get(LINEAR_FACTOR_KEY, 0.0))
    stretched = kind != "none" and factor not in (0.0, 1.0)
    if FREQUENCIES in file.tensors:
        if stretched:
            raise LiuliError(
                f"{file.path} has both {FREQUENCIES} and a factor of its rotary scaling, which is not supported: use a model "
                f"with only one of them"
            )
        return _llama3(file, theta, head_width)
    if not stretched:
        return None
    if factor <= 0:
        raise file.broken(f"the factor of its rotary scaling must be above 0, not {quoted(factor)}")
    if kind != "yarn":
        return {"rope_type": kind, "factor": factor}
    found = {ours: given[key] for key, ours in SCALING_KEYS.items() if key in given}
    grown = 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
    attention = given.get(YARN_ATTENTION_KEY) or given.get(ATTENTION_FACTOR_KEY, 1.0) * grown
    return found | {"rope_type": "yarn", "factor": factor, "attention_factor": attention}


def _llama3(file: GGUFFile, theta: Any, head_width: Any) -> dict[str, Any] | None:
    """Returns llama3's scaling, of which a file contains only the divisor of each pair's frequency. The factor is the largest
    divisor. The bounds are those of every published model. The context before scaling is found by trying `LLAMA3_ORIGINALS`."""
    tensor = file.tensors[FREQUENCIES]
    if tensor.type.name != "F32" or tensor.shape != (head_width // 2,):
        raise file.broken(
            f"{FREQUENCIES} must be F32 of shape [{head_width // 2}], not {tensor.type.name} of shape {list(tensor.shape)}"
        )
    divisors = torch.from_numpy(tensor.rows.view(np.float32)).flatten().double()
    factor = divisors.max().item()
    if (divisors == 1).all():
        return None
    low, high = LLAMA3_BOUNDS
    plain = theta ** -(torch.arange(0, head_width, 2).double() / head_width)
    for original in LLAMA3_ORIGINALS:
        keep = ((original * plain / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
        if torch.allclose(1 / (keep + (1 - keep) / factor), divisors, rtol=1e-4, atol=0):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }  # fmt: skip
    raise LiuliError(
        f"{file.path}: {FREQUENCIES} scales positions differently from Llama 3, which is not supported: use a model with the "
        f"scaling of Llama 3"
    )
