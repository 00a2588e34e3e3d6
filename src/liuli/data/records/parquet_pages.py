"""The decompressed sizes of the pages of one column of a Parquet file: from the file's footer and the headers of the pages.

pyarrow uses both when it decompresses a page, so no page becomes larger than is computed here. (It has an interface to the
footer, which ends the whole process if a file is broken in certain ways.) The format: https://github.com/apache/parquet-format
"""

import io
from dataclasses import dataclass
from typing import IO

from liuli.data.records.thrift import I32, I64, LIST, STRUCT, BrokenThrift, ThriftReader

MAGIC = b"PAR1"
# Fields of the structs in parquet.thrift.
FOOTER_GROUPS, GROUP_COLUMNS, GROUP_ROWS, COLUMN_METADATA = (4, LIST), (1, LIST), (3, I64), (3, STRUCT)
COLUMN_VALUES, COLUMN_DATA_OFFSET, COLUMN_DICTIONARY_OFFSET = (5, I64), (9, I64), (11, I64)
PAGE_TYPE, PAGE_UNPACKED, PAGE_PACKED = (1, I32), (2, I32), (3, I32)
DATA_VALUES, DATA_ENCODING, DATA_ENCODING_V2 = (1, I32), (2, I32), (4, I32)
DATA_HEADERS = {0: ((5, STRUCT), DATA_ENCODING), 3: ((8, STRUCT), DATA_ENCODING_V2)}  # by the type of a page
DICTIONARY_PAGE = 2
DELTA_BYTE_ARRAY = 7  # an encoding in which each text may begin with any number of bytes of the one before it

Numbers = dict[tuple[int, int], int]  # by field number and type


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """One column of one row group.

    Attributes:
        rows: how many rows the group has.
        values: how many values the column has, nulls included.
        offset: where its first page begins in the file.
    """

    rows: int
    values: int
    offset: int


@dataclass(frozen=True, slots=True)
class PageSizes:
    """The decompressed sizes of the pages of a column in a row group, in bytes.

    Attributes:
        dictionary: its dictionary's page.
        page: its largest page of data; of texts that repeat the one before, all pages together.
        pages: how many pages of data there are.
        fewest: values of the page of data that has the fewest, the last one left out.
        total: all pages of data.
        prefixed: whether texts may repeat the one before without being stored again.
    """

    dictionary: int
    page: int
    pages: int
    fewest: int
    total: int
    prefixed: bool

    def of_values(self, values: int) -> int:
        """The most that so many values, which are all there are, may decode to if each entry of the dictionary is kept once."""
        return self.dictionary + (self.total * values if self.prefixed else self.total)

    def of_rows(self, rows: int) -> int:
        """The most that so many consecutive rows may decode to: a dictionary entry each, and the data in their pages."""
        pages = min(self.pages, 2 if self.fewest >= rows else rows)
        return rows * self.dictionary + pages * self.page


def read_chunks(stream: IO[bytes], column: int) -> list[ColumnChunk]:
    """The chunk of the column with that index in each row group, from the file's footer.

    Raises:
        BrokenThrift: there is no such footer, or no such column in it.
    """
    end = stream.seek(-8, io.SEEK_END)
    size = int.from_bytes(stream.read(4), "little")
    if stream.read(4) != MAGIC or size > end:
        raise BrokenThrift("it is missing")
    stream.seek(end - size)
    reader = ThriftReader(io.BytesIO(stream.read(size)))
    chunks: list[ColumnChunk] = []
    for field in reader.fields():
        if field == FOOTER_GROUPS:
            chunks = [_read_group(reader, column) for _ in range(reader.elements(STRUCT))]
        else:
            reader.skip(field[1])
    return chunks


def page_sizes(stream: IO[bytes], chunk: ColumnChunk) -> PageSizes:
    """From the headers of all pages that are read for a chunk.

    Raises:
        BrokenThrift: a header is missing.
    """
    place, values = chunk.offset, 0
    dictionary = page = total = 0
    counts: list[int] = []
    prefixed = False
    while values < chunk.values:
        stream.seek(place)
        header, data = _read_header(ThriftReader(stream))
        place = stream.tell() + _number(header, PAGE_PACKED)
        unpacked = _number(header, PAGE_UNPACKED)
        kind = _number(header, PAGE_TYPE)
        if kind in DATA_HEADERS:
            struct, encoding = DATA_HEADERS[kind]
            about = data.get(struct, {})
            counts.append(_number(about, DATA_VALUES))
            values += counts[-1]
            page, total = max(page, unpacked), total + unpacked
            prefixed = prefixed or _number(about, encoding) == DELTA_BYTE_ARRAY
        elif kind == DICTIONARY_PAGE:
            dictionary = max(dictionary, unpacked)
    fewest = min(counts[:-1], default=0)
    return PageSizes(dictionary, total if prefixed else page, len(counts), fewest, total, prefixed)


def _read_group(reader: ThriftReader, column: int) -> ColumnChunk:
    """One row group, and its column with that index."""
    rows, numbers = 0, Numbers()
    for field in reader.fields():
        if field == GROUP_ROWS:
            rows = reader.number()
        elif field == GROUP_COLUMNS:
            numbers = {}
            for index in range(reader.elements(STRUCT)):
                if index == column:
                    numbers = _read_column(reader)
                else:
                    reader.skip(STRUCT)
        else:
            reader.skip(field[1])
    if rows < 0:
        raise BrokenThrift("a row group with fewer than 0 rows")
    offset = _number(numbers, COLUMN_DATA_OFFSET)
    if numbers.get(COLUMN_DICTIONARY_OFFSET, 0) > 0:
        offset = min(offset, numbers[COLUMN_DICTIONARY_OFFSET])
    return ColumnChunk(rows, _number(numbers, COLUMN_VALUES), offset)


def _read_column(reader: ThriftReader) -> Numbers:
    """The numbers in the metadata of a column."""
    numbers = Numbers()
    for field in reader.fields():
        if field == COLUMN_METADATA:
            numbers |= _read_numbers(reader)
        else:
            reader.skip(field[1])
    return numbers


def _read_header(reader: ThriftReader) -> tuple[Numbers, dict[tuple[int, int], Numbers]]:
    """The numbers in the header of a page, and those in its structs."""
    numbers, structs = Numbers(), dict[tuple[int, int], Numbers]()
    for field in reader.fields():
        if field[1] == I32:
            numbers[field] = reader.number()
        elif field[1] == STRUCT:
            structs.setdefault(field, {}).update(_read_numbers(reader))
        else:
            reader.skip(field[1])
    return numbers, structs


def _read_numbers(reader: ThriftReader) -> Numbers:
    numbers = Numbers()
    for field in reader.fields():
        if field[1] in (I32, I64):
            numbers[field] = reader.number()
        else:
            reader.skip(field[1])
    return numbers


def _number(numbers: Numbers, field: tuple[int, int]) -> int:
    """A number that must be there, and not below 0. Raises BrokenThrift."""
    found = numbers.get(field, -1)
    if found < 0:
        raise BrokenThrift(f"field {field[0]} is missing or negative")
    return found
