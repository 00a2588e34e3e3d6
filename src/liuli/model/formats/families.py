"""Converts Hugging Face's `config.json` to a `Config`, and back. `family_fields.py` has the differences between the families.

Hugging Face's names of fields and tensors are only in these two files and in `tensor_names.py`, except for the names in the
settings of tokenizers and of generation.
"""

import math
from pathlib import Path
from typing import Any, get_args

from liuli.errors import LiuliError
from liuli.fields import is_size
from liuli.files import read_json
from liuli.model.config import LARGEST, Config, Family, RotaryScaling
from liuli.model.formats.family_fields import FIELDS, FamilyFields
from liuli.model.formats.weight_files import listed, quoted, shown

FAMILIES = get_args(Family)
SHOWN_RUNS = 3  # of a folder of runs, in an error
LONGEST_MESSAGE = 300  # characters of a message that quotes config.json
WITHOUT_IT = "use a model without this setting"
ACTIVATION_OF = {
    "swish": "silu", "silu": "silu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh", "relu": "relu",
}  # fmt: skip
ROTARY_KINDS = ("default", "linear", "llama3", "yarn")
ROTARY_NAMES = {  # the fields of `RotaryScaling` that have another name in `config.json`
    "original": "original_max_position_embeddings", "low_frequency": "low_freq_factor", "high_frequency": "high_freq_factor",
}  # fmt: skip
REFUSED = {  # settings that change the computation and are not supported, with the values that change nothing
    "quantization_config": (None,),
    "scale_attn_weights": (None, True),
    "scale_attn_by_inverse_layer_idx": (None, False),
    "add_cross_attention": (None, False),
    "partial_rotary_factor": (None, 1, 1.0),
}


def read_folder_config(folder: Path) -> Config:
    """Returns the `Config` in a folder's `config.json`.

    Raises:
        LiuliError: the file is missing or broken; a field is missing, out of range or not supported.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise LiuliError(f"{folder} contains no config.json, so it is not a model folder: {_advice(folder)}")
    return config_from(read_json(path), str(path))


def _advice(folder: Path) -> str:
    """What a user should do who gave a folder without a model, such as that of a run or of an adapter."""
    if (folder / "model" / "config.json").is_file():
        return f"it is a run, and its model is {folder / 'model'}"
    if (folder / "adapter_config.json").is_file():
        return f"it is an adapter's folder; give the base model's folder, and --adapter {folder}"
    if runs := sorted(str(each.parents[1]) for each in folder.glob("*/model/config.json")):  # such as that of `liuli begin`
        return f"give the folder of one of its runs: {' or '.join(runs[:SHOWN_RUNS])}"
    return "give a folder with config.json and weights"


def config_from(raw: dict[str, Any], where: str) -> Config:
    """Returns a `Config` from a parsed `config.json`. `where` is the file's name in error messages. Raises the errors of
    `read_folder_config`."""
    family: Any = raw.get("model_type")
    if family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise LiuliError(f"{where}: the architecture {quoted(family)} is not supported; supported: {known}")
    for name, harmless in (REFUSED | FIELDS[family].refused).items():
        if raw.get(name) not in harmless:
            raise LiuliError(f"{where}: {name} = {quoted(raw[name])} is not supported: {WITHOUT_IT}")
    try:
        return _config(family, raw)
    except KeyError as error:
        raise LiuliError(f'{where}: "{error.args[0]}" is missing. Download the model again, or add the field.') from error
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = shown(str(error), LONGEST_MESSAGE)
        raise LiuliError(f"{where} has an invalid value ({reason}): correct it, or download the model again") from error
    except LiuliError as error:
        raise LiuliError(f"{where}: {shown(_with_names_in_file(str(error), family), LONGEST_MESSAGE)}") from error


def _with_names_in_file(message: str, family: Family) -> str:
    """Returns an error message of `Config` with the names of fields in `config.json`."""
    fields = FIELDS[family]
    theirs_of = {ours: theirs for theirs, ours in fields.names.items()}
    theirs_of |= {ours: switch for switch, biases in fields.biases.items() for ours in biases}
    theirs_of |= {"window": "sliding_window", "windows": "layer_types"}
    for ours, theirs in theirs_of.items():
        message = message.replace(f"a model's {ours} ", f"{theirs} ")
    for ours, theirs in ROTARY_NAMES.items():
        message = message.replace(f"a rotary scaling's {ours} ", f"a rotary scaling's {theirs} ")
        message = message.replace(f" its {ours} ", f" its {theirs} ")
    return message


def config_to(config: Config) -> dict[str, Any]:
    """Returns the `config.json` that `transformers` reads as this `Config`."""
    fields = FIELDS[config.family]
    raw: dict[str, Any] = {"architectures": [fields.architecture], "model_type": config.family}
    raw |= {theirs: getattr(config, ours) for theirs, ours in fields.names.items()}
    activation = next(theirs for theirs, ours in fields.names.items() if ours == "activation")
    raw[activation] = _activation_to(config.activation, fields.defaults[activation])
    raw |= {switch: getattr(config, ours[0]) for switch, ours in fields.biases.items()}
    if config.rope_scaling:
        raw["rope_scaling"] = _scaling_to(config.rope_scaling)
        if config.rope_scaling.kind == "linear" and not fields.rope_by_layer:
            raw["max_position_embeddings"] = config.rope_scaling.original  # `transformers` does not count it into the context
    return raw | _windows_to(config, fields)


def _activation_to(activation: str, usual: str) -> str:
    """Returns Hugging Face's name of an activation, in the usual spelling of the family."""
    if ACTIVATION_OF[usual] == activation:
        return usual
    return next(name for name, ours in reversed(ACTIVATION_OF.items()) if ours == activation)


