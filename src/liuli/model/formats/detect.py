"""Reads the config, the decoder and the hash of a model, which may be a folder in Hugging Face's format or a GGUF file.

The path is the result of `hub.find_model`. Other packages read models through this file; `hugging_face.py` and `gguf.py` read
one format each.
"""

from pathlib import Path

import torch

from liuli.gguf_file import open_gguf
from liuli.hub import is_gguf
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats import families, gguf, hugging_face
from liuli.model.formats.weight_files import stored_tensors


def read_config(path: Path) -> Config:
    """Returns the `Config` in the model's `config.json` or GGUF metadata.

    Raises:
        LiuliError: see `families.read_folder_config` and `gguf.read_gguf_config`.
    """
    return gguf.read_gguf_config(path) if is_gguf(path) else families.read_folder_config(path)


def stored_config(path: Path) -> Config:
    """Returns the `Config` of the decoder that `read_decoder` returns. It differs from `read_config` only if `config.json` says
    that the head is tied, but the weights contain a head that differs from the embedding. This cannot happen in a GGUF file, in
    which only the weights decide whether the head is tied.

    Raises:
        LiuliError: see `hugging_face.stored_folder_config` and `gguf.read_gguf_config`.
    """
    return gguf.read_gguf_config(path) if is_gguf(path) else hugging_face.stored_folder_config(path)


def read_decoder(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32) -> Decoder:
    """Returns the model's decoder.

    Args:
        dtype: the dtype of the parameters; None: as stored, for a base model that stays frozen.

    Raises:
        LiuliError: see `hugging_face.read_folder_decoder` and `gguf.read_gguf_decoder`.
    """
    read = gguf.read_gguf_decoder if is_gguf(path) else hugging_face.read_folder_decoder
    return read(path, device, dtype)


def frozen_itemsize(path: Path) -> int:
    """Returns the bytes per number of the matrices that `read_decoder` returns if its dtype is None: 2, or 4 for a model stored
    in fp32. Only one matrix is checked, because in most models all have the same dtype. Raises the errors of
    `read_decoder`."""
    if is_gguf(path):
        types = (tensor.type.name for tensor in open_gguf(path).tensors.values() if len(tensor.shape) == 2)
        return 4 if next(types, None) == "F32" else 2
    tensors = (tensor() for tensor in stored_tensors(path).values())
    return 2 if next(tensor for tensor in tensors if tensor.ndim == 2).itemsize == 2 else 4


def hash_model(path: Path) -> str:
    """Returns the model's identity: the SHA-256 over its tensors as stored.

    Raises:
        LiuliError: see `hugging_face.hash_folder` and `gguf.hash_gguf`.
    """
    return gguf.hash_gguf(path) if is_gguf(path) else hugging_face.hash_folder(path)
