"""load_tools: from the names that a user gives to the tools of a run. No tool is active unless it is named."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path

from liuli.act.python_file import tools_of_file
from liuli.act.tool import Tool, function_tool
from liuli.act.toolbox import tools_in
from liuli.act.tools import LONGEST, TIMEOUT, Tools
from liuli.errors import LiuliError

BUILT_IN = {
    "calculator": "computes expressions exactly",
    "clock": "the current time, and arithmetic with dates",
    "search:FOLDER": "searches the texts in a folder",
    "tables:PATH": "looks up, filters, aggregates and joins tables: a CSV, JSON or Parquet file, or a folder of them",
}


def load_tools(
    names: Sequence[str] = (),
    files: Sequence[str | PathLike[str]] = (),
    mcp_file: str | PathLike[str] | None = None,
    timeout: float = TIMEOUT,
    longest: int = LONGEST,
) -> Tools:
    """The tools of a run. Close them at the end, best with `with load_tools(...) as tools:`.

    Args:
        names: built-in tools: those of `BUILT_IN`. `search:PATH` and `tables:PATH` may be given several times.
        files: Python files of the user's own, which are run.
        mcp_file: a JSON file with `mcpServers`; its servers are started.
        timeout: seconds that a call may take. longest: characters of a result.

    Raises:
        LiuliError: a name is unknown, a file cannot be used, a server does not start, or two tools have one name.
    """
    with ExitStack() as started:  # ends the servers if anything after them fails
        tools = built_in(names)
        tools += [tool for file in files for tool in tools_of_file(Path(file))]
        close: list[Callable[[], None]] = []
        if mcp_file is not None:
            from liuli.act.mcp_servers import start_servers

            servers = start_servers(Path(mcp_file))
            started.callback(servers.close)
            close.append(servers.close)
            tools += servers.tools
        found = Tools(tools, timeout, longest, close)
        started.pop_all()
        return found


def built_in(names: Sequence[str]) -> list[Tool]:
    """The built-in tools of some names, such as `calculator` and `search:notes`. All paths of `search` are searched together,
    and all tables can be joined.

    Raises:
        LiuliError: there is no such name; its path is missing, or cannot be used.
    """
    paths: dict[str, list[Path]] = {}
    for name in names:
        kind, _, path = name.partition(":")
        takes_path = f"{kind}:" in " ".join(BUILT_IN)
        if kind not in {each.partition(":")[0] for each in BUILT_IN} or (path and not takes_path):
            raise LiuliError(
                f"there is no built-in tool {name!r}; there are {', '.join(BUILT_IN)}; for your own, name a Python file"
            )
        if takes_path and not path:
            raise LiuliError(f"the tool {kind} needs a path: write {kind}:PATH, such as {kind}:notes")
        paths.setdefault(kind, []).extend([Path(path)] if path else [])
    return [tool for kind, each in paths.items() for tool in _of_kind(kind, each)]


def _of_kind(kind: str, paths: list[Path]) -> list[Tool]:
    """Each is imported only if it is used."""
    if kind == "calculator":
        from liuli.act.builtin.calculator import calculator

        return [function_tool(calculator, source=kind)]
    if kind == "clock":
        from liuli.act.builtin.clock import Clock

        return tools_in(Clock(), kind)
    if kind == "search":
        from liuli.act.builtin.search import FolderSearch

        return tools_in(FolderSearch(paths), kind)
    from liuli.act.builtin.tables import TableTools

    return tools_in(TableTools(paths), kind)
