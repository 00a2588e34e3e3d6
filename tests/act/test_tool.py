"""A function with types and a docstring is a tool; without them it is refused with what to add."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from fractions import Fraction
from typing import Annotated, Any, Literal, Optional

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field
from typing_extensions import TypedDict

import liuli
from liuli.act.signature import read_docstring
from liuli.act.tools import Tools


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: float
    y: float = 0.0


class Person(TypedDict):
    name: str
    age: int


class Plain:
    pass


def made(function) -> liuli.act.tool.Tool:
    return liuli.tool(function)


def refusal(function) -> str:
    with pytest.raises(liuli.LiuliError) as caught:
        liuli.tool(function)
    return str(caught.value)


def test_a_function_becomes_a_tool():
    @liuli.tool
    def weather(city: str, days: int = 3) -> str:
        """Tell the weather.

        Of one city only.

        Args:
            city: its name,
                in English
            days (int): how many

        Returns:
            A sentence.
        """
        return f"{city}: {days}"

    assert weather.name == "weather"
    assert weather.description == "Tell the weather.\n\nOf one city only."
    assert weather.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "its name, in English"},
            "days": {"type": "integer", "default": 3, "description": "how many"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert weather("Bonn", days=2) == "Bonn: 2"  # it is still the function
    assert weather.definition()["function"] == {
        "name": "weather",
        "description": weather.description,
        "parameters": weather.parameters,
    }


@pytest.mark.parametrize(
    ("kind", "json", "value"),
    [
        (str, "a", "a"),
        (int, 3, 3),
        (float, 2.5, 2.5),
        (bool, True, True),
        (Literal["a", "b"], "b", "b"),
        (Optional[int], None, None),  # noqa: UP045 (the old spelling too)
        (int | None, 4, 4),
        (list[int], [1, 2], [1, 2]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Colour, "red", Colour.RED),
        (Point, {"x": 1}, Point(1.0)),
        (list[Point], [{"x": 1, "y": 2}], [Point(1.0, 2.0)]),
        (Person, {"name": "李雷", "age": 7}, {"name": "李雷", "age": 7}),
        (date, "2024-02-29", date(2024, 2, 29)),
        (Annotated[int, Field(ge=1, le=5)], 5, 5),
    ],
)
def test_types_and_their_values(kind, json, value):
    got: list[Any] = []

    def take(value):
        """Take a value."""
        got.append(value)

    take.__annotations__ = {"value": kind}
    tool = made(take)
    Draft202012Validator.check_schema(tool.parameters)
    assert Tools([tool]).call("take", {"value": json}).ok
    assert got == [value]


@pytest.mark.parametrize(
    ("kind", "json"),
    [
        (str, 3),
        (int, "3"),
        (int, 2.5),
        (int, True),
        (Literal["a", "b"], "c"),
        (Colour, "green"),
        (Point, {"y": 1}),
        (Point, {"x": 1, "z": 2}),
        (list[int], ["1"]),
        (date, "2024-02-30"),
        (Annotated[int, Field(ge=1, le=5)], 6),
        (Annotated[str, Field(pattern="^a+$")], "b"),
    ],
)
def test_values_of_a_wrong_type_do_not_reach_the_function(kind, json):
    def take(value):
        """Take a value."""
        raise AssertionError

    take.__annotations__ = {"value": kind}
    found = Tools([made(take)]).call("take", {"value": json})
    assert found.failure == "arguments", found


def test_a_parameter_may_have_any_name():
    @liuli.tool
    def take(copy: int, schema: int, _hidden: int, model_config: int = 4) -> list[int]:
        """Take numbers."""
        return [copy, schema, _hidden, model_config]

    assert Tools([take]).call("take", {"copy": 1, "schema": 2, "_hidden": 3}).text == "[1,2,3,4]"


def test_a_default_that_is_not_json_is_the_functions_own():
    nothing = object()

    @liuli.tool
    def take(value: int = nothing) -> bool:  # pyright: ignore[reportArgumentType]
        """Take a number or nothing."""
        return value is nothing

    assert "default" not in take.parameters["properties"]["value"]
    assert Tools([take]).call("take", {}).text == "true"


def test_a_property_that_is_called_title_stays():
    def find(title: str) -> str:
        """Find a book."""
        return title

    assert list(made(find).parameters["properties"]) == ["title"]


def test_what_is_missing_is_said():
    def no_docstring(a: int) -> int:
        return a

    def no_type(a, b: int) -> int:
        """Add."""
        return a + b

    def any_number(*numbers: int) -> int:
        """Add."""
        return sum(numbers)

    def by_position(a: int, /) -> int:
        """Add."""
        return a

    def inexpressible(a: Fraction, b: type) -> int:
        """Add."""
        return 0

    def foreign(a: Plain) -> int:
        """Add."""
        return 0

    def method(self, a: int) -> int:
        """Add."""
        return 0

    def unknown(a: "Nowhere") -> int:  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
        """Add."""
        return 0

    assert "the tool no_docstring has no docstring: add one that says what it does" in refusal(no_docstring)
    assert refusal(no_type).startswith("test_tool.py, line ")
    assert "the tool no_type has no type for a: add one, such as `a: str`" in refusal(no_type)
    assert "*numbers: int, which has no fixed name" in refusal(any_number)
    assert "a: int, which has no fixed name" in refusal(by_position)
    assert "JSON cannot express type, the type of b; use str, int, float" in refusal(inexpressible)
    assert "JSON cannot express Plain, the type of a; use str" in refusal(foreign).replace(f"{__name__}.", "")
    assert "the tool method is a method: derive its class from liuli.Toolbox" in refusal(method)
    assert "cannot be evaluated: name 'Nowhere'" in refusal(unknown)
    assert "is not a Python function" in refusal(print)
    assert "is not a Python function" in refusal(Colour)


def test_a_tool_has_a_name_that_all_formats_can_write():
    def odd() -> None:
        """Do nothing."""

    odd.__name__ = "two words"
    with pytest.raises(liuli.LiuliError, match="cannot be the name of a tool"):
        made(odd)


def test_a_timeout_must_be_positive():
    with pytest.raises(liuli.LiuliError, match="must be more than 0 seconds"):

        @liuli.tool(timeout=0)
        def never() -> None:
            """Do nothing."""


def test_two_tools_of_one_name():
    def add(a: int) -> int:
        """Add one."""
        return a + 1

    with pytest.raises(liuli.LiuliError, match="two tools are called add"):
        Tools([made(add), made(add)])


def test_docstrings_without_sections_or_with_odd_ones():
    assert read_docstring("") == ("", {})
    assert read_docstring("One line.") == ("One line.", {})
    assert read_docstring("Do.\n\nArgs:\n  a: first: the one\n  b:\n    second\nRaises:\n  x: no") == (
        "Do.",
        {"a": "first: the one", "b": "second"},
    )


def test_a_toolbox_keeps_its_state():
    class Notes(liuli.Toolbox):
        def __init__(self):
            self.lines: list[str] = []

        def note(self, text: str) -> int:
            """Keep a note."""
            self.lines.append(text)
            return len(self.lines)

        async def last(self) -> str:
            """Return the last note."""
            return self._format(self.lines[-1])

        @staticmethod
        def double(number: int) -> int:
            """Double a number."""
            return 2 * number

        @property
        def secret(self) -> str:
            raise AssertionError

        def _format(self, text: str) -> str:
            return f"- {text}"

    tools = Tools([Notes()])
    assert tools.names == ["double", "last", "note"]
    assert [tools.call("note", {"text": text}).text for text in "ab"] == ["1", "2"]
    assert tools.call("last", {}).text == "- b"
    assert tools.call("double", {"number": 4}).text == "8"
    tools.close()


def test_a_method_of_a_toolbox_without_docstring_is_refused():
    class Silent(liuli.Toolbox):
        def act(self, a: int) -> int:
            return a

    with pytest.raises(liuli.LiuliError, match="the tool act has no docstring"):
        Tools([Silent()])
