"""What one file holds: a whole text, or records with a text each. Nothing that is wrong is passed over: it is a `Problem`.

`reader(file)` gives one of four `Reader`s; an index counts every record, good and bad, so that one can be gone to without
looking at all before it.
"""

import codecs
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any, Protocol

from liuli.data.blocks import SPAN, STEP, cut
from liuli.data.files import File, Problem, Unreadable, first_line
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

LONGEST_LINE = 128 << 20  # bytes of one line of .jsonl, which is held in memory with its text
LARGEST_ARRAY = 128 << 20  # bytes of one .json file, which is read whole
ROWS = 64  # of a parquet file, held in memory at a time

LAYOUTS = {  # fields of records that are something else than a text, and what they are
    "messages": "a dialogue",
    "conversations": "a dialogue",
    "chosen": "a preference",
    "instruction": "an instruction with its answer",
    "completion": "a prompt with its completion",
}


@dataclass(frozen=True, slots=True)
class Text:
    """One document: a digest of its UTF-8 bytes (16 bytes of BLAKE2b), and its blocks, read as they are asked for."""

    digest: bytes
    blocks: Iterable[str]
    marked: bool = False  # it had a byte order mark, which is not part of the text


class Reader(Protocol):
    """The records of one file."""

    def count(self) -> int:
        """How many, good and bad: as many as can be reached where the file is broken."""
        ...

    def place(self, index: int) -> str:
        """Where a record is, for people."""
        ...

    def records(self, start: int = 0) -> Iterator[tuple[int, Text | Problem]]:
        """The records from `start` on, each with its index. Raises Unreadable where the file cannot be read (on)."""
        ...


def reader(file: File) -> Reader:
    """How a file of its format is read. Raises Unreadable: it is of none."""
    kinds = {"text": WholeText, "lines": Lines, "array": Array, "parquet": Table}
    if not file.path.is_file():
        raise Unreadable(Problem("neither a file nor a folder of its own", advice="give it by name"))
    if not file.format:
        raise Unreadable(Problem("no format of text, by its suffix"))
    return kinds[file.format](file)


class WholeText:
    """A `.txt` or `.md` file: one document, read twice: first to see that all of it is text, then in blocks."""

    def __init__(self, file: File):
        self.file = file
        self._checked: Text | None = None

    def count(self) -> int:
        return 1

    def place(self, index: int) -> str:
        return self.file.name

    def records(self, start: int = 0) -> Iterator[tuple[int, Text | Problem]]:
        if start == 0:
            self._checked = self._checked or self._check()
            yield 0, Text(self._checked.digest, self._blocks(), self._checked.marked)

    def _check(self) -> Text:
        """Its digest. Raises Unreadable with the byte at which it is no text."""
        digest, offset, some, marked, rest = blake2b(digest_size=16), 0, False, False, b""
        with self.file.open() as stream:
            while (piece := stream.read(STEP)) or rest:
                data = rest + piece
                if not offset and data.startswith(codecs.BOM_UTF8):
                    data, marked, offset = data[3:], True, 3
                try:
                    text, used = codecs.utf_8_decode(data, "strict", not piece)
                except UnicodeDecodeError as error:
                    raise Unreadable(_not_utf8(data, error, offset)) from None
                if "\0" in text:
                    where = f"byte {offset + data.index(0) + 1:,} is NUL"
                    raise Unreadable(Problem("binary, not text", where, "take it away, or its NULs", no_text=True))
                digest.update(memoryview(data)[:used])
                rest, offset, some = data[used:], offset + used, some or not (text.isspace() or not text)
        if not some:
            raise Unreadable(Problem("no text in it"))
        return Text(digest.digest(), (), marked)

    def _blocks(self) -> Iterator[str]:
        assert self._checked
        with self.file.open() as stream:
            stream.read(3 if self._checked.marked else 0)
            for block in cut(iter(lambda: stream.read(STEP), b"")):
                try:
                    yield block.decode()
                except UnicodeDecodeError:  # it was UTF-8 a moment ago
                    raise LiuliError(f"{self.file.name} has changed while it was read; start again") from None


class Lines:
    """A `.jsonl` file: one object a line, each with `text`. A blank line has an index too, and is nothing else."""

    def __init__(self, file: File):
        self.file = file
        self._count: int | None = None

    def count(self) -> int:
        if self._count is None:
            self._count = 0
            with suppress(Unreadable):
                for _ in self._lines():
                    self._count += 1
        return self._count

    def place(self, index: int) -> str:
        return f"{self.file.name}:{index + 1}"

    def records(self, start: int = 0) -> Iterator[tuple[int, Text | Problem]]:
        index = -1
        try:
            for index, line in enumerate(self._lines()):
                if index >= start and (line is None or not line.isspace()):
                    yield index, _of_line(line)
        except Unreadable:
            self._count = index + 1
            raise
        self._count = index + 1
        if not self._count:
            raise Unreadable(Problem("no text in it"))

    def _lines(self) -> Iterator[bytes | None]:
        """Each line; None for one that is too long to be held."""
        with self.file.open() as stream:
            line = stream.readline(LONGEST_LINE).removeprefix(codecs.BOM_UTF8)
            while line:
                if len(line) >= LONGEST_LINE - 3 and not line.endswith(b"\n") and _drain(stream):
                    yield None
                else:
                    yield line
                line = stream.readline(LONGEST_LINE)


