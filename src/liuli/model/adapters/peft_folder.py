"""An adapter is a folder in PEFT's format: read, written and hashed here.

In: a folder with `adapter_config.json` and `adapter_model.safetensors`. Out: A and B of `lora.py` and the rows of
`token_rows.py`, open in a decoder. Beside them `liuli.json` names the base by its hash. Nothing in a folder is ever executed.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from liuli.display import why
from liuli.errors import LiuliError
from liuli.files import read_json, write_json, write_whole
from liuli.model.adapters.lora import PROJECTIONS, LoRA, LoRASettings, attach, empty_modules
from liuli.model.adapters.slot import adapter_slots
from liuli.model.adapters.token_rows import TokenRows, are_tokens, empty_rows
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model
from liuli.model.formats.hugging_face import hash_tensors
from liuli.model.formats.tensor_names import module_names, table_names
from liuli.model.formats.weight_files import STORED_DTYPES, Lazy, check_finite, listed, quoted, read_safetensors, shown

CONFIG, TENSORS, CARD = "adapter_config.json", "adapter_model.safetensors", "liuli.json"
SUFFIXES = {"a": "lora_A.weight", "b": "lora_B.weight", "rows": "token_adapter.trainable_tokens_delta"}  # PEFT's, by ours
TOKENS = "trainable_token_indices"
READ = {"r": None, "lora_alpha": None, "lora_dropout": 0.0}  # what holds where it is silent
ONLY = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian")}  # others change the base too
WITHOUT_EFFECT = {  # on what an adapter computes once it is saved; where it is, the names of its tensors say
    "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip


def save(decoder: Decoder, folder: Path, base: str, base_hash: str) -> None:
    """Writes the adapter in use: A, B and rows in fp32, the settings, and the card.

    Args:
        base: the base's folder or its name on the hub, for other programs. base_hash: what `hash_model` says of it.

    Raises:
        LiuliError: the folder cannot be written.
    """
    modules = {path: slot.active for path, slot in adapter_slots(decoder).items() if slot.active is not None}
    assert modules, "no adapter is active"
    tensors = {
        key: getattr(module, name).detach().cpu().contiguous()
        for key, (module, name) in _by_key(decoder.config, modules).items()
    }
    settings = next(module.settings for module in modules.values() if isinstance(module, LoRA))
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "target_modules": _targets(decoder.config, modules),
        "fan_in_fan_out": decoder.config.family == "gpt2",
        "bias": "none",
        "inference_mode": True,
        **_token_indices(decoder.config, modules),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TENSORS, partial(save_file, tensors, metadata={"format": "pt"}))
        write_json(folder / CONFIG, config)
        write_json(folder / CARD, {"stage": "adapter", "parent": base_hash, "hash": hash_adapter(folder)})
    except (OSError, SafetensorError) as error:
        raise LiuliError(f"the adapter cannot be written to {folder}: {why(error)}") from error


def load(decoder: Decoder, folder: Path, name: str, base: Path) -> None:
    """Opens the adapter in a folder and makes it active. No parameter of the decoder requires a gradient from then on;
    `lora.learn` lets the adapter continue learning.

    Args:
        name: the adapter's name from now on. base: the folder that the decoder is from.

    Raises:
        LiuliError: no adapter, a broken file, a setting that is not supported, another base, a name that is taken.
    """
    settings, indices, stored = _read(folder)
    rows = empty_rows(decoder, _tokens(decoder.config, indices, folder))
    of_projections = stored.keys() - _by_key(decoder.config, rows).keys()
    settings = replace(settings, projections=_projections(decoder.config, of_projections, folder))
    with torch.device("meta"):  # no memory by the rank that the settings claim: A and B are made from the tensors below
        modules = empty_modules(decoder, settings) | rows
    own = _by_key(decoder.config, modules)
    missing = sorted(own.keys() - stored.keys())
    if missing:
        raise LiuliError(f"{folder} is not an adapter of {base}: it lacks {listed(missing)}")
    for key, (module, parameter) in own.items():
        tensor, expected = stored[key](), list(getattr(module, parameter).shape)
        if list(tensor.shape) != expected:
            shapes = f"shape {list(tensor.shape)}, but {CONFIG} and that model imply {expected}"
            raise LiuliError(f"{folder} is not an adapter of {base}: {key} has {shapes}")
        if tensor.dtype not in STORED_DTYPES:
            raise LiuliError(f"{folder}: the tensor {key} is {tensor.dtype}: quantised adapters are not supported")
        check_finite(tensor, key, folder)
        setattr(module, parameter, nn.Parameter(tensor.to(torch.float32, copy=True)))
    recorded = read_json(folder / CARD).get("parent")
    if recorded is not None and recorded != (found := hash_model(base)):
        hashes = f"it was made for the model with hash {shown(recorded)}, and that one has {found}"
        raise LiuliError(f"{folder} is not an adapter of {base}: {hashes}")
    attach(decoder, name, modules)


def hash_adapter(folder: Path) -> str:
    """SHA-256 over alpha, the tokens whose rows there are, and the tensors as stored: PEFT's name, dtype, shape (and so the
    rank) and bytes, by name."""
    settings, indices, stored = _read(folder)
    tokens = f"tokens {json.dumps(indices, sort_keys=True)}\n" if indices else ""
    return hash_tensors(stored, f"alpha {float(settings.alpha)}\n{tokens}")


def _read(folder: Path) -> tuple[LoRASettings, Any, dict[str, Lazy]]:
    """What an adapter's folder says, of which nothing is passed over: its settings but for the projections and tokens, the
    tokens as PEFT has them, and the tensors by PEFT's names."""
    if not folder.is_dir():
        raise LiuliError(f"there is no folder {folder}; give an adapter's folder")
    for name in (CONFIG, TENSORS):
        if not (folder / name).is_file():
            raise LiuliError(f"{folder} holds no {name}, so it is not an adapter's folder")
    raw = read_json(folder / CONFIG)
    for name, value in {"peft_type": None, **raw}.items():
        known = name in (*READ, TOKENS, *WITHOUT_EFFECT)
        harmless = value in ONLY[name] if name in ONLY else known or value in (None, False, {}, [])
        if not harmless:
            raise LiuliError(f"{folder / CONFIG}: {shown(name)} = {quoted(value)} is not supported")
    try:
        settings = LoRASettings(*(raw.get(name, silent) for name, silent in READ.items()))
    except (LiuliError, TypeError, ValueError, RecursionError) as error:
        raise LiuliError(f"{folder / CONFIG}: {shown(str(error))}") from error
    return settings, raw.get(TOKENS), dict(read_safetensors(folder / TENSORS))


