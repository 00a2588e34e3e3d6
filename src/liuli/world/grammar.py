"""The machinery of a weighted grammar that is readable from the left, and knows nothing of what it says.

A `GrammarState` is all that the text so far determines. Its step offers a `GrammarChoice` among pieces of text, none of which
begins another; the piece that is chosen determines the next state. So a text is read in one way only, and its probability is
the product of the probabilities of its pieces. A document ends where the grammar says so, never by a choice between ending and
going on: the end needs no piece among others.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple, Protocol

Kind = Literal["wording", "entity", "fact", "habit"]
KINDS: tuple[Kind, ...] = ("wording", "entity", "fact", "habit")


@dataclass(frozen=True, eq=False, slots=True)
class GrammarChoice:
    """What may be written at a state.

    `weights` are whole numbers: piece i has probability weights[i] / total. `values`: for a fact or habit, all that a
    writer who does not know it could say, false ones too (probability 0); else the pieces.
    """

    kind: Kind
    pieces: tuple[str, ...]
    weights: tuple[int, ...]
    cumulative: tuple[int, ...]
    total: int
    values: tuple[str, ...]

    def probability(self, i: int) -> float:
        return self.weights[i] / self.total

    def nats(self, i: int) -> float:
        """-log of the probability."""
        return math.log(self.total / self.weights[i])


def make_choice(kind: Kind, pieces: Sequence[str], weights: Sequence[int], values: Sequence[str] = ()) -> GrammarChoice:
    assert all(weight > 0 for weight in weights)
    check_prefix_free(pieces)
    cumulative = tuple(accumulate(weights))
    return GrammarChoice(kind, tuple(pieces), tuple(weights), cumulative, cumulative[-1], tuple(values or pieces))


def check_prefix_free(pieces: Sequence[str]) -> None:
    """Asserts that none is empty and none begins another."""
    ordered = sorted(pieces)
    assert ordered and ordered[0], "a choice without pieces, or with an empty one"
    for one, other in pairwise(ordered):  # what begins with `one` stands right behind it
        assert not other.startswith(one), f"one piece begins another: {one!r}, {other!r}"


class Step(Protocol):
    """One place of a form."""

    def choice(self, state: "GrammarState") -> GrammarChoice: ...

    def after(self, state: "GrammarState", i: int) -> "GrammarState":
        """The state once piece i of this state's choice is written."""
        ...


class GrammarState(NamedTuple):
    """Everything that the text so far determines.

    `lead` is owed before the next piece and `tail` after it: the rest of a sentence around a value, "回" {白石} "去".
    `subject` is whom the text is about, `topic` what is to be said next, `told` the set of topics said already (bits).
    """

    step: Step | None
    lead: str = ""
    subject: Any = None
    topic: str = ""
    told: int = 0
    tail: str = ""


def write(state: GrammarState, draw: Callable[[], float]) -> str:
    """One document from `state` on. `draw` gives uniform numbers in [0, 1)."""
    parts: list[str] = []
    while state.step is not None:
        choice = state.step.choice(state)
        # A single piece needs no number. Rounding never lifts draw() * total to total: 1 - 2^-53 is one step below 1.
        i = bisect_right(choice.cumulative, draw() * choice.total) if choice.total > choice.weights[0] else 0
        parts += (state.lead, choice.pieces[i])
        state = state.step.after(state, i)
    return "".join(parts)


def read(state: GrammarState, text: str) -> Iterator[tuple[GrammarState, GrammarChoice | None, int]]:
    """Each state that `text` passes, with its choice and the place in `text` where it stands; last the state where the
    whole pieces end. The choice of a state that ends the document is None."""
    place = 0
    while True:
        choice = state.step.choice(state) if state.step is not None else None
        yield state, choice, place
        i = match(state, choice, text, place) if choice is not None else None
        if state.step is None or choice is None or i is None:
            return
        place += len(state.lead) + len(choice.pieces[i])
        state = state.step.after(state, i)


def match(state: GrammarState, choice: GrammarChoice, text: str, place: int) -> int | None:
    """Which piece stands in `text` at `place`, if one does whole."""
    if not text.startswith(state.lead, place):
        return None
    place += len(state.lead)
    return next((i for i, piece in enumerate(choice.pieces) if text.startswith(piece, place)), None)


@dataclass(frozen=True, slots=True)
class Floor:
    """Expected sums over one document. `nats` is the entropy: no model can have a lower expected loss."""

    nats: dict[Kind, float]
    choices: dict[Kind, float]
    bytes: float

    @property
    def bits_per_byte(self) -> float:
        return sum(self.nats.values()) / math.log(2) / self.bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "nats": sum(self.nats.values()),
            "choices": sum(self.choices.values()),
            "bytes": self.bytes,
            "bits_per_byte": self.bits_per_byte,
            "nats_by_kind": self.nats,
            "choices_by_kind": self.choices,
        }


def find_floor(start: GrammarState) -> Floor:
    """The exact expectations from `start` on (which owes nothing): each state's own part and its successors', by their
    probabilities.

    States that differ in `lead` and `tail` alone go the same way: they are counted as one, and those bytes are counted
    when they become owed.
    """
    known: dict[tuple[Any, ...], list[float]] = {}

    def rest(state: GrammarState) -> list[float]:
        if state.step is None:  # nats and choices of each kind, bytes
            return [0.0] * (2 * len(KINDS) + 1)
        key = (state.step, state.subject, state.topic, state.told)
        if key not in known:
            known[key] = add(state, state.step)
        return known[key]

    def add(state: GrammarState, step: Step) -> list[float]:
        choice = step.choice(state)
        behind: dict[tuple[Any, ...], tuple[GrammarState, int]] = {}
        size, nats = 0, 0.0
        for i, (piece, weight) in enumerate(zip(choice.pieces, choice.weights, strict=True)):
            after = step.after(state, i)
            key = (after.step, after.subject, after.topic, after.told)
            behind[key] = after, weight + (behind[key][1] if key in behind else 0)
            size += weight * len((piece + after.lead + after.tail).encode())
            nats += weight * choice.nats(i)
        sums = _mix([(weight / choice.total, rest(after)) for after, weight in behind.values()])
        place = KINDS.index(choice.kind)
        sums[place] += nats / choice.total
        sums[len(KINDS) + place] += 1
        sums[-1] += size / choice.total - len(state.tail.encode())  # the tail was counted when it became owed
        return sums

    *numbers, size = rest(start)
    nats, choices = numbers[: len(KINDS)], numbers[len(KINDS) :]
    return Floor(dict(zip(KINDS, nats, strict=True)), dict(zip(KINDS, choices, strict=True)), size)


def _mix(parts: Sequence[tuple[float, list[float]]]) -> list[float]:
    """Sums of rows by their shares; most states have one successor, whose share is 1."""
    if len(parts) == 1:
        return parts[0][1].copy()
    return [math.fsum(share * row[k] for share, row in parts) for k in range(len(parts[0][1]))]
