"""What a tool returned, as text that a model reads: a text as it is, other values as JSON, and the rest refused in words."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from pydantic_core import to_json

from liuli.act.observation import ToolFailure
from liuli.fields import plain

NOTHING = "The tool returned nothing."
INSTEAD = "A tool returns text, numbers, true or false, lists, dictionaries, dates or dataclasses."


def as_text(value: Any) -> str:
    """The text of a result. Chinese stays Chinese in JSON.

    Raises:
        ToolFailure: it is bytes, a generator, or holds something that JSON cannot express.
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # a lone surrogate has no encoding
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ToolFailure("result", f"The tool returned {len(value):,} bytes, which are not text. {INSTEAD}")
    if isinstance(value, (Iterator, AsyncIterator)):
        raise ToolFailure("result", f"The tool returned a {type(value).__name__}, whose values were not computed. {INSTEAD}")
    try:
        return to_json(plain(value), inf_nan_mode="strings").decode()
    except (ValueError, TypeError, RecursionError) as error:
        problem = str(error).split("\n")[0]
        raise ToolFailure(
            "result", f"The tool returned a {type(value).__name__}, which is not JSON ({problem}). {INSTEAD}"
        ) from None


def shortened(text: str, longest: int) -> tuple[str, int]:
    """The first `longest` characters, with a note if there are more. Returns how many were left out too."""
    cut = max(0, len(text) - longest)
    return (f"{text[:longest]}\n[{cut:,} more characters were left out]" if cut else text), cut
