"""How work is followed: a function that is called as the work goes on, so that a user interface can show it."""

from collections.abc import Callable

# What is being done, how much of it is done, and how much it is in all (0: not known). Of a file that is being read: its name,
# the place in it and its size, both in bytes.
Watch = Callable[[str, int, int], None]


def unwatched(what: str, done: int, total: int) -> None:
    """The `Watch` that does nothing."""
