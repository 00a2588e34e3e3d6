"""How two tables are joined: on which columns, and what happens to rows without a match.

`{"on": ["报告期", "机构全称"], "how": "outer"}`: the articles' format, and that of pandas. Only columns that both tables have
under the same name, and whose types can be compared, may stand in `on`.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

from liuli.act.tables.table import Table, TableColumn
from liuli.data.records.problem import name_list
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.fields import Record

How = Literal["inner", "left", "right", "outer"]
HOWS: tuple[How, ...] = get_args(How)
SAME = frozenset({"integer", "number", "text", "date", "boolean"})  # kinds that are compared with the same kind
AS_TEXT = ({"text", "integer"}, {"text", "date"})  # kinds that are compared as texts: JSON often has numbers in strings
MOST_LISTED = 8  # shared columns of which all combinations are listed in the schema


@dataclass(frozen=True, slots=True)
class JoinPlan(Record):
    """How two tables are joined.

    Attributes:
        on: the columns whose values must be equal, without repetition.
        how: which rows without a match are kept: none (inner), those of the left or the right table, or all (outer).
    """

    on: tuple[str, ...]
    how: How

    @classmethod
    def of(cls, found: Any, left: Table, right: Table) -> "JoinPlan":
        """The plan in an object such as `{"on": ["id"], "how": "left"}`.

        Raises:
            LiuliError: it is not a plan for these tables.
        """
        shared = shared_columns(left, right)
        on, how = (found.get("on"), found.get("how")) if isinstance(found, dict) else (None, None)
        if not isinstance(on, list) or not on or not all(name in shared for name in on) or len({*on}) < len(on):
            raise LiuliError(f'"on" must list some of the columns {name_list(shared)}, each once')
        if how not in HOWS:
            raise LiuliError(f'"how" must be one of {", ".join(HOWS)}')
        return cls(tuple(on), how)


def can_join(left: TableColumn, right: TableColumn) -> bool:
    """Whether values of the two columns can be equal."""
    if left.kind == right.kind:
        return left.kind in SAME or (left.kind == "time" and left.stored == right.stored)
    return {left.kind, right.kind} in AS_TEXT


def shared_columns(left: Table, right: Table) -> list[str]:
    """The columns on which two tables can be joined, in the order of the left one.

    Raises:
        LiuliError: there are none. The message says why.
    """
    of_right = {column.name: column for column in right.columns}
    both = [(column, of_right[column.name]) for column in left.columns if column.name in of_right]
    found = [one.name for one, other in both if can_join(one, other)]
    if found:
        return found
    names = f"{printable(left.name)} and {printable(right.name)}"
    if both:
        kinds = "; ".join(f"{printable(one.name)} is {one.kind} and {other.kind}" for one, other in both[:5])
        raise LiuliError(f"{names} share no column that can be compared ({kinds}): store the values in the same way")
    columns = f"{name_list(left.names)} | {name_list(right.names)}"
    raise LiuliError(f"{names} share no column ({columns}): give the column to join on the same name in both")


def plan_schema(shared: list[str]) -> dict[str, Any]:
    """The JSON Schema of all plans on these columns. With few columns, `on` is one of their combinations, in their order. With
    many, it is a list of them, in which a column may be repeated: that no element is repeated cannot be guaranteed while a
    model writes (`without_repetition`)."""
    on: dict[str, Any] = {"type": "array", "items": {"enum": shared}, "minItems": 1, "maxItems": len(shared)}
    if len(shared) <= MOST_LISTED:
        on = {"enum": [list(some) for size in range(1, len(shared) + 1) for some in combinations(shared, size)]}
    return {
        "type": "object",
        "properties": {"on": on, "how": {"enum": list(HOWS)}},
        "required": ["on", "how"],
        "additionalProperties": False,
    }


def without_repetition(found: dict[str, Any]) -> dict[str, Any]:
    """A plan that names each column once. It joins the same rows."""
    return found | {"on": list(dict.fromkeys(found["on"]))}
