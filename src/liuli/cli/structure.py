"""The options that say what a completion must look like: a schema, a regular expression, choices, or a grammar."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liuli.display import printable, why
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.constraints.grammar import Grammar

LONGEST = 4 << 20  # bytes of a file

SchemaText = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="SCHEMA",
        help="Write JSON that is valid under this schema: a file with a JSON Schema, or a short schema such as "
        "'name, age int, tags list'.",
    ),
]
Regex = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Write a text that this regular expression matches as a whole."),
]
Choices = Annotated[str | None, typer.Option(metavar="TEXT", help="Write one of these texts; they are separated by commas.")]
GrammarFile = Annotated[
    Path | None,
    typer.Option("--grammar", metavar="FILE", help="The text follows the grammar in this file, which is in Lark's syntax."),
]


def grammar_of(schema: str | None, regex: str | None, choices: str | None, grammar: Path | None) -> "Grammar | None":
    """The grammar that the options ask for; None if none was given.

    Raises:
        LiuliError: several were given; a file cannot be read; what `Grammar` raises.
    """
    given = {"--schema": schema, "--regex": regex, "--choices": choices, "--grammar": grammar}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise LiuliError(f"{names[0]} and {names[1]} cannot be used together: give one of them")
    if not names:
        return None
    from liuli.generate.constraints.grammar import Grammar

    if schema is not None:
        return Grammar.of_schema(read_schema(schema))
    if regex is not None:
        return Grammar.of_regex(regex)
    if choices is not None:
        return Grammar.of_choices([choice.strip() for choice in choices.split(",")])
    assert grammar is not None
    return Grammar.of_lark(_read(grammar))


def read_schema(given: str) -> Any:
    """The JSON Schema in a file, or the one that a short schema means.

    Raises:
        LiuliError: there is no such file, or it does not hold JSON; the short schema is wrong.
    """
    from liuli.generate.constraints.short_schema import short_schema

    path = Path(given)
    if given.lstrip().startswith("{"):
        return _parsed(given, "the schema")
    if path.suffix == ".json" or path.is_file():
        return _parsed(_read(path), printable(given))
    return short_schema(given)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LiuliError(f"{where} is not JSON: {printable(str(error))}; give a JSON Schema") from None


def _read(path: Path) -> str:
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        text = data.decode()
    except UnicodeDecodeError:
        raise LiuliError(f"{shown} is not UTF-8 text: convert it to UTF-8") from None
    except OSError as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}") from None
    if len(data) > LONGEST:
        raise LiuliError(f"{shown} is longer than {LONGEST >> 20} MB: give a smaller file")
    return text
