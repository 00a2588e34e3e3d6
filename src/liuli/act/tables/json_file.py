"""A JSON file: a list of objects, or one object per line. DuckDB reads it, and limits its nesting.

Texts stay texts, also those that look like dates. A field whose values are of several types, or lists or objects, is kept as
JSON; tables cannot be joined on it. A field that an object lacks is null.
"""

import re
from pathlib import Path

from liuli.act.tables.database import TableDatabase, quoted_text
from liuli.act.tables.names import check_names
from liuli.act.tables.text_file import open_text
from liuli.data.records.bounded_json import parse_json
from liuli.data.records.problem import Problem
from liuli.display import printable
from liuli.errors import LiuliError

HEAD = 1 << 16  # bytes of white space that may stand before the first bracket
LONGEST = 1 << 24  # bytes of an object that DuckDB reads
RECORD = re.compile(r"in (?:record/value|line) (\d+): *")
TEXTS = ("VARCHAR", "DATE", "TIME", "TIMESTAMP", "UUID")  # types that DuckDB finds for strings
SCALARS = ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE", "BOOLEAN")


def read_json_table(database: TableDatabase, path: Path, relation: str) -> list[str]:
    """Reads all objects into a new relation with columns c0, c1, …. Returns the names of the columns, in the order in which
    they first occur.

    Raises:
        LiuliError: the file is no list of objects, with the line or the number of the object.
    """
    import duckdb

    text = open_text(database, path, relation)
    start = text.head(HEAD).lstrip()
    if not start:
        raise LiuliError(f"{printable(str(path))} is empty: give a list of objects, or one object per line")
    layout = "array" if start.startswith("[") else "newline_delimited"
    place = str(text.path)
    try:
        names = _names(database, place, layout, path)
        source = f"read_json(?, format = '{layout}', records = 'true'"
        found = database.run(
            f"DESCRIBE SELECT * FROM {source}, sample_size = -1, maximum_depth = 2, map_inference_threshold = -1)", place
        )
        types = {str(name): _stored(str(kind)) for name, kind, *_ in found}
        columns = ", ".join(f"{quoted_text(name)}: {quoted_text(types[name])}" for name in names)
        renamed = ", ".join(f"c{i}" for i in range(len(names)))
        database.run(f"CREATE TABLE {relation} AS SELECT * FROM {source}, columns = {{{columns}}}) AS t({renamed})", place)
    except duckdb.Error as error:
        raise LiuliError(_broken_line(text.path, path) or _explained(str(error), path)) from None
    finally:
        text.path.unlink()
    return names


def _names(database: TableDatabase, place: str, layout: str, path: Path) -> list[str]:
    """The names of the fields of all objects. Raises LiuliError: there are no objects, or something else."""
    objects = f"read_json_objects(?, format = '{layout}')"
    kinds = dict(database.run(f"SELECT json_type(json), count(*) FROM {objects} GROUP BY 1", place))
    if not kinds:
        raise LiuliError(f"{printable(str(path))} contains no rows: give a list of objects, or one object per line")
    if kinds.keys() != {"OBJECT"}:
        ((row, kind),) = database.run(
            f"SELECT n, kind FROM (SELECT row_number() OVER () AS n, json_type(json) AS kind FROM {objects}) "
            f"WHERE kind IS DISTINCT FROM 'OBJECT' ORDER BY n LIMIT 1",
            place,
        )
        wrong = printable(str(kind or "null").lower())
        raise LiuliError(
            f"{printable(str(path))}: value number {row} is of type {wrong}, not an object; each row must be an object"
        )
    keys = f"SELECT json_keys(json) AS found, row_number() OVER () AS n FROM {objects}"
    each = f"SELECT unnest(found) AS name, generate_subscripts(found, 1) AS i, n FROM ({keys})"
    names = [str(name) for (name,) in database.run(f"SELECT name FROM ({each}) GROUP BY name ORDER BY min(n), min(i)", place)]
    check_names(path, names)
    return names


def _stored(kind: str) -> str:
    """The type of a column, given what DuckDB finds."""
    if kind.startswith(TEXTS):
        return "VARCHAR"
    return kind if kind in SCALARS else "JSON"


def _broken_line(text: Path, path: Path) -> str | None:
    """What is wrong with the first broken line, if the file has an object per line; DuckDB does not count the lines exactly."""
    with text.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST):
            number += 1
            if number == 1 and line.lstrip()[:1] == b"[":
                return None  # a list
            found = parse_json(line) if line.strip() else None
            if isinstance(found, Problem):
                return found.at(f"{printable(str(path))}:{number}")
    return None


def _explained(said: str, path: Path) -> str:
    """What DuckDB says about a list of objects, in our words."""
    record = RECORD.search(said)
    where = printable(str(path)) + (f": object number {record[1]}" if record else "")
    first = said.splitlines()[0]
    reason = first[record.end() :] if record else first.partition("Error: ")[2] or first
    return f"{where}: broken JSON ({printable(reason)[:200]}); correct the file"
