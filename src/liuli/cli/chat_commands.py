"""The commands of a chat: lines that begin with /."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rich.table import Table

from liuli.cli.input import BLOCK, ChatInput
from liuli.cli.kept_conversations import KeptConversation
from liuli.cli.output import Screen, stream
from liuli.cli.reply_view import BEGINNING, ReplyView, beginning, first_turns
from liuli.cli.step_record import explain_steps, print_step
from liuli.display import drives_terminal, printable
from liuli.errors import LiuliError
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.conversation import Conversation


class ChatCommands:
    """What each command does. All raise LiuliError, and then change nothing."""

    def __init__(self, talk: "Conversation", lines: ChatInput, view: ReplyView, kept: KeptConversation):
        self._talk, self._lines, self._view, self._kept = talk, lines, view, kept

    def regenerate(self, _: str) -> None:
        """Generates another reply to the last message."""
        same = "at temperature 0 the reply will be the same" if self._talk.sampling.temperature == 0 else ""
        self._view.show(self._talk.regenerate, same)

    def edit(self, text: str) -> None:
        """Changes your last message and generates a new reply."""
        before = self._talk.last_question()
        if not text and not self._lines.terminal:
            raise LiuliError("/edit needs the new text: /edit TEXT")
        if not text and any(drives_terminal(c) and c not in "\n\t" for c in before):
            raise LiuliError("your last message contains control characters: give the new text as /edit TEXT")
        if not text:
            with self._view.interrupt.during("line"):
                text = self._lines.edited(before)
        if text:
            self._view.show(lambda: self._talk.edit(text))
        else:
            self._view.note("the message was not changed")

    def undo(self, _: str) -> None:
        """Removes your last message and its reply."""
        taken = self._talk.undo()
        self._view.note(f"removed: {beginning(taken[0]['content'])}; {self._view.left()}")

    def system(self, text: str) -> None:
        """Shows the system message; with TEXT sets it; with - removes it."""
        if text:
            self._talk.set_system(None if text == "-" else text)
            done = "the system message was removed" if text == "-" else "the system message is set for the next replies"
            self._view.note(done)
        else:
            stream(f"{self._talk.system or '(no system message)'}\n")

    def candidates(self, _: str) -> None:
        """Shows the most likely tokens at each step of the last reply."""
        made = self._talk.reply
        if made is None:
            raise LiuliError("there is no reply whose candidates can be shown: send a message first (loaded replies have none)")
        if self._talk.left_out:
            self._view.note(f"the model has not read {first_turns(self._talk.left_out)}, for which the context had no room")
        screen, greedy = Screen(), made.sampling.temperature == 0
        if not greedy:
            explain_steps(screen)
        for record in made.steps:
            if record.scores is not None:
                print_step(screen, record, greedy)

    def save(self, name: str) -> None:
        """Writes the conversation to a new file, as one line of JSON that liuli finetune can read."""
        from liuli.cli.dialogue_file import write_dialogue

        messages = self._talk.messages
        write_dialogue(name, messages, self._talk.tools)
        cut = f", {len(self._talk.cut_short):,} of them cut short" if self._talk.cut_short else ""
        self._view.note(f"{printable(name)}: {counted(len(messages), 'message')}{cut}")

    def load(self, name: str) -> None:
        """Loads the conversation on the first line of a file, and continues it."""
        from liuli.cli.dialogue_file import first_dialogue

        messages, more = first_dialogue(name)
        self._talk.load(messages)
        self._kept.begin(messages)
        self._view.note_loaded(f"{printable(name)}: {counted(len(messages), 'message')}")
        if more:
            self._view.note(f"{printable(name)}: the dialogues after the first were not read")

    def help(self, _: str) -> None:
        """Lists the commands."""
        table = Table.grid(padding=(0, 2))
        for name, (takes, run) in COMMANDS.items():
            names = ", ".join([name, *(alias for alias, meant in ALIASES.items() if meant == name)])
            table.add_row(f"{names} {takes}", " ".join((run.__doc__ or "").split()))
        table.add_row("Ctrl-C", "Stops a reply and keeps the part so far.")
        table.add_row("\\", "At the end of a line: the message continues on the next line.")
        table.add_row(BLOCK, "Put it before and after a message that has several lines or begins with /.")
        Screen().print(table)

    def quit(self, _: str) -> None:
        """Leaves the chat, as Ctrl-D does."""
        raise EOFError

    def obey(self, text: str) -> None:
        """Runs a command.

        Raises:
            EOFError: the chat is to end.
            LiuliError: there is no such command; it has an argument too many or too few; it fails.
        """
        typed, *rest = text.split(maxsplit=1)
        name = ALIASES.get(typed.lower(), typed.lower())
        if name not in COMMANDS:
            raise _unknown(typed)
        takes, run = COMMANDS[name]
        if rest and not takes and name != "/quit":  # "/quit now" can only mean one thing
            raise LiuliError(f"{name} takes no argument: type {name} alone")
        if not rest and takes and not takes.startswith("["):
            raise LiuliError(f"{name} needs an argument: {name} {takes}")
        run(self, *rest or [""])


COMMANDS: dict[str, tuple[str, Callable[[ChatCommands, str], None]]] = {  # what comes after it, what it does
    "/regenerate": ("", ChatCommands.regenerate),
    "/edit": ("[TEXT]", ChatCommands.edit),
    "/undo": ("", ChatCommands.undo),
    "/system": ("[TEXT]", ChatCommands.system),
    "/candidates": ("", ChatCommands.candidates),
    "/save": ("FILE", ChatCommands.save),
    "/load": ("FILE", ChatCommands.load),
    "/help": ("", ChatCommands.help),
    "/quit": ("", ChatCommands.quit),
}
SIMILAR = 0.7  # from 0 to 1, so that an unknown word is not taken for a command of another meaning
ALIASES = {"/exit": "/quit", "/bye": "/quit"}


def refuse_bare_command(text: str) -> None:
    """Raises LiuliError if a message is only the name of a command without its /."""
    typed = f"/{text.lower()}"
    if typed in COMMANDS or typed in ALIASES:
        raise LiuliError(
            f"“{text}” was not sent, because {typed} is a command: type {typed}, or {BLOCK}{text}{BLOCK} to send it"
        )


def _unknown(typed: str) -> LiuliError:
    names, name = [*COMMANDS, *ALIASES], typed.lower()
    begun = [each for each in names if each.startswith(name) and name != "/"]
    near = begun or get_close_matches(name, names, n=1, cutoff=SIMILAR)
    known = f"did you mean {' or '.join(near)}?" if near else f"the commands are {', '.join(COMMANDS)}."
    shown = printable(typed[:BEGINNING])
    return LiuliError(f"there is no command {shown}; {known} To send it as a message, put {BLOCK} before and after it")
