"""A GGUF file: the metadata and the tensors of a model in one file, as llama.cpp has them.

In: a path, or the first of several shards. Out: the metadata by key, and each tensor's type, shape and bytes, mapped. What the
file claims is checked against its real size before anything is allocated or looped over, so that a short file takes little
memory and time whatever it claims. Names and numbers in it are untrusted: they are cleaned before they are shown.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Constants and dequantisation are from the package `gguf`; its
reader takes 13 s for a vocabulary of 150,000 tokens and trusts the file (docs/decisions.md).
"""

import itertools
import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, prod
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.files import refuse_lfs_pointer
from liuli.units import counted

TYPES = {
    GGMLQuantizationType[name]
    for name in (
        "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    )
}  # fmt: skip
VERSIONS = (2, 3)
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # by type of value
STRING, ARRAY = 8, 9
MOST_KEYS = 65_536
MOST_TENSORS = 65_536
MOST_ELEMENTS = 10_000_000  # of all arrays together; a large vocabulary has three of 262,144
LONGEST_NAME = 1_024  # bytes of a key or of a tensor's name
LONGEST_STRING = 1 << 26  # bytes of a string that is not an element of an array
LONGEST_SHOWN = 60  # characters of a name or value from the file in an error message
SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GGUFTensor:
    """A tensor as stored. `shape` is PyTorch's, the rows first; `rows` are their bytes, (rows, bytes of a row) uint8, mapped.
    `release` frees the pages of the mapping that were read for it."""

    name: str
    type: GGMLQuantizationType
    shape: tuple[int, ...]
    rows: np.ndarray
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class StringArray:
    """Strings that are decoded on request."""

    file: "GGUFFile"
    key: str
    start: int
    count: int

    def texts(self) -> list[str]:
        """Raises LiuliError if one is not UTF-8."""
        unpack, data, at = struct.Struct("<Q").unpack_from, self.file.data, self.start
        found: list[str] = []
        try:
            for _ in range(self.count):
                end = at + 8 + unpack(data, at)[0]
                found.append(data[at + 8 : end].decode())
                at = end
        except UnicodeDecodeError:
            raise self.file.broken(f"element {len(found):,} of {shown(self.key)} is not UTF-8") from None
        return found


class GGUFFile:
    """Made by `open_gguf`.

    Attributes:
        metadata: by key: a number, a boolean, a string, an array of numbers, or a `StringArray`.
        tensors: by name, in the file's order; those of all shards, if `open_gguf` opened several.
        paths: the file, and the other shards.
    """

    def __init__(self, path: Path):
        """Raises LiuliError: not a GGUF file, a Git LFS pointer, or a file that is broken or not supported."""
        self.path = path
        try:
            refuse_lfs_pointer(path)
            with path.open("rb") as file:
                # Copy on write: a tensor that PyTorch takes from it may be written to, and the file stays as it is.
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except ValueError:
            raise LiuliError(f"{path} is empty: download it again") from None
        except OSError as error:
            raise LiuliError(f"{path} cannot be read: {why(error)}") from None
        self.paths = [path]
        self.size = len(self.data)
        self.at = 0  # the byte that is read next
        self.elements = 0  # of the arrays that were read
        try:
            self._check_kind()
            tensors, keys = self._number("Q"), self._number("Q")
            self._check_count(tensors, MOST_TENSORS, 24, "tensors")
            self._check_count(keys, MOST_KEYS, 13, "metadata keys")
            self.metadata: dict[str, Any] = {}
            for _ in range(keys):
                key = self._name("a metadata key")
                if key in self.metadata:
                    raise self.broken(f"the key {shown(key)} occurs twice")
                self.metadata[key] = self._value(key, self._number("I"))
            self.tensors = self._tensors(tensors)
        except (struct.error, OverflowError):
            raise self.broken(f"it is truncated: it ends within its header, at byte {self.size:,}") from None

    def broken(self, reason: str) -> LiuliError:
        return LiuliError(f"{self.path} is broken: {reason}; download it again")

    def texts(self, key: str) -> list[str] | None:
        """The strings of an array; None if there is no such key.

        Raises:
            LiuliError: it is not an array of strings.
        """
        found = self.metadata.get(key)
        if found is not None and not isinstance(found, StringArray):
            raise self.broken(f"{key} must be an array of strings")
        return None if found is None else found.texts()

    def text(self, key: str) -> str | None:
        """A string; None if there is no such key. Raises LiuliError: it is not a string."""
        found = self.metadata.get(key)
        if found is not None and not isinstance(found, str):
            raise self.broken(f"{shown(key)} must be a string")
        return found

    def integer(self, key: str) -> int | None:
        """An integer; None if there is no such key. Raises LiuliError: it is not an integer."""
        found = self.metadata.get(key)
        if found is not None and type(found) is not int:
            raise self.broken(f"{key} must be an integer, not {shown(found)}")
        return found

    def number(self, key: str) -> float | None:
        """An integer or a finite floating-point number; None if there is no such key. Raises LiuliError: it is neither."""
        found = self.metadata.get(key)
        if found is not None and not is_finite_number(found):
            raise self.broken(f"{key} must be a number, not {shown(found)}")
        return found

    def flag(self, key: str, default: bool) -> bool:
        """A boolean. Raises LiuliError: it is not one."""
        found = self.metadata.get(key, default)
        if not isinstance(found, bool):
            raise self.broken(f"{key} must be true or false, not {shown(found)}")
        return found

    def _check_kind(self) -> None:
        if self.data[:4] != b"GGUF":
            raise LiuliError(f"{self.path} is not a GGUF file: it does not begin with GGUF; download it again, or give another")
        self.at = 4
        version = self._number("I")
        if version & 0xFFFF == 0 and version >> 16:
            raise LiuliError(f"{self.path} is big-endian, for other processors: download the little-endian file")
        if version not in VERSIONS:
            raise LiuliError(
                f"{self.path} is GGUF of version {version}; versions 2 and 3 are supported: convert the model again with a "
                f"program that writes one of them"
            )

    def _check_count(self, count: int, most: int, smallest: int, what: str) -> None:
        """Raises LiuliError if a file is too short for so many of something that takes at least `smallest` bytes."""
        if count > most:
            raise self.broken(f"it claims {count:,} {what}; at most {most:,} are read")
        if count * smallest > self.size - self.at:
            raise self.broken(f"it claims {count:,} {what}, but it is too short for them")

    def _number(self, code: str) -> Any:
        (found,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += struct.calcsize(f"<{code}")
        # The shortest decimal of a number in fp32: 1e-06 as it was written, not 9.999999974752427e-07.
        return float(str(np.float32(found))) if code == "f" else found

    def _bytes(self, longest: int, what: str) -> bytes:
        length = self._number("Q")
        if length > self.size - self.at:
            raise self.broken(f"{what} claims {counted(length, 'byte')}, but only {self.size - self.at:,} are left")
        if length > longest:
            raise self.broken(f"{what} has {length:,} bytes; at most {longest:,} are read")
        self.at += length
        return self.data[self.at - length : self.at]

    def _string(self, longest: int, what: str) -> str:
        try:
            return self._bytes(longest, what).decode()
        except UnicodeDecodeError:
            raise self.broken(f"{what} is not UTF-8") from None

    def _name(self, what: str) -> str:
        return self._string(LONGEST_NAME, what)

    def _value(self, key: str, kind: int) -> Any:
        if kind == STRING:
            return self._string(LONGEST_STRING, f"the string {shown(key)}")
        if kind == ARRAY:
            return self._array(key)
        if kind not in NUMBERS:
            raise self.broken(f"the value of {shown(key)} is of the unknown type {kind}")
        return self._number(NUMBERS[kind])

    def _array(self, key: str) -> Any:
        kind, count = self._number("I"), self._number("Q")
        if kind != STRING and kind not in NUMBERS:
            raise self.broken(f"the elements of the array {shown(key)} are of the unsupported type {kind}")
        size = 8 if kind == STRING else struct.calcsize(NUMBERS[kind])
        self.elements += count
        self._check_count(self.elements, MOST_ELEMENTS, 0, "elements of arrays")
        self._check_count(count, MOST_ELEMENTS, size, f"elements of {shown(key)}")
        start = self.at
        if kind != STRING:
            self.at += count * size
            return np.frombuffer(self.data, np.dtype(f"<{NUMBERS[kind]}"), count, start).copy()
        unpack, data, at = struct.Struct("<Q").unpack_from, self.data, start
        for _ in range(count):
            at += 8 + unpack(data, at)[0]
        if at > self.size:
            raise self.broken(f"an element of {shown(key)} ends after the end of the file")
        self.at = at
        return StringArray(self, key, start, count)

    def _tensors(self, count: int) -> dict[str, GGUFTensor]:
        described = [self._description() for _ in range(count)]
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1):
            raise self.broken(f"general.alignment must be a power of two of at least 8, not {shown(alignment)}")
        first = -(-self.at // alignment) * alignment
        found: dict[str, GGUFTensor] = {}
        spans: list[tuple[int, int, str]] = []
        for name, shape, kind, offset in described:
            if name in found:
                raise self.broken(f"the tensor {shown(name)} occurs twice")
            per_block, block_bytes = GGML_QUANT_SIZES[kind]
            if shape[-1] % per_block:
                raise self.broken(
                    f"a row of {shown(name)} has {counted(shape[-1], 'number')}, which is not a multiple of the {kind.name} "
                    f"block size of {per_block}"
                )
            count_rows, row_bytes = prod(shape[:-1]), shape[-1] // per_block * block_bytes
            start, end = first + offset, first + offset + count_rows * row_bytes
            if offset % alignment:
                raise self.broken(f"the tensor {shown(name)} begins at {offset:,}, which is not a multiple of {alignment}")
            if end > self.size:
                raise self.broken(f"the tensor {shown(name)} ends at byte {end:,}, but the file has {self.size:,}")
            rows = np.frombuffer(self.data, np.uint8, end - start, start).reshape(count_rows, row_bytes)
            found[name] = GGUFTensor(name, kind, shape, rows, lambda start=start, end=end: self._release(start, end))
            spans.append((start, end, name))
        spans.sort()
        for (_, end, one), (start, _, other) in itertools.pairwise(spans):
            if start < end:
                raise self.broken(f"the tensors {shown(one)} and {shown(other)} claim the same bytes")
        return found

    def _description(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        """(name, shape with the rows first, type, offset) of the next tensor."""
        name = self._name("a tensor's name")
        dimensions = self._number("I")
        if not 1 <= dimensions <= 4:
            raise self.broken(f"the tensor {shown(name)} has {dimensions} dimensions; 1 to 4 are possible")
        shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]
        if not all(shape):
            raise self.broken(f"the tensor {shown(name)} has a dimension of size 0: {shown(list(shape))}")
        kind, offset = self._number("I"), self._number("Q")
        if kind not in TYPES:
            known = {member.value: member.name for member in GGMLQuantizationType}
            supported = ", ".join(each.name for each in sorted(TYPES))
            raise LiuliError(
                f"{self.path}: the tensor {shown(name)} is of type {known.get(kind, kind)}, which is not supported; download a "
                f"file in one of the types {supported}"
            )
        return name, shape, GGMLQuantizationType(kind), offset

    def _release(self, start: int, end: int) -> None:
        """Frees the mapping's pages that lie completely between two bytes. They are read again if they are needed."""
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last and hasattr(mmap, "MADV_DONTNEED"):
            self.data.madvise(mmap.MADV_DONTNEED, first, last - first)


def open_gguf(path: Path) -> GGUFFile:
    """The file, with the tensors of all shards if it is the first of several. A file that did not change is opened once.

    Raises:
        LiuliError: not a GGUF file, one that is broken or not supported, a shard other than the first, or a shard that
            is missing.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise LiuliError(f"{path} cannot be read: {why(error)}") from None
    if not S_ISREG(stat.st_mode):
        raise LiuliError(f"{path} is not a regular file: give the path of a GGUF file")
    return _opened(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(4)
def _opened(path: Path, *_: int) -> GGUFFile:
    """`open_gguf`. The numbers distinguish the file from another one at the same path later."""
    file = GGUFFile(path)
    count = file.integer("split.count") or 1
    if count < 2:
        return file
    named = SHARD.fullmatch(path.name)
    if named is None or int(named["count"]) != count:
        raise LiuliError(f"{path} is one of {count} shards: its name must have its number, as in x-00001-of-{count:05}.gguf")
    paths = [path.with_name(f"{named['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    if int(named["number"]) != 1:
        raise LiuliError(f"{path} is one of {count} shards: give the first, {paths[0].name}")
    for number, other in enumerate(paths[1:], 1):
        if not other.is_file():
            raise LiuliError(f"{path}: the shard {other.name} is missing; download it too")
        shard = GGUFFile(other)
        if shard.integer("split.no") != number or shard.integer("split.count") != count:
            raise LiuliError(f"{other} is not shard {number + 1} of {count} of {path.name}: download it again")
        if twice := shard.tensors.keys() & file.tensors.keys():
            raise shard.broken(f"the tensor {shown(min(twice))} is in another shard too")
        file.tensors |= shard.tensors
        file.paths.append(other)
    claimed = file.integer("split.tensors.count")
    if claimed not in (None, len(file.tensors)):
        raise file.broken(f"its shards hold {counted(len(file.tensors), 'tensor')}, not the {claimed:,} that it claims")
    return file


def is_finite_number(value: object) -> bool:
    """Whether a value of the metadata is an integer or a finite floating-point number."""
    return type(value) is int or (type(value) is float and isfinite(value))


def shown(value: object) -> str:
    """A name or value from a file, on one line and not too long."""
    text = printable(str(value))
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
