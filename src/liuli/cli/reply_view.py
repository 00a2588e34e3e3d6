"""How a chat shows a reply: its text as it is generated, and notes before and after it.

The text goes to standard output, notes to standard error.
"""

import sys
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from liuli.cli.output import Screen, note_traceback, say, stream
from liuli.cli.reply_interrupt import ReplyInterrupt
from liuli.cli.work_progress import work_progress
from liuli.display import on_line, printable
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.errors import LiuliError
    from liuli.generate.conversation import Conversation, Reply
    from liuli.generate.model import Completion

NEARLY_FULL = 0.75  # the share of the room for prompts from which the user is warned
LAST_TURNS = 2  # turns of a continued conversation that are shown
BEGINNING = 24  # characters of a message that name it


class ReplyView:
    """Shows the replies of a conversation.

    Attributes:
        interrupt: what Ctrl-C does at a terminal.
    """

    def __init__(self, talk: "Conversation", terminal: bool):
        self.talk, self.terminal = talk, terminal
        self.interrupt = ReplyInterrupt()
        self._notes = Screen(stderr=True)
        self._warned = False  # that the context is nearly full

    def note(self, text: str) -> None:
        """Prints a note about the conversation. In a pipe or a file it begins with the program's name, as errors do; on a
        terminal its style tells the two apart."""
        sys.stdout.flush()
        line = on_line(text if self._notes.is_terminal else f"liuli: {text}")
        self._notes.print_text(line, style="dim")

    def error(self, error: "LiuliError") -> None:
        """Prints what was wrong with a message or a command."""
        note_traceback(error)
        self._notes.print_text(on_line(f"liuli: {error}"))

    def show(self, begin: "Callable[[], Reply]", note: str = "") -> None:
        """A reply as it comes, with a note before it and what is to be said about it."""
        from liuli.generate.conversation import trimmed

        before = self.talk.left_out
        with self.interrupt.during("reply"), work_progress("reading the message") as work:
            completion, records = begin()
            work.show(f"reading {counted(len(completion.prompt_ids), 'token')}")
            if note:
                self.note(note)
            self._note_left_out(before)
            try:
                with closing(records):
                    for text in trimmed(records):
                        if text:
                            work.close()
                        stream(text)
                        if self.interrupt.asked:
                            break
            finally:
                work.close()
                say()
            self._note_end(completion)

    def show_last_turns(self) -> None:
        """The end of a conversation that continues, and how much of the context it takes."""
        said = self.talk.said
        questions = [place for place, message in enumerate(said) if message["role"] == "user"]
        first = questions[-LAST_TURNS:][0]
        if first:
            self.note(f"{counted(first, 'earlier message')} not shown")
        for message in said[first:]:
            say(f"> {message['content']}" if message["role"] == "user" else message["content"])
        self.note_loaded(f"continued: {counted(len(self.talk.messages), 'message')}")

    def note_loaded(self, what: str) -> None:
        """Notes that another conversation has taken the place of the one so far."""
        self.note(f"{what}; {self.left()}")
        if self.talk.waits:
            self.note("the last message has no reply yet: /regenerate makes one")

    def left(self) -> str:
        """How much of the context the conversation takes now."""
        return self._fill(self.talk.tokens, self.talk.outside) if self.talk.said else "there is no message yet"

    def _fill(self, tokens: int, left_out: int) -> str:
        without = f", without {first_turns(left_out)}" if left_out else ""
        return f"context: {tokens:,} of {self.talk.context:,} tokens{without}"

    def _note_left_out(self, before: int) -> None:
        """Once that the context is full, with the turns that the model no longer reads; or that it reads turns again. How many
        turns are left out later is in the line after each reply."""
        now, context = self.talk.left_out, f"the context of {self.talk.context:,} tokens"
        if now > before == 0:
            questions = [message["content"] for message in self.talk.said if message["role"] == "user"]
            verb = "is" if now == 1 else "are"
            unread = f"{first_turns(now)} {verb} no longer read (up to {beginning(questions[now - 1])})"
            self.note(f"{context} is full: {unread}; from now on, the oldest turns make room for new ones")
        elif now < before:
            read = f"all turns but {first_turns(now)} are" if now else "the whole conversation is"
            self.note(f"{context} has room again: {read} read")

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
            self.note(self._fill(full, self.talk.left_out) + seed)
        self._note_nearly_full(full)

    def _note_nearly_full(self, tokens: int) -> None:
        """Once, before the first turns are left out."""
        room = self.talk.room
        if self._warned or tokens < NEARLY_FULL * room:
            return
        self._warned = True
        if not self.talk.left_out:
            self.note(f"the context is nearly full: beyond {room:,} tokens, the model no longer reads the first turns")


def first_turns(count: int) -> str:
    """The first turns of a conversation, in words."""
    return "the first turn" if count == 1 else f"the first {count:,} turns"


def beginning(text: str) -> str:
    """A message by how it begins, on one line."""
    line = " ".join(text.split())
    end = "…" if len(line) > BEGINNING else ""
    return f"“{printable(line[:BEGINNING])}{end}”"
