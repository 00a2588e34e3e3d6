"""Signature: the parameters of a Python function as a JSON Schema, from its type hints and its docstring.

In: a function whose parameters have types. Out: the schema, and a call of the function with arguments from JSON, which are
converted to these types: a dataclass, an Enum or a date is what the function gets, and not a dictionary or a string.

The types are pydantic's: str, int, float, bool, Literal, Enum, list, dict, X | None, dataclasses, TypedDict, dates, and what
`Annotated[int, pydantic.Field(ge=1)]` adds.
"""

import inspect
import json
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from liuli.act.observation import ToolFailure
from liuli.display import first_line
from liuli.errors import LiuliError

EXPRESSIBLE = "str, int, float, bool, Literal, Enum, list, dict, X | None, dataclasses, typing_extensions.TypedDict or dates"
HEADING = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?|Source):\s*")
ARGUMENT = re.compile(r"(\s+)(\w+)(?: ?\([^)]*\))?:\s*(.*)")
ARGUMENTS = ("Args", "Arguments", "Parameters")


class UntitledSchema(GenerateJsonSchema):
    """pydantic's schemas without a title for every field: it only repeats the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class Signature:
    """The parameters of a function.

    Attributes:
        description: the docstring up to its first section (Args, Returns, …).
        parameters: the JSON Schema of the arguments, an object.

    Raises:
        LiuliError: the function has no docstring; a parameter has no type, or one that JSON cannot express; it takes any number
            of arguments, or some by position only.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        where = place_of(function)
        self.description, descriptions = read_docstring(inspect.getdoc(function) or "")
        if not self.description:
            raise LiuliError(f"{where} has no docstring: add one that says what it does, because the model reads it")
        self._names = list(inspect.signature(function).parameters)
        self._model = _model_of(function, where, descriptions)
        schema = self._model.model_json_schema(schema_generator=UntitledSchema)
        self.parameters = closed({key: part for key, part in schema.items() if key != "title"})

    def call(self, arguments: dict[str, Any]) -> Any:
        """What the function returns.

        Args:
            arguments: by name, as JSON gives them. They are converted to the types of the parameters.

        Raises:
            ToolFailure: an argument cannot be converted, such as a date that does not exist.
            Exception: whatever the function raises.
        """
        try:
            found = self._model.model_validate(arguments)
        except ValidationError as error:
            raise ToolFailure("arguments", _conversion_problem(error)) from None
        given = {self._names[int(field[1:])]: getattr(found, field) for field in found.model_fields_set}
        return self.function(**given)


def place_of(function: Callable[..., Any]) -> str:
    """A function by its name and its place, for error messages."""
    code = inspect.unwrap(getattr(function, "__func__", function)).__code__
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}: the tool {function.__name__}"


def _model_of(function: Callable[..., Any], where: str, descriptions: dict[str, str]) -> type[BaseModel]:
    """A pydantic model with one field per parameter. The fields are called p0, p1, … and the parameters' names are their
    aliases, because a model cannot have a field that is called `copy` or `_x`."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise LiuliError(f"{where} has a type hint that cannot be evaluated: {first_line(error)}") from None
    fields: dict[str, Any] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        name = parameter.name
        if name == "self" and not number:
            raise LiuliError(f"{where} is a method: derive its class from liuli.Toolbox, and write no @liuli.tool above it")
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise LiuliError(f"{where} has the parameter {parameter}, which has no fixed name: a tool gets arguments by name")
        if name not in hints:
            raise LiuliError(f"{where} has no type for {name}: add one, such as `{name}: str`")
        try:
            TypeAdapter(hints[name]).json_schema()
        except (PydanticUserError, TypeError):
            kind = inspect.formatannotation(hints[name])
            raise LiuliError(f"{where}: JSON cannot express {kind}, the type of {name}; use {EXPRESSIBLE}") from None
        fields[f"p{number}"] = (hints[name], _field_of(parameter, descriptions.get(name)))
    return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)


def _field_of(parameter: inspect.Parameter, description: str | None) -> Any:
    """An argument that is left out is not passed on: the function uses its default, which is in the schema if it is JSON."""
    name, default = parameter.name, parameter.default
    if default is parameter.empty:
        return Field(alias=name, description=description)
    try:
        json.dumps(default, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return Field(default_factory=lambda: None, alias=name, description=description)
    return Field(default=default, alias=name, description=description)


def closed(schema: Any) -> Any:
    """The schema, with objects that have no other properties than the listed ones. Otherwise a model could invent some."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(part) for key, part in schema.items()}
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description of a function and of each argument, from a docstring in Google's style."""
    description: list[str] = []
    arguments: dict[str, str] = {}
    section = name = indent = ""
    for line in text.splitlines():
        heading = HEADING.fullmatch(line)
        if heading:
            section, name, indent = heading[1], "", ""
        elif not section:
            description.append(line)
        elif section in ARGUMENTS and line.strip():
            found = ARGUMENT.fullmatch(line)
            if found and indent in ("", found[1]):
                indent, name = found[1], found[2]
                arguments[name] = found[3]
            elif name:
                arguments[name] = f"{arguments[name]} {line.strip()}".strip()
    return "\n".join(description).strip(), arguments


def _conversion_problem(error: ValidationError) -> str:
    lines = []
    for each in error.errors(include_url=False, include_context=False, include_input=False)[:3]:
        lines.append(f"{'.'.join(map(str, each['loc']))}: {each['msg']}")
    return "The arguments are wrong, and the tool was not run. " + "; ".join(lines)
