"""Reads, writes and hashes a model's folder in Hugging Face's format.

In: a folder with `config.json` and weights (`model.safetensors`, its shards, or `pytorch_model.bin`, which is loaded with
PyTorch's `weights_only`). Out: a `Decoder`. If dtype and device allow, its parameters are the memory-mapped file, without a
second copy. Nothing in a folder is ever executed. The shapes of the tensors are compared with `config.json` before memory of
the sizes that it claims is allocated.
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
    MISMATCH,
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
from liuli.units import counted

SHARD_BYTES = 4_000_000_000


def read_folder_decoder(folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32) -> Decoder:
    """Returns the decoder in a folder.

    Args:
        dtype: the dtype of all parameters. None: as stored, for a base model that stays frozen. Then 16-bit matrices stay the
            mapped file in 16 bits and do not require a gradient, and every other parameter is fp32. The decoder computes in
            fp32, with the same results as if all its parameters were fp32.

    To train an adapter, read the base with dtype None, add the adapter (`lora.add`, or `peft_folder.load` and `lora.learn`),
    exchange the projections for `MixedLinear` if matrix multiplications are in bf16, and call `own_learning_memory`.

    Raises:
        LiuliError: there are no weights; a file is broken or unsafe; a tensor is missing, unknown, of another shape, or has
            values that are NaN or infinite. The message names the file or the tensor.
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
    """Assigns the parameters to a decoder on the meta device and returns it. A tied head gets the embedding's matrix. If dtype
    is None, 16-bit matrices are frozen."""
    if decoder.config.tied:
        parameters["head.weight"] = parameters["embedding.weight"]
    decoder.load_state_dict(parameters, assign=True)
    if dtype is None:
        _freeze_16_bits(decoder)
    if decoder.config.tied:
        decoder.head.tie(decoder.embedding)
    return decoder.eval()


def stored_folder_config(folder: Path) -> Config:
    """Returns the `Config` of the decoder in the folder. It is that of `config.json`, with one exception: if the stored head
    differs from the embedding, the head is not tied, even if the file says that it is. Raises the errors of
    `read_folder_decoder`."""
    return _expected_tensors(folder)[0]


def _empty_decoder(folder: Path) -> tuple[Decoder, dict[str, Tensor]]:
    """Returns a decoder on the meta device, and the folder's mapped tensors by Hugging Face's names. The shapes of the tensors
    have been checked."""
    config, stored = _expected_tensors(folder)  # before the decoder is created, because it limits the number of layers
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
            raise LiuliError(f"{folder}: the tensor {name} has {shapes}: {MISMATCH}")
        if tensor.dtype not in STORED_DTYPES:
            raise LiuliError(
                f"{folder}: the tensor {name} is {tensor.dtype}: quantised weights are not supported in this format; use the "
                f"unquantised model, or a GGUF file"
            )
        found[name] = tensor
    return decoder, found


def _expected_tensors(folder: Path) -> tuple[Config, dict[str, Lazy]]:
    """Returns the folder's `Config` (see `stored_folder_config`), and for each tensor, by canonical name, a function that maps
    it. The result has all expected tensors and no others."""
    config = read_folder_config(folder)
    stored: dict[str, Lazy] = {}
    for name, tensor in stored_tensors(folder).items():
        if canonical_name(name, config) in stored:
            raise LiuliError(
                f"{folder}: the weights contain {listed([name])} twice, with and without its prefix: save the model again"
            )
        stored[canonical_name(name, config)] = tensor
    if unmerged := [name for name in stored if ".lora_" in name or ".base_layer." in name]:
        raise LiuliError(
            f"{folder}: the weights contain an adapter that is not merged into them ({listed(unmerged)}): merge it with PEFT "
            f"(merge_and_unload), or save the model and the adapter in separate folders"
        )
    if config.layers > len(stored):
        raise LiuliError(
            f"{folder}: config.json implies {counted(config.layers, 'layer')}, but the files hold "
            f"{counted(len(stored), 'tensor')}: {MISMATCH}"
        )
    config = _tied_as_stored(folder, config, stored)
    expected = tensor_names(config)
    missing = sorted(expected.keys() - stored.keys())
    if missing:
        raise LiuliError(f"{folder}: the tensors {listed(missing)} are missing from the weights: {MISMATCH}")
    extra = sorted(name for name in stored.keys() - expected.keys() if not is_known_extra(name))
    if config.tied and HEAD in extra:
        extra.remove(HEAD)
    if extra:
        raise LiuliError(
            f"{folder}: the weights contain tensors that a {config.family} model does not have: {listed(extra)}; use a model "
            f"without them, or download the model again"
        )
    return config, stored


def _tied_as_stored(folder: Path, config: Config, stored: dict[str, Lazy]) -> Config:
    """Decides whether the head is tied if `config.json` says so but the weights contain a head. As in `transformers`, it is not
    tied if its numbers differ from the embedding's; if no embedding is stored, the head is also the embedding."""
    if not config.tied or HEAD not in stored:
        return config
    table = next(name for name, place in tensor_names(config).items() if place.parts == ("embedding.weight",))
    if are_equal(stored.setdefault(table, stored[HEAD]), stored[HEAD]):
        return config
    remark(
        f"{folder}: config.json says that head and embedding are tied, but {HEAD} differs from {table}: they are used as two "
        f"separate matrices"
    )
    return replace(config, tied=False)


def _as_stored(tensor: Tensor) -> torch.dtype:
    """Returns the tensor's own dtype if it is a 16-bit matrix, else fp32."""
    return tensor.dtype if tensor.ndim == 2 and tensor.itemsize == 2 else torch.float32


def _freeze_16_bits(decoder: Decoder) -> None:
    """Makes the layers with 16-bit matrices compute in fp32, and freezes these matrices."""

    def linear_layer(_: str, linear: Linear) -> Linear:
        return MixedLinear(linear, torch.float32) if linear.dtype.itemsize == 2 else linear

    def table(_: str, embedding: Embedding) -> Embedding:
        return MixedEmbedding(embedding) if embedding.dtype.itemsize == 2 else embedding

    exchange(decoder, linear_layer)
    exchange(decoder, table, Embedding)
    for parameter in decoder.parameters():
        parameter.requires_grad_(parameter.itemsize > 2)


def own_learning_memory(decoder: nn.Module) -> None:
    """Copies the parameters that require a gradient into memory. After reading, parameters are the mapped file, which a
    training step must not write to. Frozen parameters stay mapped."""
    for parameter in decoder.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.clone()


def write_decoder(decoder: Decoder, folder: Path, dtype: torch.dtype = torch.float32, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes `config.json` and the weights, sharded with an index if they are larger than `shard_bytes`.

    Each file is written under a temporary name and then renamed, so that a file with its final name is complete. If the folder
    contains a model, it is replaced: all other weight files (`WEIGHT_FILE`) are removed, because they could be read instead of
    the new ones. Other files are not changed.

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
        LiuliError: see `read_folder_decoder`; but values that are NaN or infinite are not an error here.
    """

    def compute() -> str:
        tensors = _empty_decoder(folder)[1]
        return hash_tensors({name: lambda tensor=tensor: tensor for name, tensor in tensors.items()})

    return cached_hash([folder / "config.json", *weight_files(folder)], compute)


def hash_tensors(tensors: dict[str, Lazy], first: str = "") -> str:
    """Returns the SHA-256 over `first`, then the name, dtype, shape and bytes of each tensor, sorted by name."""
    digest = hashlib.sha256(first.encode())
    for name in sorted(tensors):
        tensor = tensors[name]()
        digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
