"""Shared by the readers of Parquet files: opening a file, finding its row groups, and counting the rows that it returns.

A Parquet file may claim anything about itself. The footer and the page headers are read here (`parquet_pages.py`) before
pyarrow decodes a page, so that memory is bounded by what the headers say. A file with more or fewer rows than its footer
says is broken.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Generic, TypeVar

from liuli.data.records.parquet_pages import ColumnChunk, read_chunks
from liuli.data.records.problem import Problem, Unreadable
from liuli.data.records.readers import RecordKind, RecordReader
from liuli.data.records.source_files import SourceFile
from liuli.data.records.thrift import BrokenThrift
from liuli.data.records.unpacking import most_unpacked, unpacks_to_too_much
from liuli.display import first_line

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

BUFFER = 1 << 19  # bytes read at a time

Row = TypeVar("Row")
T = TypeVar("T")


class ParquetTable(ABC, Generic[Row]):
    """An open Parquet file.

    Attributes:
        row_counts: the number of rows in each group, as the footer says.
    """

    row_counts: list[int]

    @abstractmethod
    def rows(self, group: int) -> Iterator[tuple[int, Row | Problem]]:
        """The rows of a group, each with the bytes that it takes in memory.

        Raises:
            Unreadable: the group would take too much memory.
            pyarrow.ArrowException, OSError, BrokenThrift: the file is broken.
        """


class ParquetReader(RecordReader[T], Generic[Row, T]):
    """A `.parquet` file with a record in each row."""

    def __init__(self, file: SourceFile, kind: RecordKind[T]):
        super().__init__(file)
        self.kind = kind

    def records(self, start: int = 0) -> Iterator[tuple[int, T | Problem]]:
        with self.file.open() as stream:
            table = self._open_table(stream)
            if not any(table.row_counts):
                raise Unreadable(self.kind.nothing)
            index, bytes_left = 0, most_unpacked(self.file.stamp[0])
            for group, row_count in enumerate(table.row_counts):
                if index + row_count <= start:  # this group is not needed
                    index += row_count
                    continue
                for size, row in _counted_rows(table, group, index):
                    bytes_left -= size
                    if bytes_left < 0:
                        raise Unreadable(unpacks_to_too_much())
                    if index >= start:
                        yield index, row if isinstance(row, Problem) else self._record(row)
                    index += 1

    def _count(self) -> int:
        with suppress(Unreadable), self.file.open() as stream:
            return sum(self._open_table(stream).row_counts)
        return 0

    @abstractmethod
    def _open_table(self, stream: IO[bytes]) -> ParquetTable[Row]:
        """Opens the file behind a stream. Raises Unreadable: it is broken, or does not have the columns that are read."""

    @abstractmethod
    def _record(self, row: Row) -> T | Problem:
        """What a row holds, or what is wrong with it."""


def open_parquet(stream: IO[bytes], dictionaries: Sequence[str] = ()) -> "ParquetFile":
    """Opens the file behind a stream, to be decoded a few rows at a time. Raises Unreadable: it is not a Parquet file.

    Args:
        dictionaries: paths of columns that are decoded to entries of a dictionary, so that repeated values take no memory.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:  # with `pre_buffer`, a whole row group would be read at once
        table = ParquetFile(stream, read_dictionary=list(dictionaries), buffer_size=BUFFER, pre_buffer=False)
        _ = table.schema_arrow, column_paths(table)  # these may be broken too
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Unreadable(broken_parquet(first_line(error))) from None
    return table


def column_paths(table: "ParquetFile") -> list[str]:
    """The paths of the stored columns, in order. The path of a column inside a column of lists or structs begins with the
    name of the outer column."""
    return [table.schema.column(i).path for i in range(len(table.schema))]


def column_chunks(stream: IO[bytes], table: "ParquetFile", column: int) -> list[ColumnChunk]:
    """A stored column's chunk in each row group. Raises Unreadable: the footer is broken."""
    try:
        chunks = read_chunks(stream, column)
    except BrokenThrift as error:
        raise Unreadable(broken_parquet(f"footer: {error}")) from None
    if len(chunks) != table.num_row_groups:
        raise Unreadable(broken_parquet("the footer does not agree with the row groups"))
    return chunks


def broken_parquet(detail: str) -> Problem:
    return Problem("broken parquet", detail, "download it again, or create it again")


def _counted_rows(table: ParquetTable[Row], group: int, index: int) -> Iterator[tuple[int, Row | Problem]]:
    """The rows of a group, of which the first has that index. Raises Unreadable: the file is broken, has another number of
    rows than it says, or would take too much memory."""
    import pyarrow

    end = index + table.row_counts[group]
    try:
        for size, row in table.rows(group):
            if index == end:
                raise BrokenThrift("a row group has more rows than its metadata says")
            yield size, row
            index += 1
        if index < end:
            raise BrokenThrift("a row group has fewer rows than its metadata says")
    except (pyarrow.ArrowException, OSError, BrokenThrift) as error:
        raise Unreadable(broken_parquet(f"after row {index}: {first_line(error)}")) from None
