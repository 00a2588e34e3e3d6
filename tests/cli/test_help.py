"""The help of every command: full sentences, no types of Python, and examples at the end that can be typed."""

import re
import shlex
from typing import Any

import pytest
import typer

from liuli.cli.app import app

REPLACED = r"\b(a token|a byte|go(es|ne)? on|told|beside|anew|mend|take away|likeliest|whoever|all of it)\b"  # see STYLE.md


def commands() -> dict[str, Any]:
    """Every command and group, by the words that are typed for it."""
    found = {}

    def add(words: str, command: Any) -> None:
        found[words] = command
        for name, each in getattr(command, "commands", {}).items():
            add(f"{words} {name}", each)

    add("liuli", typer.main.get_command(app))
    return found


COMMANDS = commands()


def examples_of(name: str) -> list[str]:
    """The lines of a command's last paragraph, below their heading."""
    heading, *lines = COMMANDS[name].epilog.split("\n\n")[-1].split("\n")
    assert heading == ("Examples:" if len(lines) > 1 else "Example:")
    return lines


def addressed(words: list[str]) -> tuple[str, list[str]]:
    """The command that a typed line calls, and what it is given."""
    name, *rest = words
    while rest and f"{name} {rest[0]}" in COMMANDS:
        name = f"{name} {rest.pop(0)}"
    return name, rest


@pytest.mark.parametrize("name", COMMANDS)
def test_help_texts_are_sentences(name):
    texts = {param.name: param.help for param in COMMANDS[name].params} | {"the command": COMMANDS[name].help}
    for about, text in texts.items():
        assert re.fullmatch(r"[A-Z].*\.", text, re.S) and len(text.split()) >= 3, f"{about}: {text}"
        assert not re.search(REPLACED, text), f"{about}: {text}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_examples_of_the_command(name):
    for line in examples_of(name):
        called, given = addressed(shlex.split(line))
        assert called == name or called.startswith(f"{name} "), line
        COMMANDS[called].make_context(called, given)  # raises if an option does not exist, or an argument is missing


@pytest.mark.parametrize("name", COMMANDS)
def test_help_as_it_is_printed(liuli, name):
    result = liuli(*name.split()[1:], "--help", columns=200)
    assert (result.code, result.err) == (0, "")
    assert not re.search(r"<(bool|str|int|float|path|list)", result.out)
    usage = next(line for line in result.out.splitlines() if "Usage: " in line)
    assert "{" not in usage
    assert result.out.rstrip().splitlines()[-1].strip() == examples_of(name)[-1]
