"""TableTools: looks up, filters, aggregates and joins the user's tables. A model never writes SQL: it names tables and columns,
which are checked, and gives values, which are bound as parameters.

The tables are read by DuckDB into a database in memory. Then the database is locked: it can open nothing but these files.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
from pydantic import Field

from liuli.act.observation import ToolError
from liuli.act.toolbox import Toolbox
from liuli.display import first_line, printable
from liuli.errors import LiuliError

READERS = {
    ".csv": "read_csv({}, header = true, sample_size = -1)",
    ".tsv": "read_csv({}, header = true, sample_size = -1)",
    ".json": "read_json({})",
    ".jsonl": "read_json({})",
    ".ndjson": "read_json({})",
    ".parquet": "read_parquet({})",
}
NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")  # DuckDB's names of types
WHOLE = re.compile(r"[+-]?\d{1,30}")
MOST_ROWS = 50  # in one answer
MOST_JOINED = 5_000_000  # rows of a join
MEMORY = "2GB"
AGGREGATES = {"count": "count", "sum": "sum", "mean": "avg", "min": "min", "max": "max", "median": "median"}
JOINS = {"inner": "INNER", "left": "LEFT", "right": "RIGHT", "outer": "FULL"}

Limit = Annotated[int, Field(ge=1, le=MOST_ROWS)]


@dataclass(frozen=True)
class RowFilter:
    """A condition on one column. Text is compared without regard to upper and lower case."""

    column: str
    operator: Literal["=", "!=", "<", "<=", ">", ">=", "contains"]
    value: str | int | float | bool


class TableTools(Toolbox):
    """Tools over tables.

    Args:
        paths: CSV, JSON and Parquet files, and folders of them (without their subfolders). A table is called like its file.

    Raises:
        LiuliError: there is no such file; it is not a table; two tables have one name.
    """

    def __init__(self, paths: Sequence[Path]):
        files = [file for path in paths for file in _table_files(path)]
        self._database = duckdb.connect(config={"memory_limit": MEMORY, "autoinstall_known_extensions": False})
        self._columns: dict[str, dict[str, str]] = {}  # of each table: its columns with their types
        for file in files:
            self._read(file)
        allowed = ", ".join(_text(str(file.resolve())) for file in files)
        self._database.execute(
            f"SET allowed_paths = [{allowed}]; SET enable_external_access = false; SET lock_configuration = true"
        )

    def list_tables(self) -> list[dict[str, Any]]:
        """List all tables with their numbers of rows and their columns. 列出所有表格。"""
        return [{"table": name, "rows": self._count(name), "columns": list(columns)} for name, columns in self._columns.items()]

    def describe_table(self, table: str) -> dict[str, Any]:
        """Describe a table: its columns with their types, and its first rows. 查看表格的列和前几行。

        Args:
            table: its name
        """
        name = self._table(table)
        rows = self._rows(f"SELECT * FROM {_name(name)} LIMIT 3")
        return {"table": name, "rows": self._count(name), "columns": self._columns[name], "first_rows": rows}

    def find_rows(
        self,
        table: str,
        where: list[RowFilter] = [],  # noqa: B006 (is never changed, and is shown in the schema)
        columns: list[str] = [],  # noqa: B006
        order_by: str = "",
        descending: bool = False,
        limit: Limit = 10,
    ) -> dict[str, Any]:
        """Find the rows of a table that fulfil all conditions. 按条件查找表格中的行。

        Args:
            table: its name
            where: the conditions
            columns: the columns to return; none: all
            order_by: the column to sort by
            limit: how many rows to return
        """
        name = self._table(table)
        conditions, values = self._conditions(name, where)
        shown = ", ".join(_name(self._column(name, column)) for column in columns) or "*"
        order = (
            f" ORDER BY {_name(self._column(name, order_by))} {'DESC' if descending else 'ASC'} NULLS LAST" if order_by else ""
        )
        rows = self._rows(f"SELECT {shown} FROM {_name(name)}{conditions}{order} LIMIT {limit}", values)
        return {"matching_rows": self._count(name, conditions, values), "rows": rows}

    def aggregate(
        self,
        table: str,
        function: Literal["count", "sum", "mean", "min", "max", "median"],
        column: str = "",
        group_by: list[str] = [],  # noqa: B006
        where: list[RowFilter] = [],  # noqa: B006
        limit: Limit = 10,
    ) -> list[dict[str, Any]]:
        """Compute one number of a column, over all rows or per group (the largest first). 对一列求和、平均、计数等，可分组。

        Args:
            table: its name
            column: not needed for count
            group_by: the columns whose values make the groups
            where: conditions on the rows
            limit: how many groups to return
        """
        name = self._table(table)
        if not column and function != "count":
            raise ToolError(f"Name the column: {function} needs one.")
        target = _name(self._column(name, column)) if column else "*"
        if function in ("sum", "mean", "median") and not self._is_numeric(name, self._column(name, column)):
            raise ToolError(f"The column {column} does not hold numbers, so it has no {function}.")
        conditions, values = self._conditions(name, where)
        groups = [_name(self._column(name, each)) for each in group_by]
        grouping = f" GROUP BY {', '.join(groups)}" if groups else ""
        result = _name(f"{function}_{column}" if column else function)
        query = (
            f"SELECT {''.join(f'{each}, ' for each in groups)}{AGGREGATES[function]}({target}) AS {result} FROM {_name(name)}"
        )
        return self._rows(f"{query}{conditions}{grouping} ORDER BY {result} DESC NULLS LAST LIMIT {limit}", values)

    def join_tables(
        self, left: str, right: str, on: list[str], how: Literal["inner", "left", "right", "outer"]
    ) -> dict[str, Any]:
        """Join two tables on columns that both have. 按共同的列连接两个表格。The result is a new table for the other tools.

        Args:
            on: the columns
            how: which rows to keep: inner (only those with a match), left, right or outer (all rows of that table or of both)
        """
        first, second = self._table(left), self._table(right)
        if not on:
            shared = [column for column in self._columns[first] if column in self._columns[second]]
            raise ToolError(f"Name the columns to join on. Both tables have: {', '.join(shared) or 'none'}.")
        keys = [(self._column(first, each), self._column(second, each)) for each in dict.fromkeys(on)]
        for a, b in keys:
            if self._is_numeric(first, a) != self._is_numeric(second, b):
                raise ToolError(f"{a} holds numbers in one table and not in the other, so the tables cannot be joined on it.")
        match = " AND ".join(f"a.{_name(a)} = b.{_name(b)}" for a, b in keys)
        self._check_size(first, second, keys)
        name = self._new_name(f"{first}_{second}")
        columns = ", ".join(_joined_columns(list(self._columns[first]), list(self._columns[second]), keys))
        joined = f"{_name(first)} a {JOINS[how]} JOIN {_name(second)} b ON {match}"
        self._cursor(f"CREATE TABLE {_name(name)} AS SELECT {columns} FROM {joined}")
        self._columns[name] = self._columns_of(name)
        lone = "SELECT count(*) FROM {} a WHERE NOT EXISTS (SELECT 1 FROM {} b WHERE {})"
        swapped = " AND ".join(f"a.{_name(b)} = b.{_name(a)}" for a, b in keys)
        return {
            "table": name,
            "rows": self._count(name),
            "columns": list(self._columns[name]),
            f"rows_of_{first}_without_match": self._number(lone.format(_name(first), _name(second), match)),
            f"rows_of_{second}_without_match": self._number(lone.format(_name(second), _name(first), swapped)),
        }

    def _read(self, file: Path) -> None:
        name = file.stem
        if name in self._columns:
            raise LiuliError(f"two tables are called {printable(name)}: rename one of the files")
        if not file.stat().st_size:
            raise LiuliError(f"{printable(str(file))} cannot be read as a table: it is empty")
        kind = "VIEW" if file.suffix.lower() == ".parquet" else "TABLE"  # Parquet is read column by column when it is needed
        source = READERS[file.suffix.lower()].format(_text(str(file.resolve())))
        try:
            self._database.execute(f"CREATE {kind} {_name(name)} AS SELECT * FROM {source}")
            self._columns[name] = self._columns_of(name)
        except duckdb.Error as error:
            raise LiuliError(f"{printable(str(file))} cannot be read as a table: {first_line(error)}") from None

    def _columns_of(self, table: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self._cursor(f"DESCRIBE {_name(table)}").fetchall()}

    def _table(self, name: str) -> str:
        return _one_of(name, list(self._columns), "table")

    def _column(self, table: str, name: str) -> str:
        return _one_of(name, list(self._columns[table]), f"column of {table}")

    def _is_numeric(self, table: str, column: str) -> bool:
        return NUMERIC.fullmatch(self._columns[table][column]) is not None

    def _conditions(self, table: str, where: list[RowFilter]) -> tuple[str, list[Any]]:
        parts, values = [], []
        for each in where:
            column = self._column(table, each.column)
            kind = self._columns[table][column]
            if each.operator == "contains":
                parts.append(f"contains(lower(CAST({_name(column)} AS VARCHAR)), lower(CAST(? AS VARCHAR)))")
            elif kind == "VARCHAR":
                parts.append(f"lower({_name(column)}) {each.operator} lower(CAST(? AS VARCHAR))")
            else:
                if self._is_numeric(table, column):  # whole numbers exactly, and 5.5 is not rounded to the column's type
                    kind = "HUGEINT" if WHOLE.fullmatch(str(each.value)) else "DOUBLE"
                if self._number(f"SELECT TRY_CAST(? AS {kind}) IS NULL", [str(each.value)]):
                    raise ToolError(
                        f"{each.value!r} cannot be compared with {column}, whose type is {self._columns[table][column]}."
                    )
                parts.append(f"{_name(column)} {each.operator} CAST(? AS {kind})")
            values.append(str(each.value))
        return (f" WHERE {' AND '.join(parts)}" if parts else ""), values

    def _check_size(self, first: str, second: str, keys: list[tuple[str, str]]) -> None:
        """Counts the rows of a join before it is made: many equal keys on both sides multiply."""
        counts = "(SELECT {0}, count(*) AS n FROM {1} GROUP BY {0})"
        left = counts.format(", ".join(f"{_name(a)}" for a, _ in keys), _name(first))
        right = counts.format(", ".join(f"{_name(b)}" for _, b in keys), _name(second))
        match = " AND ".join(f"a.{_name(a)} = b.{_name(b)}" for a, b in keys)
        rows = self._number(f"SELECT coalesce(sum(a.n * b.n), 0) FROM {left} a JOIN {right} b ON {match}")
        if rows + self._count(first) + self._count(second) > MOST_JOINED:
            raise ToolError(
                f"The join would have more than {MOST_JOINED:,} rows, because values of {keys[0][0]} occur many times."
            )

    def _new_name(self, wanted: str) -> str:
        number, name = 1, wanted
        while name in self._columns:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def _count(self, table: str, conditions: str = "", values: Sequence[Any] = ()) -> int:
        return self._number(f"SELECT count(*) FROM {_name(table)}{conditions}", values)

    def _number(self, query: str, values: Sequence[Any] = ()) -> int:
        row = self._cursor(query, values).fetchone()
        return int(row[0]) if row else 0

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        found = self._cursor(query, values)
        names = [each[0] for each in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _cursor(self, query: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        """A cursor of its own: calls run in threads, and one whose time is over may still be busy."""
        return self._database.cursor().execute(query, list(values))


def _table_files(path: Path) -> list[Path]:
    shown = printable(str(path))
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in READERS and file.is_file())
        if not found:
            raise LiuliError(f"the folder {shown} has no tables: it holds none of {', '.join(READERS)}")
        return found
    if not path.is_file():
        raise LiuliError(f"there is no file or folder {shown}; give a CSV, JSON or Parquet file, or a folder of them")
    if path.suffix.lower() not in READERS:
        raise LiuliError(f"{shown} is not a table: its name must end with one of {', '.join(READERS)}")
    return [path]


def _joined_columns(left: list[str], right: list[str], keys: list[tuple[str, str]]) -> list[str]:
    """The columns of a join: each key once, then the others. A name that both tables have gets _right in the second."""
    pairs, second = dict(keys), {b for _, b in keys}
    columns = [f"coalesce(a.{_name(c)}, b.{_name(pairs[c])}) AS {_name(c)}" if c in pairs else f"a.{_name(c)}" for c in left]
    return columns + [f"b.{_name(c)} AS {_name(f'{c}_right' if c in left else c)}" for c in right if c not in second]


def _one_of(name: str, names: list[str], what: str) -> str:
    """The name as it is written in the table. Upper and lower case need not be right."""
    if name in names:
        return name
    same = [each for each in names if each.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    close = get_close_matches(name, names, 1, 0.6)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise ToolError(f"There is no {what} {name!r}.{guess} There are: {', '.join(names)}.")


def _name(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"
