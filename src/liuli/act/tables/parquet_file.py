"""A Parquet file. Before DuckDB makes rows of it, this file finds out how large they are.

A column may name one long text in many rows, so that a few kilobytes become gigabytes. DuckDB's limit on memory does not cover
the texts of the rows that it is working on (measured: 7 GB with a limit of 3). Looking at their lengths costs little, because
the rows then only point to the text.
"""

from pathlib import Path

from liuli.act.tables.database import TableDatabase, quoted_name
from liuli.act.tables.names import check_names
from liuli.act.tables.table import kind_of
from liuli.data.records.parquet_pages import page_sizes, read_chunks
from liuli.data.records.thrift import BrokenThrift
from liuli.data.records.unpacking import most_unpacked, unpacks_to_too_much
from liuli.display import first_line, printable
from liuli.errors import LiuliError

LENGTHS = {"VARCHAR": "strlen", "BLOB": "octet_length"}  # the size of a value in bytes, without a copy of it
AT_ONCE = 2048  # rows that DuckDB works on at a time
MOST_AT_ONCE = 256 << 20  # bytes of the texts of so many rows
MOST_NESTED = 256 << 20  # bytes that the lists and objects of a file may decode to

Leaf = tuple[str, int]  # a stored column: the column of the table that it belongs to, and its number in the file


def read_parquet_table(database: TableDatabase, path: Path, relation: str) -> list[str]:
    """Reads all rows into a new relation with columns c0, c1, …. Returns the names of the columns.

    Raises:
        LiuliError: the file is broken, or becomes too large.
    """
    import duckdb

    link = database.link(path, relation)
    place = str(link)
    try:
        names, leaves = _columns(database.run("SELECT name, num_children FROM parquet_schema(?)", place))
        check_names(path, names)
        types = [str(row[1]) for row in database.run("DESCRIBE SELECT * FROM read_parquet(?)", place)]
        kinds = dict(zip(names, map(kind_of, types), strict=True))
        _check_texts(database, path, place, [each for each in zip(names, types, strict=True) if each[1] in LENGTHS])
        _check_nested(path, [leaf for leaf in leaves if kinds[leaf[0]] == "nested"])
        renamed = ", ".join(f"c{i}" for i in range(len(names)))
        database.run(f"CREATE TABLE {relation} AS SELECT * FROM read_parquet(?) AS t({renamed})", place)
    except (duckdb.Error, UnicodeDecodeError) as error:
        reason = first_line(error).partition("Error: ")[2] or first_line(error)
        raise LiuliError(_broken(path, reason.replace(place, path.name))) from None
    except BrokenThrift as error:
        raise LiuliError(_broken(path, first_line(error))) from None
    finally:
        link.unlink()
    return names


def _broken(path: Path, reason: str) -> str:
    return f"{printable(str(path))}: broken Parquet ({reason[:200]}); download it again, or create it again"


def _columns(schema: list[tuple[str, int | None]]) -> tuple[list[str], list[Leaf]]:
    """The columns of a table, and the stored columns. A schema lists the children of each element after it; the first element
    is the table itself."""
    names: list[str] = []
    leaves: list[Leaf] = []
    place = 1
    while place < len(schema):
        names.append(schema[place][0])
        left = 1
        while left and place < len(schema):
            children = schema[place][1] or 0
            if not children:
                leaves.append((names[-1], len(leaves)))
            left += children - 1
            place += 1
    return names, leaves


def _check_texts(database: TableDatabase, path: Path, place: str, texts: list[tuple[str, str]]) -> None:
    """Raises LiuliError: the texts of all rows, or of the rows that are worked on at a time, take too much memory. `texts`:
    names and types of columns."""
    if not texts:
        return
    size = " + ".join(f"coalesce({LENGTHS[kind]}({quoted_name(name)}), 0)" for name, kind in texts)
    ((total, most),) = database.run(
        f"SELECT coalesce(sum(s), 0), coalesce(max(s), 0) FROM (SELECT sum({size}) AS s FROM "
        f"read_parquet(?, file_row_number = true) GROUP BY file_row_number // {AT_ONCE})",
        place,
    )
    shown = printable(str(path))
    if total > most_unpacked(path.stat().st_size):
        raise LiuliError(unpacks_to_too_much().at(shown))
    if most > MOST_AT_ONCE:
        raise LiuliError(
            f"{shown}: the texts of {AT_ONCE:,} rows take {most >> 20:,} MB, and at most {MOST_AT_ONCE >> 20} MB are read at a "
            f"time: leave out the columns with long texts"
        )


def _check_nested(path: Path, leaves: list[Leaf]) -> None:
    """Raises LiuliError: lists or objects may decode to too much, as the headers of their pages say. BrokenThrift: the headers
    are broken."""
    most = 0
    with path.open("rb") as file:
        for _, index in leaves:
            for chunk in read_chunks(file, index):
                sizes = page_sizes(file, chunk)
                most += chunk.values * (sizes.dictionary + (sizes.total if sizes.prefixed else 0)) + sizes.total
    if most > MOST_NESTED:
        names = ", ".join(printable(name) for name in dict.fromkeys(name for name, _ in leaves))
        raise LiuliError(
            f"{printable(str(path))}: the lists or objects in {names} may take {most >> 20:,} MB, and at most "
            f"{MOST_NESTED >> 20} MB are read: leave these columns out, or store them as text"
        )
