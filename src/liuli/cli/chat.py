"""`liuli chat`: talk with a model, at a terminal or through a pipe."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from liuli.cli.chat_commands import ChatCommands, refuse_bare_command
from liuli.cli.input import ChatInput
from liuli.cli.kept_conversations import KeptConversation
from liuli.cli.options import Adapter, Device, Dtype, ModelName, Pattern, Threads, check_compute, check_model
from liuli.cli.output import say
from liuli.cli.reply_view import ReplyView
from liuli.cli.sampling import named_as_typed, only_given, set_threads, settings_line, with_sampling_options
from liuli.cli.structure import Choices, GrammarFile, Regex, SchemaText, grammar_of
from liuli.cli.work_progress import work_progress
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.conversation import Conversation
    from liuli.generate.model import Model

CANDIDATES = 5  # recorded at each step
LEAVING = "Ctrl-D or /quit to leave"


@with_sampling_options
def chat(
    model: ModelName,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Begin with this system message, which tells the model how to answer.")
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Describe the function tools in this JSON file to the model. The chat prints the model's tool calls but does "
            "not run them.",
        ),
    ] = None,
    continued: Annotated[
        bool, typer.Option("--continue", help="Continue the last conversation with this model at a terminal.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(metavar="N", help="Generate at most this many tokens per reply.")] = 512,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Set the random seed of the first reply. Each later reply uses the next number.",
            show_default="chosen at random and printed",
        ),
    ] = None,
    schema: SchemaText = None,
    regex: Regex = None,
    choices: Choices = None,
    grammar: GrammarFile = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
    **sampling: float | None,
) -> None:
    """Talk with a model. Type /help for the commands. If standard input is a pipe, each line is one message."""
    check_model(model, adapter)
    form = grammar_of(schema, regex, choices, grammar)
    given = only_given(**sampling)
    with work_progress("starting"):
        check_compute(device, dtype, threads)
    with work_progress(f"opening {model}"):
        from liuli.cli.dialogue_file import read_tools
        from liuli.generate.conversation import Conversation
        from liuli.generate.model import load

        offered = read_tools(tools) if tools else ()
        opened = load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
        set_threads([opened], threads)
        try:
            talk = Conversation(opened, system, max_tokens, seed, CANDIDATES, offered, form, **given)
        except LiuliError as error:
            raise named_as_typed(error) from None
        kept = KeptConversation(opened)
        if continued:
            _continue_last(talk, kept, system)
    session = Session(talk, ChatInput(terminal=sys.stdin.isatty() and sys.stdout.isatty()), kept)
    session.introduce(settings_line(opened, talk.sampling, seed, given))
    session.run()


def _continue_last(talk: "Conversation", kept: KeptConversation, system: str | None) -> None:
    """Loads the last conversation with the model; a system message that was given takes the place of its own."""
    talk.load(kept.continue_last())
    if system is not None:
        talk.set_system(system)


def _untrained(model: "Model") -> str:
    """That it is a base model; "" if nothing shows this. A published model has a chat template if it was trained to answer, and
    an adapter was trained on something in any case."""
    from liuli.hub import what_holds
    from liuli.tokens.chat.chat import has_template

    if model.stage == "base":
        return "this is a base model"
    if model.adapter is None and not has_template(model.folder):
        return f"{what_holds(model.folder)} has no chat template, so this is probably a base model"
    return ""


class Session:
    """A conversation and its input. At a terminal a mistake is reported on one line, and the chat continues; the conversation
    is kept. In a pipe a mistake ends the chat, since the next lines may depend on what failed."""

    def __init__(self, talk: "Conversation", lines: ChatInput, kept: KeptConversation):
        self._talk, self._lines, self._kept = talk, lines, kept
        self._keeps = lines.terminal
        self.view = ReplyView(talk, lines.terminal)
        self._commands = ChatCommands(talk, lines, self.view, kept)

    def introduce(self, settings: str) -> None:
        """Notes which model it is, and the sampling settings in force."""
        model = self._talk.model
        self.view.note(f"{model.path}, a context of {self._talk.context:,} tokens; chat template: {model.chat.origin}")
        self.view.note(settings)
        if untrained := _untrained(model):
            self.view.note(f"{untrained}, which has not been trained to answer: make an assistant of it with liuli finetune")

    def run(self) -> None:
        """Until nothing more comes, or /quit."""
        if not self._lines.terminal:
            while self._goes_on():
                pass
            return
        with self.view.interrupt:
            self.view.note(f"type /help for the commands, Ctrl-C to stop a reply, {LEAVING}")
            if self._talk.said:
                self.view.show_last_turns()
            while self._goes_on():
                self._keep()
            if where := self._kept.where():
                self.view.note(f"kept in {where}; --continue continues it")

    def _goes_on(self) -> bool:
        """Takes one message or command."""
        try:
            self._take()
        except EOFError:
            return False
        except KeyboardInterrupt:
            if not self._lines.terminal:
                raise
            say()
            self.view.note(f"type {LEAVING}")
        except LiuliError as error:
            if not self._lines.terminal:
                raise LiuliError(f"line {self._lines.number}: {error}") from None
            self.view.error(error)
        return True

    def _take(self) -> None:
        with self.view.interrupt.during("line"):
            try:
                entry = self._lines.read()
            except EOFError:
                if self._lines.terminal:
                    say()
                raise
        if entry.command:
            self._commands.obey(entry.text)
            return
        if self._lines.terminal and not entry.quoted:
            refuse_bare_command(entry.text)
        instead = "this replaces your previous message, which has no reply" if self._talk.waits else ""
        self.view.show(lambda: self._talk.say(entry.text), instead)

    def _keep(self) -> None:
        """Writes the conversation to its file. If that fails once, it is not tried again."""
        if not self._keeps:
            return
        try:
            with work_progress("hashing the model"):
                self._kept.keep(self._talk.messages)
        except LiuliError as error:
            self._keeps = False
            self.view.error(error)
