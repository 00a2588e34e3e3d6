"""Tables are looked up, filtered, aggregated and joined, and a model never writes SQL."""

import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import liuli
from liuli.act.builtin import tables as module
from liuli.act.builtin.tables import TableTools
from liuli.act.load import load_tools
from liuli.act.tools import Tools

PEOPLE = """id,name,city,age,since
1,李雷,北京,30,2020-01-02
2,韩梅梅,上海,28,2021-05-06
3,Jim,Bonn,,2019-01-01
4,Bob,Bonn,41,2022-01-01
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "people.csv").write_text(PEOPLE, encoding="utf-8")
    visits = [{"id": 1, "cost": 2.5}, {"id": 1, "cost": 3.5}, {"id": 4, "cost": 10.0}, {"id": 9, "cost": 1.0}]
    (tmp_path / "visits.jsonl").write_text("".join(json.dumps(visit) + "\n" for visit in visits))
    pq.write_table(pa.table({"city": ["北京", "Bonn"], "people": [21_000_000, 330_000]}), tmp_path / "cities.parquet")
    return tmp_path


@pytest.fixture
def tools(folder) -> Tools:
    return Tools([TableTools([folder])])


def result(tools: Tools, name: str, **arguments):
    found = tools.call(name, arguments)
    assert found.ok, found.text
    return json.loads(found.text)


def refused(tools: Tools, name: str, **arguments) -> str:
    found = tools.call(name, arguments)
    assert not found.ok, found.text
    return found.text


def test_tables_are_listed_and_described(tools):
    assert [(each["table"], each["rows"]) for each in result(tools, "list_tables")] == [
        ("cities", 2),
        ("people", 4),
        ("visits", 4),
    ]
    described = result(tools, "describe_table", table="people")
    assert described["columns"] == {"id": "BIGINT", "name": "VARCHAR", "city": "VARCHAR", "age": "BIGINT", "since": "DATE"}
    assert described["first_rows"][0] == {"id": 1, "name": "李雷", "city": "北京", "age": 30, "since": "2020-01-02"}


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ([], [1, 2, 3, 4]),
        ([{"column": "name", "operator": "=", "value": "李雷"}], [1]),
        ([{"column": "CITY", "operator": "=", "value": "bonn"}], [3, 4]),
        ([{"column": "city", "operator": "!=", "value": "Bonn"}], [1, 2]),
        ([{"column": "age", "operator": ">=", "value": 30}], [1, 4]),
        ([{"column": "age", "operator": ">", "value": 29.5}], [1, 4]),
        ([{"column": "age", "operator": ">", "value": 30.5}], [4]),
        ([{"column": "age", "operator": "=", "value": "28"}], [2]),
        ([{"column": "since", "operator": "<", "value": "2020-06-01"}], [1, 3]),
        ([{"column": "name", "operator": "contains", "value": "梅"}], [2]),
        ([{"column": "since", "operator": "contains", "value": "2021"}], [2]),
        ([{"column": "city", "operator": "=", "value": "Bonn"}, {"column": "age", "operator": ">", "value": 0}], [4]),
        ([{"column": "name", "operator": "=", "value": "' OR 1=1 --"}], []),
        ([{"column": "name", "operator": "contains", "value": "%"}], []),
    ],
)
def test_rows_are_found(tools, where, ids):
    found = result(tools, "find_rows", table="people", where=where, columns=["id"], order_by="id")
    assert found == {"matching_rows": len(ids), "rows": [{"id": each} for each in ids]}


def test_rows_are_sorted_and_limited(tools):
    found = result(tools, "find_rows", table="People", columns=["name", "age"], order_by="age", descending=True, limit=2)
    assert found == {"matching_rows": 4, "rows": [{"name": "Bob", "age": 41}, {"name": "李雷", "age": 30}]}


def test_numbers_are_aggregated(tools):
    assert result(tools, "aggregate", table="people", function="count") == [{"count": 4}]
    assert result(tools, "aggregate", table="people", function="mean", column="age") == [{"mean_age": 33.0}]
    assert result(tools, "aggregate", table="people", function="count", group_by=["city"], limit=1) == [
        {"city": "Bonn", "count": 2}
    ]
    where = [{"column": "id", "operator": "=", "value": 1}]
    assert result(tools, "aggregate", table="visits", function="sum", column="cost", where=where) == [{"sum_cost": 6.0}]
    assert result(tools, "aggregate", table="people", function="max", column="since") == [{"max_since": "2022-01-01"}]


@pytest.mark.parametrize(("how", "rows"), [("inner", 3), ("left", 5), ("right", 4), ("outer", 6)])
def test_tables_are_joined(tools, how, rows):
    found = result(tools, "join_tables", left="people", right="visits", on=["id"], how=how)
    assert found == {
        "table": "people_visits",
        "rows": rows,
        "columns": ["id", "name", "city", "age", "since", "cost"],
        "rows_of_people_without_match": 2,
        "rows_of_visits_without_match": 1,
    }
    where = [{"column": "id", "operator": "=", "value": 1}]
    assert result(tools, "aggregate", table="people_visits", function="sum", column="cost", where=where) == [{"sum_cost": 6.0}]


def test_columns_of_one_name_stay_apart(tools):
    result(tools, "join_tables", left="people", right="people", on=["city"], how="inner")
    found = result(tools, "describe_table", table="people_people")
    assert list(found["columns"])[:6] == ["id", "name", "city", "age", "since", "id_right"]
    again = result(tools, "join_tables", left="people", right="people", on=["city"], how="inner")
    assert again["table"] == "people_people_2"


def test_wrong_names_and_values_are_explained(tools):
    assert "There is no table 'persons'." in refused(tools, "describe_table", table="persons")
    assert "Did you mean people?" in refused(tools, "describe_table", table="peple")
    assert "There is no column of people 'town'. There are: id, name" in refused(
        tools, "find_rows", table="people", columns=["town"]
    )
    assert "not hold numbers" in refused(tools, "aggregate", table="people", function="sum", column="name")
    assert "Name the column" in refused(tools, "aggregate", table="people", function="max")
    where = [{"column": "age", "operator": ">", "value": "old"}]
    assert "'old' cannot be compared with age, whose type is BIGINT" in refused(tools, "find_rows", table="people", where=where)
    bad = [{"column": "age", "operator": "LIKE", "value": 1}]
    assert "is not one of" in refused(tools, "find_rows", table="people", where=bad)
    assert "Both tables have: city." in refused(tools, "join_tables", left="people", right="cities", on=[], how="inner")
    assert "There is no column of visits" in refused(
        tools, "join_tables", left="people", right="visits", on=["city"], how="inner"
    )


def test_numbers_and_text_are_not_joined(folder):
    (folder / "codes.csv").write_text("id,code\nA1,x\n")
    tools = Tools([TableTools([folder])])
    assert "holds numbers in one table" in refused(tools, "join_tables", left="people", right="codes", on=["id"], how="inner")


def test_a_join_that_explodes_is_refused(folder, monkeypatch):
    (folder / "many.csv").write_text("key,n\n" + "".join(f"same,{n}\n" for n in range(2000)))
    monkeypatch.setattr(module, "MOST_JOINED", 1_000_000)
    tools = Tools([TableTools([folder])])
    assert "more than 1,000,000 rows" in refused(tools, "join_tables", left="many", right="many", on=["key"], how="inner")


def test_names_of_tables_and_columns_are_never_sql(tmp_path):
    (tmp_path / 'a"; DROP TABLE b; --.csv').write_text('"x"" y",b\n1,2\n')
    (tmp_path / "it's.csv").write_text("b,c\n2,3\n")
    tools = Tools([TableTools([tmp_path])])
    name = 'a"; DROP TABLE b; --'
    assert result(tools, "find_rows", table=name, columns=['x" y'])["rows"] == [{'x" y': 1}]
    assert result(tools, "join_tables", left=name, right="it's", on=["b"], how="inner")["rows"] == 1


def test_the_database_opens_nothing_else(folder):
    tables = TableTools([folder])
    (folder / "secret.csv").write_text("a\n1\n")
    with pytest.raises(duckdb.Error):
        tables._cursor(f"SELECT * FROM read_csv('{folder}/secret.csv')")
    with pytest.raises(duckdb.Error):
        tables._cursor("SET enable_external_access = true")
    assert tables._number("SELECT count(*) FROM cities") == 2  # a Parquet file is still open


def test_tables_that_cannot_be_read(tmp_path):
    def message(*names: str) -> str:
        with pytest.raises(liuli.LiuliError) as caught:
            load_tools([f"tables:{tmp_path / name}" for name in names])
        return str(caught.value)

    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "d.json").write_text('{"a": ')
    (tmp_path / "e.csv").write_text("a,b\n1,2\n")
    (tmp_path / "e.json").write_text('[{"a": 1}]')
    (tmp_path / "empty").mkdir()
    assert "is not a table" in message("a.txt")
    assert "there is no file or folder" in message("nowhere.csv")
    assert "has no tables" in message("empty")
    for name in ("b.csv", "c.parquet", "d.json"):
        assert f"{name} cannot be read as a table" in message(name)
    assert "two tables are called e" in message("e.csv", "e.json")


def test_tables_of_several_paths_can_be_joined(folder):
    tools = load_tools([f"tables:{folder / 'people.csv'}", f"tables:{folder / 'visits.jsonl'}"])
    assert result(tools, "join_tables", left="people", right="visits", on=["id"], how="inner")["rows"] == 3


def test_the_real_tables_join_on_their_symbol(data):
    tools = load_tools([f"tables:{data / 'tables'}"])
    found = result(tools, "join_tables", left="sp500-companies", right="sp500-financials", on=["Symbol"], how="inner")
    assert found["rows"] == 465
