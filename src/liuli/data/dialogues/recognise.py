"""Whether sources hold dialogues or text. Some formats of files may hold either; then the first record decides."""

from dataclasses import replace
from typing import Any

from liuli.data.dialogues.dialogues import DIALOGUES, open_dialogue_reader
from liuli.data.dialogues.layouts import DIALOGUE, has_layout
from liuli.data.records.bounded_json import json_kind
from liuli.data.records.find_files import SourceNames, find_files, name_texts
from liuli.data.records.parquet_table import open_parquet
from liuli.data.records.problem import Problem, Unreadable
from liuli.data.records.readers import RecordReader, format_of
from liuli.data.records.source_files import FileFormats, SourceFile
from liuli.data.text.readers import TEXTS
from liuli.errors import LiuliError

EITHER = FileFormats(what="text or dialogues", known=TEXTS.known, piped="text", suffixes=DIALOGUES.suffixes | TEXTS.suffixes)


def hold_dialogues(names: SourceNames) -> bool:
    """Whether the first record that can be read in these sources is a dialogue, in one of the layouts of `layouts.py`.

    A `.txt` or `.md` file and standard input are text, a `.tsv`, `.yml` or `.yaml` file holds dialogues. Sources that cannot
    be read count as text; reading them later reports why.
    """
    found = [name for name in name_texts(names) if name != "-"]
    try:
        files = find_files(found, EITHER) if found else []
    except LiuliError:
        return False
    for file in files:
        try:
            dialogues = _holds_dialogues(file)
        except (Unreadable, LiuliError):
            continue
        if dialogues is not None:
            return dialogues
    return False


def _holds_dialogues(file: SourceFile) -> bool | None:
    """None: it has no record that can be read. Raises Unreadable: the file cannot be read."""
    match format_of(file):
        case "text":
            return False
        case "turns" | "yaml":
            return True
        case "parquet":
            with file.open() as stream:
                return _is_dialogue(dict.fromkeys(open_parquet(stream).schema_arrow.names)) is True
        case _:
            reader: RecordReader[Any] = open_dialogue_reader(file, replace(DIALOGUE, make=_is_dialogue))
            return next((found for _, found in reader.records() if not isinstance(found, Problem)), None)


def _is_dialogue(record: Any) -> Any:
    """Whether a record is meant as a dialogue and not as a text."""
    if not isinstance(record, dict):
        return Problem("the record is not an object", f"found {json_kind(record)}", 'write {"messages": […]}')
    return "text" not in record and has_layout(record)
