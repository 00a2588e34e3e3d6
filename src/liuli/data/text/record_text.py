"""From one record to its text, or to what is wrong with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from liuli.data.records.bounded_json import json_kind
from liuli.data.records.problem import Problem, name_list
from liuli.data.records.utf8 import encode_text, utf8_problem
from liuli.data.text.blocks import SPAN, cut
from liuli.display import printable

FIELDS = ("text",)  # the field of a record that holds its text, if no other is given
LAYOUTS = {  # fields of records that are not texts, and what these are
    "messages": "a dialogue",
    "conversations": "a dialogue",
    "chosen": "a preference",
    "instruction": "an instruction with its answer",
    "completion": "a prompt with its completion",
}


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The text of one document.

    Attributes:
        digest: 16 bytes of BLAKE2b of its UTF-8.
        blocks: its blocks, read as they are asked for.
        marked: a byte order mark stood before it, which is not part of the text.
    """

    digest: bytes
    blocks: Iterable[str]
    marked: bool = False


def text_of_record(record: Any, fields: Sequence[str] = FIELDS) -> DocumentText | Problem:
    """The text of a record (a line, or an element of a list): the first of `fields` that it has. A list of strings becomes
    lines. Other layouts are named, never guessed."""
    if not isinstance(record, dict):
        return Problem("the record is not an object", f"found {json_kind(record)}", f'write {{"{fields[0]}": "…"}}')
    field = next((field for field in fields if field in record), None)
    if field is None:
        return _no_field(record, fields)
    value = record[field]
    if _are_lines(value):
        value = "\n".join(value)
    return _of_text(value) if isinstance(value, str) else _no_string(field, value)


def _are_lines(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(line, str) for line in value)


def _no_field(record: dict[str, Any], fields: Sequence[str]) -> Problem:
    shown, found = quoted(fields), f"fields: {name_list(record)}"
    for field, layout in LAYOUTS.items():
        if field in record:
            return Problem(f"{layout}, not a text", found, f"only records with a field {shown} are read here")
    texts = (field for field, value in record.items() if isinstance(value, str) or _are_lines(value))
    likely = max(texts, key=lambda field: len(str(record[field])), default="NAME")
    advice = f"name the field with the text, such as --text-field {printable(likely[:64])}"
    return Problem(f"no field {shown}", found, advice)


def quoted(fields: Sequence[str]) -> str:
    """The names of fields, for people."""
    return " or ".join(f'"{printable(field)}"' for field in fields)


def text_of_cell(cell: bytes | None, column: str) -> DocumentText | Problem:
    """The text of a cell in a column of strings; a file may be wrong in saying that they are UTF-8."""
    if cell is None:
        return _no_string(column, None)
    try:
        return _of_text(cell.decode())
    except UnicodeDecodeError as error:
        return utf8_problem(cell, error)


def _of_text(text: str) -> DocumentText | Problem:
    if not text or text.isspace():
        return Problem("empty text", advice="remove it, or add text")
    data = encode_text(text)
    if isinstance(data, Problem):
        return data
    blocks = (text,) if len(data) <= 2 * SPAN else map(bytes.decode, cut([data]))
    return DocumentText(blake2b(data, digest_size=16).digest(), blocks)


def _no_string(field: str, value: Any) -> Problem:
    reason = f'"{printable(field)}" is {json_kind(value)}, not a string'
    return Problem(reason, advice="write it as a string, or remove it")
