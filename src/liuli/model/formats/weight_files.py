"""Reads the files with a model's or an adapter's tensors: `.safetensors`, PyTorch's `.bin` (weights only), and shards.
Files from before PyTorch 1.6 are read too, but cannot be memory-mapped.

In: a folder or a file. Out: each tensor's name, with a function that maps the tensor into memory. Nothing in a file is ever
executed. Claimed sizes are checked: a tensor must not have more numbers than the file contains.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from liuli.display import first_line, printable
from liuli.errors import LiuliError
from liuli.files import read_json, refuse_lfs_pointer

STORED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
LONGEST_NAME = 120  # characters of a name from a file in a message
MISMATCH = "the files do not belong together; download the model again"

# The exact names of files with a folder's weights, their shards, and the index of the shards.
WEIGHT_FILE = re.compile(
    r"model\.safetensors(\.index\.json)?|model-\d{5}-of-\d{5}\.safetensors"
    r"|pytorch_model\.bin(\.index\.json)?|pytorch_model-\d{5}-of-\d{5}\.bin"
)

# Prefixes that DataParallel and PEFT put before the tensor names of a model that they wrap.
WRAPPERS = re.compile(r"^(?:module\.|base_model\.model\.(?=\w+\.))+")

Lazy = Callable[[], Tensor]


def weight_files(folder: Path) -> list[Path]:
    """Returns the files with the folder's weights: one file, or all shards.

    Raises:
        LiuliError: there are none; the index is broken; a shard is missing.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder / f"{name}.index.json")
    raise LiuliError(
        f"{folder} contains no weights (model.safetensors, pytorch_model.bin, or the index of their shards): download the "
        f"model again"
    )


def _shards(index: Path) -> list[Path]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise LiuliError(f"{index} is broken: its weight_map must name the file of each tensor; download it again")
    # A shard is always read from the folder of its index, even if the index names another folder.
    paths = [index.parent / os.path.basename(name) for name in sorted(set(weight_map.values()))]
    for path in paths:
        if not os.path.isfile(path):  # unlike Path.is_file, it returns False for a name that is too long
            raise LiuliError(f"{index.parent}: the shard {shown(path.name)} that {index.name} names is missing: download it")
    return paths


def stored_tensors(folder: Path) -> dict[str, Lazy]:
    """Returns every tensor in a folder's weight files, by name. A tensor may be in several shards if its numbers are the same.

    Raises:
        LiuliError: see `weight_files` and `read_tensors`; two shards contain different numbers for one tensor.
    """
    found: dict[str, Lazy] = {}
    shard_of: dict[str, Path] = {}
    for path in weight_files(folder):
        for name, tensor in read_tensors(path):
            if not are_equal(found.setdefault(name, tensor), tensor):
                raise LiuliError(
                    f"{folder}: the shards {shown(shard_of[name].name)} and {shown(path.name)} contain different numbers for "
                    f"{shown(name)}: they do not belong to the same model; download or save the model again"
                )
            shard_of.setdefault(name, path)
    return found


def are_equal(one: Lazy, other: Lazy) -> bool:
    """Returns whether two tensors have the same dtype, shape and numbers."""
    if one is other:
        return True
    first, second = one(), other()
    return first.dtype == second.dtype and torch.equal(first, second)


def without_wrappers(name: str) -> str:
    """Returns a tensor's name without the prefixes of DataParallel, `torch.compile` and PEFT."""
    return WRAPPERS.sub("", name.replace("_orig_mod.", ""))


def read_tensors(path: Path) -> Iterator[tuple[str, Lazy]]:
    """Returns (name, function) for every tensor in a file of either format. The function maps the tensor, if the format allows
    it, and returns it.

    Raises:
        LiuliError: the file is a Git LFS pointer; see also `read_safetensors` and `read_bin`.
    """
    refuse_lfs_pointer(path)
    return read_bin(path) if path.suffix == ".bin" else read_safetensors(path)


