"""Compressed files, decompressed as they are read, within a limit: a few kilobytes may decompress to terabytes."""

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from liuli.data.records.problem import Problem, Unreadable

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
UNPACKED = 64 << 20  # bytes that any file may decompress to
RATIO = 200  # times its size that a larger file may decompress to; text reaches 20, a log of equal lines 100


def most_unpacked(size: int) -> int:
    """How many bytes a file of `size` bytes may decompress to."""
    return max(UNPACKED, RATIO * size)


def unpacks_to_too_much() -> Problem:
    """The problem of a file that decompresses to more."""
    reason = f"decompresses to more than {UNPACKED >> 20} MB and {RATIO} times its size"
    return Problem(reason, advice="it may be a decompression bomb; if you trust it, decompress it yourself")


@contextmanager
def unpacked(raw: IO[bytes], compression: str | None, size: int) -> Iterator[IO[bytes]]:
    """The bytes of a file of `size` bytes, decompressed.

    Raises:
        EOFError, OSError, zlib.error: the compressed stream is broken, here or while it is read.
        Unreadable: while it is read, it decompresses to too much.
    """
    if compression == "gzip":
        with gzip.open(raw) as stream:
            yield io.BufferedReader(BoundedStream(stream, most_unpacked(size)), 1 << 16)
    elif compression == "zstd":
        import pyarrow  # unlike the zstandard package it notices that a stream was cut off

        with pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, mode="r"), "zstd") as stream:
            yield io.BufferedReader(BoundedStream(stream, most_unpacked(size)), 1 << 16)
    else:
        yield raw


class BoundedStream(io.RawIOBase):
    """A stream of which at most `most` bytes can be read. Raises Unreadable at the next one."""

    def __init__(self, stream: Any, most: int):
        self._stream, self._left = stream, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._stream.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise Unreadable(unpacks_to_too_much())
        return count
