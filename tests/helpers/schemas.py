"""Fifty JSON Schemas of the sorts that people write, for tests of what a grammar guarantees."""

from typing import Any


def fixed(**properties: Any) -> dict[str, Any]:
    """An object with these properties and no others, all required."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def listed(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items} | more


TEXT, WHOLE, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": fixed(value=WHOLE, children=listed({"$ref": "#/$defs/tree"}))}}
CHAIN = {
    "$ref": "#/$defs/node",
    "$defs": {"node": fixed(value=WHOLE, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})},
}
DEEP: dict[str, Any] = WHOLE
for _ in range(30):
    DEEP = fixed(a=DEEP)

SCHEMAS: dict[str, Any] = {
    "anything": True,
    "text": TEXT,
    "whole number": WHOLE,
    "number": NUMBER,
    "flag": FLAG,
    "null": {"type": "null"},
    "any object": {"type": "object"},
    "any array": {"type": "array"},
    "constant": {"const": {"a": [1, "zwei", None]}},
    "enum of texts": {"enum": ["red", "green", "grün", "绿", "a b"]},
    "enum of all sorts": {"enum": [1, "1", None, [1], {"a": 1}]},
    "long and short": {"enum": ["x" * 40, "y"]},
    "bounds": {"type": "integer", "minimum": 7, "maximum": 1203},
    "negative bounds": {"type": "integer", "minimum": -20, "exclusiveMaximum": -3},
    "real bounds": {"type": "number", "exclusiveMinimum": 0.5, "maximum": 2},
    "multiples": {"type": "integer", "multipleOf": 5, "minimum": 0},
    "length": {"type": "string", "minLength": 3, "maxLength": 6},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"},
    "pattern of choices": {"type": "string", "pattern": "^(a|bb|ccc)(-(a|bb))*$"},
    "date": {"type": "string", "format": "date"},
    "time and date": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "address": {"type": "string", "format": "ipv4"},
    "uuid": {"type": "string", "format": "uuid"},
    "several types": {"type": ["string", "integer", "null"]},
    "person": fixed(name=TEXT, age=WHOLE, tags=listed(TEXT)),
    "optional": {"type": "object", "properties": {"a": TEXT, "b": WHOLE, "c": FLAG}, "additionalProperties": False},
    "half": {"type": "object", "properties": {"a": TEXT, "b": WHOLE}, "required": ["b"], "additionalProperties": False},
    "others allowed": {"type": "object", "properties": {"a": WHOLE}, "required": ["a"]},
    "map": {"type": "object", "additionalProperties": WHOLE},
    "named by pattern": {"type": "object", "patternProperties": {"^x_": WHOLE}, "additionalProperties": False},
    "at most two": {"type": "object", "additionalProperties": FLAG, "maxProperties": 2},
    "at least one": {"type": "object", "additionalProperties": FLAG, "minProperties": 1},
    "counted items": listed(WHOLE, minItems=2, maxItems=4),
    "tuple": {"type": "array", "prefixItems": [TEXT, WHOLE], "items": False, "minItems": 2},
    "tuple and more": {"type": "array", "prefixItems": [TEXT], "items": FLAG},
    "table": listed(listed(NUMBER, minItems=3, maxItems=3), minItems=1),
    "people": listed(fixed(name=TEXT, born={"type": "string", "format": "date"})),
    "nested": fixed(user=fixed(name=TEXT, address=fixed(street=TEXT, city=TEXT)), ok=FLAG),
    "deep": DEEP,
    "wide": fixed(**{f"field_{i}": TEXT for i in range(40)}),
    "tree": TREE,
    "chain": CHAIN,
    "any of": {"anyOf": [fixed(kind={"const": "circle"}, radius=NUMBER), fixed(kind={"const": "box"}, sides=listed(NUMBER))]},
    "one of": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "all of": {"allOf": [{"type": "object", "properties": {"a": WHOLE}, "required": ["a"]}, {"properties": {"b": TEXT}}]},
    "Chinese": fixed(姓名=TEXT, 城市={"enum": ["北京", "上海", "广州"]}, 年龄=WHOLE),
    "join": fixed(on=listed({"enum": ["报告期", "机构全称"]}, minItems=1), how={"enum": ["inner", "left", "right", "outer"]}),
    "escapes": fixed(**{'a "quoted" name': TEXT, "back\\slash": WHOLE, "line\nbreak": FLAG}),
    "shared parts": {"$defs": {"id": {"type": "string", "minLength": 4, "maxLength": 4}}} | fixed(
        first={"$ref": "#/$defs/id"}, second={"$ref": "#/$defs/id"}
    ),
}  # fmt: skip
assert len(SCHEMAS) == 50
