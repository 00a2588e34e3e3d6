"""Names of columns: what a table may have, and new names where two tables have the same."""

from collections.abc import Sequence
from pathlib import Path

from liuli.data.records.problem import name_list
from liuli.display import printable
from liuli.errors import LiuliError

MOST = 1000  # columns of a table
LONGEST = 1000  # characters of a name


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raises LiuliError: two names are the same, or differ only in the case of letters; too many, or too long a name."""
    shown = printable(str(path))
    if len(names) > MOST:
        raise LiuliError(f"{shown} has {len(names):,} columns; at most {MOST:,} are read: leave out the others")
    if any(len(name) > LONGEST for name in names):
        raise LiuliError(f"{shown}: the name of a column is longer than {LONGEST:,} characters; is the first row a header?")
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            several = [each for each in names if each.casefold() == name.casefold()]
            raise LiuliError(
                f"{shown}: {len(several)} columns are named {name_list(several)}; give each column a name of its own"
            )
        seen.add(name.casefold())


def new_name(name: str, table: str, taken: set[str]) -> str:
    """A name for a column of a table whose own name another table has: `Name (companies)`, and a number if that is taken.

    Args:
        taken: names in use, case-folded; the new one is added.
    """
    found, number = f"{name} ({table})", 2
    while found.casefold() in taken:
        found, number = f"{name} ({table}, {number})", number + 1
    taken.add(found.casefold())
    return found
