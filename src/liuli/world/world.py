"""A small world whose truth is known: it writes documents, and knows the exact probability of each.

In: size, seed, languages. Out: documents (one text each), the pieces that may follow a prefix with their probabilities, the
log-probability of a document in nats, the entropy floor. See docs/world.md.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal, get_args

from liuli.errors import LiuliError
from liuli.world import forms
from liuli.world.en import ENGLISH
from liuli.world.facts import Size, make_facts
from liuli.world.grammar import Floor, GrammarChoice, GrammarState, Kind, find_floor, match, read, write
from liuli.world.lexicon import Term
from liuli.world.steps import Tell
from liuli.world.zh import CHINESE

Lang = Literal["zh", "en", "both"]
END = "\x03"  # END OF TEXT: the piece that follows a whole document. No document holds it.
_LANGUAGES = {"zh": (CHINESE,), "en": (ENGLISH,), "both": (CHINESE, ENGLISH)}


@dataclass(frozen=True, slots=True)
class Branch:
    """What may follow a prefix: pieces with their probabilities, none of which begins another. `kind` of choice, or "end".

    Where the prefix stops inside a piece, these are the rests of the pieces that it may become.
    """

    kind: Kind | Literal["end"]
    pieces: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        pieces = [{"text": text if text != END else "", "probability": share} for text, share in self.pieces.items()]
        return {"kind": self.kind, "pieces": pieces}


class World:
    """A world is determined by size and seed; `lang` says in which languages its documents are written.

    Attributes:
        folder: the folder that it was opened from (`world/folder.py`); None if it was made here.

    Raises:
        LiuliError: a size or language that does not exist, a seed that is no whole number of at least 0.
    """

    def __init__(self, size: Size = "begin", seed: int = 0, lang: Lang = "both"):
        for name, value, known in (("size", size, get_args(Size)), ("lang", lang, get_args(Lang))):
            if value not in known:
                raise LiuliError(f"a world's {name} must be one of {', '.join(known)}, not {value!r}")
        check_seed(seed)
        self.size, self.seed, self.lang = size, seed, lang
        self.folder: Path | None = None
        self.facts = make_facts(size, 2 * seed)  # even seeds for facts, odd ones for documents: never the same draws
        self.start = forms.start(self.facts, _LANGUAGES[lang])

    def documents(self, count: int, seed: int = 0) -> Iterator[str]:
        """`count` documents, one at a time; the same for a seed on every machine, and the first ones whatever the count.

        Raises:
            LiuliError: a negative count or seed.
        """
        check_seed(seed)
        if count < 0:
            raise LiuliError(f"the number of documents must be at least 0, not {count}")
        draw = Random(2 * seed + 1).random
        return (write(self.start, draw) for _ in range(count))

    def branch(self, prefix: str) -> Branch:
        """What may follow `prefix`, a document's beginning.

        Raises:
            LiuliError: no document begins so; says how far it could be read and what could follow there.
        """
        *_, (state, choice, place) = read(self.start, prefix)
        rest = prefix[place:]
        if choice is None:
            if not rest:
                return Branch("end", {END: 1.0})
            raise LiuliError(
                f"no document of this world begins with {prefix!r}: the document ends after {prefix[:place]!r}; remove the rest"
            )
        found = _going_on(state, choice, rest)
        if not found:
            pieces = [state.lead + piece for piece in choice.pieces]
            raise LiuliError(_refusal(prefix, place, pieces) + _not_mentioned(state, rest))
        total = sum(choice.weights[i] for i in found)
        pieces = {(state.lead + choice.pieces[i])[len(rest) :]: choice.weights[i] / total for i in found}
        return Branch(choice.kind, pieces)

    def next_pieces(self, prefix: str) -> dict[str, float]:
        """The pieces that may follow `prefix`, with their probabilities; after a whole document, `END`. See `branch`."""
        return self.branch(prefix).pieces

    def log_probability(self, document: str) -> float:
        """Nats (0 or less) of a whole document.

        Raises:
            LiuliError: it is none; says how far it could be read.
        """
        if self.branch(document).kind != "end":
            raise LiuliError(f"{document!r} is only the beginning of a document: give a whole document")
        return self.log_probability_of_prefix(document)

    def log_probability_of_prefix(self, prefix: str) -> float:
        """Nats (0 or less): how probable it is that a document begins so; -inf if none does. A final `END` asks for the
        whole document."""
        text = prefix.removesuffix(END)
        nats = 0.0
        for state, choice, place in read(self.start, text):
            if choice is None:
                return -nats if place == len(text) else -math.inf
            i = match(state, choice, text, place)
            if i is not None:
                nats += choice.nats(i)
                continue
            weight = sum(choice.weights[i] for i in _going_on(state, choice, text[place:]))
            return math.log(weight / choice.total) - nats if weight and text == prefix else -math.inf
        raise AssertionError("a walk ends at a state that no piece leaves")

    @cached_property
    def floor(self) -> Floor:
        """Expected nats, choices and bytes of a document, exact: it takes 2 s for size begin, half a minute for large."""
        return find_floor(self.start)


def check_seed(seed: int) -> None:
    if type(seed) is not int or seed < 0:
        raise LiuliError(f"a seed must be a whole number of at least 0, not {seed!r}")


def _going_on(state: GrammarState, choice: GrammarChoice, rest: str) -> list[int]:
    """The pieces that begin with `rest`."""
    return [i for i, piece in enumerate(choice.pieces) if (state.lead + piece).startswith(rest)]


def _refusal(prefix: str, place: int, pieces: Sequence[str]) -> str:
    """Returns the message for a prefix with which no document begins: how much of it matches, and the most similar pieces that
    can follow there."""
    rest = prefix[place:]
    near = sorted(pieces, key=lambda piece: -_shared(piece, rest))
    reached = place + _shared(near[0], rest)
    matched = f". The first {reached} of {len(prefix)} characters match" if reached else ""
    possible = f"After {prefix[:place]!r}, only these can follow:" if place else "A document can begin with"
    shown = ", ".join(repr(piece) for piece in islice(near, 5))
    more = f" and {len(near) - 5:,} more" if len(near) > 5 else ""
    return f"no document of this world begins with {prefix!r}{matched}. {possible} {shown}{more}"


def _not_mentioned(state: GrammarState, rest: str) -> str:
    """Returns a sentence for a prefix that asks for a fact that no document mentions; else ""."""
    fact = state.step.untold(state, rest) if isinstance(state.step, Tell) else None
    if fact is None:
        return ""
    name: Term = state.subject.name
    return f". The {fact} of {name.zh} ({name.en}) is in facts.json, but no document mentions it"


def _shared(one: str, other: str) -> int:
    """How many characters at the beginning are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
