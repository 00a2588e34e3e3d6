"""Reads, writes and hashes an adapter's folder in PEFT's format.

In: a folder with `adapter_config.json` (`peft_config.py`) and `adapter_model.safetensors` or `adapter_model.bin`. Out: the
matrices A and B (`lora.py`), token rows (`token_rows.py`) and tables (whole embeddings or heads, `own_table.py`), opened in a
decoder. `liuli.json` in the folder records the hash of the base model. Nothing in a folder is ever executed.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from liuli.display import why
from liuli.errors import LiuliError
from liuli.files import read_json, write_json, write_whole
from liuli.model.adapters.lora import PROJECTIONS, AdapterModule, LoRA, attach, empty_at, kind_of, projections_of
from liuli.model.adapters.own_table import OwnTable
from liuli.model.adapters.peft_config import CONFIG, TOKENS, PeftConfig, ends_in, patterns_to, read_peft_config
from liuli.model.adapters.slot import adapter_slots
from liuli.model.adapters.token_rows import TokenRows, are_tokens, empty_rows
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import hash_model
from liuli.model.formats.hugging_face import hash_tensors
from liuli.model.formats.tensor_names import block_modules, table_names
from liuli.model.formats.weight_files import (
    STORED_DTYPES,
    Lazy,
    check_finite,
    listed,
    quoted,
    read_tensors,
    shown,
    without_wrappers,
)

TENSORS, OLD_TENSORS, CARD = "adapter_model.safetensors", "adapter_model.bin", "liuli.json"
OTHER_BASE = "give the model that the adapter was trained on, or download the adapter again"
SUFFIXES = {  # the ends of PEFT's tensor names, by the names of Liuli's parameters
    "a": "lora_A.weight", "b": "lora_B.weight", "rows": "token_adapter.trainable_tokens_delta", "table": "weight",
}  # fmt: skip
# Tensor names may contain the adapter's name (`.default.`), as in a file of a whole model. These replacements remove it.
OWN_NAMES = (
    (re.compile(r"\.(lora_[AB])\.[^.]+\.weight$"), r".\1.weight"),
    (re.compile(r"\.modules_to_save\.[^.]+\.weight$"), ".weight"),
    (re.compile(r"\.(trainable_tokens_delta)\.[^.]+$"), r".\1"),
)
PREFIX = "base_model.model."


def save(decoder: Decoder, folder: Path, base: str, base_hash: str) -> None:
    """Writes the active adapter: its tensors in fp32, its settings, and `liuli.json`.

    Args:
        base: the base model's folder or its name on the Hugging Face Hub, for other programs.
        base_hash: the base model's `hash_model`.

    Raises:
        LiuliError: the folder cannot be written.
    """
    modules = {path: slot.active for path, slot in adapter_slots(decoder).items() if slot.active is not None}
    assert modules, "no adapter is active"
    tensors = {key: _joined(key, places) for key, places in _places(decoder.config, modules).items()}
    names = {theirs: paths for theirs, paths in block_modules(decoder.config).items() if paths[0] in modules}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        **patterns_to({theirs: modules[paths[0]].settings for theirs, paths in names.items()}),
        "target_modules": _targets(decoder, list(names)),
        "fan_in_fan_out": decoder.config.family == "gpt2",
        "bias": "none",
        "inference_mode": True,
        **_token_indices(decoder.config, modules),
        **_saved_modules(decoder.config, modules),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / TENSORS, partial(save_file, tensors, metadata={"format": "pt"}))
        write_json(folder / CONFIG, config)
        write_json(folder / CARD, {"stage": "adapter", "parent": base_hash, "hash": hash_adapter(folder)})
    except (OSError, SafetensorError) as error:
        raise LiuliError(f"the adapter cannot be written to {folder}: {why(error)}") from error


def load(decoder: Decoder, folder: Path, name: str, base: Path) -> None:
    """Opens the adapter in a folder and makes it active. All parameters of the decoder are frozen; call `lora.learn` to
    continue training the adapter.

    Args:
        name: the name of the opened adapter.
        base: the folder that the decoder was read from.

    Raises:
        LiuliError: there is no adapter, a file is broken, a setting is not supported, the adapter was made for another base, or
            the name is taken.
    """
    config, file, stored = _read(folder)
    modules: dict[str, AdapterModule] = {**empty_rows(decoder, _tokens(decoder.config, config.tokens, folder))}
    with torch.device("meta"):  # needs no memory, even for a huge rank in the settings; A and B get their tensors below
        modules |= _own_tables(decoder, config, folder)
        of_tables = _places(decoder.config, modules).keys()
        modules |= _projections(decoder, config, [key for key in stored if key not in of_tables], file)
    places = _places(decoder.config, modules)
    missing = sorted(places.keys() - stored.keys())
    if missing:
        raise LiuliError(f"{folder} is not an adapter of {base}: the tensors {listed(missing)} are missing; {OTHER_BASE}")
    for key, parameters in places.items():
        tensor, expected = stored[key](), _shape(key, parameters)
        if list(tensor.shape) != expected:
            shapes = f"shape {list(tensor.shape)}, but {CONFIG} and that model imply {expected}"
            raise LiuliError(f"{folder} is not an adapter of {base}: {key} has {shapes}; {OTHER_BASE}")
        if tensor.dtype not in STORED_DTYPES:
            raise LiuliError(
                f"{folder}: the tensor {key} is {tensor.dtype}: quantised adapters are not supported; use the unquantised "
                f"adapter"
            )
        check_finite(tensor, key, folder)
        _fill(key, parameters, tensor)
    recorded = read_json(folder / CARD).get("parent")
    if recorded is not None and recorded != (found := hash_model(base)):
        hashes = f"{CARD} says that it was trained on the model with the hash {shown(recorded)}, but this model has {found}"
        raise LiuliError(f"{folder} is not an adapter of {base}: {hashes}; {OTHER_BASE}")
    attach(decoder, name, modules)


def hash_adapter(folder: Path) -> str:
    """Returns the SHA-256 over the settings that change the numbers (`PeftConfig.identity`) and the stored tensors: PEFT's
    name, dtype, shape (which shows the rank) and bytes, sorted by name."""
    config, _, stored = _read(folder)
    return hash_tensors(stored, config.identity())


def _read(folder: Path) -> tuple[PeftConfig, Path, dict[str, Lazy]]:
    """Returns an adapter's settings, the file of its tensors, and all tensors of that file by PEFT's names."""
    if not folder.is_dir():
        raise LiuliError(f"there is no folder {folder}: give an adapter's folder")
    file = next((folder / name for name in (TENSORS, OLD_TENSORS) if (folder / name).is_file()), None)
    if not (folder / CONFIG).is_file():
        if file is None:
            raise LiuliError(f"{folder} contains no {CONFIG}, so it is not an adapter's folder: give a LoRA adapter's folder")
        raise LiuliError(f"{folder} contains {file.name} but no {CONFIG}: download that file too")
    config = read_peft_config(folder)
    if file is None:
        raise LiuliError(f"{folder} contains {CONFIG} but neither {TENSORS} nor {OLD_TENSORS}: download the adapter again")
    stored: dict[str, Lazy] = {}
    for name, tensor in read_tensors(file):
        key = _canonical(name)
        if key in stored:
            raise LiuliError(f"{file} contains {shown(key)} twice: save each adapter in its own file")
        stored[key] = tensor
    return config, file, stored


def _canonical(name: str) -> str:
    """Returns a tensor's name as PEFT writes it when it saves only an adapter."""
    inner = without_wrappers(name)
    for pattern, instead in OWN_NAMES:
        inner = pattern.sub(instead, inner)
    return PREFIX + inner


