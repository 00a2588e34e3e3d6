"""Tables on disk: what is read from CSV, JSON and Parquet files, and what is said about broken ones."""

import json
import re
import subprocess
import sys

import pytest

from liuli.act.tables.database import TableDatabase
from liuli.act.tables.names import MOST
from liuli.act.tables.open import check_table, open_tables
from liuli.act.tables.table import LOOKED_AT, Table
from liuli.errors import LiuliError


def kinds(table: Table) -> dict[str, str]:
    return {column.name: column.kind for column in table.columns}


# What is read


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_delimiter_is_found(opened, delimiter, end):
    rows = [["name", "price", "city"], ["cup", "1,5", "Oslo"], ['"a; b|c\td"', "2", '"two\nlines"']]
    rows[1][1] = '"1,5"' if delimiter == "," else "1,5"
    (table,) = opened(a_csv="".join(delimiter.join(row) + end for row in rows))
    assert table.records() == [
        {"name": "cup", "price": "1,5", "city": "Oslo"},
        {"name": "a; b|c\td", "price": "2", "city": "two\nlines"},
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_every_encoding_is_found(opened, encoding, suffix):
    text = {"csv": "机构全称,净利润\n贵州茅台,1.5\n", "json": '[{"机构全称": "贵州茅台", "净利润": "1.5"}]'}[suffix]
    (table,) = opened(**{f"a_{suffix}": text.encode(encoding)})
    assert table.records() == [{"机构全称": "贵州茅台", "净利润": "1.5"}]


def test_cells_of_csv_stay_what_they_are(opened):
    text = (
        "code,id,price,day,flag,long,none,spaces\n"
        "000001,7,1.50,2024-02-29,true,12345678901234567890,, a \n"
        "600519,-8,2e3,2023-01-01,False,1,,b\n"
    )
    (table,) = opened(a_csv=text)
    assert table.records()[0] == {
        "code": "000001", "id": "7", "price": "1.50", "day": "2024-02-29", "flag": "true", "long": "12345678901234567890",
        "none": None, "spaces": " a ",
    }  # fmt: skip
    assert kinds(table) == {
        "code": "text", "id": "integer", "price": "number", "day": "date", "flag": "boolean", "long": "text", "none": "empty",
        "spaces": "text",
    }  # fmt: skip


def test_a_late_cell_decides_the_kind_too(opened):
    rows = "".join(f"{i},{i},2024-01-01,true\n" for i in range(LOOKED_AT))
    (table,) = opened(a_csv=f"a,b,c,d\n{rows}007,1.5,2024-02-30,yes\n")
    assert kinds(table) == {"a": "text", "b": "number", "c": "text", "d": "text"}
    assert table.rows == LOOKED_AT + 1


def test_json_has_types(opened):
    rows = [
        {"day": "2022-01-01", "n": 1, "x": 1.5, "ok": True, "who": {"a": 1}, "mixed": 1},
        {"n": 2, "who": [1], "mixed": "a", "late": "here", "nothing": None},
    ]
    (listed,) = opened(a_json=rows)
    (lines,) = opened(a_jsonl="\n".join(map(json.dumps, rows)))
    wanted = {
        "day": "text",
        "n": "integer",
        "x": "number",
        "ok": "boolean",
        "who": "nested",
        "mixed": "nested",
        "late": "text",
        "nothing": "empty",
    }
    for table in (listed, lines):
        assert kinds(table) == wanted
        assert [table.records()[0][name] for name in ("day", "n", "x", "ok", "late")] == ["2022-01-01", 1, 1.5, True, None]


def test_parquet_has_types(opened, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    from datetime import date, datetime

    table = pa.table({
        "Id": [1, None], "price": [1.5, float("nan")], "day": [date(2024, 1, 2), None], "at": [datetime(2024, 1, 2, 3), None],
        "tags": [["a"], []], "raw": [b"\x1b[31m", None],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "x.parquet")
    (found,) = opened(a_parquet=(tmp_path / "x.parquet").read_bytes())
    assert kinds(found) == {"Id": "integer", "price": "number", "day": "date", "at": "time", "tags": "nested", "raw": "nested"}
    assert found.records()[0] == {
        "Id": 1,
        "price": 1.5,
        "day": "2024-01-02",
        "at": "2024-01-02 03:00:00",
        "tags": ["a"],
        "raw": "\ufffd[31m",
    }


def test_a_column_without_a_name_gets_one(opened):
    (table,) = opened(a_csv=",x\n0,1\n")
    assert table.names == ["column 1", "x"]


def test_tables_of_one_file_name(tmp_path):
    paths = [tmp_path / folder / "a.csv" for folder in "xy"]
    for path in paths:
        path.parent.mkdir()
        path.write_text("id,n\n1,2\n")
    with TableDatabase(paths) as database:
        assert [table.name for table in open_tables(database, paths)] == ["a", "a 2"]


def test_a_name_with_wildcards_is_one_file(tmp_path):
    (tmp_path / "a1.csv").write_text("id,n\n2,2\n")
    path = tmp_path / "a[1]*?.csv"
    path.write_text("id,n\n1,2\n")
    with TableDatabase([path]) as database:
        (table,) = open_tables(database, [path])
    assert table.records() == [{"id": "1", "n": "2"}]


def test_foreign_names_are_never_sql(opened, database):
    names = ['a"; DROP TABLE t1; --', "b' OR 1=1", "$1", "select"]
    (table,) = opened(a_json=[dict.fromkeys(names, "x")])
    assert table.names == names
    assert database.run(f"SELECT count(*) FROM {table.relation}") == [(1,)]


# What is refused

BROKEN = {
    ("a.csv", ""): "a.csv is empty: give a table with a header and rows",
    ("a.csv", " \n \n"): "a.csv is empty",
    ("a.csv", "id,name\n"): "a.csv contains no rows",
    ("a.csv", "id,name\n1,x\n2\n"): "a.csv:3: 1 cells, but the header has 2 (separated by commas); correct the line",
    ("a.csv", "id,name\n1,x\n2,y,z\n"): "a.csv:3: 3 cells, but the header has 2",
    ("a.csv", 'id,name\n1,"x\n2,y\n'): "a.csv:2: a quotation mark is not closed",
    ("a.csv", "id,name,ID\n1,x,2\n"): "a.csv: 2 columns are named id, ID; give each column a name of its own",
    ("a.csv", b"id,name\n1,\xe4\xb8\xad\n2,\xff\xfe\n"): "a.csv:3: broken UTF-8; save the file as UTF-8",
    ("a.csv", b"id,name\n1,x\n2,caf\xe9 \xff\n"): "neither UTF-8 nor GB18030; save the file as UTF-8",
    ("a.csv", "id,name\n1,élève où\n".encode("latin-1")): "neither UTF-8 nor GB18030; save the file as UTF-8",
    ("a.csv", "id,name\n1,naéïvetéa\n".encode("latin-1")): "as GB18030 it is no Chinese text; save the file as UTF-8",
    ("a.csv", "id,name\n1,a\0b\n"): "a.csv:2: a NUL byte, so this is not a text file",
    ("a.csv", "id,name\n1," + "x" * 3_000_000 + "\n"): "a.csv:2: a line longer than 2 MB",
    ("a.csv", ",".join(f"c{i}" for i in range(MOST + 1)) + "\n"): "a.csv has 1,001 columns; at most 1,000 are read",
    ("a.json", "  "): "a.json is empty",
    ("a.json", "[]"): "a.json contains no rows",
    ("a.json", '[{"id": 1}, 5]'): "a.json: value number 2 is of type ubigint, not an object",
    ("a.json", "[1, 2]"): "a.json: value number 1 is of type ubigint, not an object",
    ("a.json", '{"id": 1'): "a.json:1: broken JSON (Expecting ',' delimiter at column 9",
    ("a.jsonl", '{"id": 1}\n{"id": 2,\n{"id": 3}\n'): "a.jsonl:2: broken JSON (",
    ("a.json", '[{"id": 1, "id": 2}]'): 'duplicate key "id"',
    ("a.json", '[{"id": 1, "ID": 2}]'): "a.json: 2 columns are named id, ID",
    ("a.json", '[{"id": ' + "[" * 100_000 + "]" * 100_000 + "}]"): "maximum recursion depth of 128",
    ("a.json", json.dumps([{f"k{i}": i} for i in range(MOST + 1)])): "a.json has 1,001 columns",
    ("a.parquet", "id,name\n1,x\n"): "a.parquet: broken Parquet (",
    ("a.parquet", b"PAR1" + b"\xff" * 60 + b"PAR1"): "a.parquet: broken Parquet (",
    ("a.parquet", "version https://git-lfs.github.com/spec/v1\n"): "a.parquet is a Git LFS pointer, not the file itself",
    ("a.xlsx", "x"): "a.xlsx: Liuli does not read tables from files of this type; it reads .csv, .tsv,",
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), BROKEN, ids=lambda each: repr(each)[:40])
def test_a_broken_table_is_named_with_its_line(tmp_path, database, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LiuliError, match=re.escape(BROKEN[name, content])) as caught:
        open_tables(database, [path])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600 + len(str(path))


def test_the_line_in_a_long_file(opened):
    rows = "".join(f"{i},x\n" for i in range(100_000))
    with pytest.raises(LiuliError, match=r"a\.csv:100003: 1 cells, but the header has 2"):
        opened(a_csv=f"id,name\n{rows}1,y\nhere\n{rows}")


def test_a_damaged_parquet_file(tmp_path, database):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"id": [1, 2], "text": ["one", None]}), path)
    whole = path.read_bytes()
    refused = []
    for at in range(0, len(whole), 7):
        for value in (0x00, 0x7F, 0xFF):
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            try:
                open_tables(database, [path])
            except LiuliError as error:
                refused.append(str(error))
    assert len(refused) > 50
    assert all(str(path) in each for each in refused)


