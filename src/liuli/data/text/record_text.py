"""From one record to its text, or to what is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from liuli.data.records.bounded_json import json_kind
from liuli.data.records.problem import Problem, name_list
from liuli.data.records.utf8 import encode_text, utf8_problem
from liuli.data.text.blocks import SPAN, cut

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


def text_of_record(record: Any) -> DocumentText | Problem:
    """The field `text` of a record: a line, or an element of a list. Other layouts are named, never guessed."""
    if not isinstance(record, dict):
        return Problem("the record is not an object", f"found {json_kind(record)}", 'write {"text": "…"}')
    if "text" not in record:
        fields = f"fields: {name_list(record)}"
        for field, layout in LAYOUTS.items():
            if field in record:
                return Problem(f"{layout}, not a text", fields, 'only records with a field "text" are read here')
        return Problem('no field "text"', fields, 'rename the field with the text to "text"')
    return _of_text(record["text"]) if isinstance(record["text"], str) else _no_string(record["text"])


def text_of_cell(cell: bytes | None) -> DocumentText | Problem:
    """The text of a cell in a column of strings; a file may be wrong in saying that they are UTF-8."""
    if cell is None:
        return _no_string(None)
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


def _no_string(value: Any) -> Problem:
    return Problem(f'"text" is {json_kind(value)}, not a string', advice="write it as a string, or remove it")
