"""Messages of llguidance on one line."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import llguidance


def library_error(matcher: "llguidance.LLMatcher") -> str:
    """What went wrong in a matcher, on one line: the library adds its whole state."""
    return located(matcher.get_error().split("<backtrace>")[0].split("<state>")[0])


def located(problem: str) -> str:
    """The library's message on one line: it shows the place with an excerpt, in several."""
    place = re.match(r"at (\d+)\((\d+)\): ", problem)
    message = problem[place.end() :] if place else problem
    message = " ".join(re.split(r"\n\s*\d* \|", message)[0].split())
    return f"line {place[1]}, column {place[2]}: {message}" if place else message
