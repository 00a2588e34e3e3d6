"""The rows that a training step reads: documents encoded in the background, packed, shuffled, and resumable at any row.

In: a `TextSplit`, a tokenizer, a seed. Out: `Batch`es, the same for the same three. In an epoch every id of the training text
that follows another is a target once. Files are read side by side (`liuli.data.text.interleave`), and rows are drawn from a
bounded buffer of pieces (`pieces.py`), which is emptied before the next epoch begins. A row takes pieces at random while they
fit and then the longest that fits the gap, so that few positions stay empty if rows hold several documents (best-fit packing:
Ding et al. 2024, https://arxiv.org/abs/2404.10830).

    split = split_texts(Sources(["corpus.txt"]))
    rows = TextRows(split, tokenizer, length=512, seed=0)
    batch = rows.take(8)

Legend: B rows, T positions.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import torch

from liuli.data.packing.batch import Batch, batch_of
from liuli.data.packing.pieces import NOTHING, Cutter, Part, Piece, encoded
from liuli.data.split import TextSplit
from liuli.data.text.interleave import interleaved, lanes_of
from liuli.errors import LiuliError
from liuli.learn.rows.buffer import Buffer
from liuli.learn.rows.read_ahead import Ahead
from liuli.learn.rows.rows import Cursor
from liuli.tokens import Tokenizer

BUFFER = 1 << 20  # ids
SETTINGS = {  # what must be the same when reading continues, in words for people
    "length": "the sequence length",
    "seed": "the seed",
    "buffer": "the size of the text buffer",
    "tokenizer": "the tokenizer",
    "bytes": "the sizes of the files",
    "lanes": "the number of files",
    "validation": "the validation split",
}


class TextRows:
    """An endless sequence of rows, or the rows of `epochs` epochs.

    Args:
        length: T, the positions of a row. buffer: ids held back to be shuffled.
        cursor: the rows continue from there, identical to the bit.

    Raises:
        LiuliError: the tokenizer has no end-of-text token; a setting is out of range; the cursor does not fit the data;
            there is nothing to train on; what reading the sources raises.
    """

    def __init__(
        self,
        split: TextSplit,
        tokenizer: Tokenizer,
        length: int,
        seed: int,
        epochs: int | None = None,
        buffer: int = BUFFER,
        cursor: Cursor | None = None,
    ):
        if not tokenizer.end:
            raise LiuliError(
                "the tokenizer has no end-of-text token, which training needs: set eos_token in its tokenizer_config.json, or "
                "use another tokenizer"
            )
        for name, value, least in (("length", length, 1), ("seed", seed, 0), ("epochs", epochs, 1), ("buffer", buffer, 1)):
            if value is not None and (type(value) is not int or value < least):
                raise LiuliError(f"{name} must be a whole number of at least {least}, not {value}")
        self._split, self._tokenizer = split, tokenizer
        self._length, self._seed, self._epochs, self._limit = length, seed, epochs, buffer
        self._epoch, self._row, self._read_all = 0, 0, False  # rows of this epoch; whether all its text is in the buffer
        self._lanes = lanes_of(split.sources)
        self._cutters = self._new_cutters()
        self._buffer = Buffer(length)
        if cursor is not None:
            self._restore(cursor)
        self._parts = self._read_ahead()
        self._closed = False

    def take(self, rows: int) -> Batch | None:
        """The next rows; fewer at the end of the last epoch, None after it."""
        if self._closed:
            raise LiuliError("no more sequences can be read: the reader was closed; make a new one")
        if rows < 1:
            raise LiuliError(f"a batch must have at least 1 sequence, not {rows}")
        packed, epochs = [], []
        while len(packed) < rows and self._fill():
            packed.append(self._buffer.pack(f"{self._epoch_seed()} {self._row}"))
            self._row += 1
            epochs.append(self._epoch)
        return batch_of(packed, epochs, self._length, self._tokenizer.end[0]) if packed else None

    def cursor(self) -> Cursor:
        """The position after the rows taken so far."""
        pieces, cutters = list(self._buffer), self._cutters
        lanes = [(each.number, each.part, each.at, int(each.cut), len(each.waiting)) for each in cutters]
        return Cursor(
            self._settings(),
            {
                "place": torch.tensor([self._epoch, self._row, int(self._read_all)]),
                "lanes": torch.tensor(lanes).view(-1, 5),
                "waiting": torch.from_numpy(np.concatenate([NOTHING, *(each.waiting for each in cutters)])),
                "buffer_ids": torch.from_numpy(np.concatenate([NOTHING, *(piece.ids for piece in pieces)])),
                "buffer_pieces": torch.tensor([(len(piece.ids), piece.number, piece.at) for piece in pieces]).view(-1, 3),
            },
        )

    def close(self) -> None:
        """Ends reading in the background; no more rows can be taken."""
        self._closed = True
        self._parts.close()

    def _settings(self) -> dict[str, Any]:
        tokenizer, pieces = self._tokenizer, hashlib.sha256()
        for id in range(tokenizer.vocab_size):
            pieces.update(tokenizer.token(id).text.encode() + b"\0")
        return {
            "length": self._length,
            "seed": self._seed,
            "buffer": self._limit,
            "tokenizer": pieces.hexdigest(),
            "bytes": [file.stamp[0] for file in self._split.sources.files],  # names may differ; a run compares the hashes
            "lanes": len(self._lanes),
            "validation": "of its own" if self._split.other else self._split.how,
        }

    def _restore(self, cursor: Cursor) -> None:
        for name, value in self._settings().items():
            if cursor.settings.get(name) != value:
                raise LiuliError(
                    f"the data or the settings have changed since the checkpoint ({SETTINGS[name]}): restore the data and the "
                    f"settings of the run"
                )
        self._epoch, self._row, read_all = cursor.tensors["place"].tolist()
        self._read_all, self._cutters = bool(read_all), []
        ids, first = cursor.tensors["waiting"].numpy(), 0
        for number, part, at, cut, size in cursor.tensors["lanes"].tolist():
            waiting = ids[first : first + size].copy()
            self._cutters.append(Cutter(self._length, self._epoch_seed(), number, part, waiting, at, bool(cut)))
            first += size
        ids, first = cursor.tensors["buffer_ids"].numpy(), 0
        for size, number, at in cursor.tensors["buffer_pieces"].tolist():
            self._buffer.add(Piece(ids[first : first + size].copy(), number, at))
            first += size

    def _epoch_seed(self) -> str:
        return f"{self._seed} {self._epoch}"

    def _new_cutters(self) -> list[Cutter]:
        return [Cutter(self._length, self._epoch_seed()) for _ in self._lanes]

    def _fill(self) -> bool:
        """Reads until the buffer is full or the epoch's text is in it; begins the next epoch when all rows are given.
        Whether there is a row to give."""
        while self._epochs is None or self._epoch < self._epochs:
            while self._buffer.ids < self._limit and not self._read_all:
                part = next(self._parts, None)
                self._read_all = part is None
                for piece in self._rests() if part is None else self._cutter_of(part).add(part):
                    self._buffer.add(piece)
            if len(self._buffer):
                return True
            if self._row == 0:
                names = ", ".join(self._split.sources.names)
                raise LiuliError(
                    f"{names}: all of the text is held out, so none is left to train on: give more text, or another --valid"
                )
            self._epoch, self._row, self._read_all = self._epoch + 1, 0, False
            self._cutters = self._new_cutters()
            if self._epoch != self._epochs:
                self._parts = self._read_ahead()
        return False

    def _cutter_of(self, part: Part) -> Cutter:
        return self._cutters[bisect_right(self._lanes, part.number, key=lambda lane: lane.first) - 1]

    def _rests(self) -> Iterator[Piece]:
        """What is left in each lane when all is read."""
        return chain.from_iterable(cutter.finish() for cutter in self._cutters)

    def _read_ahead(self) -> Ahead[Part]:
        """What is left of this epoch's text after the parts that the cutters saw last, encoded in the background."""
        if self._read_all:
            return Ahead(iter(()))
        places = [(cutter.number, cutter.part) for cutter in self._cutters]
        return Ahead(encoded(interleaved(self._split, self._lanes, places), self._tokenizer))
