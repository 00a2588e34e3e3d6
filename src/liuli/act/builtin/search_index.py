"""SearchIndex: a full-text index of the user's own texts, in memory, by SQLite's FTS5 with BM25.

In: files and folders of texts. Out: passages, the best first. Each search first looks which files have changed, by their size
and date, and reads only these. What is searched for never becomes a query of FTS5 as it was typed: `segment.py` makes words of
letters and digits of it, and each is quoted.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from liuli.act.builtin.segment import words_of, words_of_query
from liuli.data.records.find_files import find_files
from liuli.data.text.readers import TEXTS
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
from liuli.remarks import remark

LARGEST = 200 << 20  # characters of all texts
LONGEST = 400  # characters of a passage
SENTENCE_END = re.compile(r"(?<=[。！？!?；;\n])|(?<=\. )")
TABLES = """
CREATE TABLE passages(id INTEGER PRIMARY KEY, file TEXT, document TEXT, line INTEGER, text TEXT);
CREATE INDEX passages_of_file ON passages(file);
CREATE INDEX passages_of_document ON passages(document);
CREATE VIRTUAL TABLE word_index USING fts5(words, tokenize = 'porter unicode61');
"""
FIND = """
SELECT passages.document, passages.line, passages.text
FROM word_index JOIN passages ON passages.id = word_index.rowid
WHERE word_index MATCH ? ORDER BY bm25(word_index), passages.id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage of a document. `line`: the line of the document where it begins, from 1."""

    document: str
    line: int
    text: str


class SearchIndex:
    """An index of files and folders.

    Raises:
        LiuliError: a name does not exist, or the texts are too large; SQLite was built without FTS5.
    """

    def __init__(self, paths: Sequence[Path]):
        self._names = [str(path) for path in paths]
        self._lock = threading.Lock()  # calls run in threads of their own, and one may still run when the next begins
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            self._database.executescript(TABLES)
        except sqlite3.OperationalError as error:
            raise LiuliError(f"this Python's SQLite has no full-text search ({error}): install a Python with FTS5") from None
        self._stamps: dict[str, tuple[int, int]] = {}
        self._sizes: dict[str, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads the files that are new or changed, and forgets those that are gone: all of it or, if interrupted, nothing."""
        sizes = dict(self._sizes)
        with self._lock, self._database:  # a transaction
            files = {str(file.path): file for file in find_files(self._names, TEXTS) if file.format}
            stamps = {path: file.stamp for path, file in files.items()}
            try:
                for path in sorted(self._stamps.keys() | stamps.keys()):
                    if self._stamps.get(path) != stamps.get(path):
                        self._forget(path)
                        if path in files:
                            self._read(path, self._shown(files[path].name))
            except BaseException:
                self._sizes = sizes
                raise
            self._stamps = stamps

    def _shown(self, name: str) -> str:
        """A file's name for the model: inside its folder, if there is only one."""
        folder = self._names[0].rstrip("/") + "/"
        return name.removeprefix(folder) if len(self._names) == 1 else name

    def search(self, query: str, limit: int) -> list[FoundPassage]:
        """The best passages, the best first: those that have the rarest words of the query most often (BM25)."""
        words = words_of_query(query)
        if not words:
            return []
        typed = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            return [FoundPassage(*row) for row in self._database.execute(FIND, (typed, limit))]

    def document(self, name: str) -> str | None:
        """The whole text of a document; None if there is no such document."""
        with self._lock:
            parts = self._database.execute("SELECT text FROM passages WHERE document = ? ORDER BY id", (name,)).fetchall()
        return "".join(part for (part,) in parts) if parts else None

    def documents(self) -> list[str]:
        """The names of all documents, sorted."""
        with self._lock:
            return [name for (name,) in self._database.execute("SELECT DISTINCT document FROM passages ORDER BY document")]

    def _forget(self, path: str) -> None:
        self._database.execute("DELETE FROM word_index WHERE rowid IN (SELECT id FROM passages WHERE file = ?)", (path,))
        self._database.execute("DELETE FROM passages WHERE file = ?", (path,))
        self._sizes.pop(path, None)

    def _read(self, path: str, name: str) -> None:
        """Indexes the documents of a file. One that cannot be read is left out, with a remark: it may only be half written."""
        sources = Sources([path])
        line, document = 1, ""
        try:
            for block in sources.documents():
                shown = block.source.replace(path, name, 1)
                line = line if shown == document else 1
                document = shown
                for text in passages_of(block.text):
                    self._add(path, shown, line, text)
                    line += text.count("\n")
        except LiuliError as error:
            self._forget(path)
            if not sources.skipped:
                remark(f"{name}: left out of the search: {error}")
        for problem in sources.skipped:
            remark(f"{name}: left out of the search: {problem}")
        if sum(self._sizes.values()) > LARGEST:
            raise LiuliError(f"the texts to search have more than {LARGEST >> 20} million characters; give a smaller folder")

    def _add(self, path: str, document: str, line: int, text: str) -> None:
        row = self._database.execute("INSERT INTO passages VALUES(NULL, ?, ?, ?, ?)", (path, document, line, text)).lastrowid
        self._database.execute("INSERT INTO word_index(rowid, words) VALUES(?, ?)", (row, " ".join(words_of(text))))
        self._sizes[path] = self._sizes.get(path, 0) + len(text)


def passages_of(text: str) -> Iterator[str]:
    """Splits a text into passages of at most `LONGEST` characters, between sentences where it can. They join to the text."""
    passage = ""
    for sentence in SENTENCE_END.split(text):
        for at in range(0, len(sentence), LONGEST):
            part = sentence[at : at + LONGEST]
            if passage and len(passage) + len(part) > LONGEST:
                yield passage
                passage = ""
            passage += part
    if passage:
        yield passage
