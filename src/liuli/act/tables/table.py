"""A table: its columns with their types, and its rows in the database.

The names of columns come from files. They are foreign text: in the database the columns are called c0, c1, … in their order.

A CSV file has no types. Its cells stay the text that they are, so that 000001 keeps its zeros and nothing is rounded. A column
is called an integer, a number, a date or a boolean only if every cell in it is one, in a form that could be written back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from liuli.act.tables.database import TableDatabase
from liuli.display import printable
from liuli.fields import Record, as_json

Kind = Literal["integer", "number", "text", "date", "time", "boolean", "nested", "empty"]

SAMPLED = 5  # rows that a table remembers
LOOKED_AT = 1000  # rows that decide which kind a column of texts may have; then all rows are checked
TESTS: dict[Kind, str] = {  # what every cell of a column of texts must fulfil to be of a kind, in the order they are tried
    "integer": "TRY_CAST({c} AS BIGINT)::VARCHAR IS NOT DISTINCT FROM {c}",
    "number": r"regexp_full_match({c}, '-?(0|[1-9][0-9]{{0,14}})(\.[0-9]+)?([eE][-+]?[0-9]{{1,2}})?')",
    "date": r"regexp_full_match({c}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') AND TRY_CAST({c} AS DATE) IS NOT NULL",
    "boolean": "{c} IN ('true', 'false', 'True', 'False', 'TRUE', 'FALSE')",
}
KINDS: dict[str, Kind] = {  # by DuckDB's type, without its parameters
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "integer"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "integer"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "number"),
    **dict.fromkeys(("VARCHAR", "UUID", "ENUM"), "text"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIME"), "time"),
    "BOOLEAN": "boolean",
    "DATE": "date",
}


@dataclass(frozen=True, slots=True)
class TableColumn(Record):
    """A column.

    Attributes:
        name: as it is in the file, or a new one if two tables had the same.
        kind: what its cells are. "nested": lists and objects. "empty": there are no values.
        stored: DuckDB's type.
    """

    name: str
    kind: Kind
    stored: str


@dataclass(frozen=True, slots=True)
class Table(Record):
    """A table in a database.

    Attributes:
        name: its name for people.
        rows: how many there are.
        sample: the first rows, with values that JSON has.
        relation: its name in the database.
    """

    name: str
    columns: tuple[TableColumn, ...]
    rows: int
    sample: tuple[tuple[Any, ...], ...]
    relation: str

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def records(self, count: int = SAMPLED) -> list[dict[str, Any]]:
        """The first rows as JSON objects, at most `SAMPLED`."""
        return [dict(zip(self.names, row, strict=True)) for row in self.sample[:count]]


def describe(database: TableDatabase, relation: str, name: str, columns: Sequence[str], typed: bool) -> Table:
    """A table that is in the database, with the kinds of its columns.

    Args:
        columns: their names in order.
        typed: whether the file had types. If it had none, the kinds are found from all cells.
    """
    stored = [str(row[1]) for row in database.run(f"DESCRIBE {relation}")]
    counts = ", ".join(["count(*)", *(f"count(c{i})" for i in range(len(columns)))])
    ((rows, *values),) = database.run(f"SELECT {counts} FROM {relation}")
    kinds: list[Kind] = [kind_of(kind) if count else "empty" for kind, count in zip(stored, values, strict=True)]
    if not typed:
        kinds = _kinds_of_texts(database, relation, kinds)
    found = tuple(map(TableColumn, columns, kinds, stored))
    sample = tuple(tuple(map(plain_value, row)) for row in database.run(f"SELECT * FROM {relation} LIMIT {SAMPLED}"))
    return Table(name, found, rows, sample, relation)


def plain_value(value: Any) -> Any:
    """A cell as JSON has it: dates and exact numbers become text, and bytes become their printable characters."""
    if isinstance(value, dict):
        return {str(key): plain_value(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(part) for part in value]
    if isinstance(value, (date, datetime, Decimal)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return printable(value.decode(errors="replace"))
    return as_json(value) if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def kind_of(stored: str) -> Kind:
    """What the values of one of DuckDB's types are."""
    return KINDS.get(stored.split("(")[0], "nested") if not stored.endswith("[]") else "nested"


def _kinds_of_texts(database: TableDatabase, relation: str, kinds: list[Kind]) -> list[Kind]:
    """The kinds of columns of texts. A kind that the first rows allow is checked on all rows; if a later row is not of it, the
    next kind is tried."""
    found = list(kinds)
    some = f"(SELECT * FROM {relation} LIMIT {LOOKED_AT})"
    texts = [i for i, kind in enumerate(kinds) if kind == "text"]
    if not texts:
        return found
    wrong: dict[Kind, dict[int, int]] = {
        kind: _failures(database, some, dict[int, Kind].fromkeys(texts, kind)) for kind in TESTS
    }
    possible: dict[int, list[Kind]] = {i: [kind for kind in TESTS if not wrong[kind][i]] for i in texts}
    while True:
        tried: dict[int, Kind] = {i: kinds_left[0] for i, kinds_left in possible.items() if kinds_left}
        if not tried:
            return found
        failures = _failures(database, relation, tried)
        for i, kind in tried.items():
            if failures[i]:
                possible[i].pop(0)
            else:
                found[i] = kind
                possible[i] = []


def _failures(database: TableDatabase, source: str, tried: Mapping[int, Kind]) -> dict[int, int]:
    """How many cells of each column are not of the kind that is tried."""
    tests = [f"count(*) FILTER (c{i} IS NOT NULL AND NOT ({TESTS[kind].format(c=f'c{i}')}))" for i, kind in tried.items()]
    ((*counts,),) = database.run(f"SELECT {', '.join(tests)} FROM {source}")
    return dict(zip(tried, counts, strict=True))
