"""Which dialogues are held out, to be measured and never trained on.

By their first prompt, unless told otherwise: `held_out` of what the user says first decides, about one dialogue in twenty. A
dialogue keeps its side whatever else is added, and all that begin alike (other answers, other branches) are on the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.split import LAST, ONE_IN, Validation, check_apart, held_out
from liuli.data.text.sources import Seen
from liuli.errors import LiuliError


@dataclass(frozen=True, slots=True)
class Division:
    """Dialogues and which of them are held out; `how` says it for people. `shared`: how many of `other` begin with a prompt
    that a dialogue trained on begins with too."""

    dialogues: Dialogues
    how: str
    other: Dialogues | None = None
    edge: int | None = None  # how many dialogues come before those that are held out
    shared: int = 0

    def training(self) -> Iterator[Dialogue]:
        """What may be trained on."""
        return (dialogue for held, dialogue in self._sides() if not held)

    def validation(self) -> Iterator[Dialogue]:
        """What is held out."""
        return self.other.dialogues() if self.other else (dialogue for held, dialogue in self._sides() if held)

    def _sides(self) -> Iterator[tuple[bool, Dialogue]]:
        for index, dialogue in enumerate(self.dialogues):
            if self.other:
                yield False, dialogue
            elif self.edge is not None:
                yield index >= self.edge, dialogue
            else:
                yield held_out(dialogue.first_prompt), dialogue


def split(dialogues: Dialogues, valid: str = "content") -> Division:
    """Holds out by `valid`: `content`; `tail:0.1`, the last tenth of the dialogues; a file (or folder, or hub:owner/dataset).

    Looks at as many dialogues as it takes to know both sides: for `content` rarely more than the first, for `tail` all.

    Raises:
        LiuliError: `valid` is none of these; a file of the validation is among the dialogues'; there is one dialogue alone;
            where `strict`, a dialogue of the validation begins with a prompt that is trained on.
    """
    how = Validation.parse(valid)
    if how.kind == "file":
        other = Dialogues([how.file], dialogues.strict)
        check_apart(other.files, dialogues.files)
        return Division(dialogues, f"all of {how.file}", other, shared=_shared(other, dialogues))
    share = f"the last {float(100 * how.share):.3g}% of the dialogues"
    if how.kind == "tail":
        return Division(dialogues, share, edge=_edge(dialogues, how.share))
    sides = set()
    for dialogue in dialogues:
        sides.add(held_out(dialogue.first_prompt))
        if len(sides) == 2:
            return Division(dialogues, f"by first prompt, about one dialogue in {ONE_IN}")
    why = f"{share}, as there are too few to hold out one in {ONE_IN} by first prompt"
    return Division(dialogues, why, edge=_edge(dialogues, LAST))


def _shared(other: Dialogues, dialogues: Dialogues) -> int:
    """How many of the validation begin as one that is trained on; an error where `strict`."""
    trained = Seen()
    for dialogue in dialogues:
        trained.add(_digest(dialogue))
    places = [dialogue.source for dialogue in other if _digest(dialogue) in trained]
    if places and dialogues.strict:
        raise LiuliError(
            f"{places[0]}: its first prompt is trained on too ({len(places):,} such dialogues); take them out of either"
        )
    return len(places)


def _digest(dialogue: Dialogue) -> bytes:
    return blake2b(dialogue.first_prompt.encode(), digest_size=16).digest()


def _edge(dialogues: Dialogues, share: Fraction) -> int:
    """How many come before the last `share` of all (rounded down, but at least one)."""
    total = sum(1 for _ in dialogues)
    if total == 1:
        raise LiuliError(f"{', '.join(dialogues.names)} has one dialogue: too few to train on some and hold out the rest")
    return total - max(1, int(total * share))
