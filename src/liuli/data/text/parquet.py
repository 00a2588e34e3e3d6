"""The texts in a column of a Parquet file, read a few rows at a time, in bounded memory.

A page may unpack to a thousand times its size, and a row that names an entry of the dictionary may be a thousand times as
long as its name. So the headers of the pages, by which pyarrow unpacks them, are read first: they decide how many rows
are decoded at a time, and whether any are.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from liuli.data.records.problem import Problem, Unreadable, name_list
from liuli.data.records.readers import RecordKind, RecordReader
from liuli.data.records.source_files import SourceFile
from liuli.data.records.unpacking import most_unpacked, unpacks_to_too_much
from liuli.data.text.blocks import STEP
from liuli.data.text.record_text import DocumentText, text_of_cell
from liuli.data.text.thrift import BrokenThrift, read_struct
from liuli.display import first_line, printable

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile

COLUMN = "text"
ROWS = (64, 8, 1)  # decoded at a time: as many of these as memory allows
LARGEST_PAGE = 128 << 20  # bytes of a page, unpacked; most writers make them of 1 MB, DuckDB of 100 MB
MEMORY = 2 * LARGEST_PAGE  # bytes of the texts that are decoded at a time
ROW = 64  # bytes that a row counts beside its text: there may be billions of empty ones
# From parquet.thrift, https://github.com/apache/parquet-format: fields of PageHeader, page types, and an encoding in which
# each text may begin with any number of bytes of the one before it.
TYPE, UNPACKED, PACKED, DATA, DICTIONARY, DATA_V2 = 1, 2, 3, 5, 7, 8
NUM_VALUES, ENCODINGS = 1, {DATA: 2, DATA_V2: 4}
DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 = 0, 2, 3
DELTA_BYTE_ARRAY = 7


class ParquetReader(RecordReader[DocumentText]):
    """A `.parquet` file with a column `text` of strings."""

    def __init__(self, file: SourceFile, kind: RecordKind[DocumentText]):
        super().__init__(file)
        self.kind = kind

    def _count(self) -> int:
        with suppress(Unreadable), self.file.open() as stream:
            return _open_table(stream).metadata.num_rows
        return 0

    def records(self, start: int = 0) -> Iterator[tuple[int, DocumentText | Problem]]:
        with self.file.open() as stream:
            table, index = _open_table(stream), 0
            left = most_unpacked(self.file.stamp[0])
            for group in range(table.num_row_groups):
                rows = table.metadata.row_group(group).num_rows
                if index + rows <= start:  # need not be read
                    index += rows
                    continue
                for cell in self._cells(stream, table, group, index):
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

    def _cells(self, stream: IO[bytes], table: "ParquetFile", group: int, index: int) -> Iterator[bytes | None]:
        """The cells of one group of rows, the first of which has that index."""
        import pyarrow

        try:
            rows = _rows_at_a_time(stream, table, group)
            for batch in table.iter_batches(rows, [group], [COLUMN], use_threads=False):
                for cell in _bytes_of(batch.column(0).cast(pyarrow.large_binary())):
                    yield cell
                    index += 1
        except (pyarrow.ArrowException, OSError, BrokenThrift) as error:
            raise Unreadable(_broken(f"after row {index}: {first_line(error)}")) from None


def _bytes_of(cells: "pyarrow.Array") -> Iterator[bytes | None]:
    """Each cell; long ones are copied one at a time."""
    if cells.nbytes <= STEP:
        yield from cells.to_pylist()
    else:
        for cell in cells:
            yield cell.as_py()


def _open_table(stream: IO[bytes]) -> "ParquetFile":
    """Raises Unreadable: it is no Parquet file with one column of texts."""
    import pyarrow
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    try:
        table = ParquetFile(stream, buffer_size=STEP, pre_buffer=False)  # else a whole group of rows is read at once
        schema = table.schema_arrow
    except (pyarrow.ArrowException, OSError) as error:
        raise Unreadable(_broken(first_line(error))) from None
    columns = f"columns: {name_list(schema.names)}"
    if COLUMN not in schema.names:
        raise Unreadable(Problem('no column "text"', columns, "rename the one that holds text", fatal_if_named=True))
    if schema.names.count(COLUMN) > 1 or any(name.startswith(f"{COLUMN}.") for name in schema.names):
        several = Problem('more than one column "text"', columns, "rename all except one", fatal_if_named=True)
        raise Unreadable(several)
    kind = schema.field(COLUMN).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        wrong = Problem(
            'its column "text" holds no strings', f"but {printable(str(kind))}", "write them as strings", fatal_if_named=True
        )
        raise Unreadable(wrong)
    if not table.metadata.num_rows:
        raise Unreadable(Problem("no text in it"))
    return table


def _broken(detail: str) -> Problem:
    return Problem("broken parquet", detail, "fetch or make it again")


@dataclass(frozen=True, slots=True)
class PageSizes:
    """What the pages of one column of a group of rows unpack to, in bytes, as their headers say.

    Attributes:
        dictionary: its dictionary's page.
        page: its largest page of data; of prefix-encoded texts all pages together.
        pages: how many pages of data there are.
        fewest: values of the page of data that has the fewest, the last one left out.
    """

    dictionary: int
    page: int
    pages: int
    fewest: int

    def of_rows(self, rows: int) -> int:
        """The most that so many rows in turn may decode to: each an entry of the dictionary, or what their pages hold."""
        pages = min(self.pages, 2 if self.fewest >= rows else rows)
        return rows * self.dictionary + pages * self.page


def _rows_at_a_time(stream: IO[bytes], table: "ParquetFile", group: int) -> int:
    """How many rows of a group are decoded at a time. Raises Unreadable: none can be in bounded memory."""
    metadata = table.metadata.row_group(group)
    column = next(i for i in range(metadata.num_columns) if metadata.column(i).path_in_schema == COLUMN)
    sizes = _page_sizes(stream, metadata.column(column))
    if max(sizes.dictionary, sizes.page) > LARGEST_PAGE:
        advice = "write it again with smaller pages"
        raise Unreadable(Problem(f"a page of parquet that unpacks to more than {LARGEST_PAGE >> 20} MB", advice=advice))
    return next(rows for rows in ROWS if rows == 1 or sizes.of_rows(rows) <= MEMORY)


def _page_sizes(stream: IO[bytes], column: "ColumnChunkMetaData") -> PageSizes:
    """From the headers of all pages that pyarrow will unpack.

    Raises:
        BrokenThrift, OSError: there is no such header where one must be.
    """
    offsets = [column.data_page_offset]
    if column.has_dictionary_page and column.dictionary_page_offset:
        offsets.append(column.dictionary_page_offset)
    place, values = min(offsets), 0
    dictionary = page = total = 0
    counts: list[int] = []
    prefixed = False
    while values < column.num_values:
        stream.seek(place)
        header = read_struct(stream)
        place = stream.tell() + header.number(PACKED)
        unpacked = header.number(UNPACKED)
        kind = {DATA_PAGE: DATA, DATA_PAGE_V2: DATA_V2}.get(header.number(TYPE))
        if kind is not None:
            about = header.struct(kind)
            counts.append(about.number(NUM_VALUES))
            values += counts[-1]
            page, total = max(page, unpacked), total + unpacked
            prefixed = prefixed or about.number(ENCODINGS[kind]) == DELTA_BYTE_ARRAY
        elif header.number(TYPE) == DICTIONARY_PAGE:
            dictionary = max(dictionary, unpacked)
    return PageSizes(dictionary, total if prefixed else page, len(counts), min(counts[:-1], default=0))
