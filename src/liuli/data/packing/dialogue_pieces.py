"""Dialogues as pieces of rows: each whole, or cut between two exchanges if it is longer than a row.

Only what the loss mask names (`liuli.tokens.chat`) is supervised, as much as the weights of the messages say.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.dialogues.encode import EncodedDialogue, encode_dialogue
from liuli.data.packing.pieces import Piece
from liuli.errors import LiuliError
from liuli.tokens.chat.chat import Chat
from liuli.units import counted


@dataclass(frozen=True, slots=True)
class DialoguePieces:
    """Dialogues, encoded once for rows of `length` positions. `cuts`: how they were split or shortened; `notes`: messages about
    their files."""

    length: int
    pieces: list[Piece]
    cuts: "Cuts"
    notes: list[str]

    @classmethod
    def encode(
        cls, dialogues: Iterable[Dialogue], read: Dialogues | None, chat: Chat, length: int, strict: bool
    ) -> "DialoguePieces":
        """Raises LiuliError: what `pieces_of_dialogues` raises.

        Args:
            read: the source of the dialogues; it knows what the pass over its files has found.
        """
        cuts = Cuts()
        pieces = list(pieces_of_dialogues(dialogues, chat, length, cuts, strict))
        return cls(length, pieces, cuts, list(_notes(read)) if read else [])

    def with_length(self, length: int, encode: Callable[[int], "DialoguePieces"]) -> "DialoguePieces":
        """The same for rows of another length; encoded again only if other cuts are needed."""
        if length == self.length:
            return self
        longest = max((piece.places for piece in self.pieces), default=0)
        if not self.cuts.cut and longest <= length <= self.length:
            return replace(self, length=length)
        return encode(length)


@dataclass
class Cuts:
    """How dialogues were split or shortened. `cut`: longer than a row, so split into several pieces. `long_answers`: answers
    that do not fit a row together with their question, and are left out. `unread`: answers whose reasoning is left out.
    `refused`: dialogues left out, by the template's error."""

    dialogues: int = 0
    cut: int = 0
    long_answers: int = 0
    unread: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def lines(self, length: int) -> Iterator[str]:
        """Messages about what was not used unchanged."""
        if self.cut:
            dialogues = counted(self.cut, "dialogue")
            yield f"{dialogues} longer than a sequence of {length} tokens: cut into parts that each begin with a question"
        if self.long_answers:
            answers = counted(self.long_answers, "answer")
            yield f"skipped {answers}: too long for a sequence of {length} tokens; give a larger --length"
        if self.unread:
            left_out = f"the reasoning of {counted(self.unread, 'answer')}"
            yield f"left out {left_out}: the chat template does not read reasoning_content"
        for why, count in self.refused.items():
            yield f"skipped {counted(count, 'dialogue')}: {why}"


def pieces_of_dialogues(
    dialogues: Iterable[Dialogue], chat: Chat, length: int, cuts: Cuts, strict: bool = False
) -> Iterator[Piece]:
    """The dialogues as pieces of at most `length` positions, numbered in order. `cuts` records what was done with them.

    Raises:
        LiuliError: the template refuses every one of them; if `strict`, it refuses one, or an answer does not fit a row.
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
            raise LiuliError(
                f"{dialogue.source}: an answer is too long for a sequence of {length} tokens; give a larger --length"
            )
        if strict and cuts.unread:
            raise LiuliError(
                f"{dialogue.source}: the chat template does not read reasoning_content, which would be left out; remove it, or "
                f"use another template"
            )
        for piece in found:
            if any(piece.supervised):  # else all its answers have weight 0
                weights = None if piece.weights is None else np.array(piece.weights, np.float32)
                yield Piece(np.array(piece.ids, np.int32), number, 0, np.array(piece.supervised), weights)
                number += 1
    if cuts.refused.total() == cuts.dialogues > 0:
        raise LiuliError(f"no dialogue can be used for training: {next(iter(cuts.refused))}")


def _pieces(dialogue: Dialogue, chat: Chat, length: int, cuts: Cuts) -> Iterator[EncodedDialogue]:
    whole = encode_dialogue(chat, dialogue.messages, dialogue.tools)
    cuts.unread += whole.unread
    if len(whole.ids) - 1 <= length:
        yield whole
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
            cuts.long_answers += sum(message["role"] == "assistant" and message.get("weight", 1) > 0 for message in exchange)
            kept = []
        else:
            kept, held = [*kept, *exchange], longer
    if kept:
        assert held is not None
        yield held


def _fitting(messages: list[Any], dialogue: Dialogue, chat: Chat, length: int) -> EncodedDialogue | None:
    found = encode_dialogue(chat, messages, dialogue.tools)
    return found if len(found.ids) - 1 <= length else None


def _exchanges(messages: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """The messages before the first user, and each user's message with its answers. One without an answer is left out."""
    system: list[dict[str, Any]] = []
    exchanges: list[list[dict[str, Any]]] = []
    for message in messages:
        if message["role"] == "user":
            exchanges.append([])
        (exchanges[-1] if exchanges else system).append(message)
    return system, [exchange for exchange in exchanges if any(message["role"] == "assistant" for message in exchange)]


def _notes(dialogues: Dialogues) -> Iterator[str]:
    """Messages about the pass over all of them that has just ended."""
    for file, layouts in dialogues.layouts.items():
        counts = (f"{counted(count, 'dialogue')} as {layout}" for layout, count in layouts.items())
        yield f"{file}: {', '.join(counts)}"
    yield from (f"skipped {each}" for each in dialogues.skipped)
    if dialogues.unanswered:
        ending = f"{counted(dialogues.unanswered, 'dialogue')} {'ends' if dialogues.unanswered == 1 else 'end'}"
        yield f"{ending} without an answer: the last message is not trained on"
