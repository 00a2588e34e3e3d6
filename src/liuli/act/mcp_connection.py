"""McpConnection: one MCP server that is started when it is needed, and started again after it ended.

By the official SDK. A server that ends during a call is not asked again by itself, because the call may have had an effect: the
call fails, and the next one starts the server again.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

import httpx2
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CONNECTION_CLOSED,
    INVALID_REQUEST,
    REQUEST_TIMEOUT,
    CallToolResult,
    EmbeddedResource,
    TextContent,
    TextResourceContents,
)
from mcp_types import Tool as McpTool

from liuli.act.mcp_file import McpServer
from liuli.act.observation import ToolError, ToolFailure
from liuli.act.result import as_text
from liuli.display import first_line, printable

PROBE = 5.0  # seconds in which a server must list its tools after a call took too long
CLOSING = 10.0  # seconds until a server that does not end is left behind; the SDK kills it before
HTTP = httpx2.Timeout(30.0, read=300.0)  # seconds; a call has its own limit
MOST_PAGES = 100  # of a server's list of tools
LAST = 2000  # bytes at the end of a server's error output

for name in ("mcp", "client"):  # the SDK's loggers: they would print foreign text to the terminal
    logging.getLogger(name).addHandler(logging.NullHandler())


class McpConnection:
    """The connection to one server. All methods run in the same event loop."""

    def __init__(self, server: McpServer):
        self.server = server
        self._task: asyncio.Task[None] | None = None  # holds the connection: it must be opened and closed in one task
        self._ready: asyncio.Future[Client] | None = None
        self._stop = asyncio.Event()
        self._doubtful = False  # whether the last call took too long: the server may be stuck

    async def tools(self) -> list[McpTool]:
        """All tools that the server lists.

        Raises:
            ToolFailure: it cannot be started or reached, or does not answer as it should.
        """
        client = await self._client()
        found: list[McpTool] = []
        cursor = None
        try:
            for _ in range(MOST_PAGES):
                page = await client.list_tools(cursor=cursor)
                found += page.tools
                cursor = page.next_cursor
                if cursor is None:
                    break
        except Exception as error:
            raise self._failure("does not list its tools", error) from None
        return found

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """The text of a tool's result.

        Raises:
            ToolError: the tool says that it failed.
            ToolFailure: the server ended, or does not answer as it should.
        """
        if self._doubtful and not await self._answers():
            await self.close()
        client = await self._client()
        try:
            result = await client.call_tool(tool, arguments)
        except asyncio.CancelledError:
            self._doubtful = True
            raise
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise ToolFailure("timeout", f"The server says that the call took too long: {error.message}") from None
            if error.code == CONNECTION_CLOSED:
                await self.close()
                raise self._failure("ended during the call; the next call starts it again", error) from None
            if error.code == INVALID_REQUEST and self.server.url:  # such as a session that the server has forgotten
                await self.close()
            raise ToolError(f"The server refused the call: {error.message}") from None
        except (RuntimeError, ValueError) as error:  # the result is not as the protocol or the tool's own schema says
            raise ToolFailure("result", f"The tool's result cannot be used: {first_line(error)}") from None
        except Exception as error:  # of the transport
            await self.close()
            raise self._failure("did not answer as it should", error) from None
        text = _text_of(result)
        if result.is_error:
            raise ToolError(text or "The tool failed, and does not say why.")
        return text

    async def close(self) -> None:
        """Ends the connection, and the server if it was started here."""
        task, self._task, self._doubtful = self._task, None, False
        if task is None:
            return
        self._stop.set()
        if self._ready is not None and not self._ready.done():
            task.cancel()
        await asyncio.wait([task], timeout=CLOSING)

    async def _client(self) -> Client:
        """The open connection; opens it if there is none. Raises ToolFailure."""
        if self._task is None or self._task.done() or self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._stop = asyncio.Event()
            self._task = asyncio.create_task(self._hold(self._ready, self._stop))
        return await asyncio.shield(self._ready)  # a call whose time is over does not end the start of the server

    async def _hold(self, ready: "asyncio.Future[Client]", stop: asyncio.Event) -> None:
        with tempfile.TemporaryFile() as errors:
            try:
                async with self._open(errors) as client:
                    ready.set_result(client)
                    await stop.wait()
            except BaseException as error:
                if not ready.done():
                    ready.set_exception(
                        self._failure("cannot be started" if self.server.command else "cannot be reached", error, errors)
                    )
                    ready.exception()  # it is known, even if nobody waits for it any more
                if isinstance(error, asyncio.CancelledError):
                    raise

    @asynccontextmanager
    async def _open(self, errors: IO[bytes]) -> AsyncIterator[Client]:
        server = self.server
        if server.command:
            started = StdioServerParameters(
                command=server.command, args=list(server.args), env=server.env, cwd=server.cwd or None
            )
            async with Client(stdio_client(started, errlog=errors)) as client:  # pyright: ignore[reportArgumentType]
                yield client
        else:
            async with (
                httpx2.AsyncClient(headers=server.headers, timeout=HTTP) as http,
                Client(streamable_http_client(server.url, http_client=http)) as client,
            ):
                yield client

    async def _answers(self) -> bool:
        """Whether the server still lists its tools."""
        try:
            client = await self._client()
            await asyncio.wait_for(client.list_tools(cache_mode="refresh"), PROBE)
        except Exception:
            return False
        self._doubtful = False
        return True

    def _failure(self, what: str, error: BaseException, errors: IO[bytes] | None = None) -> ToolFailure:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, ToolFailure):
            return error
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {first_line(error)}"
        said = _last_line(errors) if errors else ""
        return ToolFailure("connection", f"The MCP server {self.server.name} {what} ({reason}){said}.")


def _last_line(errors: IO[bytes]) -> str:
    """What a server printed last to its error output, for a message."""
    errors.seek(max(0, errors.seek(0, 2) - LAST))
    lines = errors.read().decode(errors="replace").strip().split("\n")
    return f"; it printed: {printable(lines[-1])[:200]}" if lines[-1] else ""


def _text_of(result: CallToolResult) -> str:
    """The parts of a result as text. Images, sounds and links are named, not shown. Without any part, the structured result."""
    parts = []
    for part in result.content:
        if isinstance(part, TextContent):
            parts.append(part.text)
        elif isinstance(part, EmbeddedResource) and isinstance(part.resource, TextResourceContents):
            parts.append(part.resource.text)
        else:
            parts.append(f"[{part.type}: cannot be shown as text]")
    if not parts and result.structured_content is not None:
        return as_text(result.structured_content)
    return "\n".join(parts)
