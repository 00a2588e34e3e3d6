"""Toolbox: a class whose public methods are tools, and which keeps state from one call to the next.

class Notes(liuli.Toolbox):
    def __init__(self):
        self.lines = []

    def note(self, text: str) -> str:
        "Keep a note for later."
        self.lines.append(text)
        return f"{len(self.lines)} notes"
"""

import inspect
from dataclasses import replace
from types import FunctionType

from liuli.act.tool import Tool, function_tool

METHODS = (FunctionType, staticmethod, classmethod)


class Toolbox:
    """The base of classes whose public methods are tools. A method whose name begins with `_` is not one."""


def tools_in(box: Toolbox, source: str = "") -> list[Tool]:
    """The public methods of a toolbox as tools, by name.

    Args:
        source: where it is from, for people; "": the name of its class.

    Raises:
        LiuliError: a public method lacks types or a docstring.
    """
    kind = type(box)
    names = [name for name in sorted(set(dir(kind)) - set(dir(Toolbox))) if not name.startswith("_")]
    methods = [name for name in names if isinstance(inspect.getattr_static(kind, name), METHODS)]
    return [replace(function_tool(getattr(box, name)), source=source or kind.__name__) for name in methods]
