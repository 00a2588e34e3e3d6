"""The dialogues in a Parquet file: each row is a record with the fields of one of the layouts, decoded in bounded memory.

A column of messages is a column of lists of structs. Parquet stores it as one column for each field. Strings are decoded to
entries of a dictionary, so that a small file cannot become large before the size of each row is known. A row that is too large
is skipped. A row group whose pages decompress to too much is not read at all.
"""

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from liuli.data.dialogues.layouts import CONVERTERS, FIELDS, OTHERS, Converted
from liuli.data.records.parquet_pages import page_sizes
from liuli.data.records.parquet_table import (
    ParquetReader,
    ParquetTable,
    broken_parquet,
    column_chunks,
    column_paths,
    open_parquet,
)
from liuli.data.records.problem import Problem, Unreadable, name_list
from liuli.data.records.thrift import BrokenThrift
from liuli.data.records.utf8 import utf8_problem
from liuli.display import first_line, printable

if TYPE_CHECKING:
    import pyarrow

ROWS = 1 << 14  # decoded at a time, to entries of dictionaries, which are copied each time
AT_ONCE = 64  # rows of these that become records at a time
LARGEST_GROUP = 1 << 30  # bytes of a row group, decompressed; most writers make groups of about 100 MB
VALUE = 64  # bytes that a value takes in addition to its text
UNREAD = "…"  # stands for the value of a column that no layout has


class DialogueParquetReader(ParquetReader[dict[str, Any], Converted]):
    """A `.parquet` file whose rows are records in one of the layouts."""

    def _open_table(self, stream: IO[bytes]) -> ParquetTable[dict[str, Any]]:
        return _DialogueTable(stream, self.kind.longest)

    def _record(self, row: dict[str, Any]) -> Converted | Problem:
        return self.kind.make(row)


class _DialogueTable(ParquetTable[dict[str, Any]]):
    """An open file.

    Attributes:
        names: the columns that are read. others: the columns that no layout has.

    Args:
        longest: bytes of one row in memory; a longer row is a `Problem`.

    Raises:
        Unreadable: it is not a Parquet file with columns of a layout.
    """

    def __init__(self, stream: IO[bytes], longest: int):
        table = open_parquet(stream)
        schema = table.schema_arrow
        known = {*FIELDS, *OTHERS, *(field for fields in CONVERTERS for field in fields)}
        self.names = [name for name in schema.names if name in known]
        self.others = [name for name in schema.names if name not in known]
        self._longest = longest
        self._check(schema)
        paths = column_paths(table)
        stored = [i for i, path in enumerate(paths) if path.split(".")[0] in self.names]
        self._chunks = [column_chunks(stream, table, i) for i in stored]  # by stored column, then by row group
        self.row_counts = [chunk.rows for chunk in self._chunks[0]]
        try:
            self._sizes = [[page_sizes(stream, chunk) for chunk in chunks] for chunks in self._chunks]
        except BrokenThrift as error:
            raise Unreadable(broken_parquet(first_line(error))) from None
        # Strings that may repeat the beginning of the string before cannot be decoded to entries of a dictionary.
        strings = (i for i in range(len(paths)) if table.schema.column(i).physical_type == "BYTE_ARRAY")
        prefixed = {i for i, sizes in zip(stored, self._sizes, strict=True) if any(each.prefixed for each in sizes)}
        self._file = open_parquet(stream, [paths[i] for i in strings if i not in prefixed])

    def _check(self, schema: "pyarrow.Schema") -> None:
        """Raises Unreadable: there is no column that a layout has, two with one name, or one that JSON cannot represent."""
        named = f"columns: {name_list(schema.names)}"
        if not self.names:
            advice = 'rename the column with the messages to "messages"'
            raise Unreadable(Problem("no column with dialogues", named, advice, fatal_if_named=True))
        if len({*self.names}) < len(self.names):
            raise Unreadable(Problem("two columns with the same name", named, "rename one of them", fatal_if_named=True))
        for name in self.names:
            kind = schema.field(schema.names.index(name)).type
            if not _is_json(kind):
                wrong = f'the column "{printable(name)}" has values that JSON cannot represent'
                raise Unreadable(Problem(wrong, printable(str(kind))[:200], "store them as text", fatal_if_named=True))

    def rows(self, group: int) -> Iterator[tuple[int, dict[str, Any] | Problem]]:
        if self._unpacked(group) > LARGEST_GROUP:
            reason = f"a row group larger than {LARGEST_GROUP >> 20} MB when decompressed"
            raise Unreadable(Problem(reason, advice="write the file again with smaller row groups"))
        for batch in self._file.iter_batches(ROWS, [group], self.names, use_threads=False):
            for size, row in _rows_of(batch, self._longest):
                yield size, row if isinstance(row, Problem) else row | dict.fromkeys(self.others, UNREAD)

    def _unpacked(self, group: int) -> int:
        """The most that a group can take when it is decoded, in bytes."""
        chunks = (chunks[group] for chunks in self._chunks)
        sizes = (sizes[group] for sizes in self._sizes)
        return sum(VALUE * chunk.values + each.of_values(chunk.values) for chunk, each in zip(chunks, sizes, strict=True))


