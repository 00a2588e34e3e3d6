"""Joins of two tables: compared with pandas, and what the report says."""

import csv
import json
import random

import pytest

from liuli.act.tables import join as joining
from liuli.act.tables.database import TableDatabase
from liuli.act.tables.join import join_tables
from liuli.act.tables.open import open_tables
from liuli.act.tables.plan import HOWS, JoinPlan
from liuli.act.tables.write import write_table
from liuli.errors import LiuliError
from liuli.output_paths import part_of


def values(database, table) -> list[tuple]:
    return database.run(f"SELECT * FROM {table.relation}")


def joined(database, left, right, *on, how="inner"):
    return join_tables(database, left, right, JoinPlan(on, how))


@pytest.mark.parametrize("how", HOWS)
def test_joins_are_those_of_pandas(opened, database, how):
    pd = pytest.importorskip("pandas")
    chance = random.Random(7)
    left = [{"k": chance.randrange(40), "day": chance.choice("xyz"), "v": i} for i in range(120)]
    right = [{"day": chance.choice("xyz"), "w": i, "k": chance.randrange(40)} for i in range(90)]
    found, report = joined(database, *opened(a_json=left, b_json=right), "k", "day", how=how)
    wanted = pd.merge(pd.DataFrame(left), pd.DataFrame(right), on=["k", "day"], how=how)[["k", "day", "v", "w"]]
    rows = [tuple(None if pd.isna(cell) else cell for cell in row) for row in wanted.itertuples(index=False)]
    key = lambda row: tuple((cell is None, cell) for cell in row)
    assert sorted(values(database, found), key=key) == sorted(rows, key=key)
    assert report.rows == found.rows == len(rows)


def test_the_rows_stay_in_their_order(opened, database):
    left, right = opened(a_csv="id,v\n3,a\n1,b\n2,c\n1,d\n", b_csv="id,w\n1,x\n9,y\n3,z\n1,w\n")
    rows = {how: values(database, joined(database, left, right, "id", how=how)[0]) for how in HOWS}
    inner = [("3", "a", "z"), ("1", "b", "x"), ("1", "b", "w"), ("1", "d", "x"), ("1", "d", "w")]
    assert rows["inner"] == inner
    assert rows["left"] == [*inner[:3], ("2", "c", None), *inner[3:]]
    assert rows["outer"] == [*rows["left"], ("9", None, "y")]
    assert [row[2] for row in rows["right"]] == ["x", "x", "y", "z", "w", "w"]


def test_the_report(opened, database):
    left, right = opened(
        a_csv="id,name,note\n1,a,p\n1,b,q\n2,c,r\n,d,s\n5,e,t\n", b_csv="id,note,size\n1,x,7\n3,y,8\n2,z,9\n2,u,10\n,v,11\n"
    )
    found, report = joined(database, left, right, "id", how="outer")
    assert found.names == ["id", "name", "note", "note (b)", "size"]
    assert report.to_json() == {
        "plan": {"on": ["id"], "how": "outer"},
        "left": {
            "table": "a", "rows": 5, "matched": 3, "unmatched": 2, "without_key": 1, "duplicated": 1,
            "unmatched_keys": [["5"]], "duplicated_keys": [[["1"], 2]],
        },
        "right": {
            "table": "b", "rows": 5, "matched": 3, "unmatched": 2, "without_key": 1, "duplicated": 1,
            "unmatched_keys": [["3"]], "duplicated_keys": [[["2"], 2]],
        },
        "keys": 2, "rows": 8, "renamed": {"note": "note (b)"},
    }  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
def test_a_null_matches_nothing(opened, database, how):
    left, right = opened(a_csv="k,day,v\n,1,a\n2,,b\n", b_csv="k,day,w\n,1,x\n2,,y\n")
    found, report = joined(database, left, right, "k", "day", how=how)
    assert (report.keys, report.left.without_key, report.right.unmatched) == (0, 2, 2)
    assert found.rows == {"inner": 0, "left": 2, "right": 2, "outer": 4}[how]


