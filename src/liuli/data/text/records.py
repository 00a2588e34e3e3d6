"""What one file holds: a whole text, or records with a text each. Nothing that is wrong is passed over: it is a `Problem`.

`read(file)` gives one of four `Reader`s; an index counts every record, good and bad, so that one can be gone to without
looking at all before it.
"""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from liuli.data.text.blocks import STEP, cut
from liuli.data.text.files import File, Format, Problem, Unreadable
from liuli.data.text.texts import UTF16, Text, listed, not_utf8, parse, text_of_record, text_of_value
from liuli.display import first_line
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

LONGEST_LINE = 64 << 20  # bytes of one line of .jsonl, held in memory with its text: up to 4 bytes a character, twice
LARGEST_ARRAY = 64 << 20  # bytes of one .json file, which is read whole
ROWS = 64  # of a parquet file, held in memory at a time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What is made of the objects of a `.jsonl` or `.json`. `name`: what one is called; `objects` and `example`: which
    objects are wanted; `shorten`: what to do about a line that is too long."""

    make: Callable[[Any], T | Problem]
    name: str
    objects: str
    example: str
    shorten: str

    @property
    def nothing(self) -> Problem:
        return Problem(f"no {self.name} in it")


TEXT = Kind(
    text_of_record, "text", 'objects with a field "text"', '{"text": "…"}', "cut it into several records, or make it a .txt"
)


class Reader(ABC, Generic[T]):
    """The records of one file."""

    def __init__(self, file: File):
        self.file = file
        self._known_count: int | None = None

    def count(self) -> int:
        """How many records, good and bad: those that can be reached where the file is broken."""
        if self._known_count is None:
            self._known_count = self._count()
        return self._known_count

    def place(self, index: int) -> str:
        """Where a record is, for people."""
        return f"{self.file.name}:{index + 1}"

    @abstractmethod
    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        """The records from `start` on, each with its index. Raises Unreadable where the file cannot be read (on)."""

    @abstractmethod
    def _count(self) -> int:
        """Counts them, decoding no more than it must."""


def read(file: File) -> Reader[Text]:
    """How a file of its format is read. Raises Unreadable: it is of none."""
    match format_of(file):
        case "lines":
            return Lines(file, TEXT)
        case "array":
            return Array(file, TEXT)
        case "parquet":
            return Table(file)
        case _:
            return WholeText(file)


def format_of(file: File) -> Format:
    """Raises Unreadable: it is of none that such a source reads, or no file."""
    if not file.path.is_file():
        raise Unreadable(Problem("neither a file nor a folder, or a link to one", advice="give what it points to by name"))
    if not file.format:
        reason = f"no format of {file.formats.what}, by its suffix"
        raise Unreadable(Problem(reason, advice=f"Liuli reads {file.formats.known}"))
    return file.format


class WholeText(Reader[Text]):
    """A `.txt` or `.md` file: one document, read twice: first to see that all of it is text, then in blocks."""

    def __init__(self, file: File):
        super().__init__(file)
        self._checked: Text | None = None

    def _count(self) -> int:
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
                    raise Unreadable(not_utf8(data, error, offset, ended=not stream.read(1))) from None
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


class Lines(Reader[T]):
    """A `.jsonl` file: one object a line. A blank line has an index too, and is nothing else."""

    def __init__(self, file: File, kind: Kind[T]):
        super().__init__(file)
        self.kind = kind

    def _count(self) -> int:
        count = 0
        with suppress(Unreadable):
            for _ in self._lines():
                count += 1
        return count

    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        count, some = 0, False
        try:
            for index, line in enumerate(self._lines()):
                count = index + 1
                if line is None or not line.isspace():
                    some = True
                    if index >= start:
                        yield index, self._made(line)
        except Unreadable:
            self._known_count = count
            raise
        self._known_count = count
        if not some:
            raise Unreadable(self.kind.nothing)

    def _made(self, line: bytes | None) -> T | Problem:
        if line is None:
            return Problem(f"a line longer than {LONGEST_LINE >> 20} MB", advice=self.kind.shorten)
        return self._of_line(line)

    def _of_line(self, line: bytes) -> T | Problem:
        found = parse(line.rstrip())
        return found if isinstance(found, Problem) else self.kind.make(found)

    def _lines(self) -> Iterator[bytes | None]:
        """Each line; None for one that is too long to be held."""
        with self.file.open() as stream:
            line = stream.readline(LONGEST_LINE).removeprefix(codecs.BOM_UTF8)
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # of which no line can be read
                raise Unreadable(UTF16)
            while line:
                if len(line) >= LONGEST_LINE - 3 and not line.endswith(b"\n") and _drain(stream):
                    yield None
                else:
                    yield line
                line = stream.readline(LONGEST_LINE)


class Array(Reader[T]):
    """A `.json` file: one list of objects. It is read whole."""

    def __init__(self, file: File, kind: Kind[T]):
        super().__init__(file)
        self.kind = kind

    def _count(self) -> int:
        with suppress(Unreadable):
            return len(self._load())
        return 0

    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        records = self._load()
        self._known_count = len(records)
        for index in range(start, len(records)):
            yield index, self.kind.make(records[index])

    def _load(self) -> list[Any]:
        found = parse(read_whole(self.file, LARGEST_ARRAY))
        if isinstance(found, Problem):
            several = found.detail.startswith("Extra data")
            raise Unreadable(replace(found, advice="name it .jsonl if it has one object a line") if several else found)
        if not isinstance(found, list):
            advice = f"write [{self.kind.example}, …]"
            raise Unreadable(Problem(f"no list of {self.kind.objects}", advice=advice, no_text=True))
        if not found:
            raise Unreadable(self.kind.nothing)
        return found


def read_whole(file: File, most: int) -> bytes:
    """All bytes of a file but its byte order mark. Raises Unreadable where there are more than `most`."""
    with file.open() as stream:
        data = stream.read(most + 1)
        if len(data) > most:
            advice = "write one object a line, as .jsonl, which is streamed"
            raise Unreadable(Problem(f"more than the {most >> 20} MB that are read of a {file.suffix}", advice=advice))
    return data.removeprefix(codecs.BOM_UTF8)


class Table(Reader[Text]):
    """A `.parquet` file with a column `text` of strings, read some rows at a time."""

    def _count(self) -> int:
        with suppress(Unreadable), self.file.open() as stream:
            return _open_table(stream).metadata.num_rows
        return 0

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
                            yield index, text_of_value(value)
                        index += 1
            except (pyarrow.ArrowException, OSError) as error:
                detail = f"after row {index}: {first_line(error)}"
                raise Unreadable(Problem("broken parquet", detail, "fetch or make it again")) from None


def _open_table(stream: IO[bytes]) -> "ParquetFile":
    import pyarrow
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(stream, buffer_size=STEP, pre_buffer=False)  # else a whole group of rows is read at once
        schema = table.schema_arrow
    except (pyarrow.ArrowException, OSError) as error:
        raise Unreadable(Problem("broken parquet", first_line(error), "fetch or make it again")) from None
    if "text" not in schema.names:
        columns = f"columns: {listed(schema.names)}"
        raise Unreadable(Problem('no column "text"', columns, "rename the one that holds text", no_text=True))
    kind = schema.field("text").type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        raise Unreadable(Problem('its column "text" holds no strings', f"but {kind}", "write them as strings", no_text=True))
    if not table.metadata.num_rows:
        raise Unreadable(Problem("no text in it"))
    return table


def _drain(stream: IO[bytes]) -> bool:
    """Reads to the end of the line; whether there was more of it than its end."""
    more = last = stream.readline(STEP)
    while last and not last.endswith(b"\n"):
        last = stream.readline(STEP)
    return bool(more.rstrip(b"\r\n"))
