"""The rows that a training step reads: documents encoded in the background, packed, shuffled, and resumable at any row.

In: a `Split`, a tokenizer, a seed. Out: `Batch`es, the same for the same three. An epoch gives every id of the training text
once as a target; its rows are drawn from a bounded buffer of pieces (`pieces.py`), which is emptied before the next epoch
begins. A row takes pieces at random while they fit and then the longest that fits the gap, so that hardly a place stays
empty (best-fit packing: Ding et al. 2024, https://arxiv.org/abs/2404.10830).

Legend: B rows, T places.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from liuli.data.validation import Split
from liuli.errors import LiuliError
from liuli.learn.ahead import Ahead
from liuli.learn.pieces import Cutter, Ids, Part, Piece
from liuli.tokens import Tokenizer

IGNORED = -100  # the target of a place that is not supervised, as PyTorch's cross entropy knows it
BUFFER = 1 << 20  # ids


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, int64 (B, T) each.

    Attributes:
        ids_BT: what is read. targets_BT: what comes next, IGNORED where a place is empty.
        positions_BT: each document's own, from 0. segments_BT: its number within the row, −1 where a place is empty.
        pieces: of each row, in order; `pieces.Piece` says which document each is from.
        epochs: of each row: how many times the text was read before.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor
    segments_BT: Tensor
    pieces: list[list[Piece]]
    epochs: list[int]


class Batches:
    """Rows without end, or for `epochs` epochs.

    Args:
        length: T, the places of a row. buffer: ids held back to be shuffled, at least a row's; about 4 bytes each.
        cursor: goes on from there, to the bit; source, tokenizer, seed, length and buffer must be the same.

    Raises:
        LiuliError: the tokenizer has no end token; there is nothing to train on; what reading the sources raises.
    """

    def __init__(
        self,
        split: Split,
        tokenizer: Tokenizer,
        length: int,
        seed: int,
        epochs: int | None = None,
        buffer: int = BUFFER,
        cursor: Mapping[str, Tensor] | None = None,
    ):
        if not tokenizer.end:
            raise LiuliError("the tokenizer names no end token, so that a document trained on would have no end")
        self._split, self._tokenizer = split, tokenizer
        self._length, self._seed, self._epochs, self._limit = length, seed, epochs, max(buffer, length + 1)
        self._epoch, self._row, self._read_all = 0, 0, False  # rows of this epoch; whether all its text is in the buffer
        self._cutter = self._new_cutter()
        self._buffer = Buffer()
        if cursor is not None:
            self._restore(cursor)
        self._parts = self._read_ahead()

    def take(self, rows: int) -> Batch | None:
        """The next rows; fewer at the end of the last epoch, None after it."""
        packed, epochs = [], []
        for _ in range(rows):
            self._fill()
            if not self._buffer.pieces:
                break
            packed.append(self._pack())
            epochs.append(self._epoch)
        return _batch(packed, epochs, self._length, self._tokenizer.end[0]) if packed else None

    def cursor(self) -> dict[str, Tensor]:
        """All that decides the rows to come, as a few MB of integers: for safetensors."""
        pieces, cutter = self._buffer.pieces, self._cutter
        place = [self._epoch, self._row, self._read_all, cutter.number, cutter.part, cutter.at, cutter.cut]
        return {
            "place": torch.tensor([int(number) for number in place]),
            "waiting": torch.from_numpy(cutter.waiting.copy()),
            "buffer_ids": torch.from_numpy(np.concatenate([piece.ids for piece in pieces] or [cutter.waiting[:0]])),
            "buffer_pieces": torch.tensor([(len(piece.ids), piece.number, piece.at) for piece in pieces]).view(-1, 3),
        }

    def close(self) -> None:
        """Ends reading in the background."""
        self._parts.close()

    def _restore(self, cursor: Mapping[str, Tensor]) -> None:
        self._epoch, self._row, read_all, number, part, at, cut = cursor["place"].tolist()
        self._read_all = bool(read_all)
        self._cutter = Cutter(self._length, self._epoch_seed(), number, part, cursor["waiting"].numpy().copy(), at, bool(cut))
        ids, at = cursor["buffer_ids"].numpy(), 0
        for size, number, first in cursor["buffer_pieces"].tolist():
            self._buffer.add(Piece(ids[at : at + size].copy(), number, first))
            at += size

    def _epoch_seed(self) -> str:
        return f"{self._seed} {self._epoch}"

    def _new_cutter(self) -> Cutter:
        return Cutter(self._length, self._epoch_seed())

    def _fill(self) -> None:
        """Reads until the buffer is full or the epoch's text is in it; begins the next epoch when all rows are given."""
        if self._read_all and not self._buffer.pieces and self._epochs != self._epoch + 1:
            self._epoch, self._row, self._read_all = self._epoch + 1, 0, False
            self._cutter = self._new_cutter()
            self._parts = self._read_ahead()
        while self._buffer.ids < self._limit and not self._read_all:
            part = next(self._parts, None)
            self._read_all = part is None
            for piece in self._cutter.finish() if part is None else self._cutter.add(part):
                self._buffer.add(piece)
        if self._row == 0 and not self._buffer.pieces:
            names = ", ".join(self._split.sources.names)
            raise LiuliError(f"{names}: all of the text is held out; nothing is left to train on")

    def _read_ahead(self) -> Ahead[Part]:
        """What is left of this epoch's text after the part that the cutter saw last, encoded in the background."""
        if self._read_all:
            return Ahead(iter(()))
        number, part = self._cutter.number, self._cutter.part
        return Ahead(encoded(self._split, self._tokenizer, number, part))

    def _pack(self) -> list[Piece]:
        """One row: random pieces while they fit, then the longest that fits, until none does."""
        draw = random.Random(f"{self._epoch_seed()} {self._row}").random
        self._row += 1
        row, gap = [], self._length
        while self._buffer.pieces and gap:
            i = int(draw() * len(self._buffer.pieces))
            if self._buffer.pieces[i].places > gap:
                fitting = self._buffer.longest(gap)
                if fitting is None:
                    break
                i = fitting
            row.append(self._buffer.take(i))
            gap -= row[-1].places
        return row