def _key(module: str, parameter: str) -> str:
    return f"{PREFIX}{module}.{SUFFIXES[parameter]}"


def _projections(decoder: Decoder, config: PeftConfig, keys: list[str], file: Path) -> dict[str, LoRA]:
    """Returns A and B, without values, for each projection that has a stored tensor or that the settings name.

    Raises:
        LiuliError: a tensor belongs to no projection, or to one that the settings do not name; a rank or an alpha is out of
            range.
    """
    can = projections_of(decoder)
    modules = {name: paths for name, paths in block_modules(decoder.config).items() if kind_of(paths[0]) in PROJECTIONS}
    module_of = {_key(name, parameter): name for name in modules for parameter in ("a", "b")}
    extra = sorted(key for key in keys if key not in module_of)
    tables = {_key(name, "table") for name in table_names(decoder.config).values()}
    if whole := sorted(tables.intersection(extra)):
        raise LiuliError(
            f"{file} contains a whole embedding or head ({listed(whole)}) that {CONFIG} does not name in modules_to_save, so "
            f"the adapter was made for a base model with a larger vocabulary: merge adapter and base with PEFT "
            f"(merge_and_unload), and use the result"
        )
    if extra or not keys:
        problem = f"contains unknown tensors ({listed(extra)})" if extra else "is empty"
        raise LiuliError(
            f"{file} {problem}: a {decoder.config.family} model of {decoder.config.layers} blocks can have LoRA only at "
            f"{', '.join(can)} of its blocks; {OTHER_BASE}"
        )
    unnamed = sorted(key for key in keys if config.adapts(module_of[key]) is False)
    if unnamed:
        raise LiuliError(
            f"{file} contains {listed(unnamed)}, which {CONFIG} does not name: the two files do not belong to the same "
            f"adapter; download the adapter again"
        )
    stored = {module_of[key] for key in keys}
    found: dict[str, LoRA] = {}
    for name, paths in modules.items():
        if name in stored or config.adapts(name):
            try:
                found |= empty_at(decoder, paths, config.settings_of(name))
            except LiuliError as error:
                raise LiuliError(f"{file.parent / CONFIG}: {error}") from None
    return found


