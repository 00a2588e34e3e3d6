"""The validation split: the blocks of text, or the dialogues, that are held out. The model is measured on them, and never
trained on them.

By default the content decides: about one in twenty is held out, by a hash of the block or of the dialogue's first prompt. So a
block stays on its side when other data are added, removed or reordered. The same text is never on both sides, and dialogues
with the same first prompt (other answers, other branches) are on the same side.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Literal

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.records.digest_set import DigestSet
from liuli.data.records.skipped import names_of
from liuli.data.records.source_files import SourceFile
from liuli.data.text.sources import Document, Sources
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.units import counted

ONE_IN = 20
LAST = Fraction(1, 10)  # the share that is held out if nothing is held out by content


def held_out(text: str) -> bool:
    """Whether a text is held out by its content: the first 8 bytes of its SHA-256, as a big-endian number, divide by 20."""
    return int.from_bytes(sha256(text.encode()).digest()[:8]) % ONE_IN == 0


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How to choose what is held out.

    Attributes:
        kind: "content"; "tail", the last part of the source; "file", separate sources.
        share: the share of a tail.
        file: a file, a folder or `hub:owner/dataset`.
    """

    kind: Literal["content", "tail", "file"] = "content"
    share: Fraction = LAST
    file: str = ""

    @classmethod
    def parse(cls, rule: str) -> "SplitRule":
        """Parses `content`, `tail:0.1`, or the name of a file (or folder, or hub:owner/dataset).

        Raises:
            LiuliError: it is none of these, or the share is not between 0 and 1.
        """
        if rule == "content":
            return cls()
        if not rule.startswith("tail:"):
            if not rule or not (rule.startswith("hub:") or Path(rule).exists()):
                raise LiuliError(f"there is no file {rule!r} to validate on; give a file, tail:0.1 or content")
            return cls("file", file=rule)
        try:
            share = Fraction(rule.removeprefix("tail:"))
        except (ValueError, ZeroDivisionError):
            share = Fraction(0)
        if not 0 < share < 1:
            raise LiuliError(f"{printable(rule)}: the share to hold out must be a number between 0 and 1, as in tail:0.1")
        return cls("tail", share)

    def described(self, what: str) -> str:
        """The rule in words, for a tail or a file. `what`: the noun of which a share is held out."""
        if self.kind == "file":
            return f"all of {printable(self.file)}"
        return f"the last {float(100 * self.share):.3g}% of the {what}"


@dataclass(frozen=True, slots=True)
class TextSplit:
    """Texts and which of their blocks are held out.

    If a block of a document is held out, the parts around it are not adjacent: `part` jumps from the one to the next. If a
    part is divided (`tail`), both sides have its number; `last` stays with the document's true end.

    Attributes:
        how: the rule, in words.
        other: the sources that are held out, if they are separate.
        edge: number and part of the document that is divided, and the character where its held-out side begins.
        shared: how many documents of `other` are also in the training data, by their whole text.
    """

    sources: Sources
    how: str
    other: Sources | None = None
    edge: tuple[int, int, int] | None = None
    shared: int = 0

    def training(self, start: int = 0, end: int | None = None) -> Iterator[Document]:
        """The training documents from number `start` up to number `end`."""
        if self.edge and end is not None:
            end = min(end, self.edge[0] + 1)  # all that comes after is held out
        return (document for held, document in self._sides(start, end) if not held)

    def validation(self) -> Iterator[Document]:
        """The validation documents."""
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


@dataclass(frozen=True, slots=True)
class DialogueSplit:
    """Dialogues and which of them are held out.

    Attributes:
        how: the rule, in words.
        other: the dialogues that are held out, if they are of separate sources.
        edge: how many dialogues come before those that are held out.
        shared: how many of `other` have a first prompt that is also in the training data.
    """

    dialogues: Dialogues
    how: str
    other: Dialogues | None = None
    edge: int | None = None
    shared: int = 0

    def training(self) -> Iterator[Dialogue]:
        """The training dialogues."""
        return (dialogue for held, dialogue in self._sides() if not held)

    def validation(self) -> Iterator[Dialogue]:
        """The validation dialogues. Each call reads the files again."""
        return self.other.dialogues() if self.other else (dialogue for held, dialogue in self._sides() if held)

    def both(self) -> Iterator[tuple[bool, Dialogue]]:
        """Both, in one pass: whether it is held out, and the dialogue."""
        yield from self._sides()
        if self.other:
            yield from ((True, dialogue) for dialogue in self.other)

    def _sides(self) -> Iterator[tuple[bool, Dialogue]]:
        for index, dialogue in enumerate(self.dialogues):
            if self.other:
                yield False, dialogue
            elif self.edge is not None:
                yield index >= self.edge, dialogue
            else:
                yield held_out(dialogue.first_prompt), dialogue


