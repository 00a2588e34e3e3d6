"""Writes a table to a new file: CSV, JSON or Parquet, by its suffix."""

import os
from pathlib import Path

from liuli.act.tables.database import TableDatabase, quoted_name, quoted_text
from liuli.act.tables.table import Table, TableColumn
from liuli.display import first_line, printable, why
from liuli.errors import LiuliError
from liuli.files import write_whole
from liuli.output_paths import check_new_file, parents_of

FORMATS = {  # by suffix
    ".csv": "FORMAT csv, HEADER true",
    ".json": "FORMAT json, ARRAY true",
    ".jsonl": "FORMAT json",
    ".parquet": "FORMAT parquet, COMPRESSION zstd",
}
TYPES = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}  # of cells that are stored as texts


def check_new_table(path: str | Path) -> None:
    """Checks that a new table can be written to `path`. Changes nothing.

    Raises:
        LiuliError: its suffix is not known; see `check_new_file`.
    """
    check_new_file(path)
    if Path(path).suffix.lower() not in FORMATS:
        raise LiuliError(f"{printable(str(path))}: the name of a table must end with {', '.join(FORMATS)}; give such a name")


def write_table(database: TableDatabase, table: Table, path: Path) -> None:
    """Writes all rows to a new file, at once. `part_of(path)` must be one of the database's paths.

    Raises:
        LiuliError: something of that name exists; the disk is full.
    """
    import duckdb

    check_new_table(path)
    suffix = path.suffix.lower()
    values = ", ".join(f"{_written(column, i, suffix)} AS {quoted_name(column.name)}" for i, column in enumerate(table.columns))

    def fill(part: Path) -> None:
        target = quoted_text(str(part.resolve()))
        database.run(f"COPY (SELECT {values} FROM {table.relation}) TO {target} ({FORMATS[suffix]}, USE_TMP_FILE false)")
        os.chmod(part, 0o666 & ~_umask())

    try:
        with parents_of(path):
            write_whole(path, fill)
    except OSError as error:
        raise LiuliError(f"{printable(str(path))} cannot be written: {why(error)}") from None
    except duckdb.Error as error:
        raise LiuliError(f"{printable(str(path))} cannot be written: {first_line(error)}") from None


def _written(column: TableColumn, place: int, suffix: str) -> str:
    """The expression for a cell in a file of that type. A CSV file gets the texts that were read; the others have numbers."""
    value = f"c{place}"
    if suffix == ".csv":
        return f"to_json({value})" if column.kind == "nested" else value
    if column.stored == "VARCHAR" and column.kind in TYPES:
        value = f"CAST({value} AS {TYPES[column.kind]})"
    if suffix != ".parquet" and column.kind == "number":
        return f"CASE WHEN isfinite({value}) THEN {value} END"  # JSON has no infinity
    return value


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found
