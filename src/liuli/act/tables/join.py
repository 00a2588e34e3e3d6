"""Joins two tables in the database, and reports what matched.

The values of the key columns are counted first, in both tables. So the report and the number of rows of the result are known
before any row is joined, and a join that would multiply rows without end is refused. As in SQL, a row with a null in a key
column matches nothing. The rows of the result are in the order of the left table (of the right one for `right`).
"""

from dataclasses import dataclass
from typing import Any

from liuli.act.tables.database import TableDatabase
from liuli.act.tables.names import new_name
from liuli.act.tables.plan import JoinPlan
from liuli.act.tables.table import Table, TableColumn, describe, plain_value
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.units import counted
from liuli.watch import Watch, unwatched

LISTED = 50  # keys that a report lists of each sort
MOST_TIMES = 20  # rows of a result, times those of both tables; more come from keys that are repeated in both
SMALL = 1_000_000  # rows that any result may have
SQL = {"inner": "JOIN", "left": "LEFT JOIN", "right": "RIGHT JOIN", "outer": "FULL JOIN"}
ORDER = {"right": "r.rowid, l.rowid"}
LEFT_FIRST = "l.rowid NULLS LAST, r.rowid"

Key = list[Any]  # the values of the key columns


@dataclass(frozen=True, slots=True)
class JoinSide(Record):
    """What a join found in one table.

    Attributes:
        matched, unmatched: numbers of rows; together they are all rows. without_key: unmatched rows with a null in the key.
        duplicated: how many keys occur in more than one row.
        unmatched_keys: keys of unmatched rows, in the order of the rows. At most `LISTED`.
        duplicated_keys: keys with their number of rows, the most frequent first. At most `LISTED`.
    """

    table: str
    rows: int
    matched: int
    unmatched: int
    without_key: int
    duplicated: int
    unmatched_keys: list[Key]
    duplicated_keys: list[tuple[Key, int]]


@dataclass(frozen=True, slots=True)
class JoinReport(Record):
    """What a join did.

    Attributes:
        keys: how many keys occur in both tables.
        rows: those of the result.
        renamed: columns of the right table that the left one has too, and their names in the result.
    """

    plan: JoinPlan
    left: JoinSide
    right: JoinSide
    keys: int
    rows: int
    renamed: dict[str, str]


def join_tables(
    database: TableDatabase, left: Table, right: Table, plan: JoinPlan, watch: Watch = unwatched
) -> tuple[Table, JoinReport]:
    """Joins two tables of the database.

    Returns:
        The result, which is a table of the database too, and the report.

    Raises:
        LiuliError: the result would have too many rows; memory or space on the disk is used up.
    """
    pairs = [(left.names.index(name), right.names.index(name)) for name in plan.on]
    keys = [_comparable(left.columns[i], f"l.c{i}", right.columns[j], f"r.c{j}") for i, j in pairs]
    watch("counting keys", 0, 0)
    groups = database.new_relation()
    _count_keys(database, groups, left, right, keys)
    sides = [
        _side(database, groups, table, *names) for table, names in ((left, ("lefts", "rights")), (right, ("rights", "lefts")))
    ]
    ((shared, products),) = database.run(
        f"SELECT count(*), coalesce(sum(lefts::HUGEINT * rights), 0) FROM {groups} "
        f"WHERE lefts IS NOT NULL AND rights IS NOT NULL"
    )
    database.run(f"DROP TABLE {groups}")
    kept = [side.unmatched if plan.how in (how, "outer") else 0 for side, how in zip(sides, ("left", "right"), strict=True)]
    rows = int(products) + sum(kept)
    _refuse_too_many(rows, left, right, plan, sides)
    watch(f"joining {counted(left.rows + right.rows, 'row')}", 0, 0)
    columns, expressions, renamed = _result_columns(left, right, plan, pairs)
    result = database.new_relation()
    condition = " AND ".join(f"{one} = {other}" for one, other in keys)
    database.run(
        f"CREATE TABLE {result} AS SELECT {', '.join(expressions)} FROM {left.relation} l {SQL[plan.how]} {right.relation} r "
        f"ON {condition} ORDER BY {ORDER.get(plan.how, LEFT_FIRST)}"
    )
    table = describe(database, result, f"{left.name} + {right.name}", [column.name for column in columns], typed=True)
    assert table.rows == rows, "the numbers of the keys are those of the join"
    kinds = tuple(TableColumn(one.name, one.kind, other.stored) for one, other in zip(columns, table.columns, strict=True))
    return Table(table.name, kinds, rows, table.sample, result), JoinReport(plan, sides[0], sides[1], shared, rows, renamed)


