"""A CSV file: its encoding, its delimiter and its header are found here, its rows are read by DuckDB.

A cell is text. An empty cell is null. A row with more or fewer cells than the header is an error, never padded.
"""

import csv
import io
import re
from pathlib import Path

from liuli.act.tables.database import TableDatabase, quoted_text
from liuli.act.tables.names import check_names
from liuli.act.tables.text_file import TextFile, open_text
from liuli.display import first_line, printable
from liuli.errors import LiuliError

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
HEAD = 1 << 18  # bytes in which the header must end
LINES = 50  # at the beginning, which decide the delimiter
PLACE = re.compile(r"on Line: (\d+)")
CELLS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
REASONS = {  # parts of DuckDB's messages
    "unterminated quote": 'a quotation mark is not closed; close it, or double it ("") if it belongs to the text',
    "Maximum line size": "a line longer than 2 MB; the quotation marks before it may be wrong",
    "Invalid unicode": "broken UTF-8; save the file as UTF-8",
}


def read_csv(database: TableDatabase, path: Path, relation: str) -> list[str]:
    """Reads all rows into a new relation with columns c0, c1, …, all of them text. Returns the names of the columns.

    Raises:
        LiuliError: the file is no table, with the line.
    """
    import duckdb

    text = open_text(database, path, relation)
    delimiter, header = _header(text, path)
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(header)))
    try:
        database.run(
            f"CREATE TABLE {relation} AS SELECT * FROM read_csv(?, delim = {quoted_text(delimiter)}, quote = '\"', "
            f"escape = '\"', header = true, auto_detect = false, strict_mode = true, nullstr = '', columns = {{{columns}}})",
            str(text.path),
        )
    except duckdb.Error as error:
        raise LiuliError(_explained(str(error), path, delimiter)) from None
    finally:
        text.path.unlink()
    return header


def _header(text: TextFile, path: Path) -> tuple[str, list[str]]:
    """The delimiter, and the names in the first row. Raises LiuliError: they are missing, or two are the same."""
    head = text.head(HEAD)
    lines = head.splitlines(keepends=True)[:LINES]
    if not head.strip():
        raise LiuliError(f"{printable(str(path))} is empty: give a table with a header and rows")
    delimiter = max(DELIMITERS, key=lambda each: _agreement(lines, each))
    try:
        names = next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter))
    except (csv.Error, StopIteration) as error:
        raise LiuliError(f"{printable(str(path))}:1: the header cannot be read ({first_line(error)}); correct it") from None
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(names)]
    check_names(path, names)
    return delimiter, names


def _agreement(lines: list[str], delimiter: str) -> tuple[int, int]:
    """How well a delimiter fits: how many rows have as many cells as the first, if that has several; and how many it has."""
    try:
        sizes = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return 0, 0
    return (sizes.count(sizes[0]), sizes[0]) if sizes and sizes[0] > 1 else (0, 0)


def _explained(said: str, path: Path, delimiter: str) -> str:
    """What DuckDB says about a CSV file, in our words: where, what, what to do."""
    place, cells = PLACE.search(said), CELLS.search(said)
    where = printable(str(path)) + (f":{place[1]}" if place else "")
    if cells:
        expected, found = cells[1], cells[2]
        return (
            f"{where}: {found} cells, but the header has {expected} (separated by {DELIMITERS[delimiter]}); correct the line, "
            f"or put cells that contain the separator in quotation marks"
        )
    reason = next((ours for theirs, ours in REASONS.items() if theirs in said), None)
    return f"{where}: {reason}" if reason else f"{where}: broken CSV ({printable(said.splitlines()[0])}); correct the file"
