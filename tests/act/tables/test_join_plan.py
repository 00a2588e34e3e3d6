"""Plans of joins: which columns may be in them, and their JSON Schema."""

import itertools
import json

import jsonschema
import pytest

from liuli.act.tables.plan import HOWS, MOST_LISTED, JoinPlan, can_join, plan_schema, shared_columns, without_repetition
from liuli.act.tables.table import Table, TableColumn
from liuli.errors import LiuliError


def table(name: str, **kinds: str) -> Table:
    return Table(name, tuple(TableColumn(each, kind, "VARCHAR") for each, kind in kinds.items()), 1, (), "t1")


def test_only_columns_that_can_be_compared_are_shared():
    left = table("a", id="integer", day="date", note="text", tags="nested", x="number", only="text", none="empty")
    right = table("b", none="empty", x="integer", tags="nested", day="text", id="text", note="boolean", other="text")
    assert shared_columns(left, right) == ["id", "day"]


def test_times_must_be_stored_alike():
    times = [TableColumn("t", "time", stored) for stored in ("TIMESTAMP", "TIMESTAMP", "TIME")]
    assert can_join(times[0], times[1]) and not can_join(times[0], times[2])


def test_no_shared_column_says_why():
    with pytest.raises(
        LiuliError, match=r"^a and b share no column \(id \| number\): give the column to join on the same name"
    ):
        shared_columns(table("a", id="text"), table("b", number="text"))
    with pytest.raises(LiuliError, match=r"share no column that can be compared \(id is number and text\): store the values"):
        shared_columns(table("a", id="number"), table("b", id="text"))


@pytest.mark.parametrize("count", [1, 2, 3, MOST_LISTED])
def test_the_schema_allows_exactly_the_plans(count):
    shared = [f"column {i}" for i in range(count)]
    schema = plan_schema(shared)
    jsonschema.Draft202012Validator.check_schema(schema)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    some = [list(each) for size in range(1, count + 1) for each in itertools.combinations(shared, size)]
    assert all(valid({"on": on, "how": how}) for on in some[:50] for how in HOWS)
    wrong = [{"on": []}, {"on": ["other"]}, {"on": [shared[0]] * 2}, {"on": "column 0"}, {"on": shared, "how": "cross"}]
    assert not any(valid({"how": "inner"} | each) for each in wrong)
    assert not valid({"on": shared}) and not valid({"on": shared, "how": "inner", "x": 1})


def test_the_schema_of_many_columns():
    shared = [f"c{i}" for i in range(MOST_LISTED + 1)]
    valid = jsonschema.Draft202012Validator(plan_schema(shared)).is_valid
    assert valid({"on": shared, "how": "outer"}) and valid({"on": ["c8", "c0"], "how": "left"})
    assert not valid({"on": [], "how": "left"}) and not valid({"on": ["c9"], "how": "left"})
    repeated = {"on": ["c3", "c0", "c3"], "how": "left"}
    assert valid(repeated) and without_repetition(repeated) == {"on": ["c3", "c0"], "how": "left"}
    assert len(json.dumps(plan_schema(shared))) < 1000


@pytest.mark.parametrize(
    "found",
    [None, [], {"on": []}, {"on": ["id", "id"], "how": "left"}, {"on": ["x"], "how": "left"}, {"on": ["id"], "how": "cross"}],
)
def test_what_is_no_plan(found):
    with pytest.raises(LiuliError, match=r'"(on|how)" must'):
        JoinPlan.of(found, table("a", id="text"), table("b", id="text"))
