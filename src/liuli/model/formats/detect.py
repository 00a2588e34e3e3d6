"""The config, the decoder and the hash of a model, whether it is a folder in Hugging Face's format or a GGUF file.

The path is what `hub.find_model` returns. Other packages read models through this file; `hugging_face.py` and `gguf.py` read
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
    """Returns the model's `Config` as `config.json` or the GGUF metadata states it.

    Raises:
        LiuliError: see `families.read_folder_config` and `gguf.read_gguf_config`.
    """
    return gguf.read_gguf_config(path) if is_gguf(path) else families.read_folder_config(path)


def stored_config(path: Path) -> Config:
    """Returns the `Config` of the decoder that `read_decoder` returns. It differs from `read_config` if `config.json` calls the
    head tied but the weights do not. In a GGUF file the weights alone decide whether the head is tied, so both are the same.

    Raises:
        LiuliError: see `hugging_face.stored_folder_config` and `gguf.read_gguf_config`.
    """
    return gguf.read_gguf_config(path) if is_gguf(path) else hugging_face.stored_folder_config(path)


def read_decoder(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32) -> Decoder:
    """Returns the model's decoder.

    Args:
        dtype: of the parameters; None: as stored, for a base that stays frozen.

    Raises:
        LiuliError: see `hugging_face.read_folder_decoder` and `gguf.read_gguf_decoder`.
    """
    read = gguf.read_gguf_decoder if is_gguf(path) else hugging_face.read_folder_decoder
    return read(path, device, dtype)


def frozen_itemsize(path: Path) -> int:
    """Bytes of a number of the matrices that `read_decoder` gives if its dtype is None: 2, or 4 of a model stored in fp32. One
    matrix decides; in most models all have one dtype. Raises as `read_decoder`."""
    if is_gguf(path):
        types = (tensor.type.name for tensor in open_gguf(path).tensors.values() if len(tensor.shape) == 2)
        return 4 if next(types, None) == "F32" else 2
    tensors = (tensor() for tensor in stored_tensors(path).values())
    return 2 if next(tensor for tensor in tensors if tensor.ndim == 2).itemsize == 2 else 4


def hash_model(path: Path) -> str:
    """Returns the model's identity: SHA-256 over its tensors as stored.

    Raises:
        LiuliError: see `hugging_face.hash_folder` and `gguf.hash_gguf`.
    """
    return gguf.hash_gguf(path) if is_gguf(path) else hugging_face.hash_folder(path)
