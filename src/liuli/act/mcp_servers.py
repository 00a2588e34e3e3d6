"""The tools of MCP servers: started from an `mcpServers` file, checked, and ended with the run.

Names and descriptions are foreign text, written for a model. A tool is called `server__tool`, its description is one line of
limited length, and its schema must be valid. The list is read once: a server cannot change a tool during a run.
"""

import asyncio
import json
import re
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liuli.act.arguments import check_schema
from liuli.act.mcp_file import McpServer, read_mcp_file
from liuli.act.observation import ToolFailure
from liuli.act.tool import NAME, Tool
from liuli.act.workers import LoopThread, OverTime
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.remarks import remark

if TYPE_CHECKING:
    from mcp_types import Tool as McpTool

    from liuli.act.mcp_connection import McpConnection

STARTING = 60.0  # seconds until all servers must have listed their tools
CLOSING = 12.0  # seconds until all servers must have ended
MOST_TOOLS = 256  # of one server
LONGEST_DESCRIPTION = 1024  # characters
LONGEST_SCHEMA = 20_000  # characters of JSON


class McpServers:
    """Running servers. They end with `close`, or at the latest with the process.

    Attributes:
        tools: the tools of all servers.

    Raises:
        LiuliError: a server does not start or lists no tools in time; the package `mcp` is missing.
    """

    def __init__(self, servers: Sequence[McpServer], starting: float = STARTING):
        try:
            from liuli.act.mcp_connection import McpConnection
        except ModuleNotFoundError as error:
            raise LiuliError(f"MCP servers need the package {error.name}: install it with pip install 'liuli[mcp]'") from None
        self._loop = LoopThread()
        connections = [McpConnection(server) for server in servers]
        self._end = weakref.finalize(self, _end, self._loop, connections)  # also at the end of the process
        try:
            lists = self._loop.run(lambda: _gathered(connections), starting)
            self.tools = [
                tool for each, listed in zip(connections, lists, strict=True) for tool in self._tools_of(each, listed)
            ]
        except OverTime:
            self.close()
            raise LiuliError(
                f"an MCP server did not list its tools within {starting:g} seconds: start it by hand to see why"
            ) from None
        except ToolFailure as error:
            self.close()
            raise LiuliError(
                f"{error.text.rstrip('.')}: check the server's entry in the file; start it by hand to see why"
            ) from None
        except BaseException:
            self.close()
            raise

    def _tools_of(self, connection: "McpConnection", listed: "Sequence[McpTool]") -> list[Tool]:
        """The tools of one server that can be used. The others are named in a remark."""
        server = connection.server.name
        if len(listed) > MOST_TOOLS:
            remark(f"the MCP server {printable(server)} lists {len(listed):,} tools; only the first {MOST_TOOLS} are used")
        tools = []
        for each in listed[:MOST_TOOLS]:
            name = re.sub(r"[^\w-]", "_", f"{server}__{each.name}")
            schema = each.input_schema
            problem = None if NAME.fullmatch(name) else f"its name {name!r} is too long or begins with no letter"
            problem = problem or check_schema(schema)
            if problem is None and len(json.dumps(schema)) > LONGEST_SCHEMA:
                problem = f"its schema has more than {LONGEST_SCHEMA:,} characters"
            if problem:
                remark(
                    f"the tool {printable(each.name)} of the MCP server {printable(server)} is not used: {printable(problem)}"
                )
                continue
            description = described_in_one_line(each.description or each.title or each.name)
            source = f"the MCP server {printable(server)}"
            tools.append(
                Tool(
                    name,
                    description,
                    without_unlisted(schema),
                    _Call(connection, each.name),
                    True,
                    source=source,
                    loop=self._loop,
                )
            )
        return tools

    def close(self) -> None:
        """Ends all servers. It may be called twice."""
        self._end()


class _Call:
    """Calls one tool of a server."""

    def __init__(self, connection: "McpConnection", tool: str):
        self._connection, self._tool = connection, tool

    async def __call__(self, arguments: dict[str, Any]) -> str:
        return await self._connection.call(self._tool, arguments)


def start_servers(path: Path) -> McpServers:
    """Starts the servers of a file. Raises LiuliError: what `read_mcp_file` and `McpServers` raise."""
    return McpServers(read_mcp_file(path))


def described_in_one_line(text: str) -> str:
    """A foreign description on one line, without characters that are invisible, of limited length."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= LONGEST_DESCRIPTION else f"{line[:LONGEST_DESCRIPTION]}…"


def without_unlisted(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that allows only the properties that it lists, if that is all that it says about properties. JSON Schema would
    allow any others, and a model would invent some."""
    says_more = schema.keys() & {"allOf", "anyOf", "oneOf", "$ref", "if", "patternProperties", "dependentSchemas"}
    return schema if says_more else {"additionalProperties": False, **schema}


async def _gathered(connections: "Sequence[McpConnection]") -> "list[list[McpTool]]":
    return await asyncio.gather(*(each.tools() for each in connections))


async def _closed(connections: "Sequence[McpConnection]") -> None:
    await asyncio.gather(*(each.close() for each in connections))


def _end(loop: LoopThread, connections: "Sequence[McpConnection]") -> None:
    with suppress(OverTime):
        loop.run(lambda: _closed(connections), CLOSING)
    loop.close()
