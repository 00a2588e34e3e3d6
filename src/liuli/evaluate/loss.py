"""How well a model predicts a text: nats, over non-overlapping windows of all of it.

A document, with its begin-of-text token, is split into windows of as many tokens as the model was trained on. Within a window a
token is predicted from those before it. The end-of-text token is predicted too. The first token of a document without a
begin-of-text token, or of a part from its middle, is not predicted, and its bytes are not counted.

Legend: B rows, T positions.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch

from liuli.data.packing.batch import IGNORED, Batch, batch_of
from liuli.data.packing.pieces import Cutter, Piece, encoded
from liuli.data.text.sources import Document
from liuli.errors import LiuliError
from liuli.model.decoder import Decoder
from liuli.model.logprobs import summed_nats
from liuli.tokens import Tokenizer
from liuli.watch import Watch, unwatched

TOKENS_AT_ONCE = 1024  # more at once are no faster, and take more memory (docs/lab-log.md)
SPREAD = 64
AHEAD = 4096  # windows that are read ahead, at most 16 MB, to know how many there are


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`nats`: summed over the predicted `tokens`, in `windows` of at most `length` tokens; `bytes`: of the tokens' text."""

    nats: float
    tokens: int
    bytes: int
    windows: int
    length: int

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes if self.bytes else math.inf

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nats_per_token, 700))

    def to_json(self) -> dict[str, Any]:
        return {
            "nats_per_token": self.nats_per_token,
            "bits_per_byte": self.bits_per_byte if self.bytes else None,
            "perplexity": self.perplexity,
            "nats": self.nats,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "windows": self.windows,
            "length": self.length,
        }


def evaluate(
    decoder: Decoder, tokenizer: Tokenizer, documents: Iterable[Document], length: int, watch: Watch = unwatched
) -> Evaluation:
    """Measures on all of `documents`, in windows of `length` tokens.

    Args:
        watch: see `watched_rows`.

    Raises:
        LiuliError: there is nothing to predict.
    """
    return measure(decoder, tokenizer, watched_rows(pieces_of(documents, tokenizer, length), length, watch), length)


def measure(decoder: Decoder, tokenizer: Tokenizer, batches: Iterable[Batch], length: int) -> Evaluation:
    """Measures on packed rows, made of windows of at most `length` tokens."""
    device = decoder.device
    nats, tokens, size, windows = 0.0, 0, 0, 0
    with torch.no_grad():
        for batch in batches:
            for part in batch.parts(len(batch.pieces), device):
                x_BTD = decoder.hidden(*part.inputs)
                nats += float(summed_nats(decoder.head, x_BTD.flatten(0, 1), part.targets_BT.flatten()))
            tokens, windows = tokens + batch.supervised, windows + sum(map(len, batch.pieces))
            predicted = batch.targets_BT[batch.targets_BT != IGNORED].tolist()
            size += sum(len(tokenizer.token(id).bytes) for id in predicted)
    if not tokens:
        raise LiuliError("there is nothing to predict: the text has fewer than two tokens; give more text")
    return Evaluation(nats, tokens, size, windows, length)


def pieces_of(documents: Iterable[Document], tokenizer: Tokenizer, length: int) -> Iterator[Piece]:
    """The windows, in order: full ones, and a rest at the end of each document."""
    cutter = Cutter(length, None)
    for part in encoded(documents, tokenizer):
        yield from cutter.add(part)
    yield from cutter.finish()


def rows_of(pieces: Iterable[Piece], length: int) -> Iterator[Batch]:
    """Windows packed in order into rows of at most `length` positions, several rows at a time. The rows of a batch are as long
    as its longest one, so that few positions are empty."""
    rows = _packed(pieces, length)
    while some := list(islice(rows, max(1, TOKENS_AT_ONCE // length))):
        yield batch_of(some, [0] * len(some), max(map(_places, some)), 0)


def watched_rows(pieces: Iterator[Piece], length: int, watch: Watch) -> Iterator[Batch]:
    """What `rows_of` yields. `watch` is called before each batch with the number of windows that are done, and the number of
    all if there are few. If there are many, the place in the files tells how much is done."""
    first, done = list(islice(pieces, AHEAD)), 0
    for batch in rows_of(chain(first, pieces), length):
        if len(first) < AHEAD:
            watch("evaluating", done, len(first))
        yield batch
        done += sum(map(len, batch.pieces))


def _places(row: list[Piece]) -> int:
    return sum(piece.places for piece in row)


def _packed(pieces: Iterable[Piece], length: int) -> Iterator[list[Piece]]:
    row: list[Piece] = []
    for piece in pieces:
        if _places(row) + piece.places > length:
            yield row
            row = []
        row.append(piece)
    if row:
        yield row


class Exam:
    """Held-out windows, packed once: about `limit` tokens, evenly spaced over the first `SPREAD` · `limit` tokens, or all if
    there are fewer."""

    def __init__(self, windows: Iterable[Piece], tokenizer: Tokenizer, length: int, limit: int):
        pieces, held = [], 0
        for piece in windows:
            pieces.append(piece)
            held += piece.places
            if held > SPREAD * limit:
                break
        if not pieces:
            raise LiuliError("nothing is held out to validate on: give more text, or --valid FILE")
        every = max(1.0, held / limit)
        chosen = [pieces[int(i * every)] for i in range(max(1, int(len(pieces) / every)))]
        self._tokenizer, self._length = tokenizer, length
        self._batches = list(rows_of(chosen, length))

    def __call__(self, decoder: Decoder) -> Evaluation:
        return measure(decoder, self._tokenizer, self._batches, self._length)
