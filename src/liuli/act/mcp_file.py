"""Reads the usual `mcpServers` file: which MCP servers there are, and how each is started or reached.

    {"mcpServers": {"notes": {"command": "notes-server", "args": ["--quiet"], "env": {"KEY": "${NOTES_KEY}"}},
                    "wiki": {"url": "https://wiki.example/mcp", "headers": {"Authorization": "Bearer ${WIKI_TOKEN}"}}}}

`${NAME}` is the environment variable NAME. It is how a key gets to a server without being written in the file.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from liuli.data.records.small_file import check_small_file
from liuli.display import printable
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.remarks import remark

VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
BY_COMMAND = {"command", "args", "env", "cwd"}
BY_URL = {"url", "headers"}
COMMON = {"type", "disabled"}
TYPES = {"command": ("stdio",), "url": ("http", "streamable-http", "streamableHttp")}


@dataclass(frozen=True)
class McpServer:
    """One server of the file. It has a command or a URL.

    Attributes:
        command: a program, which is started without a shell. args: its arguments.
        env: its environment, in addition to HOME, LOGNAME, PATH, SHELL, TERM and USER. It gets no other variable of ours.
        cwd: the folder it starts in; "": the current one.
        url: where it is reached by streamable HTTP. headers: are sent with each request.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict, repr=False)  # may hold keys
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict, repr=False)


def read_mcp_file(path: Path, environment: Mapping[str, str] = os.environ) -> list[McpServer]:
    """The servers of a file, without those that are disabled.

    Args:
        environment: the variables that `${NAME}` may name.

    Raises:
        LiuliError: the file cannot be read or does not have this form; a variable is not set.
    """
    check_small_file(path)
    shown = printable(str(path))
    servers = read_json(path).get("mcpServers")
    if not isinstance(servers, dict) or not servers:
        raise LiuliError(
            f'{shown} names no MCP servers: it must be like {{"mcpServers": {{"notes": {{"command": "notes-server"}}}}}}'
        )
    found = [_server(name, value, f"{shown}: the server {printable(name)!r}", environment) for name, value in servers.items()]
    return [server for server in found if server is not None]


def _server(name: str, value: Any, where: str, environment: Mapping[str, str]) -> McpServer | None:
    if not isinstance(value, dict):
        raise LiuliError(f'{where} must be an object with "command" or "url"')
    if value.get("disabled") is True:
        return None
    kind = "url" if "url" in value else "command"
    if not isinstance(value.get(kind), str) or not value[kind] or ("url" in value and "command" in value):
        raise LiuliError(f'{where} needs one of "command" (a program) and "url", which must be a text')
    if value.get("type", TYPES[kind][0]) not in TYPES[kind]:
        raise LiuliError(f'{where} has the type {value["type"]!r}; Liuli speaks stdio ("command") and streamable HTTP ("url")')
    for key in sorted(value.keys() - COMMON - (BY_URL if kind == "url" else BY_COMMAND)):
        remark(f"{where}: the setting {printable(key)!r} is not used")
    args = value.get("args", [])
    if not isinstance(args, list) or not all(isinstance(each, str) for each in args):
        raise LiuliError(f'{where}: "args" must be a list of texts')
    server = McpServer(
        name=name,
        command=value.get("command", ""),
        args=tuple(_expanded(each, where, environment) for each in args),
        env=_texts(value, "env", where, environment),
        cwd=value.get("cwd", ""),
        url=_expanded(value.get("url", ""), where, environment),
        headers=_texts(value, "headers", where, environment),
    )
    if kind == "url" and urlsplit(server.url).scheme not in ("http", "https"):
        raise LiuliError(f'{where}: "url" must begin with http:// or https://')
    if not isinstance(server.cwd, str) or (server.cwd and not Path(server.cwd).is_dir()):
        raise LiuliError(f'{where}: "cwd" is not a folder: create it, or correct the path')
    return server


def _texts(value: dict[str, Any], key: str, where: str, environment: Mapping[str, str]) -> dict[str, str]:
    found = value.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise LiuliError(f'{where}: "{key}" must be an object whose values are texts')
    return {name: _expanded(each, where, environment) for name, each in found.items()}


def _expanded(text: str, where: str, environment: Mapping[str, str]) -> str:
    def value_of(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise LiuliError(f"{where} needs the environment variable {found[1]}, which is not set: set it first")
        return environment[found[1]]

    return VARIABLE.sub(value_of, text)
