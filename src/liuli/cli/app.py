"""The `liuli` command itself: its subcommands, and what happens when one fails.

Nothing heavy is imported here: `liuli --help` must not wait for PyTorch.
"""

import io
import logging
import os
import sys
from typing import Annotated, Any

import typer

from liuli import __version__
from liuli.background import exit_interrupted
from liuli.cli.commands import Commands
from liuli.cli.help_text import Group, UsageError, examples
from liuli.cli.output import TRACEBACK, note, note_error, note_traceback, say, show_traceback
from liuli.cli.work_progress import WorkProgress
from liuli.display import why
from liuli.errors import LiuliError


class Liuli(Group):
    """The command `liuli`."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.commands = Commands()


app = typer.Typer(
    help="Liuli 琉璃: train, fine-tune, run and inspect language models on your own machine.",
    cls=Liuli,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Set the environment variable {TRACEBACK}=1 to see where an error comes from, with all its causes.\n\n"
    + examples("liuli begin", "liuli complete liuli-begin/run 小明今天去游乐园玩 --steps", "liuli chat liuli-begin/assistant"),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"liuli {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of `liuli` alone."""


def main() -> None:
    """Runs the command that was typed, and exits: 0, or 2 after a mistake of the user, which is printed on one line, or 130
    after Ctrl-C. A bug in Liuli is printed as a traceback, and exits with 1.

    What a terminal's encoding lacks is printed as "?".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    _print_log()
    try:
        code = app(prog_name="liuli", standalone_mode=False)
        sys.stdout.flush()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # a library in Rust that panics raises no Exception
        code = _fail(error)
    if code == 130:
        note("interrupted")
        exit_interrupted()
    sys.exit(code)


class NoteHandler(logging.Handler):
    """Prints what the library logs, such as a download, as a remark. A download shows its own bars."""

    def emit(self, record: logging.LogRecord) -> None:
        if WorkProgress.current is not None:
            WorkProgress.current.close()
        note(record.getMessage())


def _print_log() -> None:
    """A program that imports Liuli sees its log only if it asks for it; the command line prints it."""
    logger = logging.getLogger("liuli")
    logger.handlers = [NoteHandler()]
    logger.setLevel(logging.INFO)


def _fail(error: BaseException) -> int:
    """Prints what went wrong, and returns the exit code."""
    if isinstance(error, UsageError):
        said = _usage(error)
    elif isinstance(error, LiuliError):
        said = str(error)
    elif isinstance(error, OSError):
        what = "the output cannot be written" if error.filename is None else f"{error.filename} cannot be read or written"
        said = f"{what}: {why(error)}"
    else:
        show_traceback(error)
        note("this is a bug in Liuli: please report it with the lines above")
        return 1
    note_traceback(error)
    if said:
        note_error(said)
    if isinstance(error, OSError):
        _drop_output()
    return 2


def _drop_output() -> None:
    """Makes the interpreter forget output that could not be written. It would try again at its end, and exit with a code of
    its own."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: Any) -> str:
    """A mistake in the command line on one line; nothing if Typer has printed the help of a command without arguments."""
    said = " ".join(error.format_message().split()).rstrip(".")
    if not said or error.ctx is None:
        return f"{said}; try liuli --help" if said else ""
    arguments = any(each.param_type_name == "argument" for each in error.ctx.command.params)
    dashed = arguments and said.startswith("No such option")
    hint = ", or put -- before an argument that begins with -" if dashed else ""
    return f"{said}; try {error.ctx.command_path} --help{hint}"