def _tokens(config: Config, indices: Any, folder: Path) -> dict[str, list[int]]:
    """The tokens whose rows there are, by their tables in the decoder. PEFT's list is of the embedding's; a mapping goes by
    the ends of the modules' names. Where the head is tied, both have the same.

    Raises:
        LiuliError: another module, what are no tokens, or a tied head that would be no longer so.
    """
    names = table_names(config)
    by_module = (indices if isinstance(indices, dict) else {names["embedding"]: indices}) if indices else {}
    of = {module: [table for table, name in names.items() if f".{name}".endswith(f".{module}")] for module in by_module}
    found = {table: by_module[module] for module, tables in of.items() for table in tables}
    apart = config.tied and found.get("head", found.get("embedding")) != found.get("embedding")
    if apart or len(found) < len(by_module) or not all(ids and are_tokens(ids) for ids in found.values()):
        raise LiuliError(f"{folder / CONFIG}: {TOKENS} = {quoted(indices)} is not supported")
    return found


def _token_indices(config: Config, modules: Mapping[str, LoRA | TokenRows]) -> dict[str, Any]:
    """PEFT's setting for the rows among the modules: a list if only the embedding has rows of its own, else a mapping."""
    rows = {path: module.tokens_C.tolist() for path, module in modules.items() if isinstance(module, TokenRows)}
    if config.tied or rows.keys() == {"embedding"}:
        return {TOKENS: rows["embedding"]} if rows else {}
    names = table_names(config)
    return {TOKENS: {names[path].rpartition(".")[2]: ids for path, ids in rows.items()}} if rows else {}


def _projections(config: Config, stored: Set[str], folder: Path) -> tuple[str, ...]:
    """Those of which there is a tensor, by PEFT's names, in some block.

    Raises:
        LiuliError: a tensor is of none.
    """
    kinds = {
        f"base_model.model.{module}.{SUFFIXES[name]}": path.rpartition(".")[2]
        for path, module in module_names(config).items()
        for name in ("a", "b")
    }
    found = {kinds[key] for key in stored if key in kinds}
    can = [name for name in PROJECTIONS if name in kinds.values()]
    extra = sorted(key for key in stored if kinds.get(key) not in can)
    if extra or not found:
        where = f"a {config.family} decoder of {config.layers} blocks can have LoRA only at their {', '.join(can)}"
        raise LiuliError(f"{folder / TENSORS} {f'holds {listed(extra)}' if extra else 'is empty'}, and {where}")
    return tuple(name for name in can if name in found)


def _by_key(config: Config, modules: Mapping[str, LoRA | TokenRows]) -> dict[str, tuple[nn.Module, str]]:
    """Where each parameter of the adapter is, (module, the parameter's name in it), by PEFT's names; a tied head's rows are the
    embedding's."""
    peft_names = module_names(config) | table_names(config)
    return {
        f"base_model.model.{peft_names[path]}.{SUFFIXES[name]}": (module, name)
        for path, module in modules.items()
        if not (config.tied and path == "head")
        for name, _ in module.named_parameters()
    }


def _targets(config: Config, modules: Mapping[str, LoRA | TokenRows]) -> list[str]:
    """What PEFT finds the projections by: their own names, except in GPT-2, in which two are called c_proj: the path in the
    block."""
    paths = {theirs.split(".", 3)[3] for path, theirs in module_names(config).items() if path in modules}
    return sorted(paths if config.family == "gpt2" else {path.rpartition(".")[2] for path in paths})
