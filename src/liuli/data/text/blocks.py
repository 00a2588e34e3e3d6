"""A long text cut into blocks, each end decided by the text around it: text put in somewhere moves only the blocks near it.

In: the UTF-8 bytes of one document, in pieces of any size. Out: blocks that join to the same bytes.

Every place where a text may be cut has a number made from the 48 bytes before it. A block ends at the places whose
number is the smallest within `SPAN` bytes on either side: so no block is shorter than `SPAN`, the average is near 2 × `SPAN`,
a document of at most 2 × `SPAN` stays whole, and a change is not felt further than `REACH` away. (Content-defined
chunking by local minima: Bjørner, Blass and Gurevich 2010, https://doi.org/10.1016/j.jcss.2009.06.004.)

Places are the ends of paragraphs; if there is none for long, ends of lines, then of sentences, then of characters.
Only a text that repeats itself within `SPAN` has no smallest number; there a block that would grow past `LARGEST` ends
between `SPAN` and 2 × `SPAN`.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SPAN = 8 * 1024
LARGEST = 8 * SPAN
REACH = 6 * SPAN  # the edges of what is seen act SPAN further with each sort of place; the last SPAN is for the comparison
STEP = 1 << 19  # read at a time; finding its ends takes up to 200 times as much memory if every character may be one

Places = NDArray[np.int64]  # offsets in bytes, ascending

PARAGRAPH = re.compile(rb"\n(?:(?:[ \t\r]|\xe3\x80\x80)*\n)+")  # the ideographic space is white space too
SENTENCE = re.compile(rb"\xe3\x80\x82|\xef\xbc[\x81\x9f]|[.!?](?=\s)")  # 。！？ and the Latin ones before a space
MARKS = (b"\xe3\x80\x82", b"\xef\xbc\x81", b"\xef\xbc\x9f", b".", b"!", b"?")  # one of them ends each sentence


def cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks of one document. Its bytes must be UTF-8; memory does not grow with its length."""
    data, start, decided = b"", 0, 0  # `start`: where the block begins; ends up to `decided` have been looked for
    for piece, ended in _steps(pieces):
        data += piece
        known = len(data) if ended else max(decided, len(data) - REACH)
        for end in [int(end) for end in block_ends(data) if decided < end <= known] + [known]:
            while end - start > LARGEST:
                forced = _forced_end(data, start)
                yield data[start:forced]
                start = forced
            if end < known or end == len(data) > start:
                yield data[start:end]
                start = end
        dropped = max(0, min(start, known - REACH))
        data, start, decided = data[dropped:], start - dropped, known - dropped


@lru_cache(maxsize=4)  # a text that repeats itself for megabytes is looked at once
def block_ends(data: bytes) -> Places:
    """Where blocks end inside `data`, seen alone. Ends nearer than REACH to a false edge (of a window, not of the
    document) may be others in the whole document."""
    gaps, ends = [(0, len(data))], [np.empty(0, np.int64)]
    for find in SORTS:
        wide = []
        for low, high in gaps:
            if high - low > 2 * SPAN:
                places = _between(find(data, low, high), low + SPAN, high - SPAN)
                ends.append(places[_smallest(places, _numbers(data, places))])
                edges = np.concatenate(([low], places, [high]))
                wide += [(int(edges[i]), int(edges[i + 1])) for i in np.flatnonzero(np.diff(edges) > 2 * SPAN)]
        gaps = wide
    return np.sort(np.concatenate(ends))


