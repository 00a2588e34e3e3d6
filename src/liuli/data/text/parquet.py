"""The texts in a column of a Parquet file, read a few rows at a time, in bounded memory.

A page may unpack to a thousand times its size, and a row that names an entry of the dictionary may be a thousand times as
long as its name. So the headers of the pages, by which pyarrow unpacks them, are read first: they decide how many rows
are decoded at a time, and whether any are.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from liuli.data.records.problem import Problem, Unreadable, name_list
from liuli.data.records.readers import RecordKind, RecordReader
from liuli.data.records.source_files import SourceFile
from liuli.data.records.unpacking import most_unpacked, unpacks_to_too_much
from liuli.data.text.blocks import STEP
from liuli.data.text.parquet_pages import ColumnChunk, PageSizes, page_sizes, read_chunks
from liuli.data.text.record_text import DocumentText, text_of_cell
from liuli.data.text.thrift import BrokenThrift
from liuli.display import first_line, printable

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

COLUMN = "text"
ROWS = (64, 8, 1)  # decoded at a time: as many of these as memory allows
LARGEST_PAGE = 128 << 20  # bytes of a page, unpacked; most writers make them of 1 MB, DuckDB of 100 MB
MEMORY = 2 * LARGEST_PAGE  # bytes of the texts that are decoded at a time
ROW = 64  # bytes that a row counts in addition to its text: there may be billions of empty ones


class ParquetReader(RecordReader[DocumentText]):
    """A `.parquet` file with a column `text` of strings."""

    def __init__(self, file: SourceFile, kind: RecordKind[DocumentText]):
        super().__init__(file)
        self.kind = kind

    def _count(self) -> int:
        with suppress(Unreadable), self.file.open() as stream:
            return sum(chunk.rows for chunk in _open_table(stream)[1])
        return 0

    def records(self, start: int = 0) -> Iterator[tuple[int, DocumentText | Problem]]:
        with self.file.open() as stream:
            table, chunks = _open_table(stream)
            index, left = 0, most_unpacked(self.file.stamp[0])
            for group, chunk in enumerate(chunks):
                if index + chunk.rows <= start:  # need not be read
                    index += chunk.rows
                    continue
                for cell in self._cells(stream, table, group, chunk, index):
                    left -= ROW + len(cell or b"")
                    if left < 0:
                        raise Unreadable(unpacks_to_too_much())
                    if index >= start:
                        yield index, self._made(cell)
                    index += 1

    def _made(self, cell: bytes | None) -> DocumentText | Problem:
        if cell is not None and len(cell) > self.kind.longest:
            return Problem(f"a text longer than {self.kind.longest >> 20} MB", advice="cut it into several rows")
        return text_of_cell(cell)

    def _cells(
        self, stream: IO[bytes], table: "ParquetFile", group: int, chunk: ColumnChunk, index: int
    ) -> Iterator[bytes | None]:
        """The cells of one group of rows, the first of which has that index: as many as it has rows."""
        import pyarrow

        end = index + chunk.rows
        try:
            rows = _rows_at_a_time(page_sizes(stream, chunk))
            for batch in table.iter_batches(rows, [group], [COLUMN], use_threads=False):
                for cell in _bytes_of(batch.column(0).cast(pyarrow.large_binary())):
                    if index == end:
                        raise BrokenThrift("a group has more rows than it says")
                    yield cell
                    index += 1
            if index < end:
                raise BrokenThrift("a group has fewer rows than it says")
        except (pyarrow.ArrowException, OSError, BrokenThrift) as error:
            raise Unreadable(broken_parquet(f"after row {index}: {first_line(error)}")) from None


def _bytes_of(cells: "pyarrow.Array") -> Iterator[bytes | None]:
    """Each cell; long ones are copied one at a time."""
    if cells.nbytes <= STEP:
        yield from cells.to_pylist()
    else:
        for cell in cells:
            yield cell.as_py()


def open_parquet(stream: IO[bytes], dictionaries: Sequence[str] = ()) -> "ParquetFile":
    """The file behind a stream, to be read a little at a time. Raises Unreadable: it is no Parquet file.

    Args:
        dictionaries: paths of columns that are decoded to entries of a dictionary, so that repeated values take no memory.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:  # with `pre_buffer` a whole group of rows is read at once
        table = ParquetFile(stream, read_dictionary=list(dictionaries), buffer_size=STEP, pre_buffer=False)
        _ = table.schema_arrow, column_paths(table)  # which may be broken too
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Unreadable(broken_parquet(first_line(error))) from None
    return table


def column_paths(table: "ParquetFile") -> list[str]:
    """The paths of the columns that are stored, in order; those inside a column of lists or structs begin with its name."""
    return [table.schema.column(i).path for i in range(len(table.schema))]


def column_chunks(stream: IO[bytes], table: "ParquetFile", column: int) -> list[ColumnChunk]:
    """The chunk of each group of rows of a stored column. Raises Unreadable: the footer is broken."""
    try:
        chunks = read_chunks(stream, column)
    except BrokenThrift as error:
        raise Unreadable(broken_parquet(f"its footer: {error}")) from None
    if len(chunks) != table.num_row_groups:
        raise Unreadable(broken_parquet("its footer is of other groups of rows"))
    return chunks


def broken_parquet(detail: str) -> Problem:
    return Problem("broken parquet", detail, "fetch or make it again")


def _open_table(stream: IO[bytes]) -> tuple["ParquetFile", list[ColumnChunk]]:
    """The file, and its column of texts in each group of rows. Raises Unreadable: it is no Parquet file with such a column."""
    table = open_parquet(stream)
    columns = column_paths(table)
    _check_schema(table.schema_arrow, columns)
    chunks = column_chunks(stream, table, columns.index(COLUMN))
    if not any(chunk.rows for chunk in chunks):
        raise Unreadable(Problem("no text in it"))
    return table, chunks


def _check_schema(schema: "pyarrow.Schema", columns: list[str]) -> None:
    """Raises Unreadable: there is not one column of texts. `columns`: the paths of those that are stored."""
    from pyarrow import types

    named = f"columns: {name_list(schema.names)}"
    if COLUMN not in schema.names:
        raise Unreadable(Problem('no column "text"', named, "rename the one that holds text", fatal_if_named=True))
    kind = schema.field(schema.names.index(COLUMN)).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        found = f"but {printable(str(kind))}"
        wrong = Problem('its column "text" holds no strings', found, "write them as strings", fatal_if_named=True)
        raise Unreadable(wrong)
    if columns.count(COLUMN) != 1 or any(column.startswith(f"{COLUMN}.") for column in columns):
        raise Unreadable(Problem('more than one column "text"', named, "rename all except one", fatal_if_named=True))


def _rows_at_a_time(sizes: PageSizes) -> int:
    """How many rows of a group are decoded at a time. Raises Unreadable: none can be in bounded memory."""
    if max(sizes.dictionary, sizes.page) > LARGEST_PAGE:
        advice = "write it again with smaller pages"
        raise Unreadable(Problem(f"a page of parquet that unpacks to more than {LARGEST_PAGE >> 20} MB", advice=advice))
    return next(rows for rows in ROWS if rows == 1 or sizes.of_rows(rows) <= MEMORY)
