"""Text from files, folders, standard input and the hub: documents, streamed, in a fixed order, with nothing lost silently.

A source is any list of names: files and folders of `.txt .md .jsonl .json` (also `.gz`, `.zst`) and `.parquet`, `-` for
standard input, `hub:owner/dataset`, or a folder or file of a dataset, `hub:owner/dataset/path`.
A `.txt` or `.md` is one document; so is each line, object or row with a `text`.
Every byte of a text stays as it is, line ends too; only a byte order mark at the beginning of a file is dropped, and counted.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from liuli.data.records.digest_set import DigestSet
from liuli.data.records.find_files import find_files
from liuli.data.records.problem import Problem
from liuli.data.records.skipped import Skipped, SourcePass, open_reader
from liuli.data.records.source_files import Watch
from liuli.data.text.readers import TEXTS, open_text_reader
from liuli.data.text.record_text import DocumentText


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or one block of a long one (more than about 16 kB of UTF-8): the parts of a document join to its text.

    Attributes:
        source: where it is from, for people: `novels/红楼梦.txt`, `corpus.jsonl:17`, `hub:owner/name/file.parquet:3`.
        number: the document's place in the whole source, from 0. What is skipped keeps its number, so that numbers may jump;
            they never come twice or go back.
        part: the number of the block, from 0.
        last: whether it is the last block.
        cut: the text begins in the middle of its part, the beginning of which is trained on.
    """

    text: str
    source: str
    number: int
    part: int = 0
    last: bool = True
    cut: bool = False


class Sources:
    """All documents behind some names.

    `skipped`, `duplicates` (documents whose whole text came before; a digest of 128 bits decides) and `marks` (byte order
    marks dropped) describe the pass that began last, as far as it has come. Any number of passes may run at the same time.

    Args:
        names: files, folders, `-`, `hub:…`; one alone may be given as it is.
        strict: stop at the first problem instead of skipping and counting it.
        dedup: leave out documents whose whole text came before.
        watch: follows the reading, file by file.

    Raises:
        LiuliError: a name has nothing behind it; while streaming, what cannot be passed over (see `documents`).
    """

    def __init__(
        self,
        names: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        strict: bool = False,
        dedup: bool = False,
        watch: Watch | None = None,
    ):
        several = [names] if isinstance(names, (str, os.PathLike)) else names
        self.names = [os.fspath(name) for name in several]
        self.strict, self.dedup, self.watch = strict, dedup, watch
        self.files = find_files(self.names, TEXTS, watch)
        self._readers = [open_reader(file, open_text_reader) for file in self.files]
        self._latest = SourcePass(strict)

    @property
    def skipped(self) -> list[Skipped]:
        return list(self._latest.skipped.values())

    @property
    def duplicates(self) -> int:
        return self._latest.duplicates

    @property
    def marks(self) -> int:
        return self._latest.marks

    def extents(self) -> list[tuple[int, int]]:
        """Of each file, in order: how many documents it holds, good and bad, and its bytes."""
        counts = (0 if isinstance(reader, Problem) else reader.count() for reader in self._readers)
        return [(count, file.stamp[0]) for count, file in zip(counts, self.files, strict=True)]

    def documents(self, start: int = 0, end: int | None = None) -> Iterator[Document]:
        """The documents from number `start` on, up to number `end`. Every call streams the same again.

        Where the format allows, what comes before `start` is not decoded (`dedup` has to know it all the same). A reading
        with an `end` is not counted in what is `skipped`.

        Raises:
            LiuliError: there is no text at all; a file changes while it is read; a file that the user named holds no text;
                anything that would be skipped, if `strict`.
        """
        for number, source, text in self.texts(start, end):
            yield from _parts(text, source, number)

    def texts(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, str, DocumentText]]:
        """The number, source and `DocumentText` of each document, whole, in the same order. Raises as `documents`."""
        this = SourcePass(self.strict)
        if end is None:
            self._latest = this
        seen, base, some = DigestSet(), 0, False
        for file, reader in zip(self.files, self._readers, strict=True):
            if end is not None and base >= end:
                return
            if isinstance(reader, Problem):
                this.skip(file, file.name, reader)
                continue
            if self.dedup or start <= base or start < base + reader.count():
                for index, text in this.records(file, reader, 0 if self.dedup else max(0, start - base)):
                    if end is not None and base + index >= end:
                        return
                    this.marks += text.marked
                    again = seen.add(text.digest)
                    this.duplicates += again
                    if not (again and self.dedup):
                        some = True
                        if base + index >= start:
                            yield base + index, reader.place(index), text
            base += reader.count()
        if not some and start == 0 and end is None:
            raise this.nothing("text", self.names)


def _parts(text: DocumentText, source: str, number: int) -> Iterator[Document]:
    if isinstance(text.blocks, tuple):
        yield Document(text.blocks[0], source, number)
        return
    for part, (block, last) in enumerate(_marking_last(text.blocks)):
        yield Document(block, source, number, part, last)


def _marking_last(blocks: Iterable[str]) -> Iterator[tuple[str, bool]]:
    held = None
    for block in blocks:
        if held is not None:
            yield held, False
        held = block
    if held is not None:
        yield held, True
