"""Which text is held out, to be measured and never trained on.

By content, unless told otherwise: the SHA-256 of a block (`Document.text`) decides, about one block in twenty. A block keeps
its side whatever else is added, taken away or put in another order, and the same text is never on both sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Literal

from liuli.data.text.files import File
from liuli.data.text.sources import Document, Seen, Sources
from liuli.errors import LiuliError

ONE_IN = 20
LAST = Fraction(1, 10)  # of a corpus in which no block is held out


def held_out(text: str) -> bool:
    """Whether a block is held out by its content: the first 8 bytes of its SHA-256, as a big-endian number, divide by 20."""
    return int.from_bytes(sha256(text.encode()).digest()[:8]) % ONE_IN == 0


@dataclass(frozen=True, slots=True)
class Validation:
    """How to hold out: `content`; `tail`, the last `share` of all characters; `file`, other sources of their own."""

    kind: Literal["content", "tail", "file"] = "content"
    share: Fraction = LAST
    file: str = ""

    @classmethod
    def parse(cls, how: str) -> "Validation":
        """From `content`, `tail:0.1`, or a file (or folder, or hub:owner/dataset).

        Raises:
            LiuliError: it is none of these, or the share is not between 0 and 1.
        """
        if how == "content":
            return cls()
        if not how.startswith("tail:"):
            if not how or not (how.startswith("hub:") or Path(how).exists()):
                raise LiuliError(f"there is no file {how!r} to validate on; give a file, tail:0.1 or content")
            return cls("file", file=how)
        try:
            share = Fraction(how.removeprefix("tail:"))
        except (ValueError, ZeroDivisionError):
            share = Fraction(0)
        if not 0 < share < 1:
            raise LiuliError(f"{how}: the share to hold out is a number between 0 and 1, as in tail:0.1")
        return cls("tail", share)

    def split(self, sources: Sources) -> "Split":
        """Looks at as much of the sources as it takes to know both sides: for `content` rarely more than the first
        blocks, for `tail` all of them, twice; for `file` all of both, once.

        Raises:
            LiuliError: a file of the validation is among the sources; the text is too short to be divided; where `strict`,
                a document of the validation stands in the training text too.
        """
        if self.kind == "file":
            other = _apart(self.file, sources)
            return Split(sources, f"all of {self.file}", other, shared=_shared(other, sources))
        share = f"the last {float(100 * self.share):.3g}% of the characters"
        if self.kind == "tail":
            return Split(sources, share, edge=_edge(sources, self.share))
        sides = set()
        for document in sources.documents():
            sides.add(held_out(document.text))
            if len(sides) == 2:
                return Split(sources, f"by content, about one block in {ONE_IN}")
        why = f"{share}, as there are too few blocks to hold out one in {ONE_IN} by content"
        return Split(sources, why, edge=_edge(sources, self.share))


@dataclass(frozen=True, slots=True)
class Split:
    """Sources and which of their text is held out; `how` says it for people. `shared`: how many documents of `other`, by
    their whole text, are trained on all the same.

    Where a block of a document is held out, the parts around it are not adjacent: `part` jumps from the one to the next.
    Where a part is divided (`tail`), both sides have its number; `last` stays with the document's true end.
    """

    sources: Sources
    how: str
    other: Sources | None = None
    edge: tuple[int, int, int] | None = None  # number and part of the document that is divided, and the character
    shared: int = 0

    def training(self, start: int = 0, end: int | None = None) -> Iterator[Document]:
        """What may be trained on, from document number `start` on, up to number `end`."""
        if self.edge and end is not None:
            end = min(end, self.edge[0] + 1)  # all that comes after is held out
        return (document for held, document in self._sides(start, end) if not held)

    def validation(self) -> Iterator[Document]:
        """What is held out."""
        if self.other:
            return self.other.documents()
        return (document for held, document in self._sides(self.edge[0] if self.edge else 0) if held)

    def documents(self) -> Iterator[tuple[bool, Document]]:
        """Both, in one pass: whether it is held out, and the text."""
        yield from self._sides(0)
        if self.other:
            yield from ((True, document) for document in self.other.documents())

    def _sides(self, start: int, end: int | None = None) -> Iterator[tuple[bool, Document]]:
        for document in self.sources.documents(start, end):
            place = (document.number, document.part)
            if self.other:
                yield False, document
            elif not self.edge:
                yield held_out(document.text), document
            elif place != self.edge[:2]:
                yield place > self.edge[:2], document
            else:
                character = self.edge[2]
                if character:
                    yield False, replace(document, text=document.text[:character], last=False)
                yield True, replace(document, text=document.text[character:], cut=character > 0)


def _apart(file: str, sources: Sources) -> Sources:
    """The sources of the validation, none of whose files is trained on."""
    other = Sources([file], sources.strict, sources.dedup)
    check_apart(other.files, sources.files)
    return other


def check_apart(held: list[File], trained: list[File]) -> None:
    """Raises LiuliError where a file is on both sides, by whatever name."""
    places = {each.path.resolve() for each in trained}
    for each in held:
        if each.path.resolve() in places:
            raise LiuliError(
                f"{each.name} would be trained on and validated on; take it out of the source, or hold out another"
            )


def _shared(other: Sources, sources: Sources) -> int:
    """How many documents of the validation stand in the training text, whole; an error where `strict`."""
    trained = Seen()
    for _, _, text in sources.texts():
        trained.add(text.digest)
    places = [place for _, place, text in other.texts() if text.digest in trained]
    if places and sources.strict:
        raise LiuliError(f"{places[0]}: the same text is trained on ({len(places):,} such documents); take them out of either")
    return len(places)


def _edge(sources: Sources, share: Fraction) -> tuple[int, int, int]:
    """Where the last `share` of all characters (rounded down, but at least one) begins."""
    total = sum(len(document.text) for document in sources.documents())
    left = total - max(1, int(total * share))
    if not left:
        raise LiuliError(f"{', '.join(sources.names)} has one character: too few to train on some and hold out the rest")
    for document in sources.documents():
        if left < len(document.text):
            return document.number, document.part, left
        left -= len(document.text)
    raise AssertionError("the edge lies before the end")
