"""Schemas from foreign servers, and how arguments that do not fit are explained."""

import pytest

from liuli.act.arguments import check_arguments, check_schema, depth_of, parameters_in_words
from liuli.act.observation import ToolFailure


def nested(levels: int) -> dict:
    schema: dict = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "object"}, None),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, None),
        ({"type": "string"}, 'its schema is not of "type": "object"'),
        ([], 'its schema is not of "type": "object"'),
        ({"type": "object", "required": "a"}, "its schema is invalid: 'a' is not of type 'array'"),
        (nested(40), "its schema is nested more than 32 levels deep"),
    ],
)
def test_schemas(schema, problem):
    assert check_schema(schema) == problem


def test_places_are_named():
    schema = {
        "type": "object",
        "properties": {"points": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, "any": {}},
        "required": ["points"],
    }
    check_arguments(schema, {"points": [1, None]})
    with pytest.raises(ToolFailure) as caught:
        check_arguments(schema, {"points": [1, "x" * 1000]})
    assert "points[1]: " in caught.value.text
    assert len(caught.value.text) < 400
    assert caught.value.text.endswith("The parameters are: points (array), any (optional).")


def test_a_slow_pattern_of_a_server_is_not_run():
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    check_arguments(schema, {"a": "a" * 5000 + "b"})


def test_depth_and_parameters():
    assert [depth_of(value) for value in (1, [], {"a": [1]}, [[[]], {}])] == [0, 1, 2, 3]
    assert parameters_in_words({"type": "object"}) == "none"