@pytest.mark.parametrize("name", ["/dev/zero", "/proc/self/maps", "nowhere.csv", "."])
def test_what_is_no_file(name, tmp_path):
    path = tmp_path / "a.csv"
    path.symlink_to(name)
    with pytest.raises(LiuliError, match=r"a\.csv (cannot be read: |; give)|there is no file"):
        check_table(path)


def test_a_database_opens_nothing_else(database, tmp_path):
    import duckdb

    (tmp_path / "other.csv").write_text("id\n1\n")
    for sql in (
        f"SELECT * FROM read_csv('{tmp_path}/other.csv')",
        f"COPY (SELECT 1) TO '{tmp_path}/other.csv'",
        f"ATTACH '{tmp_path}/new.db'",
        "LOAD httpfs",
        "SET enable_external_access = true",
    ):
        with pytest.raises(duckdb.Error):
            database.run(sql)


BOMBS = """
import re, sys
from pathlib import Path
from liuli.act.tables.database import TableDatabase
from liuli.act.tables.open import open_tables
from liuli.errors import LiuliError
for path in map(Path, sys.argv[1:]):
    try:
        with TableDatabase([path]) as database:
            print(open_tables(database, [path])[0].rows)
    except LiuliError as error:
        print(error)
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10)
"""


def test_parquet_that_becomes_gigabytes(tmp_path):
    """A text that many rows name; a text of 130 MB; a list that names a text many times; and a list that may be read."""
    if sys.platform != "linux":
        pytest.skip("reads the peak from /proc")
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    named = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array(["a" * (1 << 20)]))
    columns = {
        "entry": named,
        "page": pa.array(["c" * (130 << 20)], pa.large_string()),
        "lists": pa.ListArray.from_arrays(pa.array([0, 5000], pa.int32()), named),
        "small": pa.array([["a", "b"], ["a"]] * 10),
    }
    paths = [tmp_path / f"{name}.parquet" for name in columns]
    for path, column in zip(paths, columns.values(), strict=True):
        settings = {"compression": "zstd", "use_dictionary": path.stem != "page", "dictionary_pagesize_limit": 1 << 30}
        parquet.write_table(pa.table({"text": column}), path, **settings)
    found = subprocess.run([sys.executable, "-c", BOMBS, *map(str, paths)], capture_output=True, text=True, check=True)
    *said, memory = found.stdout.splitlines()
    for line, name in zip(said, ("entry", "page"), strict=False):
        assert f"{name}.parquet: decompresses to more than 64 MB and 200 times its size; it may be a decompression bomb" in line
    assert "lists.parquet: the lists or objects in text may take 5,000 MB, and at most 256 MB are read" in said[2]
    assert said[3] == "20"
    assert int(memory) < 700
