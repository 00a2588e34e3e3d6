"""A short way to complete a text under a grammar.

The grammar is followed one symbol at a time: a byte, or a special token. At first all continuations are visited, shorter ones
before longer ones. If that takes too long, as in a large schema, one way is followed: where there is a choice, it takes what
closes something, and what opens nothing. Then this way is improved: at each choice on it, what else is possible is followed in
the same manner, and replaces the rest of the way if it is shorter.

To have few choices, the search treats symbols as the same if the same may follow them: the digits of a number, and all symbols
if there are many, as in a string. It leaves out symbols that change nothing about what may follow, such as one more character,
if there are others; and, in grammars for JSON, white space. So for some grammars a shorter way is missed. But every way that is
found completes the text.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import llguidance
import numpy as np

VISITING = 10_000  # symbols that are tried to find the shortest way: less than a tenth of a second
VISITING_MORE = 60_000  # if the preferred way does not end
LONGEST = 4_096  # symbols of the preferred way; a quarter, if it need not be improved
DETOUR = 512  # symbols of a way that is found by trying other continuations of the last choices
IMPROVING = 20_000  # symbols that are tried to improve a way
REPEATED = 200_000  # symbols that a search follows again to come back to a place: about a second
MANY = 32  # symbols that are compared by what may follow them
FREE_TEXT = 64  # allowed symbols from which on a place is inside free text
NOT_IN_FREE_TEXT = frozenset([*range(0x80, 0x100), ord("\\")])  # they only begin what a plain character is too
CLOSING = frozenset(b"]}")  # they change something even if the same may follow: an outer one may be closed next
DIGITS = frozenset(b"0123456789")
NUMBER = frozenset(b"-.,]}eE")  # what may come instead of a digit if it is part of a number
WHITE_SPACE = frozenset(b" \n\r\t")
SPECIAL = b"\xff"  # begins a special token among forced bytes
PREFERRED = {symbol: rank for rank, symbol in enumerate(b']},:"0123456789')}
LAST = {symbol: 50 + rank for rank, symbol in enumerate(b"-.+eE[{ \n")}
OTHER = 30  # the rank of a symbol that is in neither, or of one of several that are the same
Way = tuple[int, ...]


class Choice(NamedTuple):
    """A place with several continuations.

    Attributes:
        at: how many symbols lead to it. others: the next symbols that were not tried.
    """

    at: int
    others: list[int]


def shortest_way(matcher: llguidance.LLMatcher, end: int, skip_white_space: bool, improve: bool) -> Way | None:
    """The fewest symbols after which the text is complete, or nearly the fewest.

    Args:
        matcher: at the place where the way begins. It is not changed.
        end: the symbol of the end.
        skip_white_space: whether white space means nothing in the grammar.
        improve: whether to look for a shorter way than the first.

    Returns:
        The symbols without the end; None if no way was found: there is none, or it is very long.
    """
    skipped = WHITE_SPACE if skip_white_space else frozenset()
    way = _Search(end, skipped, VISITING).visit(matcher)
    if way is not None:
        return way
    longest = LONGEST if improve else LONGEST // 4
    found = _Search(end, skipped, longest * 64).follow(matcher, longest, backtrack=False)
    if found is None:
        way = _Search(end, skipped, VISITING_MORE).visit(matcher)
        found = way is None and _Search(end, skipped, VISITING_MORE).follow(matcher, DETOUR, backtrack=True)
        return found[0] if found else way
    return _improved(matcher, *found, _Search(end, skipped, IMPROVING)) if improve else found[0]


def _improved(matcher: llguidance.LLMatcher, way: Way, choices: list[Choice], search: "_Search") -> Way:
    """The way, or a shorter one."""
    at = 0
    while at < len(choices):
        choice = choices[at]
        at += 1
        for symbol in choice.others:
            begin = (*way[: choice.at], symbol)
            found = search.follow(_after(matcher, begin), len(way) - len(begin) - 1, backtrack=False)
            if found is not None:
                way = (*begin, *found[0])
                choices = [*choices[:at], *(Choice(each.at + len(begin), each.others) for each in found[1])]
                break
    return way


def _after(matcher: llguidance.LLMatcher, symbols: Sequence[int]) -> llguidance.LLMatcher:
    """A matcher further on. It is computed again where it is needed: to keep many of them would take much memory."""
    following = matcher.deep_copy()
    following.consume_tokens(list(symbols))
    return following


class _Search:
    """A search that tries at most `trials` symbols. `skipped`: symbols that are left out if there are others."""

    def __init__(self, end: int, skipped: frozenset[int], trials: int):
        self._skipped = skipped
        self._end = end
        self._trials = trials
        self._repeated = 0  # symbols that were followed again, which takes longer the deeper the search is

    @property
    def _is_over(self) -> bool:
        return self._trials <= 0 or self._repeated > REPEATED

    def visit(self, matcher: llguidance.LLMatcher) -> Way | None:
        """The shortest way; None if there is none, or it was not found in time."""
        queue: list[tuple[int, int, Way]] = [(0, 0, ())]
        pushed = 0
        while queue and not self._is_over:
            _, _, way = heapq.heappop(queue)
            at = _after(matcher, way)
            self._repeated += len(way)
            if self._is_end(at.compute_bitmask()):
                return way
            symbols = tuple(at.compute_ff_bytes().split(SPECIAL)[0])
            self._trials -= 1
            for added in [symbols] if symbols else [(symbol,) for symbol in self._kinds(at)]:
                pushed += 1
                heapq.heappush(queue, (len(way) + len(added), pushed, (*way, *added)))
        return None

    def follow(self, matcher: llguidance.LLMatcher, bound: int, backtrack: bool) -> tuple[Way, list[Choice]] | None:
        """A way of at most `bound` symbols, and the choices on it; None if there is none.

        Args:
            backtrack: whether to try other continuations of the last choices if the bound is reached.
        """
        at = matcher.deep_copy()
        way: list[int] = []
        choices: list[Choice] = []
        while not self._is_end(at.compute_bitmask()):
            symbols = list(at.compute_ff_bytes().split(SPECIAL)[0])
            if not symbols:
                kinds = self._kinds(at)
                if not kinds or self._is_over:
                    return None
                first, *others = kinds
                symbols = [first]
                if others:
                    choices.append(Choice(len(way), others))
            at.consume_tokens(symbols)
            way += symbols
            self._trials -= len(symbols)
            while len(way) > bound:
                if not backtrack or not choices:
                    return None
                last = choices.pop()
                symbol, *others = last.others
                if others:
                    choices.append(Choice(last.at, others))
                way[last.at :] = [symbol]
                at = _after(matcher, way)
                self._repeated += len(way)
        return tuple(way), choices

    def _kinds(self, matcher: llguidance.LLMatcher) -> list[int]:
        """One symbol of each kind that may come next; the preferred first."""
        mask = matcher.compute_bitmask()
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: self._end]).tolist()
        if len(allowed) > FREE_TEXT:
            allowed = [symbol for symbol in allowed if symbol not in NOT_IN_FREE_TEXT]
        allowed = [symbol for symbol in allowed if symbol not in self._skipped] or allowed
        self._trials -= len(allowed)
        is_number = not NUMBER.isdisjoint(allowed)
        found: dict[tuple[bytes, int], tuple[int, int]] = {}
        for symbol in allowed:
            following = matcher.deep_copy()
            following.consume_token(symbol)
            after = following.compute_bitmask()
            kind = after, (0 if len(allowed) > MANY or (is_number and symbol in DIGITS) else symbol)
            if kind in found:
                found[kind] = OTHER, found[kind][1]
            else:
                found[kind] = PREFERRED.get(symbol, LAST.get(symbol, OTHER)), symbol
        changes = {kind: each for kind, each in found.items() if kind[0] != mask or each[1] in CLOSING}
        return [symbol for _, symbol in sorted((changes or found).values())]

    def _is_end(self, mask: bytes) -> bool:
        return bool(mask[self._end >> 3] >> (self._end & 7) & 1)
