"""Takes a random sample of limited size from a stream of texts. Tokenizers are trained and reported on such a sample.

In: any number of texts of any length. Out: a `TextSample`. Long texts are split at line ends, and short texts are combined,
into blocks. Each block gets a random number from a generator with a fixed seed, and the blocks with the smallest numbers are
kept, as many as fit. So one pass is enough, the same texts give the same sample, and texts that fit are taken completely.
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

SAMPLE_BYTES = 8_000_000  # training needs at most 110 times this memory, and more text does not improve the tokenizer
BLOCK = 4096  # characters; this also limits the longest chunk, whose training time grows with the square of its length
_LINE_END = re.compile(r"\n(?=\S)")  # no chunk of the pre-tokenization pattern crosses such a line end


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Consecutive texts: one text of at most 2 · `BLOCK` characters, or several shorter ones of at most `BLOCK` characters in
    total. They are stored as one string with the end of each text, because millions of short strings would need up to a hundred
    times as much memory."""

    joined: str
    ends: "array[int]"

    def texts(self) -> Iterator[str]:
        for start, end in itertools.pairwise((0, *self.ends)):
            yield self.joined[start:end]


@dataclass(frozen=True)
class TextSample:
    """A sample of texts.

    Attributes:
        blocks: the blocks of the sample, in the order of the stream.
        bytes: the size of the sample in UTF-8, in bytes.
        total_bytes: the size of all texts, in bytes.
    """

    blocks: list[TextBlock]
    bytes: int
    total_bytes: int

    @property
    def count(self) -> int:
        """The number of texts of the sample."""
        return sum(len(block.ends) for block in self.blocks)

    def texts(self) -> Iterator[str]:
        """Yields the texts of the sample. Texts that were separate are not joined."""
        for block in self.blocks:
            yield from block.texts()


def take_sample(texts: Iterable[str], limit: int = SAMPLE_BYTES) -> TextSample:
    """Reads all of `texts` and keeps at most `limit` bytes of them.

    Raises:
        LiuliError: there is no text, or a text contains a lone surrogate.
    """
    draw = random.Random(0)
    kept: list[tuple[float, int, TextBlock, int]] = []  # a heap with the largest random number (as a negative number) on top
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
        raise LiuliError("there is no text to train a tokenizer on: the sources are empty; give files with text")
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
    """Yields the texts in pieces of at most 2 · `BLOCK` characters. A long text is split at line ends if possible."""
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
