"""Reads, writes and hashes a model's folder in Hugging Face's format.

In: a folder with `config.json` and weights (`model.safetensors`, its shards, or `pytorch_model.bin`, weights only).
Out: a `Decoder`. If dtype and device allow, its parameters are the memory-mapped file, without a second copy.
Nothing in a folder is ever executed. The tensors are compared with `config.json` before memory of the sizes that it claims is
allocated.
"""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from liuli.display import why
from liuli.errors import LiuliError
from liuli.files import write_json, write_whole
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_to, read_folder_config
from liuli.model.formats.hash_cache import cached_hash
from liuli.model.formats.tensor_names import HEAD, canonical_name, is_known_extra, tensor_names
from liuli.model.formats.weight_files import (
    STORED_DTYPES,
    WEIGHT_FILE,
    Lazy,
    are_equal,
    check_finite,
    listed,
    stored_tensors,
    weight_files,
)
from liuli.model.linear import Embedding, Linear, MixedEmbedding, MixedLinear, exchange
from liuli.remarks import remark

SHARD_BYTES = 4_000_000_000


def read_folder_decoder(folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32) -> Decoder:
    """Returns the decoder in a folder.

    Args:
        dtype: of all parameters. None: as stored, for a base that stays frozen. Matrices in 16 bits then stay the mapped file
            in 16 bits, and do not require a gradient; every other parameter is fp32. The decoder computes in fp32, with the
            same results as if all its parameters were fp32.

    A run that trains an adapter reads its base with dtype None, adds the adapter (`lora.add`, or `peft_folder.load` and
    `lora.learn`), exchanges the projections for `MixedLinear` if it multiplies in bf16, and calls `own_learning_memory`.

    Raises:
        LiuliError: there are no weights; a file is broken or unsafe; a tensor is missing, unknown, not finite or of another
            shape. The message names it.
    """
    decoder, stored = _empty_decoder(folder)
    config = decoder.config
    parameters: dict[str, Tensor] = {}
    for name, place in tensor_names(config).items():
        tensor = stored[name]
        check_finite(tensor, name, folder)
        whole = tensor.t() if place.transposed else tensor
        rows = [len(decoder.get_parameter(part)) for part in place.parts]
        for part, piece in zip(place.parts, whole.split(rows), strict=True):
            parameters[part] = piece.to(device, _as_stored(piece) if dtype is None else dtype)
    return filled(decoder, parameters, dtype)


def filled(decoder: Decoder, parameters: dict[str, Tensor], dtype: torch.dtype | None) -> Decoder:
    """Fills a decoder without memory with its parameters and returns it. A tied head gets the embedding's. If dtype is None,
    matrices in 16 bits are frozen."""
    if decoder.config.tied:
        parameters["head.weight"] = parameters["embedding.weight"]
    decoder.load_state_dict(parameters, assign=True)
    if dtype is None:
        _freeze_16_bits(decoder)
    if decoder.config.tied:
        decoder.head.tie(decoder.embedding)
    return decoder.eval()


def stored_folder_config(folder: Path) -> Config:
    """Returns the `Config` of the decoder in the folder. It is that of `config.json`, with one exception: a head whose stored
    numbers differ from the embedding's is not tied, whatever the file says. Raises as `read_folder_decoder`."""
    return _expected_tensors(folder)[0]


def _empty_decoder(folder: Path) -> tuple[Decoder, dict[str, Tensor]]:
    """Returns a decoder without memory, and the folder's mapped tensors by Hugging Face's names. Each tensor has the shape that
    the decoder needs."""
    config, stored = _expected_tensors(folder)  # before the decoder is made, since it bounds the number of layers
    with torch.device("meta"):
        decoder = Decoder(config)
    found: dict[str, Tensor] = {}
    for name, place in tensor_names(config).items():
        tensor = stored[name]()
        parts = [decoder.get_parameter(part).shape for part in place.parts]
        expected = [sum(shape[0] for shape in parts), *parts[0][1:]]
        if place.transposed:
            expected.reverse()
        if list(tensor.shape) != expected:
            shapes = f"shape {list(tensor.shape)}, but config.json implies {expected}"
            raise LiuliError(f"{folder}: the tensor {name} has {shapes}")
        if tensor.dtype not in STORED_DTYPES:
            raise LiuliError(f"{folder}: the tensor {name} is {tensor.dtype}: quantised weights are not supported")
        found[name] = tensor
    return decoder, found


def _expected_tensors(folder: Path) -> tuple[Config, dict[str, Lazy]]:
    """Returns the folder's `Config` (see `stored_folder_config`) and its tensors by canonical name. A tensor is mapped when it
    is called. All expected tensors are there, and no others."""
    config = read_folder_config(folder)
    stored: dict[str, Lazy] = {}
    for name, tensor in stored_tensors(folder).items():
        if canonical_name(name, config) in stored:
            raise LiuliError(f"{folder}: the weights hold {listed([name])} twice, with and without its prefix")
        stored[canonical_name(name, config)] = tensor
    if unmerged := [name for name in stored if ".lora_" in name or ".base_layer." in name]:
        raise LiuliError(
            f"{folder}: the weights hold an adapter that is not merged into them ({listed(unmerged)}): merge it with PEFT "
            f"(merge_and_unload), or save the model and the adapter in separate folders"
        )
    if config.layers > len(stored):
        raise LiuliError(f"{folder}: config.json implies {config.layers} layers, but there are only {len(stored)} tensors")
    config = _tied_as_stored(folder, config, stored)
    expected = tensor_names(config)
    missing = sorted(expected.keys() - stored.keys())
    if missing:
        raise LiuliError(f"{folder}: the weights lack {listed(missing)}")
    extra = sorted(name for name in stored.keys() - expected.keys() if not is_known_extra(name))
    if config.tied and HEAD in extra:
        extra.remove(HEAD)
    if extra:
        raise LiuliError(f"{folder}: the weights hold what a {config.family} decoder has no place for: {listed(extra)}")
    return config, stored


