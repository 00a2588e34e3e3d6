"""Opens a file as a table: CSV, JSON or Parquet, by its suffix. All of its rows are read into the database.

So a file that is broken anywhere is refused before anything is done with it. Nothing in a file is executed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from liuli.act.tables.csv_file import read_csv
from liuli.act.tables.database import TableDatabase
from liuli.act.tables.json_file import read_json_table
from liuli.act.tables.parquet_file import read_parquet_table
from liuli.act.tables.table import Table, describe
from liuli.data.records.source_files import open_regular
from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.files import refuse_lfs_pointer
from liuli.watch import Watch, unwatched

READERS: dict[str, Callable[[TableDatabase, Path, str], list[str]]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json_table,
    ".jsonl": read_json_table,
    ".ndjson": read_json_table,
    ".parquet": read_parquet_table,
}
SUFFIXES = tuple(READERS)


def check_table(path: Path) -> None:
    """Checks that there is such a file, and that its suffix is known. Reads nothing of it.

    Raises:
        LiuliError: there is no such file, or it is not a table.
    """
    shown = printable(str(path))
    if path.suffix.lower() not in SUFFIXES:
        raise LiuliError(f"{shown}: Liuli does not read tables from files of this type; it reads {', '.join(SUFFIXES)}")
    try:
        with open_regular(path) as file:
            if not file.read(1):
                raise LiuliError(f"{shown} is empty: give a table with a header and rows")
        refuse_lfs_pointer(path)
    except FileNotFoundError:
        raise LiuliError(f"there is no file {shown}; give the name of a table") from None
    except OSError as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}; give another file") from None


def open_tables(database: TableDatabase, paths: Sequence[Path], watch: Watch = unwatched) -> list[Table]:
    """Reads files into tables. The name of a table is that of its file, with a number if another has it.

    Raises:
        LiuliError: a file is not there, empty, broken, or has two columns of one name. The message names the file and, if it
            is known, the line.
    """
    tables: list[Table] = []
    for done, path in enumerate(paths):
        watch(f"reading {path.name}", done, len(paths))
        names = {table.name for table in tables}
        name, number = path.stem, 2
        while name in names:
            name, number = f"{path.stem} {number}", number + 1
        tables.append(open_table(database, path, name))
    return tables


def open_table(database: TableDatabase, path: Path, name: str) -> Table:
    """Reads one file; see `open_tables`."""
    check_table(path)
    relation = database.new_relation()
    try:
        columns = READERS[path.suffix.lower()](database, path, relation)
    except OSError as error:
        raise LiuliError(f"{printable(str(path))} cannot be read: {why(error)}") from None
    typed = path.suffix.lower() not in (".csv", ".tsv")
    table = describe(database, relation, name, columns, typed)
    if not table.rows:
        raise LiuliError(f"{printable(str(path))} contains no rows: give a table with a header and rows")
    return table
