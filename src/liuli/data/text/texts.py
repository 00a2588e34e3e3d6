"""From one record to its text, or to what is wrong with it."""

import codecs
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any

from liuli.data.text.blocks import SPAN, cut
from liuli.data.text.files import Problem
from liuli.display import first_line, printable

UTF16 = Problem("UTF-16, not UTF-8", advice="convert it with iconv -f UTF-16 -t UTF-8")
LAYOUTS = {  # fields of records that are something else than a text, and what they are
    "messages": "a dialogue",
    "conversations": "a dialogue",
    "chosen": "a preference",
    "instruction": "an instruction with its answer",
    "completion": "a prompt with its completion",
}


@dataclass(frozen=True, slots=True)
class Text:
    """One document: a digest of its UTF-8 bytes (16 bytes of BLAKE2b), and its blocks, read as they are asked for."""

    digest: bytes
    blocks: Iterable[str]
    marked: bool = False  # it had a byte order mark, which is not part of the text


def parse(data: bytes) -> Any:
    """What the JSON says, or the Problem with it."""
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        return not_utf8(data, error)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        return Problem("broken JSON", f"{error.msg.removesuffix(' at')} at {where}", "mend it, or take it away")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        return Problem("broken JSON", first_line(error), "mend it, or take it away")


def listed(names: Iterable[str]) -> str:
    """Names on one line, the first 32 of them."""
    some = list(islice(names, 33))
    return ", ".join(printable(name[:64]) for name in some[:32]) + ", …" * (len(some) > 32) or "none"


def text_of_record(record: Any) -> Text | Problem:
    """The field `text` of what a line or an element of a list says. Other layouts are named, never guessed."""
    if not isinstance(record, dict):
        return Problem('no object with a field "text"', f"but {kind_of(record)}", 'write {"text": "…"}')
    if "text" not in record:
        fields = f"fields: {listed(record)}"
        for field, layout in LAYOUTS.items():
            if field in record:
                return Problem(f'no field "text" but {layout}', fields, "only plain texts are read here")
        return Problem('no field "text"', fields, "rename the field that holds the text")
    return _of_text(record["text"]) if isinstance(record["text"], str) else _no_string(record["text"])


def text_of_value(value: bytes | None) -> Text | Problem:
    """The text of a cell of a column of strings; a file may be wrong in saying that they are UTF-8."""
    if value is None:
        return _no_string(None)
    try:
        return _of_text(value.decode())
    except UnicodeDecodeError as error:
        return not_utf8(value, error)


def encoded(text: str) -> bytes | Problem:
    """Its UTF-8, or what in it is no character of a text."""
    if "\0" in text:
        return Problem("a NUL in its text", f"character {text.index(chr(0)) + 1:,}", "take it away")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x} at character {error.start + 1:,}"
        return Problem("half a surrogate pair in its text", half, "write both halves, or none")


def not_utf8(data: bytes, error: UnicodeDecodeError, offset: int = 0, ended: bool = True) -> Problem:
    """What is wrong with bytes that cannot be decoded, and in which encoding they may be. `offset`: how many came before
    `data`; `ended`: none come after."""
    detail = f"byte {offset + error.start + 1:,} is 0x{data[error.start]:02X}"
    if not offset and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF16
    with suppress(UnicodeDecodeError):
        if error.reason != "unexpected end of data":  # that is UTF-8 cut off
            codecs.getincrementaldecoder("gb18030")().decode(data, ended)
            return Problem("not UTF-8 but perhaps GB18030", detail, "convert it with iconv -f GB18030 -t UTF-8")
    return Problem("not UTF-8", detail, "convert it to UTF-8, or take it away")


def _of_text(text: str) -> Text | Problem:
    if not text or text.isspace():
        return Problem("no text in it")
    data = encoded(text)
    if isinstance(data, Problem):
        return data
    blocks = (text,) if len(data) <= 2 * SPAN else map(bytes.decode, cut([data]))
    return Text(blake2b(data, digest_size=16).digest(), blocks)


def _no_string(value: Any) -> Problem:
    return Problem(f'"text" is {kind_of(value)}, not a string', advice="write it as a string, or take it away")


def kind_of(value: Any) -> str:
    """What sort of JSON a value is, for people."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
