"""Every command and group of `liuli`, by the words that are typed for it."""

from typing import Any

import typer

from liuli.cli.app import app


def _commands() -> dict[str, Any]:
    found = {}

    def add(words: str, command: Any) -> None:
        found[words] = command
        for name, each in getattr(command, "commands", {}).items():
            add(f"{words} {name}", each)

    add("liuli", typer.main.get_command(app))
    return found


COMMANDS = _commands()
