"""The tools in a Python file of the user's own. The file is run: it is code that the user names explicitly."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from liuli.act.printed import Printed, caught
from liuli.act.tool import Tool
from liuli.act.toolbox import Toolbox, tools_in
from liuli.data.records.small_file import read_small_file
from liuli.display import first_line, printable
from liuli.errors import LiuliError


def tools_of_file(path: Path) -> list[Tool]:
    """All functions with `@liuli.tool`, toolboxes, and classes derived from `liuli.Toolbox` in a file.

    Of a class that the file makes no object of, one is made without arguments. What the file prints is dropped.

    Raises:
        LiuliError: the file cannot be read, fails when it is run, or has no tools; a tool lacks types or a docstring.
    """
    module = _run(path)
    found = list({id(value): value for value in vars(module).values()}.values())  # without second names of the same thing
    boxes = [value for value in found if isinstance(value, Toolbox)]
    kinds = [
        value
        for value in found
        if isinstance(value, type) and issubclass(value, Toolbox) and value.__module__ == module.__name__
    ]
    known = {kind for box in boxes for kind in type(box).__mro__} | {base for kind in kinds for base in kind.__mro__[1:]}
    boxes += [_made(kind, path) for kind in kinds if kind not in known]
    tools = [replace(value, source=path.name) for value in found if isinstance(value, Tool)]
    tools += [tool for box in boxes for tool in tools_in(box, path.name)]
    if not tools:
        raise LiuliError(f"{printable(str(path))} has no tools: write @liuli.tool above a function with types and a docstring")
    return tools


def _run(path: Path) -> ModuleType:
    name = f"tools_of_{path.resolve().as_posix()}"  # no import can collide with it
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and type hints look their module up
    try:
        with caught(Printed()):
            exec(compile(read_small_file(path), str(path), "exec"), vars(module))
    except LiuliError:
        raise
    except (Exception, SystemExit) as error:
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else _line_in(error, str(path))
        place = f", line {line}" if line else ""
        raise LiuliError(
            f"{printable(str(path))}{place}: {type(error).__name__}: {first_line(error)}; correct the file"
        ) from None
    return module


def _line_in(error: BaseException, path: str) -> int | None:
    """The last line of the file that the error passed through."""
    line, at = None, error.__traceback__
    while at is not None:
        line = at.tb_lineno if at.tb_frame.f_code.co_filename == path else line
        at = at.tb_next
    return line


def _made(kind: type[Toolbox], path: Path) -> Toolbox:
    try:
        return kind()
    except Exception as error:
        raise LiuliError(
            f"{printable(str(path))}: {kind.__name__}() fails with {type(error).__name__}: {first_line(error)}; make an object "
            f"of the class in the file, such as `box = {kind.__name__}(…)`"
        ) from None
