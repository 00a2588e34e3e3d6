"""How work is followed: a function that is called as the work goes on, so that a user interface can show it."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

# What is being done, how much of it is done, and how much it is in all (0: not known). Of a file that is being read: its name,
# the place in it and its size, both in bytes.
Watch = Callable[[str, int, int], None]

Item = TypeVar("Item")


def unwatched(what: str, done: int, total: int) -> None:
    """The `Watch` that does nothing."""


def counting(items: Iterable[Item], what: str, total: int, watch: Watch) -> Iterator[Item]:
    """The same items; `watch` counts them as they pass."""
    for done, item in enumerate(items):
        watch(what, done, total)
        yield item
