"""The help of every command: full sentences, no types of Python, and examples at the end that can be typed."""

import re
import shlex

import pytest
from helpers.commands import COMMANDS

from liuli.cli.options import ADAPTER, MODEL

REPLACED = r"\b(a token|a byte|go(es|ne)? on|told|beside|anew|mend|take away|likeliest|whoever|all of it)\b"  # see STYLE.md
WORDS = {  # what stands for a value in any command: each means one thing
    "MODEL", "ADAPTER", "RUN", "FOLDER", "FILE", "SOURCE", "DATA", "PROMPT", "TEXT", "PREFIX", "SIZE", "TYPE", "DEVICE",
    "FIELD", "NAME", "RANK", "QUESTION", "TABLE", "SCHEMA", "TOOL", "URL", "SHARE", "NUMBER", "N", "K", "P",
}  # fmt: skip


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
    assert "default: (" not in " ".join(result.out.split())
    usage = next(line for line in result.out.splitlines() if "Usage: " in line)
    assert "{" not in usage
    assert result.out.rstrip().splitlines()[-1].strip() == examples_of(name)[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_words_for_values_mean_one_thing(name):
    for param in COMMANDS[name].params:
        words = set(re.findall(r"[A-Z]+", param.metavar or ""))
        assert words <= WORDS, f"{param.name}: {param.metavar}"
        if "ADAPTER" in words:
            assert ADAPTER in param.help
        if "MODEL" in words and param.param_type_name == "argument":
            assert MODEL in param.help


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_option_points_to_the_commands_own_help(liuli, name):
    result = liuli(*name.split()[1:], "--no-such-option")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("liuli: No such option: --no-such-option")
    assert f"; try {name} --help" in result.err and result.err.count("\n") == 1


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_help_of_liuli_names_every_command(liuli, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = liuli("--help").out
    for name in COMMANDS:
        _, *rest = name.split()
        if len(rest) == 1:
            assert re.search(rf"^\W*{rest[0]} ", shown, re.MULTILINE), name
