"""How the help of every command looks: flags without a type, arguments by their name alone, and examples at the end."""

import shutil
from functools import partial
from textwrap import wrap
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from liuli.errors import LiuliError

NARROW = 72  # columns: in fewer, Typer's table would cut the names of options
NUMBERS = {"int": "a whole number", "float": "a number"}  # by the beginning of what pydantic calls a mistake
UsageError: Any = typer.BadParameter.__bases__[0]  # of the click that Typer brings or imports


def examples(*commands: str) -> str:
    """The end of a command's help: commands that can be typed as they are, one per line."""
    return "\n".join(("Examples:" if len(commands) > 1 else "Example:", *commands))


def with_examples(*commands: str) -> dict[str, Any]:
    """Arguments for Typer's decorator `command`."""
    return {"cls": Command, "epilog": examples(*commands)}


_Mixin: Any = object  # its methods need those of TyperCommand or TyperGroup, which follow it in the order of the bases


class _Help(_Mixin):
    """What commands and groups have in common."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters. Typer would show `<bool>` after a flag, `<str>` after the name of an argument, and brackets around a
        default that is given in words."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            if param.param_type_name == "argument":
                param.display_type_rich = _no_type
            elif param.is_flag:
                param.metavar = ""
            if isinstance(param.show_default, str):
                param._get_default_string = partial(_same, param.show_default)
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line. Typer would write `{MODEL}` for an argument that is required."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help: at a narrow terminal the options are a plain list, not a table."""
        mode = self.rich_markup_mode
        if shutil.get_terminal_size().columns < NARROW:
            self.rich_markup_mode = None
        try:
            super().format_help(ctx, formatter)
        finally:
            self.rich_markup_mode = mode

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Writes the end of a plain help: examples, each on one line, to be copied."""
        for line in ("", *(self.epilog or "").split("\n")):
            lines = [line] if line.startswith("liuli ") else wrap(line, formatter.width)
            formatter.write("".join(f"{each}\n" for each in lines or [""]))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the command's own arguments; an error in them names this command, and not only `liuli`."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            _check_number(error)
            error.ctx = error.ctx or ctx
            raise


def _check_number(error: Any) -> None:
    """Raises LiuliError in place of an error of Typer that a value is not a number, which is worded by pydantic."""
    mistakes = error.__cause__.errors() if hasattr(error.__cause__, "errors") else ()
    for mistake in mistakes:
        kind, given = mistake["type"].split("_")[0], mistake["input"]
        if kind in NUMBERS:
            raise LiuliError(f"{max(error.param.opts, key=len)} must be {NUMBERS[kind]}, not {given!r}") from None


class Command(_Help, TyperCommand):
    """A command, such as `liuli train`."""


class Group(_Help, TyperGroup):
    """A command that has subcommands, such as `liuli data`."""


def _no_type(ctx: Any) -> None:
    """Shows no type."""


def _same(default: str, **_: Any) -> str:
    """The default as it was given."""
    return default
