"""How a file of each format of text is read: a whole text, or records with a text each."""

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b

from liuli.data.records.problem import Problem, Unreadable
from liuli.data.records.readers import JsonLineReader, JsonListReader, RecordKind, RecordReader, format_of
from liuli.data.records.source_files import FileFormats, SourceFile
from liuli.data.records.utf8 import utf8_problem
from liuli.data.text.blocks import STEP, cut
from liuli.data.text.parquet import TextParquetReader
from liuli.data.text.record_text import FIELDS, DocumentText, quoted, text_of_record

KNOWN = ".txt, .md, .jsonl, .json (each also .gz or .zst) and .parquet"
TEXTS = FileFormats(
    what="text",
    known=KNOWN,
    piped="text",
    suffixes={".txt": "text", ".md": "text", ".jsonl": "lines", ".json": "array", ".parquet": "parquet"},
)
TEXT = RecordKind(
    text_of_record,
    "text",
    'objects with a field "text"',
    '{"text": "…"}',
    longest=64 << 20,  # held in memory with its text: up to 4 bytes per character, twice
    shorten="split it into several records, or write it to a .txt file",
)


def open_text_reader(file: SourceFile, fields: Sequence[str] = FIELDS) -> RecordReader[DocumentText]:
    """How a file of its format is read. Raises Unreadable: it has none of these.

    Args:
        fields: the first of these that a record or a table has holds its text.
    """
    match format_of(file):
        case "lines":
            return JsonLineReader(file, _text_kind(fields))
        case "array":
            return JsonListReader(file, _text_kind(fields))
        case "parquet":
            return TextParquetReader(file, _text_kind(fields), fields)
        case _:
            return WholeTextReader(file)


def _text_kind(fields: Sequence[str]) -> RecordKind[DocumentText]:
    objects, example = f"objects with a field {quoted(fields)}", f'{{"{fields[0]}": "…"}}'
    return replace(TEXT, make=partial(text_of_record, fields=fields), objects=objects, example=example)


class WholeTextReader(RecordReader[DocumentText]):
    """A `.txt` or `.md` file: one document, read twice: first to check that all of it is text, then in blocks.

    It is streamed, so that its lines may be of any length.
    """

    def __init__(self, file: SourceFile):
        super().__init__(file)
        self._checked: DocumentText | None = None

    def _count(self) -> int:
        return 1

    def place(self, index: int) -> str:
        return self.file.name

    def records(self, start: int = 0) -> Iterator[tuple[int, DocumentText | Problem]]:
        if start == 0:
            self._checked = self._checked or self._check()
            yield 0, DocumentText(self._checked.digest, self._blocks(), self._checked.marked)

    def _check(self) -> DocumentText:
        """Its digest. Raises Unreadable, with the byte at which it is not text."""
        digest, offset, some, marked, rest = blake2b(digest_size=16), 0, False, False, b""
        with self.file.open() as stream:
            while (piece := stream.read(STEP)) or rest:
                data = rest + piece
                if not offset and data.startswith(codecs.BOM_UTF8):
                    data, marked, offset = data[3:], True, 3
                try:
                    text, used = codecs.utf_8_decode(data, "strict", not piece)
                except UnicodeDecodeError as error:
                    raise Unreadable(utf8_problem(data, error, offset, ended=not stream.read(1))) from None
                if "\0" in text:
                    where = f"byte {offset + data.index(0) + 1:,} is NUL"
                    advice = "remove the file, or its NUL bytes"
                    raise Unreadable(Problem("binary, not text", where, advice, fatal_if_named=True))
                digest.update(memoryview(data)[:used])
                rest, offset, some = data[used:], offset + used, some or not (text.isspace() or not text)
        if not some:
            raise Unreadable(Problem("file without any text", advice="add content, or remove the file"))
        return DocumentText(digest.digest(), (), marked)

    def _blocks(self) -> Iterator[str]:
        assert self._checked
        with self.file.open() as stream:
            stream.read(3 if self._checked.marked else 0)
            for block in cut(iter(lambda: stream.read(STEP), b"")):
                try:
                    yield block.decode()
                except UnicodeDecodeError:  # it was UTF-8 when it was checked
                    raise self.file.changed() from None
