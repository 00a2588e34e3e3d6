"""Reads text from files, folders, standard input and the hub: streamed, in a fixed order, with nothing lost silently.

A source is a list of names: files and folders of `.txt .md .jsonl .json` (also `.gz`, `.zst`) and `.parquet`, `-` for standard
input, `hub:owner/dataset`, or a folder or file of a dataset, `hub:owner/dataset/path`. A `.txt` or `.md` file is one document.
In the other formats, each line, object or row with a `text` is one; the field may have another name.
The text is not changed, line ends included. Only a byte order mark at the beginning of a file is dropped, and counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from liuli.data.records.digest_set import DigestSet
from liuli.data.records.find_files import SourceNames, find_files, name_texts
from liuli.data.records.problem import Problem
from liuli.data.records.skipped import Skipped, SourcePass, open_reader
from liuli.data.text.readers import TEXTS, open_text_reader
from liuli.data.text.record_text import FIELDS, DocumentText
from liuli.watch import Watch


@dataclass(frozen=True, slots=True)
class Document:
    """A document, or one block of a long document (more than about 16 kB of UTF-8). The blocks join to the document's text.

    Attributes:
        source: where it is from, for people: `novels/红楼梦.txt`, `corpus.jsonl:17`, `hub:owner/name/file.parquet:3`.
        number: the document's place in the whole source, from 0. A skipped document has a number too, so numbers may have gaps,
            but they always increase.
        part: the number of the block, from 0.
        last: whether it is the last block.
        cut: whether the text is only the end of its block, whose beginning is in the training split.
    """

    text: str
    source: str
    number: int
    part: int = 0
    last: bool = True
    cut: bool = False


class Sources:
    """The documents of one or several sources. Any number of passes over them may run at the same time.

    Attributes:
        skipped: what the latest pass has skipped so far, and why.
        duplicates: how many documents of the latest pass have the whole text of an earlier one, by a digest of 128 bits.
        marks: how many byte order marks the latest pass has dropped.

    Args:
        names: files, folders, `-`, `hub:…`; a single name need not be in a list.
        strict: stop at the first problem instead of skipping and counting it.
        dedup: leave out documents that have the whole text of an earlier one.
        watch: is called as the files are read.
        fields: the first of these fields that a record has holds its text; none: `text`.

    Raises:
        LiuliError: a name does not exist; while streaming, a problem that cannot be skipped (see `documents`).
    """

    def __init__(
        self,
        names: SourceNames,
        strict: bool = False,
        dedup: bool = False,
        watch: Watch | None = None,
        fields: Sequence[str] | None = None,
    ):
        self.names = name_texts(names)
        self.strict, self.dedup, self.watch = strict, dedup, watch
        self.fields = tuple(fields or FIELDS)
        self.files = find_files(self.names, TEXTS, watch)
        self._readers = [open_reader(file, partial(open_text_reader, fields=self.fields)) for file in self.files]
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
        """For each file, in order: its number of documents, skipped ones included, and its size in bytes."""
        counts = (0 if isinstance(reader, Problem) else reader.count() for reader in self._readers)
        return [(count, file.stamp[0]) for count, file in zip(counts, self.files, strict=True)]

    def documents(self, start: int = 0, end: int | None = None) -> Iterator[Document]:
        """Yields the documents from number `start` up to, but not including, number `end`. Every call yields the same.

        If the format allows it, documents before `start` are not decoded (`dedup` must decode them). A pass with an `end` does
        not count in `skipped`.

        Raises:
            LiuliError: there is no text at all; a file changes while it is read; a file that the user named holds no text; if
                `strict`, anything that would be skipped.
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