def _own_tables(decoder: Decoder, config: PeftConfig, folder: Path) -> dict[str, AdapterModule]:
    """Returns `OwnTable` modules, without values, for the embedding and the head if the settings name them.

    Raises:
        LiuliError: the settings name another module.
    """
    names = table_names(decoder.config)
    for module in config.saved:
        if not any(ends_in(name, module) for name in names.values()):
            raise LiuliError(
                f"{folder / CONFIG}: modules_to_save = {quoted(list(config.saved))} is not supported: an adapter can contain "
                f"a whole embedding or head, but not {shown(module)}; use an adapter without it"
            )
    found = {table for table, name in names.items() if any(ends_in(name, module) for module in config.saved)}
    if found and config.saved_together and decoder.config.tied:
        found = set(names)
    return {table: OwnTable(decoder.config.vocab_size, decoder.config.width) for table in names if table in found}


def _tokens(config: Config, indices: Any, folder: Path) -> dict[str, list[int]]:
    """Returns the tokens whose rows the adapter contains, for "embedding" and "head".

    PEFT writes either a list, which is for the embedding, or a mapping from the ends of module names to lists. A tied head
    shares the embedding's rows.

    Raises:
        LiuliError: another module is named, a list has other values than token ids, or the rows of a tied head would differ
            from the embedding's.
    """
    names = table_names(config)
    by_module = (indices if isinstance(indices, dict) else {names["embedding"]: indices}) if indices else {}
    of = {module: [table for table, name in names.items() if f".{name}".endswith(f".{module}")] for module in by_module}
    found = {table: by_module[module] for module, tables in of.items() for table in tables}
    apart = config.tied and found.get("head", found.get("embedding")) != found.get("embedding")
    if apart or len(found) < len(by_module) or not all(ids and are_tokens(ids) for ids in found.values()):
        raise LiuliError(
            f"{folder / CONFIG}: {TOKENS} = {quoted(indices)} is not supported: {TOKENS} must be a list of different token "
            f"ids, or have one such list for the embedding and one for an untied head"
        )
    return found


