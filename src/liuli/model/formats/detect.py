"""A model on disk, whichever format it has: a folder in Hugging Face's format, or a GGUF file.

In: what `hub.find_folder` returns. Out: its `Config`, its decoder, its hash.
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
    """The shape of the model in a folder or a file. Raises as `families.read_config` and `gguf.read_gguf_config`."""
    return gguf.read_gguf_config(path) if is_gguf(path) else families.read_config(path)


def stored_config(path: Path) -> Config:
    """As `read_config`, except that the weights decide whether the head is tied. Raises as `hugging_face.stored_config` and
    `gguf.read_gguf_config`, in whose file they always do."""
    return gguf.read_gguf_config(path) if is_gguf(path) else hugging_face.stored_config(path)


def read_decoder(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32) -> Decoder:
    """The decoder in a folder or a file, its parameters in `dtype`; None: as stored, for a base that stays frozen. Raises as
    `hugging_face.read_decoder` and `gguf.read_gguf_decoder`."""
    read = gguf.read_gguf_decoder if is_gguf(path) else hugging_face.read_decoder
    return read(path, device, dtype)


def frozen_itemsize(path: Path) -> int:
    """Bytes of a number of the matrices that `read_decoder` gives if its dtype is None: 2, or 4 of a model stored in fp32. One
    matrix decides; in most models all have one dtype. Raises as `read_decoder`."""
    if is_gguf(path):
        matrix = next(tensor for tensor in open_gguf(path).tensors.values() if len(tensor.shape) == 2)
        return 4 if matrix.type.name == "F32" else 2
    tensors = (tensor() for tensor in stored_tensors(path).values())
    return 2 if next(tensor for tensor in tensors if tensor.ndim == 2).itemsize == 2 else 4


def hash_model(path: Path) -> str:
    """SHA-256 over the tensors as stored: the model's identity. Raises as `hugging_face.hash_folder` and `gguf.hash_gguf`."""
    return gguf.hash_gguf(path) if is_gguf(path) else hugging_face.hash_folder(path)
