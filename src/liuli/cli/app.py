"""The `liuli` command itself: its subcommands, and what happens to a user's error.

Nothing heavy is imported here: `liuli --help` must not wait for PyTorch.
"""

import sys

import typer

from liuli.cli.complete import complete
from liuli.cli.data import data
from liuli.cli.plan import plan
from liuli.cli.tokenize import tokenize
from liuli.cli.tokenizer import tokenizer
from liuli.cli.world import world
from liuli.errors import LiuliError

app = typer.Typer(
    help="Liuli 琉璃: a language model's whole life on your own machine, with the lid off.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(tokenize)
app.command()(complete)
app.command()(plan)
app.add_typer(data, name="data")
app.add_typer(tokenizer, name="tokenizer")
app.add_typer(world, name="world")


def main() -> None:
    """Runs the command. A user's error is one line and exit code 2; Ctrl-C is 130."""
    try:
        app()
    except LiuliError as error:
        print(f"liuli: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"liuli: the output cannot be written: {error}", file=sys.stderr)
        sys.exit(2)
