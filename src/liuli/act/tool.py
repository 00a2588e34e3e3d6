"""Tool: something that a model can call, with a name, a description and a JSON Schema; and `@liuli.tool`, which makes one.

@liuli.tool
def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, overload

from liuli.act.workers import LoopThread
from liuli.errors import LiuliError

NAME = re.compile(r"[^\W\d][\w-]{0,63}")


@dataclass(frozen=True)
class Tool:
    """Something that a model can call.

    Attributes:
        name: a letter, then letters, digits, `_` or `-`; at most 64 characters.
        description: what it does, for the model.
        parameters: the JSON Schema of its arguments, an object.
        run: takes the arguments by name, after they were checked, and returns the result or, if the tool is asynchronous, an
            awaitable.
        timeout: the seconds that a call may take; None: those of `Tools`.
        source: where it is from, for people.
        loop: the event loop that an asynchronous tool belongs to; None: that of `Tools`.
        function: the Python function, if it is one. Calling the tool calls it, without any check.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    run: Callable[[dict[str, Any]], Any] = field(repr=False)
    asynchronous: bool = False
    timeout: float | None = None
    source: str = "Python"
    loop: LoopThread | None = field(default=None, repr=False)
    function: Callable[..., Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise LiuliError(
                f"{self.name!r} cannot be the name of a tool: use up to 64 letters, digits, _ and -, a letter first"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise LiuliError(f"the timeout of the tool {self.name} must be more than 0 seconds, not {self.timeout}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            raise TypeError(f"the tool {self.name} is not a Python function; call it through Tools")
        return self.function(*args, **kwargs)

    def definition(self) -> dict[str, Any]:
        """The tool as OpenAI's API and chat templates describe one."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


def function_tool(function: Callable[..., Any], timeout: float | None = None, source: str = "Python") -> Tool:
    """A function or a bound method as a tool.

    Raises:
        LiuliError: what `Signature` raises; `function` is not a function.
    """
    from liuli.act.signature import Signature  # pydantic takes 0.2 s to import

    if not inspect.isroutine(function) or inspect.isbuiltin(function):
        name = getattr(function, "__name__", repr(function))
        raise LiuliError(f"{name} is not a Python function: @liuli.tool stands above `def` or `async def`")
    signature = Signature(function)
    return Tool(
        name=function.__name__,
        description=signature.description,
        parameters=signature.parameters,
        run=signature.call,
        asynchronous=inspect.iscoroutinefunction(function),
        timeout=timeout,
        source=source,
        function=function,
    )


@overload
def tool(function: Callable[..., Any]) -> Tool: ...
@overload
def tool(*, timeout: float) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, *, timeout: float | None = None) -> Any:
    """Makes a tool of a function with types and a docstring: `@liuli.tool`, or `@liuli.tool(timeout=5)`.

    Args:
        timeout: the seconds that a call may take.

    Raises:
        LiuliError: a type or the docstring is missing, or cannot be used.
    """
    if function is None:
        return lambda each: function_tool(each, timeout)
    return function_tool(function)
