"""A short language for simple JSON Schemas: `name, age int, tags list`.

Fields are separated by commas, or by line breaks. A field is a name, a type and, after a colon, a description for the model:

    name: the person's full name, age int, scores list[float]

Types are `str` (also if there is none), `int`, `float`, `bool`, `list` (of texts), `list[TYPE]`, and fields in square brackets:
`people [name, age int]` is a list of objects. All fields are required, and there are no others. simonw/llm's short schemas have
the same meaning here.
"""

import re
from typing import Any

from liuli.errors import LiuliError

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
KNOWN = "str, int, float, bool, list, list[TYPE], or fields in [square brackets]"
FIELD = re.compile(r"\s*(?P<name>[\w.-]+)\s*(?P<type>[^:]*?)\s*(?::(?P<description>.*))?", re.DOTALL)


def short_schema(text: str) -> dict[str, Any]:
    """The JSON Schema that a text in the short language means.

    Raises:
        LiuliError: a field has no name or an unknown type, or is there twice; a bracket is not closed.
    """
    separator = "\n" if "\n" in text.strip() else ","
    fields: dict[str, Any] = {}
    for part in _split(text.strip(), separator):
        found = FIELD.fullmatch(part)
        if found is None:
            raise LiuliError(f"the short schema has the field {part.strip()!r}: write a name, then a type, such as age int")
        name, description = found["name"], found["description"]
        if name in fields:
            raise LiuliError(f"the short schema has the field {name!r} twice: remove one")
        fields[name] = _type(found["type"], name)
        if description and description.strip():
            fields[name]["description"] = description.strip()
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _type(text: str, name: str) -> dict[str, Any]:
    if text in TYPES or not text:
        return {"type": TYPES.get(text, "string")}
    if text == "list":
        return {"type": "array", "items": {"type": "string"}}
    if text.startswith("list[") and text.endswith("]"):
        return {"type": "array", "items": _type(text[5:-1].strip(), name)}
    if text.startswith("[") and text.endswith("]"):
        return {"type": "array", "items": short_schema(text[1:-1])}
    raise LiuliError(f"the short schema gives {name!r} the type {text!r}; types: {KNOWN}")


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not inside brackets; blank lines are no parts."""
    parts, depth = [""], 0
    for character in text:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if depth < 0:
            break
        if character == separator and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise LiuliError(f"the short schema {text!r} has a square bracket too {'few' if depth > 0 else 'many'}: correct it")
    if separator == "\n":
        parts = [part.rstrip().removesuffix(",") for part in parts if part.strip()]
    return parts
