"""The short language for schemas."""

import pytest

from liuli.errors import LiuliError
from liuli.generate.constraints.short_schema import short_schema

TEXT = {"type": "string"}


def properties(text: str) -> dict:
    schema = short_schema(text)
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    return schema["properties"]


def test_types():
    assert properties("name, n int, x float, ok bool, s str") == {
        "name": TEXT, "n": {"type": "integer"}, "x": {"type": "number"}, "ok": {"type": "boolean"}, "s": TEXT,
    }  # fmt: skip


def test_lists():
    found = properties("tags list, scores list[float], grid list[list[int]], people [name, tags list]")
    assert found["tags"] == {"type": "array", "items": TEXT}
    assert found["scores"] == {"type": "array", "items": {"type": "number"}}
    assert found["grid"]["items"] == {"type": "array", "items": {"type": "integer"}}
    assert found["people"]["items"] == short_schema("name, tags list")


def test_descriptions():
    assert properties("name: the full name, age int: in years") == {
        "name": TEXT | {"description": "the full name"}, "age": {"type": "integer", "description": "in years"},
    }  # fmt: skip
    assert properties("\nname: first, then last\n\nage int,\n") == {
        "name": TEXT | {"description": "first, then last"}, "age": {"type": "integer"},
    }  # fmt: skip


def test_chinese_names():
    assert properties("姓名, 年龄 int") == {"姓名": TEXT, "年龄": {"type": "integer"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the short schema has the field ''"),
        ("a,,b", "the short schema has the field ''"),
        ("age integer", "gives 'age' the type 'integer'; types: str, int"),
        ("a, a int", "has the field 'a' twice"),
        ("people [name", "has a square bracket too few"),
        ("people name]", "has a square bracket too many"),
        ("a list[dict]", "gives 'a' the type 'dict'"),
        ("!", "the short schema has the field '!'"),
    ],
)
def test_mistakes(text, message):
    with pytest.raises(LiuliError, match=message.replace("[", r"\[")):
        short_schema(text)
