"""An adapter is a folder in PEFT's format: read, written and hashed here.

In: a folder with `adapter_config.json` and `adapter_model.safetensors`. Out: A and B of `lora.py`, open in a decoder. Beside
them `liuli.json` names the base by its hash. Nothing in a folder is ever executed.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from liuli.errors import LiuliError
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.families import module_names
from liuli.model.folder import DTYPES, Lazy, check_finite, hash_folder, hash_tensors, listed, read_safetensors, write_whole
from liuli.model.lora import PROJECTIONS, LoRA, Settings, adapted, empty_parts, put
from liuli.tokens.layouts import read_json

CONFIG, TENSORS, CARD = "adapter_config.json", "adapter_model.safetensors", "liuli.json"
READ = {"r": None, "lora_alpha": None, "lora_dropout": 0.0}  # what holds where it is silent
ONLY = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian")}  # others change the base too
WITHOUT_EFFECT = {  # on what an adapter computes once it is saved; where it is, the names of its tensors say
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "fan_in_fan_out", "inference_mode", "megatron_core",
    "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip


def save(decoder: Decoder, folder: Path, base: str, base_hash: str) -> None:
    """Writes the adapter in use: A and B in fp32, the settings, and the card.

    Args:
        base: the base's folder or its name on the hub, for other programs. base_hash: what `hash_folder` says of it.

    Raises:
        LiuliError: the folder cannot be written.
    """
    parts = {path: place.part for path, place in adapted(decoder).items() if place.part is not None}
    assert parts, "no adapter is in use"
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in _by_key(decoder.config, parts).items()}
    settings = next(iter(parts.values())).settings
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": _targets(decoder.config, parts),
        "fan_in_fan_out": decoder.config.family == "gpt2",
        "bias": "none",
        "inference_mode": True,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TENSORS, partial(save_file, tensors, metadata={"format": "pt"}))
        _write_json(folder / CONFIG, config)
        _write_json(folder / CARD, {"stage": "adapter", "parent": base_hash, "hash": hash_adapter(folder)})
    except (OSError, SafetensorError) as error:
        raise LiuliError(f"the adapter cannot be written to {folder}: {error}") from None


def load(decoder: Decoder, folder: Path, name: str, base: Path) -> None:
    """Opens the adapter in a folder and uses it. Nothing in the decoder wants a gradient from then on; `lora.learn` lets it
    go on learning.

    Args:
        name: that it gets. base: the folder that the decoder is from.

    Raises:
        LiuliError: no adapter, a broken file, a setting that is not supported, another base, a name that is taken.
    """
    settings, stored = _read(folder)
    parts = empty_parts(decoder, replace(settings, projections=_projections(decoder.config, stored, folder)))
    own = _by_key(decoder.config, parts)
    missing = sorted(own.keys() - stored.keys())
    if missing:
        raise LiuliError(f"{folder} is not an adapter of {base}: it lacks {listed(missing)}")
    for key, parameter in own.items():
        tensor = stored[key]()
        if tensor.shape != parameter.shape:
            shapes = f"shape {list(tensor.shape)}, but rank {settings.rank} and that model imply {list(parameter.shape)}"
            raise LiuliError(f"{folder} is not an adapter of {base}: {key} has {shapes}")
        if tensor.dtype not in DTYPES:
            raise LiuliError(f"{folder}: the tensor {key} is {tensor.dtype}: quantised adapters are not supported")
        check_finite(tensor, key, folder)
        parameter.data.copy_(tensor)
    recorded = read_json(folder / CARD).get("parent")
    if recorded is not None and recorded != (found := hash_folder(base)):
        hashes = f"it was made for the model with hash {recorded}, and that one has {found}"
        raise LiuliError(f"{folder} is not an adapter of {base}: {hashes}")
    put(decoder, name, parts)


def hash_adapter(folder: Path) -> str:
    """SHA-256 over alpha and the tensors as stored: PEFT's name, dtype, shape (and so the rank) and bytes, by name."""
    settings, stored = _read(folder)
    return hash_tensors(stored, f"alpha {float(settings.alpha)}\n")


def _read(folder: Path) -> tuple[Settings, dict[str, Lazy]]:
    """What an adapter's folder says, of which nothing is passed over, and its tensors by PEFT's names."""
    if not folder.is_dir():
        raise LiuliError(f"there is no folder {folder}; give an adapter's folder")
    for name in (CONFIG, TENSORS):
        if not (folder / name).is_file():
            raise LiuliError(f"{folder} holds no {name}, so it is not an adapter's folder")
    raw = read_json(folder / CONFIG)
    for name, value in {"peft_type": None, **raw}.items():
        harmless = value in ONLY[name] if name in ONLY else name in (*READ, *WITHOUT_EFFECT) or value in (None, False, {}, [])
        if not harmless:
            raise LiuliError(f"{folder / CONFIG}: {name} = {value!r} is not supported")
    try:
        settings = Settings(*(raw.get(name, silent) for name, silent in READ.items()))
    except LiuliError as error:
        raise LiuliError(f"{folder / CONFIG}: {error}") from None
    return settings, dict(read_safetensors(folder / TENSORS))


def _projections(config: Config, stored: dict[str, Lazy], folder: Path) -> tuple[str, ...]:
    """Those of which there is a tensor in some block.

    Raises:
        LiuliError: a tensor is of none.
    """
    kinds = {key: path.rpartition(".")[2] for path, module in module_names(config).items() for key in _keys(module)}
    found = {kinds[key] for key in stored if key in kinds}
    can = [name for name in PROJECTIONS if name in kinds.values()]
    extra = sorted(key for key in stored if kinds.get(key) not in can)
    if extra or not found:
        where = f"a {config.family} decoder of {config.layers} blocks can have LoRA only at their {', '.join(can)}"
        raise LiuliError(f"{folder / TENSORS} {f'holds {listed(extra)}' if extra else 'is empty'}, and {where}")
    return tuple(name for name in can if name in found)


def _by_key(config: Config, parts: dict[str, LoRA]) -> dict[str, nn.Parameter]:
    """A and B by PEFT's names."""
    modules = module_names(config)
    return {
        key: matrix for path, part in parts.items() for key, matrix in zip(_keys(modules[path]), (part.a, part.b), strict=True)
    }


def _keys(module: str) -> tuple[str, str]:
    return f"base_model.model.{module}.lora_A.weight", f"base_model.model.{module}.lora_B.weight"


def _targets(config: Config, parts: dict[str, LoRA]) -> list[str]:
    """What PEFT finds the projections by: their own names, but in GPT-2, where two are called c_proj, the path in the block."""
    paths = {module.split(".", 3)[3] for path, module in module_names(config).items() if path in parts}
    return sorted(paths if config.family == "gpt2" else {path.rpartition(".")[2] for path in paths})


def _write_json(path: Path, body: dict[str, Any]) -> None:
    text = json.dumps(body, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