def _comparable(left: TableColumn, of_left: str, right: TableColumn, of_right: str) -> tuple[str, str]:
    """Expressions for the two columns that are equal if the values are."""
    casts = {"number": "DOUBLE", "boolean": "BOOLEAN"}
    if left.kind == right.kind and left.kind in casts:
        target = casts[left.kind]
    elif left.stored == right.stored:
        return of_left, of_right
    else:
        target = "VARCHAR"
    return f"CAST({of_left} AS {target})", f"CAST({of_right} AS {target})"


def _count_keys(database: TableDatabase, groups: str, left: Table, right: Table, keys: list[tuple[str, str]]) -> None:
    """Makes a relation with each key once: its values k0, k1, …, in how many rows of each table it is (null: in none), and
    the first of these rows."""
    names = [f"k{i}" for i in range(len(keys))]

    def counts(table: Table, alias: str, side: int, count: str, first: str) -> str:
        values = ", ".join(f"{pair[side]} AS {name}" for pair, name in zip(keys, names, strict=True))
        whole = " AND ".join(f"{pair[side]} IS NOT NULL" for pair in keys)
        return (
            f"(SELECT {values}, count(*) AS {count}, min({alias}.rowid) AS {first} FROM {table.relation} {alias} "
            f"WHERE {whole} GROUP BY {', '.join(names)})"
        )

    of_left, of_right = counts(left, "l", 0, "lefts", "left_at"), counts(right, "r", 1, "rights", "right_at")
    database.run(f"CREATE TABLE {groups} AS SELECT * FROM {of_left} FULL JOIN {of_right} USING ({', '.join(names)})")


def _side(database: TableDatabase, groups: str, table: Table, own: str, other: str) -> JoinSide:
    """What the counted keys say about one table, whose counts are in the column `own`."""
    ((whole, matched, duplicated),) = database.run(
        f"SELECT coalesce(sum({own}), 0), coalesce(sum({own}) FILTER ({other} IS NOT NULL), 0), count(*) FILTER ({own} > 1) "
        f"FROM {groups}"
    )
    first = f"{own.removesuffix('s')}_at"
    values = f"SELECT COLUMNS('^k[0-9]+$') FROM {groups}"
    lonely = database.run(f"{values} WHERE {other} IS NULL ORDER BY {first} LIMIT {LISTED}")
    several = database.run(
        f"SELECT {own}, COLUMNS('^k[0-9]+$') FROM {groups} WHERE {own} > 1 ORDER BY {own} DESC, {first} LIMIT {LISTED}"
    )
    return JoinSide(
        table.name,
        table.rows,
        int(matched),
        table.rows - int(matched),
        table.rows - int(whole),
        duplicated,
        [list(map(plain_value, key)) for key in lonely],
        [(list(map(plain_value, key)), count) for count, *key in several],
    )


def _refuse_too_many(rows: int, left: Table, right: Table, plan: JoinPlan, sides: list[JoinSide]) -> None:
    if rows > max(SMALL, MOST_TIMES * (left.rows + right.rows)):
        names = ", ".join(map(printable, plan.on))
        repeated = " and ".join(f"{counted(side.duplicated, 'key')} in {printable(side.table)}" for side in sides)
        raise LiuliError(
            f"joining on {names} would make {rows:,} rows out of {left.rows:,} and {right.rows:,}, because the same keys occur "
            f"in many rows of both tables ({repeated}); join on more columns, or remove the repeated rows first"
        )


def _result_columns(
    left: Table, right: Table, plan: JoinPlan, pairs: list[tuple[int, int]]
) -> tuple[list[TableColumn], list[str], dict[str, str]]:
    """The columns of the result, the expressions for their values, and new names of the right table's columns."""
    keys = dict(pairs)
    columns: list[TableColumn] = []
    expressions: list[str] = []
    for i, column in enumerate(left.columns):
        value = f"l.c{i}"
        if i in keys:
            other = right.columns[keys[i]]
            value = f"coalesce(l.c{i}, {_as_left(column, other, keys[i])})"
            column = column if column.kind == other.kind else TableColumn(column.name, "text", column.stored)
        columns.append(column)
        expressions.append(value)
    taken = {name.casefold() for name in left.names} | {name.casefold() for name in right.names}
    in_left = {name.casefold() for name in left.names}
    renamed: dict[str, str] = {}
    for j, column in enumerate(right.columns):
        if j in keys.values():
            continue
        name = column.name
        if name.casefold() in in_left:
            name = renamed[column.name] = new_name(column.name, right.name, taken)
        columns.append(TableColumn(name, column.kind, column.stored))
        expressions.append(f"r.c{j}")
    return columns, [f"{value} AS c{n}" for n, value in enumerate(expressions)], renamed


def _as_left(left: TableColumn, right: TableColumn, place: int) -> str:
    """A key of the right table, stored as the left one's."""
    if left.stored == right.stored:
        return f"r.c{place}"
    if left.kind == right.kind or left.stored == "VARCHAR":
        return f"CAST(r.c{place} AS {left.stored})"
    return f"CAST(r.c{place} AS VARCHAR)"
