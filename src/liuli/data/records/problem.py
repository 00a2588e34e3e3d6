"""What is wrong with a file or a record, in one line for people: what, where, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from liuli.display import printable

MOST_NAMES = 8  # from a file, in an error message
LONGEST_DETAIL = 300  # characters; a message from a library may quote any amount of a file


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file or a record is not used.

    Attributes:
        reason: the same text for all problems of one sort, so that they can be counted together.
        detail: the details of this one.
        advice: what to do about it.
        fatal_if_named: the file is of a wrong sort altogether. This is an error if the user gave the file by its name,
            even if bad input is skipped otherwise.
    """

    reason: str
    detail: str = ""
    advice: str = ""
    fatal_if_named: bool = False

    def at(self, place: str) -> str:
        """One line for people: where, what, what to do."""
        return with_advice(self.where(f"{place}: {self.reason}"), self.advice)

    def where(self, place: str) -> str:
        """The place with the detail."""
        return f"{place} ({shortened(self.detail)})" if self.detail else place


class Unreadable(Exception):
    """A file cannot be read, or not to its end."""

    def __init__(self, problem: Problem):
        self.problem = problem


def with_advice(line: str, advice: str) -> str:
    """What is wrong and, if there is something, what to do about it."""
    return f"{line}; {advice}" if advice else line


def shortened(text: str) -> str:
    """The text, truncated if it is too long for an error message."""
    return text if len(text) <= LONGEST_DETAIL else text[:LONGEST_DETAIL] + "…"


def name_list(names: Iterable[str]) -> str:
    """The first names from a file on one line; "none" if there are none."""
    some = list(islice(names, MOST_NAMES + 1))
    shown = ", ".join(printable(name[:64]) for name in some[:MOST_NAMES])
    if len(some) > MOST_NAMES:
        shown += ", …"
    return shown or "none"