def read_safetensors(path: Path) -> Iterator[tuple[str, Lazy]]:
    """Returns (name, function) for every tensor in a file. The function maps the tensor and returns it.

    Raises:
        LiuliError: the file is broken.
    """
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise LiuliError(f"{path} is broken or truncated: {first_line(error)}; download it again") from error

    def tensor(name: str) -> Tensor:
        try:
            return file.get_tensor(name)
        except (SafetensorError, ValueError, AttributeError) as error:  # a dtype that this PyTorch does not have
            raise LiuliError(
                f"{path}: the tensor {shown(name)} cannot be read: {first_line(error)}; update PyTorch, or download the file "
                f"again"
            ) from error

    return ((name, lambda name=name: tensor(name)) for name in file.keys())  # noqa: SIM118  # it is not a mapping


def read_bin(path: Path) -> Iterator[tuple[str, Lazy]]:
    """Returns (name, function) for every tensor in a file of `torch.save`. The function returns the tensor, which is mapped, or
    in memory if the file is from before PyTorch 1.6.

    Raises:
        LiuliError: the file contains code, is broken, or claims more numbers than it contains.
    """
    try:
        archive = zipfile.is_zipfile(path)  # False for the format before PyTorch 1.6, which cannot be mapped
        if archive:
            _check_zip(path)
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        raise LiuliError(
            f"{path} is refused: it contains Python objects in addition to tensors, and loading them could run code. Use the "
            f"model's safetensors files."
        ) from error
    except Exception as error:  # a broken pickle can make the unpickler raise any exception
        raise LiuliError(
            f"{path} is broken, truncated, or was not written by torch.save: {first_line(error)}; download it again"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(n, str) and isinstance(t, Tensor) for n, t in tensors.items()):
        keys = f"the keys {listed([shown(name) for name in tensors])}" if isinstance(tensors, dict) else ""
        raise LiuliError(
            f"{path} must contain a mapping from names to tensors, but contains {keys or f'a {type(tensors).__name__}'}: if it "
            f"is a checkpoint of a training program, save only the model's state_dict()"
        )
    for name, tensor in tensors.items():
        if not _is_stored(tensor):
            raise LiuliError(
                f"{path}: the tensor {shown(name)} of shape {list(tensor.shape)} is not stored as dense numbers: save the "
                f"model again with ordinary dense tensors"
            )
    # A tied head shares the embedding's numbers. If more tensors share numbers, a small file could claim a very large model.
    if sum(tensor.numel() * tensor.itemsize for tensor in tensors.values()) > 2 * path.stat().st_size:
        raise LiuliError(f"{path}: its tensors claim far more numbers than the file contains: download it again")
    return ((name, lambda tensor=tensor: tensor) for name, tensor in tensors.items())


def _check_zip(path: Path) -> None:
    """Raises ValueError if a part of the archive is compressed. PyTorch never compresses, and a compressed part could expand
    to any size."""
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("the archive is compressed")


def _is_stored(tensor: Tensor) -> bool:
    """Whether the file contains every number of a tensor: it is dense, and not a view that repeats a few numbers."""
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and tensor.device.type == "cpu"
    return plain and not tensor.is_nested and tensor.numel() * tensor.itemsize <= tensor.untyped_storage().nbytes()


def check_finite(tensor: Tensor, name: str, folder: Path) -> None:
    """Raises LiuliError if a number is NaN or infinite."""
    # The sum needs one pass and no temporary tensor. It may overflow although every number is finite, so check again then.
    if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise LiuliError(
            f"{folder}: {bad} of the {tensor.numel()} values of the tensor {name} are NaN or infinite: download the model again"
        )


def shown(value: object, longest: int = LONGEST_NAME) -> str:
    """Returns a name, message or value from a file as printable text on one line, shortened if it is too long."""
    text = printable(value if isinstance(value, str) else quoted(value))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def quoted(value: object) -> str:
    """Returns the `repr` of a value from a file as printable text (see `shown`)."""
    try:
        return shown(repr(value))
    except (RecursionError, ValueError):  # nested too deeply, or a number of too many digits
        return f"a {type(value).__name__}"


def listed(names: list[str]) -> str:
    """Returns the first five of some names from a file, and how many more there are."""
    return ", ".join(shown(name) for name in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