def _token_indices(config: Config, modules: Mapping[str, AdapterModule]) -> dict[str, Any]:
    """Returns PEFT's setting for the token rows among the modules: a list if only the embedding has such rows, else a
    mapping."""
    rows = {path: module.tokens_C.tolist() for path, module in modules.items() if isinstance(module, TokenRows)}
    if config.tied or rows.keys() == {"embedding"}:
        return {TOKENS: rows["embedding"]} if rows else {}
    names = table_names(config)
    return {TOKENS: {names[path].rpartition(".")[2]: ids for path, ids in rows.items()}} if rows else {}


def _saved_modules(config: Config, modules: Mapping[str, AdapterModule]) -> dict[str, Any]:
    """Returns PEFT's setting for the `OwnTable` modules."""
    names = table_names(config)
    saved = [names[path].rpartition(".")[2] for path, module in modules.items() if isinstance(module, OwnTable)]
    return {"modules_to_save": saved} if saved else {}


def _places(config: Config, modules: Mapping[str, AdapterModule]) -> dict[str, list[tuple[nn.Module, str]]]:
    """Returns the parameters that each tensor of the adapter fills, as (module, parameter name), by PEFT's tensor names.

    If several projections are stored as one matrix (GPT-2's c_attn), each of them has a part of the stored B, in order, and all
    of them share the stored A. A tied head shares the embedding's rows.
    """
    found: dict[str, list[tuple[nn.Module, str]]] = {}
    for theirs, paths in block_modules(config).items():
        if paths[0] in modules:
            found |= {_key(theirs, name): [(modules[path], name) for path in paths] for name in ("a", "b")}
    for path, theirs in table_names(config).items():
        module = modules.get(path)
        if isinstance(module, OwnTable):
            found[_key(theirs, "table")] = [(module, "table")]
        elif module is not None and not (config.tied and path == "head"):
            found[_key(theirs, "rows")] = [(module, "rows")]
    return found


def _shape(key: str, places: list[tuple[nn.Module, str]]) -> list[int]:
    """Returns the shape of the tensor that the parameters form together."""
    shapes = [list(getattr(module, name).shape) for module, name in places]
    return shapes[0] if key.endswith(SUFFIXES["a"]) else [sum(shape[0] for shape in shapes), *shapes[0][1:]]


def _joined(key: str, places: list[tuple[nn.Module, str]]) -> Tensor:
    """Returns the tensor that the parameters form together, as a copy on the CPU."""
    parts = [getattr(module, name).detach().cpu() for module, name in places]
    return (parts[0] if key.endswith(SUFFIXES["a"]) else torch.cat(parts)).clone().contiguous()


def _fill(key: str, places: list[tuple[nn.Module, str]], tensor: Tensor) -> None:
    """Creates the parameters from the tensor, in fp32."""
    if key.endswith(SUFFIXES["a"]):
        shared = nn.Parameter(tensor.to(torch.float32, copy=True))
        pieces = [shared for _ in places]
    else:
        rows = [len(getattr(module, name)) for module, name in places]
        pieces = [nn.Parameter(piece.to(torch.float32, copy=True)) for piece in tensor.split(rows)]
    for (module, name), piece in zip(places, pieces, strict=True):
        setattr(module, name, piece)


def _targets(decoder: Decoder, adapted: list[str]) -> list[str]:
    """Returns PEFT's `target_modules` for the adapted modules. These are the names of the projections, or, for GPT-2, in which
    two projections are called c_proj, their paths within a block. If a projection is adapted in some blocks only, they are the
    full names."""
    short = {name: name.split(".", 3)[3] if decoder.config.family == "gpt2" else kind_of(name) for name in adapted}
    meant = [name for name in block_modules(decoder.config) if any(ends_in(name, each) for each in {*short.values()})]
    return sorted({*short.values()} if meant == adapted else adapted)
