"""A reader of Thrift's compact protocol, as far as the headers of Parquet's pages need it.

In: a stream at the beginning of a struct. Out: its whole numbers and the structs in it by their field numbers; all else is
passed over without being held. The protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import io
from dataclasses import dataclass, field
from typing import IO

DEEPEST = 16  # structs inside one another
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)
LARGEST_NUMBER = 1 << 31


class BrokenThrift(Exception):
    """There is no struct of this protocol in the stream."""


@dataclass(slots=True)
class ThriftStruct:
    """The fields of a struct that are whole numbers, and those that are structs, by field number."""

    numbers: dict[int, int] = field(default_factory=dict)
    structs: dict[int, "ThriftStruct"] = field(default_factory=dict)

    def number(self, name: int) -> int:
        """The number in a field that must be there, from 0 to 2³¹ - 1. Raises BrokenThrift."""
        found = self.numbers.get(name, -1)
        if not 0 <= found < LARGEST_NUMBER:
            raise BrokenThrift(f"field {name} of a page's header is {'missing' if found == -1 else found}")
        return found

    def struct(self, name: int) -> "ThriftStruct":
        """The struct in a field that must be there. Raises BrokenThrift."""
        if name not in self.structs:
            raise BrokenThrift(f"field {name} of a page's header is missing")
        return self.structs[name]


def read_struct(stream: IO[bytes], depth: int = 0) -> ThriftStruct:
    """The struct that begins at the stream's place, which is left behind its end.

    Raises:
        BrokenThrift: there is none, or it ends too early.
    """
    if depth > DEEPEST:
        raise BrokenThrift("structs too deep inside one another")
    found, name = ThriftStruct(), 0
    while head := _byte(stream):
        delta, kind = head >> 4, head & 15
        name = name + delta if delta else _number(stream)
        if kind in (I16, I32, I64):
            found.numbers[name] = _number(stream)
        elif kind == STRUCT:
            found.structs[name] = read_struct(stream, depth + 1)
        elif kind not in (TRUE, FALSE):  # whose value is the kind itself
            _pass(stream, kind, depth + 1)
    return found


def _pass(stream: IO[bytes], kind: int, depth: int) -> None:
    """Passes over one value."""
    if kind in (TRUE, FALSE, BYTE):
        _skip(stream, 1)
    elif kind in (I16, I32, I64):
        _varint(stream)
    elif kind == DOUBLE:
        _skip(stream, 8)
    elif kind == UUID:
        _skip(stream, 16)
    elif kind == BINARY:
        _skip(stream, _varint(stream))
    elif kind == STRUCT:
        read_struct(stream, depth)
    elif kind in (LIST, SET, MAP) and depth <= DEEPEST:
        _pass_several(stream, kind, depth + 1)
    else:
        raise BrokenThrift(f"a value of type {kind} in a page's header")


def _pass_several(stream: IO[bytes], kind: int, depth: int) -> None:
    """Passes over a list, a set or a map."""
    if kind == MAP:
        count = _varint(stream)
        kinds = _byte(stream) if count else 0
        parts = (kinds >> 4, kinds & 15)
    else:
        head = _byte(stream)
        count = head >> 4 if head >> 4 < 15 else _varint(stream)
        parts = (head & 15,)
    for _ in range(count):
        for part in parts:
            _pass(stream, part, depth)


def _byte(stream: IO[bytes]) -> int:
    found = stream.read(1)
    if not found:
        raise BrokenThrift("a page's header ends too early")
    return found[0]


def _varint(stream: IO[bytes]) -> int:
    number = 0
    for shift in range(0, 70, 7):
        byte = _byte(stream)
        number |= (byte & 127) << shift
        if byte < 128:
            return number
    raise BrokenThrift("a number of more than 64 bits in a page's header")


def _number(stream: IO[bytes]) -> int:
    """A whole number with its sign in the last bit (zigzag)."""
    number = _varint(stream)
    return (number >> 1) ^ -(number & 1)


def _skip(stream: IO[bytes], count: int) -> None:
    if count >= LARGEST_NUMBER:
        raise BrokenThrift("a value longer than its file")
    stream.seek(count, io.SEEK_CUR)
