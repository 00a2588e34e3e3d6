"""Rows of dialogues: each whole, or cut between two exchanges where it is longer than a row; many in a row, apart.

A row is packed as one of text is (`batches.Buffer`), without padding; `segments` keep dialogues from seeing each other, and
only what the loss mask names (`liuli.tokens.chat.chat`) is a target.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from liuli.data.dialogues.dialogues import Dialogue
from liuli.data.packing.batch import Batch, batch_of
from liuli.data.packing.pieces import Piece
from liuli.errors import LiuliError
from liuli.learn.rows.buffer import Buffer
from liuli.learn.rows.rows import Cursor
from liuli.learn.rows.text_rows import TextRows
from liuli.tokens.chat.chat import Chat

MIXED = 0.25  # share of the rows, where text is mixed in


@dataclass
class Cuts:
    """What became of dialogues. `cut`: longer than a row, and so in several pieces. `long_answers`: answers that do not fit a
    row with what they answer, and are left out. `refused`: dialogues left out, by what the template said."""

    dialogues: int = 0
    cut: int = 0
    long_answers: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def lines(self, length: int) -> Iterator[str]:
        """For people, what was not used as it stands."""
        if self.cut:
            yield f"{self.cut:,} dialogues longer than a row of {length} tokens were cut between two exchanges"
        if self.long_answers:
            yield f"skipped {self.long_answers:,} × an answer too long for a row of {length} tokens; give a larger --length"
        for why, count in self.refused.items():
            yield f"skipped {count:,} × {why}"


def pieces_of_dialogues(
    dialogues: Iterable[Dialogue], chat: Chat, length: int, cuts: Cuts, strict: bool = False
) -> Iterator[Piece]:
    """The dialogues as pieces of at most `length` places, numbered in order. `cuts` is told what became of them.

    Raises:
        LiuliError: the template refuses every one of them; where `strict`, it refuses one, or an answer does not fit a row.
    """
    number = 0
    for dialogue in dialogues:
        cuts.dialogues += 1
        try:
            found = list(_pieces(dialogue, chat, length, cuts))
        except LiuliError as error:
            if strict:
                raise LiuliError(f"{dialogue.source}: {error}") from None
            cuts.refused[str(error)] += 1
            continue
        if strict and cuts.long_answers:
            raise LiuliError(f"{dialogue.source}: an answer is too long for a row of {length} tokens; give a larger --length")
        for ids, supervised in found:
            yield Piece(np.array(ids, np.int32), number, 0, np.array(supervised))
            number += 1
    if cuts.refused.total() == cuts.dialogues > 0:
        raise LiuliError(f"none of the dialogues can be learned from: {next(iter(cuts.refused))}")


def _pieces(dialogue: Dialogue, chat: Chat, length: int, cuts: Cuts) -> Iterator[tuple[list[int], list[bool]]]:
    whole = chat.dialogue(dialogue.messages, dialogue.tools)
    if len(whole.ids) - 1 <= length:
        yield whole[:2]
        return
    system, exchanges = _exchanges(dialogue.messages)
    cuts.cut += 1
    kept: list[dict[str, Any]] = []
    held = None  # `kept`, encoded
    for exchange in exchanges:
        longer = _fitting([*system, *kept, *exchange], dialogue, chat, length)
        if longer is None and kept:
            assert held is not None
            yield held
            kept, longer = [], _fitting([*system, *exchange], dialogue, chat, length)
        if longer is None:
            cuts.long_answers += sum(message["role"] == "assistant" for message in exchange)
            kept = []
        else:
            kept, held = [*kept, *exchange], longer
    if kept:
        assert held is not None
        yield held


def _fitting(messages: list[Any], dialogue: Dialogue, chat: Chat, length: int) -> tuple[list[int], list[bool]] | None:
    found = chat.dialogue(messages, dialogue.tools)
    return found[:2] if len(found.ids) - 1 <= length else None


def _exchanges(messages: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """What comes before the first user, and each user's message with all that answers it; one without answer is left out."""
    system: list[dict[str, Any]] = []
    exchanges: list[list[dict[str, Any]]] = []
    for message in messages:
        if message["role"] == "user":
            exchanges.append([])
        (exchanges[-1] if exchanges else system).append(message)
    return system, [exchange for exchange in exchanges if any(message["role"] == "assistant" for message in exchange)]


class DialogueRows:
    """Rows without end, or for `epochs` epochs: in each, every piece once, in an order of its own.

    Args:
        length: T. empty: the id that stands where nothing does. cursor: goes on from there, to the bit.

    Raises:
        LiuliError: the cursor is of other rows.
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
        assert pieces, "what is taken from nothing never ends"
        self._pieces, self._length, self._seed, self._empty, self._epochs = pieces, length, seed, empty, epochs
        self._epoch, self._row = 0, 0
        left: Iterable[int] = range(len(pieces))
        if cursor is not None:
            if cursor.settings != self._settings:
                raise LiuliError("the cursor is of other rows: the dialogues, the template or the rows' length differ")
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
        """The place behind the rows taken so far."""
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
        return {"length": self._length, "seed": self._seed, "pieces": digest.hexdigest()}

    def _filled(self, left: Iterable[int]) -> Buffer:
        buffer = Buffer(self._length)
        for number in left:
            buffer.add(self._pieces[number])
        return buffer

    def _more(self) -> bool:
        """Whether there is a row to give; begins the next epoch where one is at its end."""
        if not len(self._buffer):
            self._epoch, self._row = self._epoch + 1, 0
            self._buffer = self._filled(range(len(self._pieces)))
        return self._epochs is None or self._epoch < self._epochs


class Mixed:
    """Rows of dialogues with rows of text among them, `MIXED` of each step's (one at least); they end with the dialogues."""

    def __init__(self, dialogues: DialogueRows, text: TextRows):
        self._dialogues, self._text = dialogues, text

    def take(self, rows: int) -> Batch | None:
        assert rows > 1, "a step needs a row of each"
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

    def close(self) -> None:
        self._text.close()
