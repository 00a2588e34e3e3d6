"""The texts in a column of a Parquet file, decoded a few rows at a time, in bounded memory.

A page may decompress to a thousand times its size. A row may be an entry of the column's dictionary, and so a thousand times as
long as what the file stores for it. So the headers of the pages are read first. They decide how many rows are decoded at a
time, and whether any are.
"""

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from liuli.data.records.parquet_pages import PageSizes, page_sizes
from liuli.data.records.parquet_table import ParquetReader, ParquetTable, column_chunks, column_paths, open_parquet
from liuli.data.records.problem import Problem, Unreadable, name_list
from liuli.data.text.blocks import STEP
from liuli.data.text.record_text import DocumentText, text_of_cell
from liuli.display import printable

if TYPE_CHECKING:
    import pyarrow

COLUMN = "text"
ROWS = (64, 8, 1)  # decoded at a time: the largest of these that fits in memory
LARGEST_PAGE = 128 << 20  # bytes of a page, decompressed; most writers make pages of 1 MB, DuckDB of 100 MB
MEMORY = 2 * LARGEST_PAGE  # bytes of the texts that are decoded at a time
ROW = 64  # bytes that a row takes in addition to its text: there may be billions of empty rows

Cell = bytes | None


class TextParquetReader(ParquetReader[Cell, DocumentText]):
    """A `.parquet` file with a column `text` of strings."""

    def _open_table(self, stream: IO[bytes]) -> ParquetTable[Cell]:
        return _TextTable(stream)

    def _record(self, row: Cell) -> DocumentText | Problem:
        if row is not None and len(row) > self.kind.longest:
            return Problem(f"a text longer than {self.kind.longest >> 20} MB", advice="split it into several rows")
        return text_of_cell(row)


class _TextTable(ParquetTable[Cell]):
    """An open file. Raises Unreadable: it is not a Parquet file with one column of texts."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self._file = stream, open_parquet(stream)
        columns = column_paths(self._file)
        _check_schema(self._file.schema_arrow, columns)
        self._chunks = column_chunks(stream, self._file, columns.index(COLUMN))
        self.row_counts = [chunk.rows for chunk in self._chunks]

    def rows(self, group: int) -> Iterator[tuple[int, Cell]]:
        import pyarrow

        rows = _rows_at_a_time(page_sizes(self._stream, self._chunks[group]))
        for batch in self._file.iter_batches(rows, [group], [COLUMN], use_threads=False):
            for cell in _bytes_of(batch.column(0).cast(pyarrow.large_binary())):
                yield ROW + len(cell or b""), cell


def _bytes_of(cells: "pyarrow.Array") -> Iterator[Cell]:
    """Each cell; long ones are copied one at a time."""
    if cells.nbytes <= STEP:
        yield from cells.to_pylist()
    else:
        for cell in cells:
            yield cell.as_py()


def _check_schema(schema: "pyarrow.Schema", columns: list[str]) -> None:
    """Raises Unreadable unless there is exactly one column of texts. `columns`: the paths of the stored columns."""
    from pyarrow import types

    named = f"columns: {name_list(schema.names)}"
    if COLUMN not in schema.names:
        raise Unreadable(Problem('no column "text"', named, 'rename the column with the text to "text"', fatal_if_named=True))
    kind = schema.field(schema.names.index(COLUMN)).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        found = f"found {printable(str(kind))}"
        wrong = Problem('the column "text" does not contain strings', found, "store strings", fatal_if_named=True)
        raise Unreadable(wrong)
    if columns.count(COLUMN) != 1 or any(column.startswith(f"{COLUMN}.") for column in columns):
        raise Unreadable(Problem('more than one column "text"', named, "rename all except one", fatal_if_named=True))


def _rows_at_a_time(sizes: PageSizes) -> int:
    """How many rows of a group are decoded at a time. Raises Unreadable: not even one row fits in bounded memory."""
    if max(sizes.dictionary, sizes.page) > LARGEST_PAGE:
        reason = f"a Parquet page larger than {LARGEST_PAGE >> 20} MB when decompressed"
        raise Unreadable(Problem(reason, advice="write the file again with smaller pages"))
    return next(rows for rows in ROWS if rows == 1 or sizes.of_rows(rows) <= MEMORY)
