"""A model in a GGUF file: its `Config`, its decoder and its hash.

In: a file, or the first of several shards. Out: a `Decoder`. The tensors are dequantised one after the other, directly into the
requested dtype. So the peak memory is that of the decoder and of a few blocks of rows. Tensors that the file contains in the
requested dtype are the mapped file itself.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.gguf_file import GGUFFile, GGUFTensor, open_gguf
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_from
from liuli.model.formats.gguf_blocks import dequantize
from liuli.model.formats.gguf_names import FREQUENCIES, gguf_name, interleaved, is_permuted, stored_shift
from liuli.model.formats.gguf_settings import settings_of
from liuli.model.formats.hash_cache import cached_hash
from liuli.model.formats.hugging_face import filled
from liuli.model.formats.tensor_names import tensor_names
from liuli.model.formats.weight_files import check_finite, listed

BLOCK = 1 << 18  # numbers that are dequantised at once; they fit in the processor's cache
FROZEN = torch.bfloat16  # the dtype of a frozen base's quantised matrices
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_gguf_config(path: Path) -> Config:
    """Returns the `Config` in a file's metadata. Raises LiuliError: see `open_gguf`, `settings_of` and `config_from`."""
    return _config(open_gguf(path))


def _config(file: GGUFFile) -> Config:
    return config_from(settings_of(file), str(file.path))


def read_gguf_decoder(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32) -> Decoder:
    """Returns the decoder in a file.

    Args:
        dtype: the dtype of all parameters. None is for a base model that stays frozen (see
            `hugging_face.read_folder_decoder`): matrices in F32, F16 and BF16 are the mapped file itself, quantised matrices
            are bf16, and every other parameter is fp32.

    Raises:
        LiuliError: see `read_gguf_config`; a tensor is missing, unknown, of another shape, or has values that are NaN or
            infinite. The message names it.
    """
    file = open_gguf(path)
    config = _config(file)
    names = _checked_names(file, config)
    with torch.device("meta"):
        decoder = Decoder(config)
    parameters: dict[str, Tensor] = {}
    for canonical, place in tensor_names(config).items():
        stored = file.tensors[names[canonical]]
        parts = [decoder.get_parameter(part).shape for part in place.parts]
        expected = (sum(shape[0] for shape in parts), *parts[0][1:])
        if stored.shape != expected:
            shapes = f"shape {list(stored.shape)}, but the metadata implies {list(expected)}"
            raise LiuliError(f"{path}: the tensor {stored.name} has {shapes}: download the file again")
        heads = config.kv_heads if ".k_proj." in canonical else config.heads
        order = interleaved(heads, expected[0]).argsort() if is_permuted(canonical, config.family) else None
        tensor = _dequantised(stored, order, dtype)
        if shift := stored_shift(canonical, config.family):
            tensor = tensor - shift
        check_finite(tensor, stored.name, path)
        for part, piece in zip(place.parts, tensor.split([shape[0] for shape in parts]), strict=True):
            parameters[part] = piece.to(device)
    return filled(decoder, parameters, dtype)


def _checked_names(file: GGUFFile, config: Config) -> dict[str, str]:
    """Returns GGUF's name of every tensor of the decoder, by canonical name. The file contains all of them and no others."""
    names = {canonical: gguf_name(canonical, config.family) for canonical in tensor_names(config)}
    if missing := sorted({*names.values()} - file.tensors.keys()):
        raise LiuliError(f"{file.path}: the tensors {listed(missing)} are missing: download the file again")
    if extra := sorted(file.tensors.keys() - names.values() - {FREQUENCIES}):
        raise LiuliError(
            f"{file.path} contains tensors that a {config.family} model does not have: {listed(extra)}; use a model without "
            f"them, or download the file again"
        )
    return names


def _dequantised(stored: GGUFTensor, order: Tensor | None, dtype: torch.dtype | None) -> Tensor:
    """Returns the numbers of a tensor with its rows in the given order, in `dtype` (None: see `read_gguf_decoder`)."""
    plain = PLAIN.get(stored.type.name)
    if dtype is None:
        dtype = torch.float32 if len(stored.shape) == 1 else plain or FROZEN
    if plain is not None:
        held = torch.from_numpy(stored.rows).view(plain).view(stored.shape)
        found = (held if order is None else held[order]).to(dtype)
        if found.data_ptr() != held.data_ptr():
            stored.release()
        return found
    found = torch.empty(stored.shape, dtype=dtype)
    by_row, width = found.view(len(stored.rows), -1), stored.shape[-1]
    step = max(BLOCK // width, 1)

    # One thread is fastest: the calls of NumPy are so short that two threads would wait for each other most of the time.
    # NumPy's warnings about scales that are NaN are off, because `check_finite` reports them with the tensor's name.
    with np.errstate(all="ignore"):
        for start in range(0, len(by_row), step):
            chosen = slice(start, start + step) if order is None else order[start : start + step].numpy()
            by_row[start : start + step] = torch.from_numpy(dequantize(stored.rows[chosen], stored.type))
    stored.release()
    return found


def hash_gguf(path: Path) -> str:
    """Returns the SHA-256 over the tensors as stored: GGUF's name, type, shape and bytes, sorted by name. It is the same for
    one file or shards and does not depend on the metadata. A file that has not changed is not read again (`hash_cache.py`).

    Raises:
        LiuliError: see `open_gguf`.
    """
    file = open_gguf(path)

    def compute() -> str:
        digest = hashlib.sha256()
        for name, tensor in sorted(file.tensors.items()):
            digest.update(f"{name} {tensor.type.name} {list(tensor.shape)}\n".encode())
            digest.update(tensor.rows.data)
            tensor.release()
        return digest.hexdigest()

    return cached_hash(file.paths, compute)
