"""The arguments of a call: read from JSON, within limits, and checked against the tool's schema.

What is wrong is said in words that a model can read and act on. The schema may come from a foreign server: nothing that it
refers to is downloaded, and its regular expressions are not run, because Python's can take forever (a Python tool's are run by
pydantic, in linear time; a server checks its own).
"""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from liuli.act.observation import ToolFailure
from liuli.data.records.bounded_json import parse_json
from liuli.data.records.problem import Problem

DEEPEST = 32  # levels of nested lists and objects
LONGEST = 100_000  # bytes of the arguments as JSON
SHOWN = 3  # errors that are reported at once
LONGEST_VALUE = 200  # characters of an error message, which quotes the value
WRONG = "The arguments are wrong, and the tool was not run."

NoPatterns = extend(Draft202012Validator, {"pattern": None, "patternProperties": None})


def read_arguments(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call as an object.

    Args:
        given: JSON text, or values that JSON can hold. "" is an object without members.

    Raises:
        ToolFailure: it is not a JSON object, nests too deep or is too long.
    """
    if isinstance(given, str):
        text = given.strip() or "{}"
    else:
        try:
            text = json.dumps(dict(given), ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ToolFailure("arguments", f"{WRONG} They are not JSON: {error}") from None
    data = text.encode(errors="replace")
    if len(data) > LONGEST:
        raise ToolFailure("arguments", f"{WRONG} They are {len(data):,} bytes long; {LONGEST:,} are allowed.")
    found = parse_json(data)
    if isinstance(found, Problem):
        raise ToolFailure("arguments", f"{WRONG} They are not a JSON object: {found.where(found.reason)}.")
    if not isinstance(found, dict):
        raise ToolFailure("arguments", f"{WRONG} They must be a JSON object, such as {{}}.")
    if depth_of(found) > DEEPEST:
        raise ToolFailure("arguments", f"{WRONG} They are nested more than {DEEPEST} levels deep.")
    return found


def depth_of(value: Any) -> int:
    """How many levels of lists and objects a JSON value has; a number has 0."""
    depth = 0
    level = [value]
    while level := [part for part in level if isinstance(part, (dict, list))]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def check_arguments(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Checks the arguments against a schema.

    Raises:
        ToolFailure: they are not as it says. The text names each place and lists the parameters.
    """
    try:
        errors = sorted(
            NoPatterns(schema, registry=Registry()).iter_errors(arguments), key=lambda error: list(map(str, error.path))
        )
    except (Unresolvable, RecursionError) as error:
        raise ToolFailure("arguments", f"The tool's schema cannot be used: {error}") from None
    if errors:
        wrong = "; ".join(_in_words(error) for error in errors[:SHOWN])
        raise ToolFailure("arguments", f"{WRONG} {wrong}. The parameters are: {parameters_in_words(schema)}.")


def check_schema(schema: Any) -> str | None:
    """Why a schema cannot describe arguments; None if it can."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return 'its schema is not of "type": "object"'
    if depth_of(schema) > DEEPEST:
        return f"its schema is nested more than {DEEPEST} levels deep"
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        return f"its schema is invalid: {getattr(error, 'message', error)}"
    return None


def parameters_in_words(schema: dict[str, Any]) -> str:
    """The parameters on one line: `city (string), days (integer, optional)`."""
    required = schema.get("required", [])
    parts = []
    for name, part in schema.get("properties", {}).items():
        kind = part.get("type") if isinstance(part, dict) else None
        words = [kind] if isinstance(kind, str) else []
        words += [] if name in required else ["optional"]
        parts.append(f"{name} ({', '.join(words)})" if words else name)
    return ", ".join(parts) or "none"


def _in_words(error: ValidationError) -> str:
    closest = best_match([error]) or error
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in closest.absolute_path).lstrip(".")
    message = closest.message
    if len(message) > LONGEST_VALUE:
        message = f"{message[: LONGEST_VALUE // 2]} … {message[-LONGEST_VALUE // 2 :]}"
    return f"{place}: {message}" if place else message
