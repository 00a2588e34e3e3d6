"""The `liuli` command itself: its subcommands, and what happens to a user's error.

Nothing heavy is imported here: `liuli --help` must not wait for PyTorch.
"""

import io
import os
import sys
from typing import Annotated, Any

import typer

from liuli import __version__
from liuli.cli.begin import begin
from liuli.cli.chat import chat
from liuli.cli.compare import compare
from liuli.cli.complete import complete
from liuli.cli.data import data
from liuli.cli.evaluate import evaluate
from liuli.cli.finetune import finetune
from liuli.cli.merge import merge
from liuli.cli.plan import plan
from liuli.cli.runs import runs
from liuli.cli.tokenize import tokenize
from liuli.cli.tokenizer import tokenizer
from liuli.cli.train import train
from liuli.cli.world import world
from liuli.display import why
from liuli.errors import LiuliError

app = typer.Typer(
    help="Liuli 琉璃: a language model's whole life on your own machine, with the lid off.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
UsageError: Any = typer.BadParameter.__bases__[0]  # of the click that Typer brings or imports, as it may be


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"liuli {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options of `liuli` alone."""


app.command()(begin)
app.command()(tokenize)
app.command()(complete)
app.command()(chat)
app.command()(plan)
app.command()(train)
app.command()(finetune)
app.command()(compare)
app.command()(evaluate)
app.command()(merge)
app.command()(runs)
app.add_typer(data, name="data")
app.add_typer(tokenizer, name="tokenizer")
app.add_typer(world, name="world")


def main() -> None:
    """Runs the command. A user's error is one line and exit code 2; Ctrl-C is 130.

    What a terminal's encoding lacks is printed as "?".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = app(prog_name="liuli", standalone_mode=False)
        sys.stdout.flush()
    except UsageError as error:
        code = _fail(_usage(error))
    except LiuliError as error:
        code = _fail(str(error))
    except OSError as error:
        what = "the output cannot be written" if error.filename is None else f"{error.filename} cannot be read or written"
        code = _fail(f"{what}: {why(error)}")
        _drop_output()
    if code == 130:
        _fail("interrupted")
    sys.exit(code)


def _drop_output() -> None:
    """What could not be written must not be tried again when the interpreter ends, which would have an exit code of its own."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(line: str) -> int:
    if line:
        print(f"liuli: {line}", file=sys.stderr)
    return 2


def _usage(error: Any) -> str:
    """A mistake in the command line on one line; nothing where Typer has printed the help of a command without arguments."""
    said = " ".join(error.format_message().split()).rstrip(".")
    if not said or error.ctx is None:
        return f"{said}; try liuli --help" * bool(said)
    arguments = any(each.param_type_name == "argument" for each in error.ctx.command.params)
    hint = ", or put -- before an argument that begins with -" * (arguments and said.startswith("No such option"))
    return f"{said}; try {error.ctx.command_path} --help{hint}"
