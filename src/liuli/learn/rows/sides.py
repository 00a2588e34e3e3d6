"""The two sides of a fine-tuning, encoded: the dialogues trained on, and those held out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.packing.pieces import Piece
from liuli.data.split import DialogueSplit
from liuli.errors import LiuliError
from liuli.learn.rows.dialogue_rows import Cuts, pieces_of_dialogues
from liuli.tokens.chat.chat import Chat

TRAINING, HELD_OUT = "training", "held out"


@dataclass(frozen=True, slots=True)
class Side:
    """`length`: of the rows for which it was cut. `notes`: what there was to say of its files."""

    length: int
    pieces: list[Piece]
    cuts: Cuts
    notes: list[str]

    def cut_for(self, length: int) -> "Side | None":
        """The same for rows of another length; None where it has to be cut anew."""
        if length == self.length:
            return self
        longest = max((piece.places for piece in self.pieces), default=0)
        return replace(self, length=length) if not self.cuts.cut and longest <= length <= self.length else None


class Sides:
    """Each is encoded once, unless other cuts are asked for."""

    def __init__(self, division: DialogueSplit, chat: Chat, strict: bool):
        self._division, self._chat, self._strict = division, chat, strict
        self._known: dict[str, Side] = {}

    def training(self, length: int) -> Side:
        """Raises LiuliError: no answer fits a row; what `pieces_of_dialogues` raises."""
        side = self._side(TRAINING, length)
        if not side.pieces:
            raise LiuliError(
                f"there is nothing to learn from: no answer fits a row of {length} tokens with what it answers; give a larger "
                f"--length"
            )
        return side

    def held_out(self, length: int) -> Side:
        return self._side(HELD_OUT, length)

    def tokens(self) -> set[int]:
        """All that the training side has, as it was cut last."""
        return {id for piece in self._known[TRAINING].pieces for id in piece.ids.tolist()}

    def _side(self, name: str, length: int) -> Side:
        known = self._known.get(name)
        self._known[name] = (known and known.cut_for(length)) or self._encoded(name == TRAINING, length)
        return self._known[name]

    def _encoded(self, training: bool, length: int) -> Side:
        dialogues = self._division.training() if training else self._division.validation()
        cuts = Cuts()
        pieces = list(pieces_of_dialogues(dialogues, self._chat, length, cuts, self._strict))
        read = self._division.dialogues if training else self._division.other
        return Side(length, pieces, cuts, list(_said(read)) if read else [])


def _said(dialogues: Dialogues) -> Iterator[str]:
    """What the pass over all of them, just ended, has met."""
    for file, layouts in dialogues.layouts.items():
        yield f"{file}: " + ", ".join(f"{count:,} dialogues as {layout}" for layout, count in layouts.items())
    yield from (f"skipped {each}" for each in dialogues.skipped)
    if dialogues.unanswered:
        yield f"{dialogues.unanswered:,} dialogues end without an answer: nothing is learned from their end"
