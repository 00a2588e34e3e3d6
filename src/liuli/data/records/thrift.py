"""A reader of Thrift's compact protocol, as far as Parquet needs it.

In: a stream at the beginning of a struct. Out: its fields, one after the other; fields that are not needed are skipped
without being stored. The protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import io
from collections.abc import Iterator
from typing import IO

DEEPEST = 16  # levels of nested values
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)
SIZES = {BYTE: 1, DOUBLE: 8, UUID: 16}
LONGEST = (1 << 31) - 1  # bytes of a string, or elements of a list


class BrokenThrift(Exception):
    """The stream does not have the expected content."""


class ThriftReader:
    """Reads values at the current position of a stream."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def fields(self) -> Iterator[tuple[int, int]]:
        """The number and the type of each field of a struct. The caller reads or passes over each value before the next."""
        name = 0
        while head := self._byte():
            delta, kind = head >> 4, head & 15
            name = name + delta if delta else self.number()
            yield name, kind

    def number(self) -> int:
        """A value of type I16, I32 or I64: its sign is in the last bit."""
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def elements(self, wanted: int) -> int:
        """The head of a list of elements of the type `wanted`: how many there are. Raises BrokenThrift: it has others."""
        count, kind = self._list_head()
        if count and kind != wanted:
            raise BrokenThrift(f"a list of elements of type {kind}, not {wanted}")
        return count

    def skip(self, kind: int) -> None:
        """Passes over the value of a field."""
        if kind not in (TRUE, FALSE):  # the value is the type itself
            self._skip(kind, 0)

    def _skip(self, kind: int, depth: int) -> None:
        if depth > DEEPEST:
            raise BrokenThrift(f"values nested too deeply (more than {DEEPEST} levels)")
        if kind in (I16, I32, I64):
            self._varint()
        elif kind in SIZES:
            self._pass(SIZES[kind])
        elif kind == BINARY:
            self._pass(self._varint())
        elif kind == STRUCT:
            for _, inner in self.fields():
                if inner not in (TRUE, FALSE):
                    self._skip(inner, depth + 1)
        elif kind in (LIST, SET):
            count, inner = self._list_head()
            self._skip_several(count, (inner,), depth + 1)
        elif kind == MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            self._skip_several(count, (kinds >> 4, kinds & 15), depth + 1)
        else:
            raise BrokenThrift(f"a value of unknown type {kind}")

    def _skip_several(self, count: int, kinds: tuple[int, ...], depth: int) -> None:
        for _ in range(count):
            for kind in kinds:
                self._skip(BYTE if kind in (TRUE, FALSE) else kind, depth)

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        return count, head & 15

    def _byte(self) -> int:
        found = self._stream.read(1)
        if not found:
            raise BrokenThrift("it ends too early")
        return found[0]

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise BrokenThrift("a number of more than 64 bits")

    def _pass(self, count: int) -> None:
        if count > LONGEST:
            raise BrokenThrift("a value longer than 2 GB")
        self._stream.seek(count, io.SEEK_CUR)