class Buffer:
    """Pieces in no order. `ids`: how many all of them hold."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.ids = 0
        self._places = np.empty(1024, np.int32)  # of each piece, and room for more

    def add(self, piece: Piece) -> None:
        if len(self.pieces) == len(self._places):
            self._places = np.concatenate((self._places, self._places))
        self._places[len(self.pieces)] = piece.places
        self.pieces.append(piece)
        self.ids += len(piece.ids)

    def take(self, i: int) -> Piece:
        """Takes piece i out; the last one moves to its place."""
        piece, last = self.pieces[i], self.pieces.pop()
        if piece is not last:
            self.pieces[i], self._places[i] = last, last.places
        self.ids -= len(piece.ids)
        return piece

    def longest(self, places: int) -> int | None:
        """The longest piece of at most `places`, the first of equals."""
        held = self._places[: len(self.pieces)]
        fitting = np.where(held <= places, held, 0)
        i = int(fitting.argmax())
        return i if fitting[i] else None


def encoded(split: Split, tokenizer: Tokenizer, number: int = -1, part: int = -1) -> Iterator[Part]:
    """The training text as ids, after the given part of the given document."""
    begin, end = np.array(tokenizer.begin, np.int32), np.array(tokenizer.end, np.int32)
    for document in split.training(max(number, 0)):
        if (document.number, document.part) <= (number, part):
            continue
        encode: Callable[[str], list[int]] = tokenizer.encode if document.part == 0 else tokenizer.encode_on
        ids: Ids = np.array(encode(document.text), np.int32)
        around = (begin if document.part == 0 else begin[:0], ids, end if document.last else end[:0])
        yield Part(np.concatenate(around), document.number, document.part, document.last)


def _batch(rows: list[list[Piece]], epochs: list[int], length: int, empty: int) -> Batch:
    shape = len(rows), length
    ids, targets, positions, segments = (np.full(shape, value, np.int64) for value in (empty, IGNORED, 0, -1))
    for b, row in enumerate(rows):
        at = 0
        for segment, piece in enumerate(row):
            here = slice(at, at + piece.places)
            ids[b, here], targets[b, here] = piece.ids[:-1], piece.ids[1:]
            positions[b, here], segments[b, here] = np.arange(piece.places), segment
            at += piece.places
    tensors = [torch.from_numpy(field) for field in (ids, targets, positions, segments)]
    return Batch(tensors[0], tensors[1], tensors[2], tensors[3], rows, epochs)
