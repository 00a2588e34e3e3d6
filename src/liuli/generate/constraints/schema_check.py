"""Checks a JSON Schema before anything is generated: it must be valid, and all of it must be guaranteed.

llguidance decides what it can guarantee; this file finds the place of what it refuses, and refuses some things itself: words
that JSON Schema does not define, which the library would skip; numbers of properties that equal keys would only seem to reach;
keywords that an old draft ignores; and what is not a schema at all.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from liuli.errors import LiuliError

# Where JSON allows white space: nothing, one space, or a line break with an indentation. Without a limit, a model can write it
# for ever.
WHITESPACE = r" |\n {0,16}"
# Not \u0041: a key that is written with it could equal another key, and would escape that key's schema.
ESCAPES = 'nrbtf\\"'
MOST_PLACES = 2_000  # that are tried to find where an error is

ONE_SCHEMA = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
]
NAMED_SCHEMAS = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentSchemas",
    "patternProperties",
    "properties",
]
SCHEMA_LISTS = [
    "allOf",
    "anyOf",
    "items",
    "oneOf",
    "prefixItems",
]
OTHER_WORDS = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
]
WORDS = frozenset([*ONE_SCHEMA, *NAMED_SCHEMAS, *SCHEMA_LISTS, *OTHER_WORDS])
OLD_DRAFTS = ("draft-03", "draft-04", "draft-06", "draft-07")
NEXT_TO_REF = frozenset(
    [
        "$ref",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "title",
        "description",
        "default",
        "examples",
    ]
)
Place = tuple[str, Any]  # a JSON pointer, and the schema there


def check_schema(schema: Any) -> None:
    """Checks a schema.

    Raises:
        LiuliError: it is not a valid JSON Schema; no document satisfies it; a keyword in it is unknown or cannot be guaranteed.
            The message names the keyword and its place.
    """
    _check_valid(schema)
    places = list(_places(schema))
    for pointer, part in places:
        _check_words(pointer, part)
        _check_count(pointer, part)
        _check_reference(pointer, part, schema)
    problem = _problem(schema)
    if problem:
        pointer = max(
            (at for at, part in places[:MOST_PLACES] if _problem(_within(schema, part)) == problem), key=len, default="#"
        )
        raise LiuliError(_explained(problem, pointer))


def library_schema(schema: Any) -> Any:
    """The schema with the settings of the library."""
    settings = {"whitespace_pattern": WHITESPACE}
    if not _has_control_characters(schema):
        settings["json_allowed_escapes"] = ESCAPES
    return {"x-guidance": settings} if schema is True else schema if schema is False else {**schema, "x-guidance": settings}


def validation_error(document: Any, schema: Any) -> str | None:
    """Why a document is not valid under a schema, with the place in the document; None if it is valid. An independent library
    decides it: `jsonschema`."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema, default=Draft202012Validator)
    error = best_match(kind(schema, registry=Registry()).iter_errors(document))
    return None if error is None else f"{_pointer(error.absolute_path)}: {error.message}"


def _check_valid(schema: Any) -> None:
    """Raises LiuliError if it is not a schema."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, (Mapping, bool)):
        raise LiuliError(f"a JSON Schema must be an object, not {type(schema).__name__}")
    try:
        json.dumps(schema, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise LiuliError(f"the schema is not JSON: {error}") from None
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)  # pyright: ignore[reportArgumentType]
    except SchemaError as error:
        raise LiuliError(f"this is not a valid JSON Schema: {_pointer(error.absolute_path)}: {error.message}") from None


def _check_words(pointer: str, part: Any) -> None:
    if isinstance(part, Mapping):
        for word in part:
            if word not in WORDS and not word.startswith("x-"):
                raise LiuliError(
                    f'the schema has "{word}" at {pointer}, which is not a keyword of JSON Schema: correct or remove it (a '
                    f"name that begins with x- is skipped)"
                )
            if word == "x-guidance":
                raise LiuliError(f'the schema has "x-guidance" at {pointer}: remove it, because Liuli sets it')


def _check_count(pointer: str, part: Any) -> None:
    """Refuses `minProperties` above what `required` guarantees: a key that is not listed may be written twice, and then
    counts once."""
    if isinstance(part, Mapping):
        least, sure = part.get("minProperties", 0), len(set(part.get("required", ())))
        if least > max(1, sure):
            raise LiuliError(
                f'the keyword "minProperties" at {pointer} is not supported if it is more than the number of required '
                f"properties: name these in required"
            )


def _check_reference(pointer: str, part: Any, root: Any) -> None:
    """Refuses what stands next to `$ref` in drafts that ignore it: the library does not."""
    if not isinstance(part, Mapping) or "$ref" not in part or not any(old in root.get("$schema", "") for old in OLD_DRAFTS):
        return
    ignored = next((word for word in part if word not in NEXT_TO_REF and not word.startswith("x-")), None)
    if ignored:
        raise LiuliError(
            f'the schema has "{ignored}" next to "$ref" at {pointer}, but its draft ignores it: remove it, or use draft 2020-12'
        )


def _places(schema: Any, pointer: str = "#") -> Iterator[Place]:
    """Every schema in a schema, outer ones first."""
    yield pointer, schema
    if not isinstance(schema, Mapping):
        return
    for word, value in schema.items():
        here = f"{pointer}/{_escaped(word)}"
        if word in SCHEMA_LISTS and isinstance(value, list):
            for i, part in enumerate(value):
                yield from _places(part, f"{here}/{i}")
        elif word in NAMED_SCHEMAS and isinstance(value, Mapping):
            for name, part in value.items():
                if isinstance(part, (Mapping, bool)):
                    yield from _places(part, f"{here}/{_escaped(name)}")
        elif word in ONE_SCHEMA and isinstance(value, (Mapping, bool)):
            yield from _places(value, here)


def _within(root: Any, part: Any) -> Any:
    """A part of a schema as a schema of its own, with the definitions that it may refer to."""
    if not isinstance(part, Mapping):
        return part
    return {word: root[word] for word in ("$schema", "$id", "$defs", "definitions") if word in root} | dict(part)


def _problem(schema: Any) -> str:
    """What the library says against a schema; "" if it takes it."""
    import llguidance

    try:
        text = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(library_schema(schema)))
    except ValueError as error:
        return str(error)
    return llguidance.LLMatcher.validate_grammar(text).split("\n")[0] if schema is not False else "Unsatisfiable schema: false"


def _explained(problem: str, pointer: str) -> str:
    kind, _, rest = problem.partition(": ")
    if kind == "Unimplemented keys":
        words = ", ".join(f'"{word}"' for word in json.loads(rest))
        return f"the schema has {words} at {pointer}, which cannot be guaranteed: remove it, or say it with other keywords"
    if kind == "Unsatisfiable schema":
        return f"no document satisfies the schema: {pointer}: {rest}"
    return f"the schema cannot be used: {pointer}: {problem}"


def _has_control_characters(value: Any) -> bool:
    """Whether a text in the schema has a character that JSON can only write as \\u00.."""
    text = json.dumps(value)
    return "\\u00" in text and any(ord(found) < 32 for found in _texts(value) if found not in "\n\r\b\t\f")


def _texts(value: Any) -> Iterator[str]:
    """The characters of all texts in a value."""
    if isinstance(value, str):
        yield from value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from name
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _pointer(path: Any) -> str:
    return "/".join(["#", *(_escaped(str(part)) for part in path)])


def _escaped(name: str) -> str:
    """A name as part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
