"""A bounded part of a stream of texts, spread evenly over it: what a tokenizer is trained and reported on.

In: texts, of any number and length. Out: a `TextSample`. Texts are cut into pieces at line ends, short ones that follow each
other share a block, each block draws a random number from a generator of fixed seed, and the blocks with the smallest
numbers are kept as long as they fit. So one pass is enough, the same texts give the same sample, and a text that fits is
taken whole.
"""

import heapq
import itertools
import random
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from liuli.errors import LiuliError
from liuli.tokens.tokenizer import check_encodable

SAMPLE_BYTES = 8_000_000  # training takes at worst 110 times this in memory, and gains nothing from more
BLOCK = 4096  # characters; also bounds the longest chunk, whose cost in training grows with its square
_LINE_END = re.compile(r"\n(?=\S)")  # no chunk of the cutting pattern crosses one


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Texts in a row: one of at most two `BLOCK`s of characters, or shorter ones of at most one together. They are held
    joined, with the place where each ends, since five million strings of a letter take a hundred times their text."""

    joined: str
    ends: "array[int]"

    def texts(self) -> Iterator[str]:
        for start, end in itertools.pairwise((0, *self.ends)):
            yield self.joined[start:end]


@dataclass(frozen=True)
class TextSample:
    """`blocks` in the order of the stream, of `bytes` bytes of UTF-8 out of `total_bytes` seen."""

    blocks: list[TextBlock]
    bytes: int
    total_bytes: int

    def texts(self) -> Iterator[str]:
        """What to train on: texts that came apart stay apart."""
        for block in self.blocks:
            yield from block.texts()


def take_sample(texts: Iterable[str], limit: int = SAMPLE_BYTES) -> TextSample:
    """Reads all of `texts` and keeps at most `limit` bytes of them.

    Raises:
        LiuliError: there is no text, or one holds a lone surrogate.
    """
    draw = random.Random(0)
    kept: list[tuple[float, int, TextBlock, int]] = []  # a heap, the largest number drawn (as negative) on top
    bytes, total, bound = 0, 0, 1.0
    for number, block in enumerate(_blocks(_pieces(texts))):
        drawn, size = draw.random(), len(block.joined.encode())
        total += size
        if drawn >= bound:
            continue
        heapq.heappush(kept, (-drawn, number, block, size))
        bytes += size
        while bytes > limit:
            top = heapq.heappop(kept)
            bytes, bound = bytes - top[3], -top[0]
    if total == 0:
        raise LiuliError("there is no text to train a tokenizer on: the sources are empty")
    in_order = sorted(kept, key=lambda entry: entry[1])
    return TextSample([block for _, _, block, _ in in_order], bytes, total)


def _blocks(pieces: Iterable[str]) -> Iterator[TextBlock]:
    held: list[str] = []
    length = 0
    for piece in pieces:
        if held and length + len(piece) > BLOCK:
            yield _joined(held)
            held, length = [], 0
        held.append(piece)
        length += len(piece)
    if held:
        yield _joined(held)


def _joined(pieces: list[str]) -> TextBlock:
    return TextBlock("".join(pieces), array("H", itertools.accumulate(map(len, pieces))))


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The texts, those that are longer than two `BLOCK`s cut at line ends."""
    for number, text in enumerate(texts, 1):
        try:
            check_encodable(text)
        except LiuliError as error:
            raise LiuliError(f"text {number} of the sources: {error}") from None
        start = 0
        while start < len(text):
            found = _LINE_END.search(text, start + BLOCK - 1, start + 2 * BLOCK)
            end = found.end() if found else start + BLOCK
            yield text[start:end]
            start = end