class Array:
    """A `.json` file: one list of objects, each with `text`. It is read whole."""

    def __init__(self, file: File):
        self.file = file
        self._count: int | None = None

    def count(self) -> int:
        if self._count is None:
            self._count = 0
            with suppress(Unreadable):
                self._count = len(self._load())
        return self._count

    def place(self, index: int) -> str:
        return f"{self.file.name}:{index + 1}"

    def records(self, start: int = 0) -> Iterator[tuple[int, Text | Problem]]:
        records = self._load()
        self._count = len(records)
        for index in range(start, len(records)):
            yield index, _of_record(records[index])

    def _load(self) -> list[Any]:
        with self.file.open() as stream:
            data = stream.read(LARGEST_ARRAY + 1).removeprefix(codecs.BOM_UTF8)
            if len(data) >= LARGEST_ARRAY:
                advice = "write one object a line, as .jsonl, which is streamed"
                raise Unreadable(Problem(f"more than the {LARGEST_ARRAY >> 20} MB that are read of a .json", advice=advice))
        found = _parsed(data)
        if isinstance(found, Problem):
            several = found.detail.startswith("Extra data")
            raise Unreadable(replace(found, advice="name it .jsonl if it has one object a line") if several else found)
        if not isinstance(found, list):
            raise Unreadable(Problem("no list of objects with a field text", no_text=True))
        if not found:
            raise Unreadable(Problem("no text in it"))
        return found


class Table:
    """A `.parquet` file with a column `text` of strings, read some rows at a time."""

    def __init__(self, file: File):
        self.file = file
        self._count: int | None = None

    def count(self) -> int:
        if self._count is None:
            self._count = 0
            with suppress(Unreadable), self.file.open() as stream:
                self._count = _open_table(stream).metadata.num_rows
        return self._count

    def place(self, index: int) -> str:
        return f"{self.file.name}:{index + 1}"

    def records(self, start: int = 0) -> Iterator[tuple[int, Text | Problem]]:
        import pyarrow

        with self.file.open() as stream:
            table = _open_table(stream)
            sizes = [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]
            before = 0  # rows of the groups that need not be read
            while sizes and before + sizes[0] <= start:
                before += sizes.pop(0)
            index, groups = before, range(table.num_row_groups - len(sizes), table.num_row_groups)
            try:
                for batch in table.iter_batches(ROWS, groups, ["text"], use_threads=False):
                    for value in batch.column(0).cast(pyarrow.large_binary()).to_pylist():
                        if index >= start:
                            yield index, _of_value(value)
                        index += 1
            except (pyarrow.ArrowException, OSError) as error:
                detail = f"after row {index}: {first_line(error)}"
                raise Unreadable(Problem("broken parquet", detail, "fetch or make it again")) from None


def _open_table(stream: IO[bytes]) -> "ParquetFile":
    import pyarrow
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(stream)
        schema = table.schema_arrow
    except (pyarrow.ArrowException, OSError) as error:
        raise Unreadable(Problem("broken parquet", first_line(error), "fetch or make it again")) from None
    if "text" not in schema.names:
        columns = ", ".join(schema.names)
        raise Unreadable(Problem("no column text", f"columns: {columns}", "rename the one that holds text", no_text=True))
    kind = schema.field("text").type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        raise Unreadable(Problem("its column text holds no strings", f"but {kind}", no_text=True))
    return table


def _drain(stream: IO[bytes]) -> bool:
    """Reads to the end of the line; whether there was more of it."""
    more = last = stream.readline(STEP)
    while last and not last.endswith(b"\n"):
        last = stream.readline(STEP)
    return bool(more)


def _of_line(line: bytes | None) -> Text | Problem:
    if line is None:
        return Problem(f"a line longer than {LONGEST_LINE >> 20} MB", advice="cut it into several records, or make it a .txt")
    found = _parsed(line)
    return found if isinstance(found, Problem) else _of_record(found)


def _parsed(data: bytes) -> Any:
    """What the JSON says, or the Problem with it."""
    try:
        return json.loads(data.decode())
    except UnicodeDecodeError as error:
        return _not_utf8(data, error)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        return Problem("broken JSON", f"{error.msg} at {where}", "mend it, or take it away")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        return Problem("broken JSON", first_line(error), "mend it, or take it away")


def _of_record(record: Any) -> Text | Problem:
    if not isinstance(record, dict):
        return Problem("no object with a field text", f"but {_kind(record)}")
    if "text" not in record:
        fields = "fields: " + ", ".join(list(record)[:8])
        for field, layout in LAYOUTS.items():
            if field in record:
                return Problem(f"no field text but {layout}", fields, "only plain texts are read here")
        return Problem("no field text", fields, "rename the field that holds the text")
    text = record["text"]
    return _of_text(text) if isinstance(text, str) else Problem("its text is no string", f"but {_kind(text)}")


def _of_value(value: bytes | None) -> Text | Problem:
    if value is None:
        return Problem("its text is no string", f"but {_kind(None)}")
    try:
        return _of_text(value.decode())
    except UnicodeDecodeError as error:
        return _not_utf8(value, error)


def _of_text(text: str) -> Text | Problem:
    if not text or text.isspace():
        return Problem("no text in it")
    if "\0" in text:
        return Problem("a NUL in its text", f"character {text.index(chr(0)) + 1:,}", "take it away")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x} at character {error.start + 1:,}"
        return Problem("half a surrogate pair in its text", half, "write both halves, or none")
    blocks = (text,) if len(data) <= 2 * SPAN else map(bytes.decode, cut([data]))
    return Text(blake2b(data, digest_size=16).digest(), blocks)


def _not_utf8(data: bytes, error: UnicodeDecodeError, offset: int = 0) -> Problem:
    detail = f"byte {offset + error.start + 1:,} is 0x{data[error.start]:02X}"
    return Problem("not UTF-8", detail, "convert it: for text of older Chinese systems, iconv -f GB18030 -t UTF-8")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
