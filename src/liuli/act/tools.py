"""Tools: what one run may call. A call always ends in time and gives an Observation, whatever the tool does."""

import asyncio
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from time import perf_counter
from typing import Any

from liuli.act.arguments import check_arguments, read_arguments
from liuli.act.observation import Observation, ToolFailure
from liuli.act.printed import Printed, caught
from liuli.act.result import as_text, shortened
from liuli.act.tool import Tool
from liuli.act.toolbox import Toolbox, tools_in
from liuli.act.workers import LoopThread, OverTime, StopTool, in_thread
from liuli.errors import LiuliError
from liuli.fields import is_positive, is_size

TIMEOUT = 30.0  # seconds of one call
LONGEST = 4000  # characters of one result


class Tools:
    """Tools by name. Use it as a context manager, or call `close` at the end: MCP servers run until then.

    Args:
        tools: tools, functions with `@liuli.tool`, and toolboxes.
        timeout: seconds that a call may take, if the tool has no limit of its own.
        longest: characters of a result; the rest is cut off, and the text says so.
        close: functions that end what the tools need, such as servers.

    Raises:
        LiuliError: two tools have one name; a limit is not a positive number.
    """

    def __init__(
        self,
        tools: Iterable[Tool | Toolbox],
        timeout: float = TIMEOUT,
        longest: int = LONGEST,
        close: Iterable[Callable[[], None]] = (),
    ):
        if not is_positive(timeout):
            raise LiuliError(f"the timeout of tools must be a number of seconds above 0, not {timeout!r}")
        if not is_size(longest):
            raise LiuliError(f"the longest result of a tool must be a number of characters above 0, not {longest!r}")
        self.timeout, self.longest = timeout, longest
        self._close = list(close)
        self._loop = LoopThread()
        self._tools: dict[str, Tool] = {}
        for each in tools:
            for tool in tools_in(each) if isinstance(each, Toolbox) else [each]:
                self._add(tool)

    def _add(self, tool: Tool) -> None:
        other = self._tools.get(tool.name)
        if other is not None:
            raise LiuliError(
                f"two tools are called {tool.name} (of {other.source} and of {tool.source}): rename or leave out one"
            )
        self._tools[tool.name] = tool

    @property
    def names(self) -> list[str]:
        """In the order in which they were given."""
        return list(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __getitem__(self, name: str) -> Tool:
        """Raises LiuliError: there is no such tool."""
        if name not in self._tools:
            raise LiuliError(self._unknown(name))
        return self._tools[name]

    def schema_of(self, name: str) -> dict[str, Any]:
        """The JSON Schema of a tool's arguments. Raises LiuliError: there is no such tool."""
        return self[name].parameters

    def definitions(self) -> list[dict[str, Any]]:
        """All tools as OpenAI's API and chat templates describe them."""
        return [tool.definition() for tool in self]

    def call(self, name: str, arguments: str | Mapping[str, Any]) -> Observation:
        """Calls a tool and waits for its end, at most as long as its timeout. Whatever goes wrong is in the observation.

        Args:
            arguments: by name, as JSON text or as values that JSON can hold.
        """
        begin = perf_counter()
        printed = Printed()
        try:
            if name not in self._tools:
                raise ToolFailure("unknown", self._unknown(name))
            tool = self._tools[name]
            checked = self._checked(tool, arguments)
            text, failure = self._run(tool, checked, printed), None
        except ToolFailure as error:
            text, failure = error.text, error.kind
        text, cut = shortened(text, self.longest)
        return Observation(text, failure is None, failure, perf_counter() - begin, cut, printed.text())

    def _checked(self, tool: Tool, arguments: str | Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as an object that fits the schema. Its time is limited: a foreign schema may be slow to check."""

        def check() -> dict[str, Any]:
            found = read_arguments(arguments)
            check_arguments(tool.parameters, found)
            return found

        try:
            return in_thread(check, self.timeout)
        except OverTime:
            raise ToolFailure("arguments", f"The arguments could not be checked within {self.timeout:g} seconds.") from None

    def _run(self, tool: Tool, arguments: dict[str, Any], printed: Printed) -> str:
        seconds = tool.timeout or self.timeout

        async def result_of_coroutine() -> str:
            with caught(printed):
                try:
                    return as_text(await tool.run(arguments))
                except (ToolFailure, asyncio.CancelledError):
                    raise
                except BaseException as error:
                    raise ToolFailure("error", described(error)) from None

        def result_of_function() -> str:
            with caught(printed):
                try:
                    return as_text(tool.run(arguments))
                except (ToolFailure, StopTool):
                    raise
                except BaseException as error:
                    raise ToolFailure("error", described(error)) from None

        try:
            if tool.asynchronous:
                return (tool.loop or self._loop).run(result_of_coroutine, seconds)
            return in_thread(result_of_function, seconds)
        except OverTime:
            raise ToolFailure("timeout", f"The tool did not finish within {seconds:g} seconds, and was stopped.") from None

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name, self._tools, 1, 0.7)
        guess = f" Did you mean {close[0]}?" if close else ""
        there = f"The tools are: {', '.join(self._tools)}." if self._tools else "There are no tools."
        return f"There is no tool {name!r}.{guess} {there}"

    def close(self) -> None:
        """Ends the servers of the tools, and asynchronous calls that still run. It may be called twice."""
        while self._close:
            self._close.pop()()
        self._loop.close()

    def __enter__(self) -> "Tools":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def described(error: BaseException) -> str:
    """What a tool raised, without its traceback. A LiuliError is already a sentence; of others, the type helps."""
    if isinstance(error, LiuliError):
        return str(error)
    return "The tool failed. " + "".join(traceback.format_exception_only(error)).strip()
