"""`liuli chat`: talk with a model, at a terminal or through a pipe."""

import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from liuli.cli.input import ChatInput
from liuli.cli.options import Adapter, Device, Dtype, Pattern, Threads, check_compute
from liuli.cli.output import Screen, note_traceback, say, stream
from liuli.cli.reply_interrupt import ReplyInterrupt
from liuli.cli.sampling import MinP, Temperature, TopK, TopP, named_as_typed, only_given, set_threads, settings_line
from liuli.cli.step_record import print_step
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
    folder: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's folder, .gguf file, or owner/model.", show_default=False)
    ],
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message: how the model is to answer.")] = None,
    max_tokens: Annotated[int, typer.Option(help="How many tokens a reply has at most.")] = 512,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the first reply, the next has the next; drawn and said where not given.")
    ] = None,
    adapter: Adapter = None,
    pattern: Pattern = None,
    device: Device = "cpu",
    dtype: Dtype = "fp32",
    threads: Threads = None,
) -> None:
    """Talk with a model. /help lists what else can be done; piped in, each line is a message."""
    check_compute(device, dtype, threads)
    sampling = only_given(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)

    from liuli.generate.conversation import Conversation
    from liuli.generate.model import load

    model = load(folder, device=device, dtype=dtype, pattern=pattern, adapter=adapter)
    set_threads([model], threads)
    try:
        talk = Conversation(model, system, max_tokens, seed, CANDIDATES, **sampling)
    except LiuliError as error:
        raise named_as_typed(error) from None
    session = Session(talk, ChatInput(terminal=sys.stdin.isatty() and sys.stdout.isatty()))
    session.note(f"{model.path}, a context of {talk.context:,} tokens; chat template: {model.chat.origin}")
    session.note(settings_line(model, talk.sampling, seed, sampling))
    if model.stage == "base":
        session.note("its card says that it is a base: it has not learned to answer (liuli finetune)")
    session.run()


class Session:
    """A conversation and who holds it. At a terminal a mistake is one line, and all goes on; in a pipe it is the end, as what
    follows may depend on what went wrong. Replies go to standard output, what is said about them to standard error."""

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
        """Something about the conversation, beside it."""
        sys.stdout.flush()
        line = on_line(text if self.terminal else f"liuli: {text}")
        self._notes.print(Text(line, style="dim"), soft_wrap=True)

    def say(self, text: str) -> None:
        """A message, and the reply to it."""
        instead = "it takes the place of your message before, which had no reply" if self.talk.waits else ""
        self._show(lambda: self.talk.say(text), instead)

    def regenerate(self, _: str) -> None:
        """Another reply to the last message."""
        same = "at temperature 0 it can only be the same" if self.talk.sampling.temperature == 0 else ""
        self._show(self.talk.regenerate, same)

    def edit(self, text: str) -> None:
        """Changes your last message, and has it answered anew."""
        before = self.talk.last_question()
        if not text and not self.terminal:
            raise LiuliError("say what your last message is to be: /edit TEXT")
        if not text and any(drives_terminal(c) and c not in "\n\t" for c in before):
            raise LiuliError("your last message has characters that would drive the terminal: replace it with /edit TEXT")
        if not text:
            with self._ctrl_c.during("line"):
                text = self.lines.edited(before)
        if text:
            self._show(lambda: self.talk.edit(text))
        else:
            self.note("left as it was")

    def undo(self, _: str) -> None:
        """Takes your last message back, with its reply."""
        taken = self.talk.undo()
        self.note(f"taken back: {_beginning(taken[0]['content'])}; {self._left()}")

    def system(self, text: str) -> None:
        """Shows the system message, sets it, or with - takes it away."""
        if text:
            self.talk.set_system(None if text == "-" else text)
            self.note("no system message" if text == "-" else "set, for the replies to come")
        else:
            stream(f"{self.talk.system or '(no system message)'}\n")

    def candidates(self, _: str) -> None:
        """The last reply step by step: what else it could have said."""
        made = self.talk.reply
        if made is None:
            raise LiuliError("no reply was made here whose candidates could be shown")
        screen = Screen()
        for record in made.steps:
            if record.scores is not None:
                print_step(screen, record, greedy=made.sampling.temperature == 0)

    def save(self, name: str) -> None:
        """Writes the conversation to a new file, as a line of JSON that `liuli finetune` reads too."""
        from liuli.cli.dialogue_file import write_dialogue

        messages = self.talk.messages
        write_dialogue(name, messages)
        cut = f", {len(self.talk.cut_short):,} of them cut short" if self.talk.cut_short else ""
        self.note(f"{printable(name)}: {counted(len(messages), 'message')}{cut}")

    def load(self, name: str) -> None:
        """Goes on with the conversation in a file (its first line)."""
        from liuli.cli.dialogue_file import first_dialogue

        messages, more = first_dialogue(name)
        self.talk.load(messages)
        said = f"{printable(name)}: {counted(len(messages), 'message')}; {self._left()}"
        self.note(f"{said}; the dialogues after the first were not read" if more else said)
        if self.talk.waits:
            self.note("the last message has no reply yet: /regenerate makes one")

    def help(self, _: str) -> None:
        """Lists the commands."""
        for name, (takes, run) in COMMANDS.items():
            say(f"{f'{name} {takes}':<16}{' '.join((run.__doc__ or '').split())}")
        say(f"{'/quit':<16}Leaves; so does Ctrl-D. Ctrl-C stops a reply and keeps what there is of it.")
        say('A line that ends with \\ goes on in the next; """ begins and ends a message of several lines, or one that')
        say("begins with /.")

    def _obey(self, text: str) -> None:
        name, *rest = text.split(maxsplit=1)
        if name not in COMMANDS:
            raise LiuliError(f'there is no command {printable(name[:BEGINNING])}: /help lists them, and """{name}""" says it')
        takes, run = COMMANDS[name]
        if rest and not takes:
            raise LiuliError(f"nothing comes after {name}")
        if not rest and takes and not takes.startswith("["):
            raise LiuliError(f"{name} needs more: {name} {takes}")
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
            self.note("stopped, and kept as far as it came" if completion.text.strip() else "stopped before it said anything")
        elif completion.finish_reason == "length":
            limit = f"{counted(self.talk.max_tokens, 'token')} (--max-tokens)"
            limit = "the context is full" if full == self.talk.context else limit
            self.note(f"cut here: {limit}")
        if not completion.text.strip() and completion.finish_reason != "cancelled":
            self.note("an empty reply: /regenerate makes another")
        if self.terminal:
            seed = f", seed {completion.seed}" if completion.sampling.temperature != 0 else ""
            self.note(self._fill(full) + seed)

    def _note_left_out(self, before: int) -> None:
        """Which turns the model is no longer told, and whether some are told again."""
        now = self.talk.left_out
        said = [message["content"] for message in self.talk.said if message["role"] == "user"]
        if now > before:
            named = ", ".join(map(_beginning, said[before:now][:NAMED]))
            more = f" and {now - before - NAMED:,} more" if now - before > NAMED else ""
            self.note(f"the context is full: the model is no longer told {named}{more}, nor what was answered")
        elif now < before:
            told = f"{counted(before - now, 'exchange')} more, of the oldest" if now else "the whole conversation"
            self.note(f"there is room again: the model is told {told}")

    def _left(self) -> str:
        """How much of the context the conversation takes now."""
        return self._fill(self.talk.tokens) if self.talk.said else "nothing is said yet"

    def _fill(self, tokens: int) -> str:
        return f"{tokens:,} of {self.talk.context:,} tokens"


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