def _tied_as_stored(folder: Path, config: Config, stored: dict[str, Lazy]) -> Config:
    """Decides, as `transformers` does, what a stored head means if `config.json` ties it. If its numbers differ from the
    embedding's, it is not tied. If the embedding is not stored, the stored head is the embedding."""
    if not config.tied or HEAD not in stored:
        return config
    table = next(name for name, place in tensor_names(config).items() if place.parts == ("embedding.weight",))
    if are_equal(stored.setdefault(table, stored[HEAD]), stored[HEAD]):
        return config
    remark(f"{folder}: config.json says that the head is tied, but {HEAD} differs from {table}: both are used as stored")
    return replace(config, tied=False)


def _as_stored(tensor: Tensor) -> torch.dtype:
    """The dtype of a matrix in 16 bits, else fp32."""
    return tensor.dtype if tensor.ndim == 2 and tensor.itemsize == 2 else torch.float32


def _freeze_16_bits(decoder: Decoder) -> None:
    """Makes the layers whose matrices are in 16 bits compute in fp32, and freezes these matrices."""

    def linear_layer(_: str, linear: Linear) -> Linear:
        return MixedLinear(linear, torch.float32) if linear.dtype.itemsize == 2 else linear

    def table(_: str, embedding: Embedding) -> Embedding:
        return MixedEmbedding(embedding) if embedding.dtype.itemsize == 2 else embedding

    exchange(decoder, linear_layer)
    exchange(decoder, table, Embedding)
    for parameter in decoder.parameters():
        parameter.requires_grad_(parameter.itemsize > 2)


def own_learning_memory(decoder: nn.Module) -> None:
    """Moves the parameters that require a gradient into memory of their own. Those of a decoder that was read are the mapped
    file, which a training step must not write to. Frozen ones stay mapped."""
    for parameter in decoder.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.clone()


def write_decoder(decoder: Decoder, folder: Path, dtype: torch.dtype = torch.float32, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes `config.json` and the weights, sharded with an index if they are larger than `shard_bytes`.

    Each file is written under a temporary name and then renamed, so that a file with its final name is complete. A model that
    the folder holds already is replaced: all other files with a name of weights (`WEIGHT_FILE`) are removed, because they could
    be read instead of these. Every other file stays.

    Raises:
        LiuliError: the folder cannot be written.
    """
    tensors = _tensors_to_write(decoder, dtype)
    parts, shards, texts = _shards(tensors, shard_bytes), {"model.safetensors": tensors}, {}
    if len(parts) > 1:
        shards = {f"model-{i:05}-of-{len(parts):05}.safetensors": part for i, part in enumerate(parts, 1)}
        texts["model.safetensors.index.json"] = {
            "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
            "weight_map": {tensor: name for name, shard in shards.items() for tensor in shard},
        }
    texts["config.json"] = config_to(decoder.config) | {"torch_dtype": str(dtype).removeprefix("torch.")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, shard in shards.items():
            write_whole(folder / name, partial(save_file, shard, metadata={"format": "pt"}))
        for name, content in texts.items():
            write_json(folder / name, content)
        for path in folder.iterdir():
            if WEIGHT_FILE.fullmatch(path.name) and path.name not in shards and path.name not in texts:
                path.unlink()
    except (OSError, SafetensorError) as error:
        raise LiuliError(f"the model cannot be written to {folder}: {why(error)}") from error


def _tensors_to_write(decoder: Decoder, dtype: torch.dtype) -> dict[str, Tensor]:
    """The decoder's weights by Hugging Face's names, on the CPU."""
    parameters = dict(decoder.named_parameters(remove_duplicate=False))
    tensors: dict[str, Tensor] = {}
    for name, place in tensor_names(decoder.config).items():
        parts = [parameters[part].detach().to("cpu", dtype) for part in place.parts]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        tensors[name] = (whole.t() if place.transposed else whole).contiguous()
    return tensors


def _shards(tensors: dict[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        held = sum(other.nbytes for other in shards[-1].values())
        if held and held + tensor.nbytes > shard_bytes:
            shards.append({})
        shards[-1][name] = tensor
    return shards


def hash_folder(folder: Path) -> str:
    """Returns the SHA-256 over the stored tensors: Hugging Face's name, dtype, shape and bytes, sorted by name, without tied
    copies. It is the same for one file, shards or `pytorch_model.bin`. A folder that has not changed is not read again
    (`hash_cache.py`).

    Raises:
        LiuliError: as `read_folder_decoder`, except that numbers may be infinite.
    """

    def compute() -> str:
        tensors = _empty_decoder(folder)[1]
        return hash_tensors({name: lambda tensor=tensor: tensor for name, tensor in tensors.items()})

    return cached_hash([folder / "config.json", *weight_files(folder)], compute)


def hash_tensors(tensors: dict[str, Lazy], first: str = "") -> str:
    """SHA-256 over `first`, then name, dtype, shape and bytes of each tensor, by name."""
    digest = hashlib.sha256(first.encode())
    for name in sorted(tensors):
        tensor = tensors[name]()
        digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