def split_texts(sources: Sources, rule: SplitRule | str = "content") -> TextSplit:
    """Chooses which text is held out.

    It reads as much of the sources as it needs to find both sides: for `content` rarely more than the first blocks, for
    `tail` all of them, twice; for `file` all of both, once.

    Raises:
        LiuliError: the rule is invalid; a validation file is among the sources; the text is too short to be divided; a
            validation document is also in the training data and the sources are `strict`.
    """
    rule = SplitRule.parse(rule) if isinstance(rule, str) else rule
    if rule.kind == "file":
        other = Sources([rule.file], sources.strict, sources.dedup, sources.watch, sources.fields)
        check_apart(other.files, sources.files)
        return TextSplit(sources, rule.described(""), other, shared=_shared_texts(other, sources))
    sides, total = set[bool](), 0
    for document in sources.documents():
        total += len(document.text)
        if rule.kind == "content":
            sides.add(held_out(document.text))
        if len(sides) == 2:
            return TextSplit(sources, f"about one block in {ONE_IN}, chosen by a hash of its text")
    share = rule.described("characters")
    if total * rule.share < 1:
        share = f"the last character ({float(100 * rule.share):.3g}% of {counted(total, 'character')} is less than one)"
    if rule.kind == "content":
        share += f", as there are too few blocks to choose one in {ONE_IN} by a hash"
    return TextSplit(sources, share, edge=_edge_of_texts(sources, total, rule.share))


def split_dialogues(dialogues: Dialogues, rule: SplitRule | str = "content") -> DialogueSplit:
    """Chooses which dialogues are held out.

    It reads as many dialogues as it needs to find both sides: for `content` rarely more than the first, for `tail` all.

    Raises:
        LiuliError: the rule is invalid; a validation file is among the dialogues' files; there is only one dialogue; the
            first prompt of a validation dialogue is also in the training data and the dialogues are `strict`.
    """
    rule = SplitRule.parse(rule) if isinstance(rule, str) else rule
    if rule.kind == "file":
        other = Dialogues([rule.file], dialogues.strict, watch=dialogues.watch)
        check_apart(other.files, dialogues.files)
        return DialogueSplit(dialogues, rule.described(""), other, shared=_shared_prompts(other, dialogues))
    share, sides, total = rule.described("dialogues"), set[bool](), 0
    for dialogue in dialogues:
        total += 1
        if rule.kind == "content":
            sides.add(held_out(dialogue.first_prompt))
        if len(sides) == 2:
            return DialogueSplit(dialogues, f"about one dialogue in {ONE_IN}, chosen by a hash of its first prompt")
    if rule.kind == "content":
        share += f", as there are too few to choose one in {ONE_IN} by a hash"
    if total == 1:
        names = names_of(dialogues.names)
        raise LiuliError(f"{names} has only one dialogue, so none can be held out: add dialogues, or give --valid FILE")
    return DialogueSplit(dialogues, share, edge=total - _held_count(total, rule.share))


def check_apart(held: list[SourceFile], trained: list[SourceFile]) -> None:
    """Raises LiuliError if a file is on both sides, by whatever name."""
    places = {each.path.resolve() for each in trained}
    for each in held:
        if each.path.resolve() in places:
            raise LiuliError(
                f"{each.name} is in the training data and in the validation data: remove it from the sources, or give another "
                f"--valid FILE"
            )


def _shared_texts(other: Sources, sources: Sources) -> int:
    """How many validation documents are also in the training text; an error if that is `strict`."""
    trained = DigestSet()
    for _, _, text in sources.texts():
        trained.add(text.digest)
    places = [place for _, place, text in other.texts() if text.digest in trained]
    if places and sources.strict:
        raise LiuliError(
            f"the training data contains {counted(len(places), 'validation document')}, the first at {places[0]}: remove such "
            f"documents from the training data or from the validation data"
        )
    return len(places)


def _shared_prompts(other: Dialogues, dialogues: Dialogues) -> int:
    """How many validation dialogues have a first prompt that is also in the training data; an error if that is `strict`."""
    trained = DigestSet()
    for dialogue in dialogues:
        trained.add(_prompt_digest(dialogue))
    places = [dialogue.source for dialogue in other if _prompt_digest(dialogue) in trained]
    if places and dialogues.strict:
        raise LiuliError(
            f"the training data contains the first prompt of {counted(len(places), 'validation dialogue')}, the first at "
            f"{places[0]}: remove such dialogues from the training data or from the validation data"
        )
    return len(places)


def _prompt_digest(dialogue: Dialogue) -> bytes:
    return blake2b(dialogue.first_prompt.encode(), digest_size=16).digest()


def _edge_of_texts(sources: Sources, total: int, share: Fraction) -> tuple[int, int, int]:
    """Where the last `share` of all `total` characters begins."""
    left = total - _held_count(total, share)
    if not left:
        names = names_of(sources.names)
        raise LiuliError(f"{names} has only one character, so nothing can be held out: add text, or give --valid FILE")
    for document in sources.documents():
        if left < len(document.text):
            return document.number, document.part, left
        left -= len(document.text)
    raise AssertionError("the edge lies before the end")


def _held_count(total: int, share: Fraction) -> int:
    """How many of `total` are held out: rounded down, but at least one."""
    return max(1, int(total * share))