def test_numbers_in_strings_match_numbers(opened, database):
    """The articles' JSON has the reporting period as a text, a CSV file has no types, and Parquet has numbers."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"period": [20221231, 20191231], "x": [1.5, 2.5]}), sink)
    texts, cells, numbers = opened(
        a_json=[{"period": "20221231", "y": "a"}],
        b_csv="period,z\n20221231,b\n20211231,c\n",
        c_parquet=sink.getvalue().to_pybytes(),
    )
    both, report = joined(database, texts, cells, "period", how="outer")
    assert report.keys == 1 and both.columns[0].kind == "text"
    all_three, report = joined(database, both, numbers, "period", how="outer")
    assert report.keys == 1
    assert values(database, all_three) == [
        ("20221231", "a", "b", 1.5), ("20211231", None, "c", None), ("20191231", None, None, 2.5)
    ]  # fmt: skip
    _, report = joined(database, numbers, cells, "period", how="outer")
    assert report.keys == 1


def test_fractions_match_by_value(opened, database):
    left, right = opened(a_csv="x,v\n1.50,a\n2,b\n", b_json=[{"x": 1.5, "w": "c"}])
    found, report = joined(database, left, right, "x")
    assert report.keys == 1 and values(database, found) == [("1.50", "a", "c")]


def test_names_that_clash_get_new_ones(opened, database):
    left, right = opened(a_json=[{"id": 1, "Name": "x", "name (b)": "y"}], b_json=[{"id": 1, "name": "z"}])
    found, report = joined(database, left, right, "id")
    assert found.names == ["id", "Name", "name (b)", "name (b, 2)"]
    assert report.renamed == {"name": "name (b, 2)"}


def test_a_join_that_would_never_end_is_refused(opened, database, monkeypatch):
    monkeypatch.setattr(joining, "SMALL", 100)
    rows = "".join(f"1,{i}\n" for i in range(100))
    left, right = opened(a_csv="id,v\n" + rows, b_csv="id,w\n" + rows)
    with pytest.raises(
        LiuliError, match=r"joining on id would make 10,000 rows out of 100 and 100, because the same keys occur"
    ):
        joined(database, left, right, "id")


def test_the_report_lists_only_some_keys(opened, database, monkeypatch):
    monkeypatch.setattr(joining, "LISTED", 3)
    left, right = opened(a_csv="id,v\n" + "".join(f"{i},x\n" for i in range(9)), b_csv="id,w\n7,y\n")
    _, report = joined(database, left, right, "id")
    assert (report.left.unmatched, report.left.unmatched_keys) == (8, [["0"], ["1"], ["2"]])


def test_more_rows_than_memory_holds(tmp_path):
    """The keys alone take more memory than is allowed."""
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, factor in zip(paths, (7919, 104729), strict=True):
        with path.open("w") as file:
            file.write(f"key,{path.stem}\n")
            file.writelines(f"{i * factor % 600_011:09d}-{'x' * 300},{i}\n" for i in range(500_000))
    with TableDatabase(paths, memory=256 << 20) as database:
        found, report = join_tables(database, *open_tables(database, paths), JoinPlan(("key",), "outer"))
    assert report.left.matched + report.left.unmatched == 500_000 and report.keys == report.left.matched > 400_000
    assert found.rows == 1_000_000 - report.keys


def test_two_real_tables(data, tmp_path):
    paths = [data / "tables" / f"sp500-{name}.csv" for name in ("companies", "financials")]
    out = tmp_path / "new" / "out.csv"
    with TableDatabase([*paths, part_of(out)]) as database:
        left, right = open_tables(database, paths)
        found, report = join_tables(database, left, right, JoinPlan(("Symbol",), "outer"))
        write_table(database, found, out)
    for side, (own, other) in ((report.left, paths), (report.right, paths[::-1])):
        assert (side.rows, side.matched, side.unmatched) == (503, 465, 38)
        symbols = [row["Symbol"] for row in csv.DictReader(own.open(encoding="utf-8"))]
        others = {row["Symbol"] for row in csv.DictReader(other.open(encoding="utf-8"))}
        assert side.unmatched_keys == [[symbol] for symbol in symbols if symbol not in others]
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert len(rows) == 541 and rows[0]["Security"] == rows[0]["Name"] == "3M"


# The result in a file


ROWS = [
    {"code": "007", "n": 1, "x": 1.5, "ok": True, "tags": ["a"]},
    {"code": None, "n": None, "x": None, "ok": None, "tags": None},
]


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_a_table_is_written_and_read_again(opened, database, tmp_path, suffix):
    (table,) = opened(a_json=ROWS)
    path = tmp_path / f"out.{suffix}"
    write_table(database, table, path)
    if suffix == "json":
        assert json.loads(path.read_text()) == ROWS
    if suffix == "csv":
        assert path.read_text().splitlines()[:2] == ["code,n,x,ok,tags", '007,1,1.5,true,"[""a""]"']
    with TableDatabase([path]) as other:
        (again,) = open_tables(other, [path])
        assert (again.names, again.rows, again.records()[0]["code"]) == (table.names, 2, "007")
    with pytest.raises(LiuliError, match="already exists and will not be overwritten"):
        write_table(database, table, path)


def test_cells_of_csv_become_numbers_in_json(opened, database, tmp_path):
    (table,) = opened(a_csv="code,n,x,ok\n007,1,1.50,True\n008,,,\n")
    for suffix in ("csv", "json"):
        write_table(database, table, tmp_path / f"out.{suffix}")
    assert (tmp_path / "out.csv").read_text() == "code,n,x,ok\n007,1,1.50,True\n008,,,\n"
    assert json.loads((tmp_path / "out.json").read_text()) == [
        {"code": "007", "n": 1, "x": 1.5, "ok": True}, {"code": "008", "n": None, "x": None, "ok": None}
    ]  # fmt: skip


def test_numbers_that_json_does_not_have(opened, database, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"x": [float("nan"), float("inf"), 1.0]}), sink)
    (table,) = opened(a_parquet=sink.getvalue().to_pybytes())
    write_table(database, table, tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == [{"x": None}, {"x": None}, {"x": 1.0}]
