"""The texts in a column of a Parquet file, decoded a few rows at a time, in bounded memory.

A page may decompress to a thousand times its size. A row may be an entry of the column's dictionary, and so a thousand times as
long as what the file stores for it. So the headers of the pages are read first. They decide how many rows are decoded at a
time, and whether any are.
"""

from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING

from liuli.data.records.parquet_pages import PageSizes, page_sizes
from liuli.data.records.parquet_table import ParquetReader, ParquetTable, column_chunks, column_paths, open_parquet
from liuli.data.records.problem import Problem, Unreadable, name_list
from liuli.data.records.readers import RecordKind
from liuli.data.records.source_files import SourceFile
from liuli.data.text.blocks import STEP
from liuli.data.text.record_text import DocumentText, quoted, text_of_cell
from liuli.display import printable

if TYPE_CHECKING:
    import pyarrow

ROWS = (64, 8, 1)  # decoded at a time: the largest of these that fits in memory
LARGEST_PAGE = 128 << 20  # bytes of a page, decompressed; most writers make pages of 1 MB, DuckDB of 100 MB
MEMORY = 2 * LARGEST_PAGE  # bytes of the texts that are decoded at a time
ROW = 64  # bytes that a row takes in addition to its text: there may be billions of empty rows

Cell = bytes | None


class TextParquetReader(ParquetReader[Cell, DocumentText]):
    """A `.parquet` file with a column of strings. `columns`: the first of these that it has."""

    def __init__(self, file: SourceFile, kind: RecordKind[DocumentText], columns: Sequence[str]):
        super().__init__(file, kind)
        self._columns = columns
        self._column = columns[0]

    def _open_table(self, stream: IO[bytes]) -> ParquetTable[Cell]:
        table = _TextTable(stream, self._columns)
        self._column = table.column
        return table

    def _record(self, row: Cell) -> DocumentText | Problem:
        if row is not None and len(row) > self.kind.longest:
            return Problem(f"a text longer than {self.kind.longest >> 20} MB", advice="split it into several rows")
        return text_of_cell(row, self._column)


class _TextTable(ParquetTable[Cell]):
    """An open file. `column`: the first of `columns` that it has.

    Raises:
        Unreadable: it is not a Parquet file with one such column of texts.
    """

    def __init__(self, stream: IO[bytes], columns: Sequence[str]):
        self._stream, self._file = stream, open_parquet(stream)
        paths = column_paths(self._file)
        self.column = _column_of_texts(self._file.schema_arrow, paths, columns)
        self._chunks = column_chunks(stream, self._file, paths.index(self.column))
        self.row_counts = [chunk.rows for chunk in self._chunks]

    def rows(self, group: int) -> Iterator[tuple[int, Cell]]:
        import pyarrow

        rows = _rows_at_a_time(page_sizes(self._stream, self._chunks[group]))
        for batch in self._file.iter_batches(rows, [group], [self.column], use_threads=False):
            for cell in _bytes_of(batch.column(0).cast(pyarrow.large_binary())):
                yield ROW + len(cell or b""), cell


def _bytes_of(cells: "pyarrow.Array") -> Iterator[Cell]:
    """Each cell; long ones are copied one at a time."""
    if cells.nbytes <= STEP:
        yield from cells.to_pylist()
    else:
        for cell in cells:
            yield cell.as_py()


def _column_of_texts(schema: "pyarrow.Schema", paths: list[str], columns: Sequence[str]) -> str:
    """The first of `columns` that the table has. Raises Unreadable unless it is exactly one column of texts. `paths`: those of
    the stored columns."""
    from pyarrow import types

    named = f"columns: {name_list(schema.names)}"
    column = next((column for column in columns if column in schema.names), None)
    if column is None:
        advice = "give the name of the column with the text with --text-field"
        raise Unreadable(Problem(f"no column {quoted(columns)}", named, advice, fatal_if_named=True))
    kind = schema.field(schema.names.index(column)).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        reason = f"the column {quoted([column])} does not contain strings"
        raise Unreadable(Problem(reason, f"found {printable(str(kind))}", "store strings", fatal_if_named=True))
    if paths.count(column) != 1 or any(path.startswith(f"{column}.") for path in paths):
        raise Unreadable(
            Problem(f"more than one column {quoted([column])}", named, "rename all except one", fatal_if_named=True)
        )
    return column


def _rows_at_a_time(sizes: PageSizes) -> int:
    """How many rows of a group are decoded at a time. Raises Unreadable: not even one row fits in bounded memory."""
    if max(sizes.dictionary, sizes.page) > LARGEST_PAGE:
        reason = f"a Parquet page larger than {LARGEST_PAGE >> 20} MB when decompressed"
        raise Unreadable(Problem(reason, advice="write the file again with smaller pages"))
    return next(rows for rows in ROWS if rows == 1 or sizes.of_rows(rows) <= MEMORY)
