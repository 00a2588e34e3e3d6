"""`liuli chat`: talk with a model, at a terminal or through a pipe."""

import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from liuli.cli.input import ChatInput
from liuli.cli.options import Adapter, Device, Dtype, ModelName, Pattern, Threads, check_compute, check_model
from liuli.cli.output import Screen, note_traceback, say, stream
from liuli.cli.reply_interrupt import ReplyInterrupt
from liuli.cli.sampling import MinP, Temperature, TopK, TopP, named_as_typed, only_given, set_threads, settings_line
from liuli.cli.step_record import explain_steps, print_step
from liuli.cli.wording import counted
from liuli.display import drives_terminal, on_line, printable
from liuli.errors import LiuliError

if TYPE_CHECKING:
    from liuli.generate.conversation import Conversation, Reply
    from liuli.generate.model import Completion

CANDIDATES = 5  # recorded at each step
BEGINNING = 24  # characters of a message that name it
NAMED = 3  # messages that are named where several are left out
LEAVING = "Ctrl-D or /quit leaves"


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
    max_tokens: Annotated[int, typer.Option(metavar="N", help="Generate at most this many tokens per reply.")] = 512,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Set the random seed of the first reply. Each later reply uses the next number.",
            show_default="chosen at random and printed",
        ),
    ] = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
) -> None:
    """Talk with a model. Type /help for the commands. If standard input is a pipe, each line is one message."""
    check_model(model, adapter)
    check_compute(device, dtype, threads)
    sampling = only_given(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)

    from liuli.cli.dialogue_file import read_tools
    from liuli.generate.conversation import Conversation
    from liuli.generate.model import load

    offered = read_tools(tools) if tools else ()
    opened = load(model, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
    set_threads([opened], threads)
    try:
        talk = Conversation(opened, system, max_tokens, seed, CANDIDATES, offered, **sampling)
    except LiuliError as error:
        raise named_as_typed(error) from None
    session = Session(talk, ChatInput(terminal=sys.stdin.isatty() and sys.stdout.isatty()))
    session.note(f"{opened.path}, a context of {talk.context:,} tokens; chat template: {opened.chat.origin}")
    session.note(settings_line(opened, talk.sampling, seed, sampling))
    if opened.stage == "base":
        session.note("this is a base model, which has not been trained to answer: make an assistant of it with liuli finetune")
    session.run()


class Session:
    """A conversation and its input. At a terminal a mistake is reported on one line, and the chat continues. In a pipe it ends
    the chat, since the next lines may depend on what failed. Replies go to standard output, notes to standard error."""

    def __init__(self, talk: "Conversation", lines: ChatInput):
        self.talk, self.lines, self.terminal = talk, lines, lines.terminal
        self._notes, self._ctrl_c = Screen(stderr=True), ReplyInterrupt()

    def run(self) -> None:
        """Until nothing more comes, or /quit."""
        with self._ctrl_c if self.terminal else nullcontext():
            if self.terminal:
                self.note(f"/help lists the commands; Ctrl-C stops a reply, {LEAVING}")
            while self._goes_on():
                pass

    def _goes_on(self) -> bool:
        """Takes one message or command."""
        try:
            with self._ctrl_c.during("line"):
                text, command = self.lines.read()
            if command and text == "/quit":
                return False
            self._obey(text) if command else self.say(text)
        except EOFError:
            if self.terminal:
                say()
            return False
        except KeyboardInterrupt:
            if not self.terminal:
                raise
            say()
            self.note(LEAVING)
        except LiuliError as error:
            if not self.terminal:
                raise LiuliError(f"line {self.lines.number}: {error}") from None
            note_traceback(error)
            self._notes.print(Text(on_line(f"liuli: {error}")), soft_wrap=True)
        return True

    def note(self, text: str) -> None:
        """Prints a note about the conversation to standard error."""
        sys.stdout.flush()
        line = on_line(text if self.terminal else f"liuli: {text}")
        self._notes.print_text(line, style="dim")

    def say(self, text: str) -> None:
        """Takes a message and prints the reply to it."""
        instead = "this replaces your previous message, which has no reply" if self.talk.waits else ""
        self._show(lambda: self.talk.say(text), instead)

    def regenerate(self, _: str) -> None:
        """Generates another reply to the last message."""
        same = "at temperature 0 the reply will be the same" if self.talk.sampling.temperature == 0 else ""
        self._show(self.talk.regenerate, same)

    def edit(self, text: str) -> None:
        """Changes your last message and generates a new reply."""
        before = self.talk.last_question()
        if not text and not self.terminal:
            raise LiuliError("/edit needs the new text: /edit TEXT")
        if not text and any(drives_terminal(c) and c not in "\n\t" for c in before):
            raise LiuliError("your last message contains control characters: give the new text as /edit TEXT")
        if not text:
            with self._ctrl_c.during("line"):
                text = self.lines.edited(before)
        if text:
            self._show(lambda: self.talk.edit(text))
        else:
            self.note("the message was not changed")

    def undo(self, _: str) -> None:
        """Removes your last message and its reply."""
        taken = self.talk.undo()
        self.note(f"removed: {_beginning(taken[0]['content'])}; {self._left()}")

    def system(self, text: str) -> None:
        """Shows the system message; with TEXT sets it; with - removes it."""
        if text:
            self.talk.set_system(None if text == "-" else text)
            self.note("the system message was removed" if text == "-" else "the system message is set for the next replies")
        else:
            stream(f"{self.talk.system or '(no system message)'}\n")

    def candidates(self, _: str) -> None:
        """Shows the most likely tokens at each step of the last reply."""
        made = self.talk.reply
        if made is None:
            raise LiuliError("there is no reply whose candidates can be shown: send a message first (loaded replies have none)")
        screen, greedy = Screen(), made.sampling.temperature == 0
        if not greedy:
            explain_steps(screen)
        for record in made.steps:
            if record.scores is not None:
                print_step(screen, record, greedy)

    def save(self, name: str) -> None:
        """Writes the conversation to a new file, as one line of JSON that `liuli finetune` can read."""
        from liuli.cli.dialogue_file import write_dialogue

        messages = self.talk.messages
        write_dialogue(name, messages, self.talk.tools)
        cut = f", {len(self.talk.cut_short):,} of them cut short" if self.talk.cut_short else ""
        self.note(f"{printable(name)}: {counted(len(messages), 'message')}{cut}")

    def load(self, name: str) -> None:
        """Loads the conversation on the first line of a file, and continues it."""
        from liuli.cli.dialogue_file import first_dialogue

        messages, more = first_dialogue(name)
        self.talk.load(messages)
        said = f"{printable(name)}: {counted(len(messages), 'message')}; {self._left()}"
        self.note(f"{said}; the dialogues after the first were not read" if more else said)
        if self.talk.waits:
            self.note("the last message has no reply yet: /regenerate makes one")

    def help(self, _: str) -> None:
        """Lists the commands."""
        screen = Screen()
        commands = {f"{name} {takes}": " ".join((run.__doc__ or "").split()) for name, (takes, run) in COMMANDS.items()}
        commands["/quit"] = "Leaves the chat, as Ctrl-D does. Ctrl-C stops a reply and keeps the part so far."
        for typed, does in commands.items():
            screen.print_text(does, before=f"{typed:<16}")
        say('A line that ends with \\ continues on the next line. Put """ around a message that has several lines or begins')
        say("with /.")

    def _obey(self, text: str) -> None:
        name, *rest = text.split(maxsplit=1)
        if name not in COMMANDS:
            shown = printable(name[:BEGINNING])
            raise LiuliError(f'there is no command {shown}: see /help. To send it as a message, type """{name}"""')
        takes, run = COMMANDS[name]
        if rest and not takes:
            raise LiuliError(f"{name} takes no argument: type {name} alone")
        if not rest and takes and not takes.startswith("["):
            raise LiuliError(f"{name} needs an argument: {name} {takes}")
        run(self, *rest or [""])

    def _show(self, begin: "Callable[[], Reply]", note: str = "") -> None:
        """A reply as it comes, with a note before it and what is to be said about it."""
        from liuli.generate.conversation import trimmed

        before = self.talk.left_out
        with self._ctrl_c.during("reply"):
            completion, records = begin()
            if note:
                self.note(note)
            self._note_left_out(before)
            try:
                with closing(records):
                    for text in trimmed(records):
                        stream(text)
                        if self._ctrl_c.asked:
                            break
            finally:
                say()
            self._note_end(completion)

    def _note_end(self, completion: "Completion") -> None:
        full = len(completion.prompt_ids) + len(completion.ids)
        if completion.finish_reason == "cancelled":
            begun = bool(completion.text.strip())
            self.note("reply stopped; the part so far is kept" if begun else "reply stopped before its first word")
        elif completion.finish_reason == "length":
            limit = f"it reached {counted(self.talk.max_tokens, 'token')} (--max-tokens)"
            limit = "the context is full" if full == self.talk.context else limit
            self.note(f"the reply ends here: {limit}")
        if not completion.text.strip() and completion.finish_reason != "cancelled":
            self.note("the reply is empty: /regenerate makes another")
        if self.terminal:
            seed = f"; seed {completion.seed}" if completion.sampling.temperature != 0 else ""
            self.note(self._fill(full) + seed)

    def _note_left_out(self, before: int) -> None:
        """Which messages the model no longer sees, and whether it sees some again."""
        now = self.talk.left_out
        said = [message["content"] for message in self.talk.said if message["role"] == "user"]
        if now > before:
            named = ", ".join(map(_beginning, said[before:now][:NAMED]))
            more = f" and {now - before - NAMED:,} more" if now - before > NAMED else ""
            self.note(f"the context is full: the model no longer sees {named}{more} and the replies to them")
        elif now < before:
            seen = f"also sees {counted(before - now, 'older exchange')}" if now else "sees the whole conversation"
            self.note(f"there is room again: the model {seen}")

    def _left(self) -> str:
        """How much of the context the conversation takes now."""
        return self._fill(self.talk.tokens) if self.talk.said else "there is no message yet"

    def _fill(self, tokens: int) -> str:
        return f"context: {tokens:,} of {self.talk.context:,} tokens"


COMMANDS: dict[str, tuple[str, Callable[[Session, str], None]]] = {  # what comes after it, what it does
    "/regenerate": ("", Session.regenerate),
    "/edit": ("[TEXT]", Session.edit),
    "/undo": ("", Session.undo),
    "/system": ("[TEXT]", Session.system),
    "/candidates": ("", Session.candidates),
    "/save": ("FILE", Session.save),
    "/load": ("FILE", Session.load),
    "/help": ("", Session.help),
}


def _beginning(text: str) -> str:
    """A message by how it begins, on one line."""
    line = " ".join(text.split())
    end = "…" if len(line) > BEGINNING else ""
    return f"“{printable(line[:BEGINNING])}{end}”"
