"""The `liuli` command itself: its subcommands, and what happens when one fails.

Nothing heavy is imported here: `liuli --help` must not wait for PyTorch.
"""

import io
import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from liuli import __version__
from liuli.background import exit_interrupted
from liuli.cli.begin import begin
from liuli.cli.chat import chat
from liuli.cli.compare import compare
from liuli.cli.complete import complete
from liuli.cli.convert import convert
from liuli.cli.data import data
from liuli.cli.evaluate import evaluate
from liuli.cli.finetune import finetune
from liuli.cli.help_text import Group, UsageError, examples, with_examples
from liuli.cli.look.command import look
from liuli.cli.merge import merge
from liuli.cli.output import TRACEBACK, note, note_error, note_traceback, say, show_traceback
from liuli.cli.plan import plan
from liuli.cli.runs import runs
from liuli.cli.tokenize import tokenize
from liuli.cli.tokenizer import tokenizer
from liuli.cli.train import train
from liuli.cli.work_progress import WorkProgress
from liuli.cli.world import world
from liuli.display import why
from liuli.errors import LiuliError

app = typer.Typer(
    help="Liuli 琉璃: train, fine-tune, run and inspect language models on your own machine.",
    cls=Group,
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


COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {  # each with the examples at the end of its help
    begin: ("liuli begin", "liuli begin --out second --seed 1 --tokens 2e6"),
    tokenize: (
        'liuli tokenize liuli-begin/run "Ming went to the fair" --steps',
        "liuli tokenize liuli-begin/assistant --chat liuli-begin/dialogues.jsonl",
    ),
    complete: (
        "liuli complete liuli-begin/run 小明今天去游乐园玩 --steps",
        'liuli complete openai-community/gpt2 "Once upon a time" --max-tokens 50 --seed 7',
    ),
    chat: (
        "liuli chat liuli-begin/assistant",
        'liuli chat Qwen/Qwen2.5-0.5B-Instruct --system "Answer in one sentence." --temperature 0',
    ),
    plan: ("liuli plan gpt3-175b", "liuli plan small --tokens 1e9 --gpu rtx4090"),
    train: ("liuli train liuli-begin/world/documents.jsonl --out my-run --minutes 10", "liuli train --out my-run --resume"),
    finetune: (
        "liuli finetune my-run liuli-begin/dialogues.jsonl --out my-assistant --minutes 5",
        "liuli finetune Qwen/Qwen2.5-0.5B my-dialogues.jsonl --out my-adapter --lora 8",
    ),
    compare: (
        "liuli compare liuli-begin/run liuli-begin/assistant --prompt 小明住在哪儿？",
        "liuli compare liuli-begin/assistant --file my-questions.txt",
    ),
    evaluate: (
        "liuli evaluate liuli-begin/run liuli-begin/world",
        "liuli evaluate liuli-begin/assistant liuli-begin/dialogues.jsonl --exact",
        "liuli evaluate openai-community/gpt2 my-text.txt",
    ),
    look: (
        "liuli look",
        "liuli look liuli-begin/run 小明今天去游乐园玩 --view lens",
        "liuli look liuli-begin/run 今天小明 --with 昨天小明 --word 小明 --view context",
        "liuli look liuli-begin/run --view learning --with liuli-begin/world",
        "liuli look openai-community/gpt2 Hello --view attention --layer 5 --head 1",
    ),
    merge: ("liuli merge Qwen/Qwen2.5-0.5B my-adapter --out my-model",),
    convert: (
        "liuli convert my-assistant --gguf my-assistant.gguf --type q8_0",
        "liuli convert model.gguf --out my-model --dtype bf16",
    ),
    runs: ("liuli runs", "liuli runs liuli-begin/run"),
}
for function, shown in COMMANDS.items():
    app.command(**with_examples(*shown))(function)
app.add_typer(data, name="data")
app.add_typer(tokenizer, name="tokenizer")
app.add_typer(world, name="world")


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