def _rows_of(batch: "pyarrow.RecordBatch", longest: int) -> Iterator[tuple[int, dict[str, Any] | Problem]]:
    """Each row with its size in bytes. Small rows are converted together, others one at a time. A row that is too large is not
    converted at all."""
    for start in range(0, len(batch), AT_ONCE):
        some = batch.slice(start, AT_ONCE)
        size = sum(map(_size, some.columns))
        rows = _records(some) if size <= longest else None
        if isinstance(rows, list):
            yield from ((size // len(rows), row) for row in rows)
            continue
        for i in range(len(some)):
            one = some.slice(i, 1)
            size = sum(map(_size, one.columns))
            if size > longest:
                yield VALUE, Problem(f"a row longer than {longest >> 20} MB", advice="remove it, or parts of it")
            else:
                rows = _records(one)
                yield size, rows[0] if isinstance(rows, list) else rows


def _records(batch: "pyarrow.RecordBatch") -> list[dict[str, Any]] | Problem:
    """The rows as records, or what is wrong with one of them."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        return utf8_problem(error.object, error)


def _size(column: "pyarrow.Array") -> int:
    """The bytes that a column takes as Python objects: those of its strings, counted at each use, and `VALUE` for each
    value."""
    from pyarrow import types

    kind, found = column.type, VALUE * len(column)
    array: Any = column
    if types.is_dictionary(kind):
        return found + _bytes_of_entries(array)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return found + array.nbytes
    if types.is_struct(kind):
        return found + sum(map(_size, array.flatten()))
    return found + _size(array.flatten()) if types.is_nested(kind) else found


def _bytes_of_entries(array: Any) -> int:
    """The bytes of the dictionary entries that an array uses, counted at each use. The lengths come from the dictionary's
    offsets, since the dictionary itself may be too large to be read."""
    import numpy as np

    entries = array.dictionary
    if not len(entries):
        return 0
    offsets = np.frombuffer(entries.buffers()[1], np.int32)[entries.offset : entries.offset + len(entries) + 1]
    named = array.indices.drop_null().to_numpy(zero_copy_only=False)
    return int((offsets[named + 1].astype(np.int64) - offsets[named]).sum())


def _is_json(kind: "pyarrow.DataType") -> bool:
    """Whether JSON has values of a type: text, numbers, booleans, null, and lists and structs of these."""
    from pyarrow import types

    if types.is_struct(kind):
        return all(_is_json(kind.field(i).type) for i in range(kind.num_fields))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_json(kind.value_type)
    kind = kind.value_type if types.is_dictionary(kind) else kind
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return is_text or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)
