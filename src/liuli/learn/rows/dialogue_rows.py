"""Rows of dialogues: several dialogues per row, kept apart, without padding.

A row is packed as one of text is (`buffer.py`); `segments` keep dialogues from seeing each other.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch

from liuli.data.packing.batch import Batch, batch_of
from liuli.data.packing.pieces import Piece
from liuli.errors import LiuliError
from liuli.learn.rows.buffer import Buffer
from liuli.learn.rows.rows import Cursor
from liuli.learn.rows.text_rows import TextRows
from liuli.learn.run.state import under

MIXED = 0.25  # share of the rows, if text is mixed in


class DialogueRows:
    """An endless sequence of rows, or the rows of `epochs` epochs. Each epoch has every piece once, in its own order.

    Args:
        length: T. empty: the id at empty positions. cursor: the rows continue from there, identical to the bit.

    Raises:
        LiuliError: the cursor does not fit the data.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        length: int,
        seed: int,
        empty: int,
        epochs: int | None = None,
        cursor: Cursor | None = None,
    ):
        assert pieces, "there must be at least one piece"
        self._pieces, self._length, self._seed, self._empty, self._epochs = pieces, length, seed, empty, epochs
        self._epoch, self._row = 0, 0
        left: Iterable[int] = range(len(pieces))
        if cursor is not None:
            if cursor.settings != self._settings:
                raise LiuliError(
                    "the data or the settings have changed since the checkpoint (the dialogues, the chat template or the "
                    "sequence length): restore the data and the settings of the run"
                )
            self._epoch, self._row = cursor.tensors["place"].tolist()
            left = cursor.tensors["left"].tolist()
        self._buffer = self._filled(left)

    def take(self, rows: int) -> Batch | None:
        """The next rows; fewer at the end of the last epoch, None after it."""
        packed, epochs = [], []
        while len(packed) < rows and self._more():
            packed.append(self._buffer.pack(f"{self._seed} {self._epoch} {self._row}"))
            epochs.append(self._epoch)
            self._row += 1
        return batch_of(packed, epochs, self._length, self._empty) if packed else None

    def cursor(self) -> Cursor:
        """The position after the rows taken so far."""
        left = torch.tensor([piece.number for piece in self._buffer], dtype=torch.int64)
        return Cursor(self._settings, {"place": torch.tensor([self._epoch, self._row]), "left": left})

    def close(self) -> None:
        """Nothing is read in the background."""

    @cached_property
    def _settings(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(piece.ids.data)
            digest.update(b"" if piece.supervised is None else piece.supervised.data)
            digest.update(b"" if piece.weights is None else piece.weights.data)
        return {"length": self._length, "seed": self._seed, "pieces": digest.hexdigest()}

    def _filled(self, left: Iterable[int]) -> Buffer:
        buffer = Buffer(self._length)
        for number in left:
            buffer.add(self._pieces[number])
        return buffer

    def _more(self) -> bool:
        """Whether there is another row. Begins the next epoch when one has ended."""
        if not len(self._buffer):
            self._epoch, self._row = self._epoch + 1, 0
            self._buffer = self._filled(range(len(self._pieces)))
        return self._epochs is None or self._epoch < self._epochs


class MixedRows:
    """Rows of dialogues with rows of text among them, `MIXED` of each step's (one at least); they end with the dialogues."""

    def __init__(self, dialogues: DialogueRows, text: TextRows):
        self._dialogues, self._text = dialogues, text

    def take(self, rows: int) -> Batch | None:
        assert rows > 1, "there must be room for both dialogues and text"
        of_text = max(1, round(MIXED * rows))
        first = self._dialogues.take(rows - of_text)
        second = first and self._text.take(of_text)
        if first is None or second is None:
            return None
        return first.joined(second)

    def cursor(self) -> Cursor:
        both = {"dialogues": self._dialogues.cursor(), "text": self._text.cursor()}
        tensors = {f"{name}.{key}": tensor for name, each in both.items() for key, tensor in each.tensors.items()}
        return Cursor({name: each.settings for name, each in both.items()}, tensors)

    @staticmethod
    def parted(cursor: Cursor | None) -> tuple[Cursor | None, Cursor | None]:
        """The places among the dialogues and in the text that one of these rows' cursors holds."""
        if cursor is None:
            return None, None
        one, two = (Cursor(cursor.settings[name], under(name, cursor.tensors)) for name in ("dialogues", "text"))
        return one, two

    def close(self) -> None:
        self._text.close()