def _steps(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same bytes in pieces of about STEP, the last one marked."""
    held, size = [], 0
    for piece in pieces:
        for at in range(0, len(piece), STEP):
            held.append(piece[at : at + STEP])
            size += len(held[-1])
            if size >= STEP:
                yield b"".join(held), False
                held, size = [], 0
    yield b"".join(held), True


def _forced_end(data: bytes, start: int) -> int:
    """An end in a text that repeats itself: still by content, so that it falls into step again after a change."""
    return start + _forced_offset(data[start : start + 3 * SPAN])


@lru_cache(maxsize=4)
def _forced_offset(data: bytes) -> int:
    for find in SORTS:
        places = _between(find(data, 0, len(data)), SPAN, 2 * SPAN)
        if len(places):
            return int(places[_numbers(data, places).argmin()])
    raise AssertionError("UTF-8 has a character's end every four bytes")


def _between(places: Places, low: int, high: int) -> Places:
    return places[np.searchsorted(places, low) : np.searchsorted(places, high, "right")]


def _paragraphs(data: bytes, low: int, high: int) -> Places:
    return np.fromiter((match.end() for match in PARAGRAPH.finditer(data, low, high)), np.int64)


def _lines(data: bytes, low: int, high: int) -> Places:
    return np.flatnonzero(np.frombuffer(data, np.uint8)[low:high] == ord("\n")) + low + 1


def _sentences(data: bytes, low: int, high: int) -> Places:
    if all(data.find(mark, low, high) < 0 for mark in MARKS):  # the regular expression is ten times slower
        return np.empty(0, np.int64)
    return np.fromiter((match.end() for match in SENTENCE.finditer(data, low, high)), np.int64)


def _characters(data: bytes, low: int, high: int) -> Places:
    return np.flatnonzero(np.frombuffer(data, np.uint8)[low:high] & 0xC0 != 0x80) + low


SORTS = (_paragraphs, _lines, _sentences, _characters)


def _numbers(data: bytes, places: Places) -> NDArray[np.uint64]:
    """A hash of the 48 bytes before each place, the same on every machine."""
    words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # the eight bytes that begin at each offset
    numbers = np.zeros(len(places), np.uint64)
    adjacent = len(places) > 0 and int(places[-1] - places[0]) == len(places) - 1  # every byte of a text in ASCII
    for back in range(8, 56, 8):
        numbers ^= words[places[0] - back : places[-1] - back + 1] if adjacent else words[places - back]
        numbers *= np.uint64(0x9E3779B97F4A7C15)
        numbers ^= numbers >> np.uint64(32)
    return numbers


def _smallest(places: Places, numbers: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Which places have a number smaller than every other within SPAN on either side."""
    kept = _contenders(places, numbers)
    places, numbers = places[kept], numbers[kept]
    here = np.arange(len(kept))
    before = _lowest(numbers, np.searchsorted(places, places - SPAN), here)
    after = _lowest(numbers, here + 1, np.searchsorted(places, places + SPAN, "right"))
    return kept[(numbers < before) & (numbers < after)]


def _contenders(places: Places, numbers: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Those with the smallest number in their cell of a fine grid: nothing else can matter. Of equals in a cell its first
    and its last: no end stands between them, and every window of SPAN that holds some of them holds one of the two."""
    if not len(places):
        return np.empty(0, np.intp)
    cells = places >> 8
    first = _first_of_each_run(cells)
    lowest = np.repeat(np.minimum.reduceat(numbers, first), np.diff(first, append=len(places)))
    kept = np.flatnonzero(numbers == lowest)
    firsts = _first_of_each_run(cells[kept])
    lasts = np.append(firsts[1:], len(kept)) - 1
    return kept[np.unique(np.concatenate((firsts, lasts)))]


def _first_of_each_run(values: Places) -> NDArray[np.intp]:
    """The indices of the first value and of each that differs from the one before it."""
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)


def _lowest(numbers: NDArray[np.uint64], left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.uint64]:
    """The smallest number of each `left:right`, from the smallest of every run of 1, 2, 4, 8 … places."""
    found = np.full(len(left), np.iinfo(np.uint64).max)
    sizes, size = 1 << (np.frexp(right - left)[1] - 1), 1  # the longest run that fits; two of them cover `left:right`
    while size <= sizes.max(initial=0):
        now = (sizes == size) & (right > left)
        found[now] = np.minimum(numbers[left[now]], numbers[right[now] - size])
        numbers = np.minimum(numbers[:-size], numbers[size:])
        size *= 2
    return found
