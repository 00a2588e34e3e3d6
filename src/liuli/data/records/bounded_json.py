"""JSON from untrusted files: it is decoded only if its nesting and its number of values are within limits.

Python makes up to 240 bytes of memory from each object of 8 bytes of JSON, and a list of lists fills the stack. So the text
is measured first, without decoding it. A list that fills a whole file is decoded one element at a time.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Any

import numpy as np

from liuli.data.records.problem import Problem
from liuli.data.records.utf8 import utf8_problem
from liuli.display import first_line

DEEPEST = 128  # levels of nested lists and objects in one record
MOST_VALUES = 1_000_000  # commas, colons and opening brackets of one record, outside strings: about 100 MB of objects
FIX = "fix it, or remove it"
TOO_DEEP = Problem("JSON nested too deeply", f"more than {DEEPEST} levels", FIX)

SPACE = re.compile(r"[ \t\n\r]*")
STEP = 1 << 20  # bytes that are measured at a time
COMMA = ord(",")
NO_MARKS = bytes(set(range(256)).difference(b"[]{},:"))
NESTING = np.zeros(256, np.int8)  # by how much a mark outside a string changes the depth
NESTING[list(b"[{")], NESTING[list(b"]}")] = 1, -1
COUNTED = np.zeros(256, np.bool_)
COUNTED[list(b"[{,:")] = True
KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True, slots=True)
class JsonShape:
    """How much Python would have to make of a JSON text.

    Attributes:
        depth: the deepest level of nested lists and objects.
        values: commas, colons and opening brackets outside strings, of the record that has the most of them.
    """

    depth: int
    values: int


def parse_json(data: bytes) -> Any | Problem:
    """What one record of JSON says, or what is wrong with it."""
    problem = shape_problem(data)
    if problem:
        return problem
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        return utf8_problem(data, error)
    except (ValueError, RecursionError) as error:
        return json_problem(error)


def list_elements(text: str) -> Iterator[tuple[Any, int]]:
    """The elements of a JSON list, decoded one at a time, each with the place in the text where it ends.

    Args:
        text: begins with white space or the list's bracket.

    Raises:
        JSONDecodeError: the text is not one whole list. It says what `json.loads` says about the same text.
        ValueError, RecursionError: as `json.loads`.
    """
    decode = JSONDecoder().raw_decode
    at = _after_space(text, _after_space(text, 0) + 1)
    if not text.startswith("]", at):
        while True:
            value, at = decode(text, at)
            yield value, at
            at = _after_space(text, at)
            if not text.startswith(",", at):
                break
            at = _after_space(text, at + 1)
    if not text.startswith("]", at):
        raise JSONDecodeError("Expecting ',' delimiter", text, at)
    at = _after_space(text, at + 1)
    if at < len(text):
        raise JSONDecodeError("Extra data", text, at)


def _after_space(text: str, at: int) -> int:
    found = SPACE.match(text, at)
    return found.end() if found else at


def json_problem(error: ValueError | RecursionError) -> Problem:
    """What a failure of Python's JSON decoder means."""
    if isinstance(error, JSONDecodeError):
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        return Problem("broken JSON", f"{error.msg.removesuffix(' at')} at {where}", FIX)
    if isinstance(error, RecursionError):
        return TOO_DEEP
    digits = str(error).startswith("Exceeds the limit")
    return Problem("broken JSON", "a number of thousands of digits" if digits else first_line(error), FIX)


def shape_problem(data: bytes, listed: bool = False) -> Problem | None:
    """Why objects must not be made of a JSON text; None if they may be.

    Args:
        data: one record; or, if it is `listed`, a list of records.
    """
    brackets = data.count(b"[") + data.count(b"{")
    if not listed and brackets <= DEEPEST and brackets + data.count(b",") + data.count(b":") <= MOST_VALUES:
        return None
    shape = measure_shape(data, listed)
    if shape.depth > DEEPEST + listed:
        return TOO_DEEP
    if shape.values > MOST_VALUES:
        return Problem("a record with too many values", f"more than {MOST_VALUES:,}", "split it into several records")
    return None


def measure_shape(data: bytes, listed: bool) -> JsonShape:
    """Measures a JSON text in bounded memory. Up to the first mistake in the text the numbers are exact.

    Args:
        data: the text in UTF-8.
        listed: it is a list, whose elements are the records. Else it is one record.
    """
    if b"\\" in data:  # what remains of quotes are those that begin or end a string
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    deepest = most = 0
    depth = inside = values = 0  # the state: depth in the text, in a string or not, values of the record
    for at in range(0, len(data), STEP):
        parts = data[at : at + STEP].split(b'"')
        marks = np.frombuffer(b"".join(parts[inside::2]).translate(None, NO_MARKS), np.uint8)
        inside = (inside + len(parts) - 1) % 2
        if not len(marks):
            continue
        depths = depth + np.cumsum(NESTING[marks], dtype=np.int64)
        counts = values + np.cumsum(COUNTED[marks], dtype=np.int64)
        if listed:
            ends = counts[(marks == COMMA) & (depths == 1)]
            most = max(most, int(np.diff(ends, prepend=0).max(initial=0)))
            counts -= ends[-1] if len(ends) else 0
        deepest, depth, values = max(deepest, int(depths.max())), int(depths[-1]), int(counts[-1])
    return JsonShape(deepest, max(most, values))


def json_kind(value: Any) -> str:
    """The JSON type of a value, for people."""
    return KINDS.get(type(value), "null")