def _config(family: Family, raw: dict[str, Any]) -> Config:
    fields = FIELDS[family]
    for theirs, ours in fields.names.items():
        if ours in ("width", "layers", "heads") and not is_size(raw[theirs]):
            raise LiuliError(f"{theirs} must be a whole number above 0, not {raw[theirs]!r}")
        if ours in ("width", "layers", "heads") and raw[theirs] > LARGEST[ours]:
            raise LiuliError(f"{theirs} must be at most {LARGEST[ours]:,}, not {raw[theirs]:,}")
    found: dict[str, Any] = {ours: _field(fields, raw, theirs) for theirs, ours in fields.names.items()}
    if found["activation"] not in ACTIVATION_OF:
        raise LiuliError(
            f"the activation {quoted(found['activation'])} is not supported; supported: {', '.join(ACTIVATION_OF)}"
        )
    found["activation"] = ACTIVATION_OF[found["activation"]]
    if "kv_heads" not in found:  # GPT-2
        width, heads = found["width"], found["heads"]
        if width % heads:
            raise LiuliError(f"n_embd {width} is not a multiple of n_head {heads}: correct one of them")
        return Config(family, **found | fields.fixed, kv_heads=heads, head_width=width // heads)
    found |= _rotary_by_layer(raw, fields) if fields.rope_by_layer else _rotary(raw, fields.defaults["rope_theta"])
    for switch, biases in fields.biases.items():
        found |= dict.fromkeys(biases, raw.get(switch, False))
    return Config(family, **found | fields.fixed, windows=_windows(raw, fields))


def _field(fields: FamilyFields, raw: dict[str, Any], name: str) -> Any:
    if name not in fields.defaults:
        return raw[name]
    default = fields.defaults[name]
    if not callable(default):
        return raw.get(name, default)
    return default(raw) if raw.get(name) is None else raw[name]


def _windows(raw: dict[str, Any], fields: FamilyFields) -> tuple[int | None, ...]:
    """Returns the attention window of each layer, or () if no layer has one."""
    layers, window = raw["num_hidden_layers"], raw.get("sliding_window", fields.window)
    types = raw.get("layer_types")
    if types is not None and not (isinstance(types, list) and all(isinstance(kind, str) for kind in types)):
        raise LiuliError(f"layer_types must be a list of names, not {quoted(types)}")
    names = fields.window_fields
    if not names or ("use_sliding_window" in names and not raw.get("use_sliding_window", False)):
        return ()
    if types is None or "layer_types" not in names:
        slides = [fields.slides(raw, layer) for layer in range(layers)]
    else:
        unknown = set(types) - {"full_attention", "sliding_attention"}
        if unknown:
            raise LiuliError(
                f"attention layers of type {listed(sorted(unknown))} are not supported; supported: full_attention, "
                f"sliding_attention"
            )
        slides = [kind == "sliding_attention" for kind in types]
    if window is None and any(slides) and fields.rope_by_layer:
        raise LiuliError("sliding_window is null, but some layers have sliding attention: set the number of tokens")
    return tuple(window if slide else None for slide in slides) if window is not None and any(slides) else ()


def _windows_to(config: Config, fields: FamilyFields) -> dict[str, Any]:
    sliding = {window for window in config.windows if window is not None}
    assert len(sliding) <= 1, "config.json has only one window length"
    types = ["full_attention" if config.window(i) is None else "sliding_attention" for i in range(config.layers)]
    found = {"use_sliding_window": bool(sliding), "sliding_window": max(sliding, default=None), "layer_types": types}
    return {name: found[name] for name in fields.window_fields}


def _rotary(raw: dict[str, Any], default_theta: float) -> dict[str, Any]:
    """Returns the fields `rope_theta`, `rope_scaling` and `context`. A file has either the older `rope_theta` and
    `rope_scaling` or the newer `rope_parameters`."""
    given = _rotary_settings(raw, default_theta)
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ROTARY_KINDS:
        raise LiuliError(f"the rotary scaling {quoted(kind)} is not supported; supported: {', '.join(ROTARY_KINDS)}")
    if any(isinstance(value, dict) for value in given.values()):
        raise LiuliError(
            "rotary settings for each type of layer are not supported in this architecture: use a model with the same "
            "settings in all layers"
        )
    if given.get("partial_rotary_factor", 1.0) != 1.0:
        factor = quoted(given["partial_rotary_factor"])
        raise LiuliError(f"partial_rotary_factor = {factor} is not supported: {WITHOUT_IT}")
    theta = float(given.get("rope_theta") or raw.get("rope_theta") or default_theta)
    scaling, context = _scaling(given, kind, raw["max_position_embeddings"])
    return {"rope_theta": theta, "rope_scaling": scaling, "context": context}


def _rotary_settings(raw: dict[str, Any], default_theta: float) -> dict[str, Any]:
    """Returns `rope_scaling` if it is not empty, else `rope_parameters`, as `transformers` does.

    Raises:
        LiuliError: the file has both, and only `rope_parameters` has a rotary base (`rope_theta`), which would be ignored.
    """
    scaling, parameters = raw.get("rope_scaling"), raw.get("rope_parameters")
    if scaling and parameters and not (scaling.get("rope_theta") or raw.get("rope_theta")):
        theta = parameters.get("rope_theta") or default_theta
        if theta != default_theta:
            raise LiuliError(
                f"rope_scaling replaces all of rope_parameters, so its rope_theta {quoted(theta)} would be lost: "
                f"move the fields of rope_scaling into rope_parameters, and remove rope_scaling"
            )
    return scaling or parameters or {}


def _scaling(given: dict[str, Any], kind: str, trained: int) -> tuple[RotaryScaling | None, int]:
    """Returns the rotary scaling, and the context with this scaling, in tokens."""
    if kind == "default":
        return None, trained
    factor = float(given["factor"])
    original = given.get("original_max_position_embeddings") or trained
    if kind == "linear":
        return RotaryScaling("linear", factor, trained), int(trained * factor)
    if kind == "llama3":
        return RotaryScaling("llama3", factor, original, given["low_freq_factor"], given["high_freq_factor"]), trained
    scaling = RotaryScaling(
        "yarn", factor, original, beta_fast=given.get("beta_fast") or 32.0, beta_slow=given.get("beta_slow") or 1.0,
        truncate=given.get("truncate", True), attention_factor=_yarn_attention(given, factor),
    )  # fmt: skip
    return scaling, max(trained, int(original * factor))


def _rotary_by_layer(raw: dict[str, Any], fields: FamilyFields) -> dict[str, Any]:
    """Returns the fields of `_rotary` and `sliding_rope_theta`. A file has either the older `rope_theta`,
    `rope_local_base_freq` and `rope_scaling`, or the newer `rope_parameters` with settings for each type of layer. The scaling
    applies to layers with full attention only. The context in the file includes the scaling already."""
    given = raw.get("rope_parameters") or {}
    full, sliding = given.get("full_attention") or {}, given.get("sliding_attention") or {}
    unknown = given.keys() - {"full_attention", "sliding_attention"}
    if unknown:
        raise LiuliError(
            f"rope_parameters must have the fields full_attention and sliding_attention, not {listed(sorted(unknown))}: put "
            f"the settings into these two fields"
        )
    kind = sliding.get("rope_type", sliding.get("type", "default"))
    if kind != "default":
        raise LiuliError(
            f"the rotary scaling {quoted(kind)} in layers with sliding attention is not supported; supported: default"
        )
    theta = sliding.get("rope_theta") or raw.get("rope_local_base_freq") or fields.defaults["rope_local_base_freq"]
    flat = raw | {"rope_parameters": full | (raw.get("rope_scaling") or {}), "rope_scaling": None}
    found = _rotary(flat, fields.defaults["rope_theta"])
    return found | {"sliding_rope_theta": float(theta), "context": raw["max_position_embeddings"]}


def _yarn_attention(given: dict[str, Any], factor: float) -> float:
    """Returns the factor of cosine and sine: 0.1 ln(factor) + 1 if the file does not set it (YaRN, equation 22)."""

    def grown(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if given.get("attention_factor") is not None:
        return given["attention_factor"]
    if given.get("mscale") and given.get("mscale_all_dim"):
        return grown(given["mscale"]) / grown(given["mscale_all_dim"])
    return grown(1.0)


def _scaling_to(scaling: RotaryScaling) -> dict[str, Any]:
    raw: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "linear":
        return raw
    raw["original_max_position_embeddings"] = scaling.original
    if scaling.kind == "llama3":
        raw |= {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    else:
        raw |= {name: getattr(scaling, name) for name in ("beta_fast", "beta_slow", "truncate", "attention_factor")}
    return raw
