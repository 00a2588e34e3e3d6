"""A conversation with a model, without a terminal: messages in, replies out token by token.

    talk = Conversation(liuli.load(folder), system="Be brief.")
    completion, records = talk.say("你好")
    for text in trimmed(records): ...        # or the step records themselves
    talk.messages

A turn is a message of the user with everything that answers it. If the whole conversation no longer fits into the model's
context, the oldest turns are left out of what the model reads; they stay in `messages`.
"""

from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import check, is_size, is_whole
from liuli.generate.completion import Completion
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.model import Model
from liuli.generate.record import StepRecord

Message = dict[str, Any]
Reply = tuple[Completion, Generator[StepRecord, None, None]]
REPLY_SHARE = 4  # turns are left out until a reply has 1 / 4 of the context, or its `max_tokens` if that is less


class Conversation:
    """The messages of a conversation, and its next replies.

    A reply is generated with `say`, `regenerate` or `edit`. Each checks everything first: if it raises, nothing has changed.
    It returns a completion that grows as its step records are taken. When the records end or are closed, the reply becomes
    part of the conversation, complete or not. A reply without text does not: its message then waits for a reply.

    Attributes:
        system: the system message, or None. said: all messages after it.
        replies: the completion of each reply that was generated here, by its index in `said`.
        left_out: how many of the oldest turns the last reply was generated without.
        context: of the model, in tokens. sampling: the settings in force.

    Args:
        max_tokens: the most tokens of a reply.
        seed: of the first reply; each later reply uses the next number. By default each reply has a random seed.
        tools: function tools that the chat template describes to the model. A call is part of the reply's text.
        candidates, grammar, sampling: as for `Model.stream`. The grammar is that of every reply.

    Raises:
        LiuliError: the model has no tokenizer or no chat template, or the template refuses a system message or tools; the
            system message does not fit; settings out of range.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        max_tokens: int = 512,
        seed: int | None = None,
        candidates: int | None = None,
        tools: Sequence[dict[str, Any]] = (),
        grammar: Grammar | None = None,
        **sampling: Any,
    ):
        self.model, self.tools = model, tools
        self.context = model.config.context
        self.sampling = replace(model.sampling, **sampling)
        self.max_tokens = max_tokens
        self.seed = seed
        check(self, "max_tokens", is_size, "a whole number of at least 1")
        check(self, "seed", lambda seed: seed is None or is_whole(seed), "a whole number, 0 or more")
        self._candidates = candidates
        self._grammar = grammar
        self._given = sampling
        self._generated = 0
        self.said: list[Message] = []
        self.replies: dict[int, Completion] = {}
        self.left_out = 0
        self.system: str | None = None
        self.set_system(system)

    @property
    def messages(self) -> list[Message]:
        """The whole conversation, in the form of chat templates and data files."""
        return _with_system(self.system, self.said)

    @property
    def waits(self) -> bool:
        """Whether the last message has no reply."""
        return bool(self.said) and self.said[-1]["role"] != "assistant"

    @property
    def reply(self) -> Completion | None:
        """The completion of the last reply, or of a reply without text to the message that waits; None if it was not
        generated here."""
        return self.replies.get(len(self.said) if self.waits else len(self.said) - 1)

    @property
    def cut_short(self) -> list[int]:
        """The indices in `said` of replies that are incomplete."""
        return [
            place for place, completion in self.replies.items() if place < len(self.said) and completion.finish_reason != "stop"
        ]

    @property
    def tokens(self) -> int:
        """How many tokens of the context the conversation takes, without the turns that would be left out."""
        return len(self._fitting(self.said)[0]) if self.said else 0

    @property
    def room(self) -> int:
        """How many tokens a prompt may take, so that there is room for a reply. If it takes more, turns are left out."""
        return self.context - min(self.max_tokens, self.context // REPLY_SHARE)

    @property
    def outside(self) -> int:
        """How many of the oldest turns would be left out now."""
        return self._fitting(self.said)[1] if self.said else 0

    def say(self, text: str) -> Reply:
        """Replies to a new message of the user. It replaces a message that waits for a reply.

        Raises:
            LiuliError: it does not fit into the context with the system message; the template refuses it.
        """
        before = self.said[: self._question()] if self.waits else self.said
        return self._answer([*before, {"role": "user", "content": text}])

    def edit(self, text: str) -> Reply:
        """Changes the text of the user's last message, and replies to it.

        Raises:
            LiuliError: what `say` raises; nothing was said.
        """
        return self._answer([*self.said[: self._question()], {"role": "user", "content": text}])

    def regenerate(self) -> Reply:
        """Replaces the last reply by another one. If the new reply has no text, the last one stays.

        Raises:
            LiuliError: nothing was said; the template refuses it.
        """
        self._question()
        return self._answer(self.said if self.waits else self.said[:-1], instead=not self.waits)

    def undo(self) -> list[Message]:
        """Removes the last turn, and returns it.

        Raises:
            LiuliError: nothing was said.
        """
        place = self._question()
        taken = self.said[place:]
        self._become(self.said[:place])
        return taken

    def last_question(self) -> str:
        """The user's last message. Raises LiuliError if there is none."""
        return self.said[self._question()]["content"]

    def set_system(self, text: str | None) -> None:
        """Sets the system message for the replies to come; None or "" for none.

        Raises:
            LiuliError: it leaves no room for a question; the template refuses it.
        """
        self._check_system(text)
        self.system = text or None

    def load(self, messages: Sequence[Message]) -> None:
        """Replaces this conversation by another one: messages in a possible order (`data/dialogues/messages.py`).

        Raises:
            LiuliError: its system message leaves no room for a question; the template refuses it.
        """
        system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
        said = list(messages[system is not None :])
        self._check_system(system)
        if said:
            self._prompt(_with_system(system, said))
        self.system, self.said, self.replies, self.left_out = system or None, said, {}, 0

    def _answer(self, asked: list[Message], instead: bool = False) -> Reply:
        """A reply to the messages `asked`. These become the conversation at once, whether the reply succeeds or not. A reply
        `instead` of the last one replaces it only when it is there."""
        ids, left_out = self._fitting(asked)
        if len(ids) >= self.context:
            parts = "message, system message and chat template" if self.system else "message and chat template"
            raise LiuliError(
                f"the prompt has {len(ids):,} tokens ({parts}), but the context has only {self.context:,} for prompt and "
                f"reply: shorten the message"
            )
        completion, records = self.model.stream(
            ids,
            max_tokens=min(self.max_tokens, self.context - len(ids)),
            seed=None if self.seed is None else self.seed + self._generated,
            candidates=self._candidates,
            stop_ids=self.model.chat.stops,
            grammar=self._grammar,
            **self._given,
        )
        self.left_out = left_out
        self._generated += 1
        if not instead:
            self._become(asked)
        return completion, self._followed(asked, completion, records)

    def _followed(
        self, asked: list[Message], completion: Completion, records: Iterator[StepRecord]
    ) -> Generator[StepRecord, None, None]:
        """The records. When they end or are closed, the reply becomes part of the conversation."""
        try:
            yield from records
        finally:
            completion.finish_reason = completion.finish_reason or "cancelled"
            content = completion.text.strip()
            if content:
                self._become([*asked, {"role": "assistant", "content": content}])
            if content or self.waits:
                self.replies[len(asked)] = completion

    def _become(self, said: list[Message]) -> None:
        """Replaces the messages by `said`. The completions of replies that are not in it are forgotten."""
        same = next((i for i, (old, new) in enumerate(zip(self.said, said, strict=False)) if old is not new), len(said))
        self.replies = {place: completion for place, completion in self.replies.items() if place < same}
        self.said = said

    def _fitting(self, asked: list[Message]) -> tuple[list[int], int]:
        """The ids of as many of the last turns as leave room for a reply, at least one; and how many turns are left out."""
        places = [place for place, message in enumerate(asked) if message["role"] == "user"]
        found = bisect_left(places[:-1], True, key=lambda place: len(self._ids(asked[place:])) <= self.room)
        return self._ids(asked[places[found] :]), found

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        return self.model.chat.prompt(messages, self.tools)

    def _ids(self, said: list[Message]) -> list[int]:
        return self._prompt(_with_system(self.system, said))

    def _check_system(self, text: str | None) -> None:
        question = [{"role": "user", "content": "a"}]
        try:
            size = len(self._prompt(_with_system(text, question)))
        except LiuliError:
            if not text and self._takes(_with_system("a", question)):
                raise LiuliError("the chat template needs a system message: give one (--system)") from None
            raise
        if size >= self.context:
            what, less = "the system message takes", "shorten the system message"
            if self.tools:
                what, less = "the tools and the system message take", "give fewer tools"
            raise LiuliError(
                f"{what} {size:,} tokens with the chat template, but the model's context has only "
                f"{self.context:,} tokens in all: {less}"
            )

    def _takes(self, messages: Sequence[Message]) -> bool:
        """Whether the chat template accepts the messages."""
        try:
            self._prompt(messages)
        except LiuliError:
            return False
        return True

    def _question(self) -> int:
        places = [place for place, message in enumerate(self.said) if message["role"] == "user"]
        if not places:
            raise LiuliError("there is no message yet: send one first")
        return places[-1]


def trimmed(records: Iterable[StepRecord]) -> Iterator[str]:
    """The text of a reply as it is generated, without white space around it: with some templates replies begin or end with
    white space, which the template itself adds again."""
    begun = False
    held = ""  # white space that is shown only if something follows it
    for record in records:
        text = held + (record.text if begun else record.text.lstrip())
        shown = text.rstrip()
        held = text[len(shown) :]
        begun = begun or shown != ""
        yield shown


def _with_system(system: str | None, said: list[Message]) -> list[Message]:
    return [{"role": "system", "content": system}, *said] if system else said
