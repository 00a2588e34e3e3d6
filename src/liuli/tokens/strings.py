"""Finds any of many fixed strings in a text: at each place the longest that begins there, from left to right.

A regular expression of alternatives does the same, but it takes 10 s to build for 200,000 strings and tries them one by one.
Here the strings are sorted, and binary search finds the longest that begins at a place.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator


class StringFinder:
    """Finds `strings`, which can repeat; an empty one is never found."""

    def __init__(self, strings: Iterable[str]):
        self._strings = sorted({string for string in strings if string})
        self._longest = max(map(len, self._strings), default=0)
        self._shorter = _longest_prefixes(self._strings)
        first = "".join(re.escape(character) for character in sorted({string[0] for string in self._strings}))
        self._first = re.compile(f"[{first}]" if first else r"(?!)")

    def find(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """The half-open range of the first string that begins at `start` or later; None if there is none."""
        for candidate in self._first.finditer(text, start):
            length = self._length_at(text, candidate.start())
            if length:
                return candidate.start(), candidate.start() + length
        return None

    def find_all(self, text: str) -> Iterator[tuple[int, int]]:
        """The half-open ranges of all strings, none of which overlap, in order."""
        found = self.find(text)
        while found is not None:
            yield found
            found = self.find(text, found[1])

    def replace(self, text: str, replacement: Callable[[str], str]) -> str:
        """The text with each string that is found replaced by what `replacement` makes of it."""
        pieces, end_before = [], 0
        for start, end in self.find_all(text):
            pieces += [text[end_before:start], replacement(text[start:end])]
            end_before = end
        return "".join(pieces) + text[end_before:]

    def _length_at(self, text: str, start: int) -> int:
        """How long the longest string is that begins exactly here; 0 if none does.

        A string that begins the text is a prefix of the last string that is not greater than the text: everything between
        the two in sorted order begins with it as well.
        """
        ahead = text[start : start + self._longest]
        index = bisect_right(self._strings, ahead) - 1
        while index >= 0 and not ahead.startswith(self._strings[index]):
            index = self._shorter[index]
        return len(self._strings[index]) if index >= 0 else 0


def _longest_prefixes(strings: list[str]) -> list[int]:
    """For each of the sorted strings, the index of the longest other string that it begins with; -1 if there is none."""
    found: list[int] = []
    open_prefixes: list[int] = []  # indices of strings, each of which begins the next
    for index, string in enumerate(strings):
        while open_prefixes and not string.startswith(strings[open_prefixes[-1]]):
            open_prefixes.pop()
        found.append(open_prefixes[-1] if open_prefixes else -1)
        open_prefixes.append(index)
    return found
