"""A conversation with a model, without any terminal: messages in, replies out a token at a time.

    talk = Conversation(liuli.load(folder), system="Be brief.")
    completion, records = talk.say("你好")
    for text in trimmed(records): ...        # or the step records themselves
    talk.messages

A turn is a message of the user with all that answers it. Where the whole no longer fits into the model's context, the model is
not told the oldest turns; nothing is taken out of the messages for that.
"""

from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import check, is_size
from liuli.generate.model import Completion, Model
from liuli.generate.record import StepRecord

Message = dict[str, Any]
Reply = tuple[Completion, Generator[StepRecord, None, None]]
ROOM = 4  # a reply is sure of one part in so many of the context, if its limit asks for as much


class Conversation:
    """What was said, and how it goes on.

    A reply is made with `say`, `regenerate` or `edit`. Each checks first, and where it raises nothing has changed. It gives
    a completion that grows as its step records are taken; the reply becomes part of the conversation when they end or are
    closed, as far as it came. One without text does not: its message then waits for a reply.

    Attributes:
        system: the system message. said: all messages after it.
        replies: by its place in `said`, what is known of each reply that was made here.
        left_out: how many of the oldest turns the last reply was made without.
        context: of the model, in tokens. sampling: the settings in force.

    Args:
        max_tokens: of a reply. seed: of the first reply, the next reply has the next; drawn for each where none is given.
        candidates, sampling: as for `Model.stream`.

    Raises:
        LiuliError: the model has no tokenizer or no chat template, or the template refuses a system message; the system
            message does not fit; settings out of range.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        max_tokens: int = 512,
        seed: int | None = None,
        candidates: int | None = None,
        **sampling: Any,
    ):
        self.model, self.context = model, model.config.context
        self.sampling = replace(model.sampling, **sampling)
        self.max_tokens, self.seed = max_tokens, seed
        check(self, "max_tokens", is_size, "a whole number of at least 1")
        check(self, "seed", lambda seed: seed is None or (type(seed) is int and seed >= 0), "a whole number, 0 or more")
        self._candidates, self._given, self._made = candidates, sampling, 0
        self.said: list[Message] = []
        self.replies: dict[int, Completion] = {}
        self.left_out = 0
        self.system: str | None = None
        self.set_system(system)

    @property
    def messages(self) -> list[Message]:
        """All of it, in the form that chat templates and data files have."""
        return _with_system(self.system, self.said)

    @property
    def waits(self) -> bool:
        """Whether the last message has no reply."""
        return bool(self.said) and self.said[-1]["role"] != "assistant"

    @property
    def reply(self) -> Completion | None:
        """What is known of the last reply, and of one without text to a message that waits; None if it was not made here."""
        return self.replies.get(len(self.said) - (not self.waits))

    @property
    def cut_short(self) -> list[int]:
        """The places in `said` of replies that did not come to their end."""
        return [place for place, made in self.replies.items() if place < len(self.said) and made.finish_reason != "stop"]

    @property
    def tokens(self) -> int:
        """How many tokens of the context the conversation takes, without the turns for which there would be no room."""
        return len(self._fitting(self.said)[0]) if self.said else 0

    def say(self, text: str) -> Reply:
        """A new message of the user. It takes the place of one that waits for a reply.

        Raises:
            LiuliError: with the system message it does not fit into the context; the template refuses it.
        """
        before = self.said[: self._question()] if self.waits else self.said
        return self._answer([*before, {"role": "user", "content": text}])

    def edit(self, text: str) -> Reply:
        """Another text for the last message of the user.

        Raises:
            LiuliError: as `say`; nothing was said.
        """
        return self._answer([*self.said[: self._question()], {"role": "user", "content": text}])

    def regenerate(self) -> Reply:
        """Another reply in the place of the last, which stays if the new one has no text.

        Raises:
            LiuliError: nothing was said; the template refuses it.
        """
        self._question()
        return self._answer(self.said if self.waits else self.said[:-1], instead=not self.waits)

    def undo(self) -> list[Message]:
        """Takes back the last turn, and returns it.

        Raises:
            LiuliError: nothing was said.
        """
        place = self._question()
        taken = self.said[place:]
        self._become(self.said[:place])
        return taken

    def last_question(self) -> str:
        """What the user said last. Raises LiuliError where nothing was said."""
        return self.said[self._question()]["content"]

    def set_system(self, text: str | None) -> None:
        """Another system message for what comes, or none.

        Raises:
            LiuliError: it leaves no room for a question; the template refuses it.
        """
        self._check_system(text)
        self.system = text or None

    def load(self, messages: Sequence[Message]) -> None:
        """Another conversation in the place of this one: messages in a possible order (`data/dialogues/messages.py`).

        Raises:
            LiuliError: its system message leaves no room for a question; the template refuses it.
        """
        system = messages[0]["content"] if messages and messages[0]["role"] == "system" else None
        said = list(messages[system is not None :])
        self._check_system(system)
        if said:
            self.model.chat.prompt(_with_system(system, said))
        self.system, self.said, self.replies, self.left_out = system or None, said, {}, 0

    def _answer(self, asked: list[Message], instead: bool = False) -> Reply:
        """A reply to `asked`; `instead` of the last, else `asked` is what was said from now on, whatever comes of it."""
        ids, left_out = self._fitting(asked)
        if len(ids) >= self.context:
            beside = "the system message and " * bool(self.system) + "what the chat template adds"
            raise LiuliError(
                f"the message takes {len(ids):,} tokens with {beside}, but the model's context holds {self.context:,} with the "
                f"reply: shorten it"
            )
        seed = None if self.seed is None else self.seed + self._made
        most = min(self.max_tokens, self.context - len(ids))
        completion, records = self.model.stream(
            ids, most, seed, candidates=self._candidates, stop_ids=(self.model.chat.stop,), **self._given
        )
        self.left_out, self._made = left_out, self._made + 1
        if not instead:
            self._become(asked)
        return completion, self._followed(asked, completion, records)

    def _followed(
        self, asked: list[Message], completion: Completion, records: Iterator[StepRecord]
    ) -> Generator[StepRecord, None, None]:
        """The records; when they end, wherever that is, the reply is part of the conversation."""
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
        same = next((i for i, (old, new) in enumerate(zip(self.said, said, strict=False)) if old is not new), len(said))
        self.replies = {place: made for place, made in self.replies.items() if place < same}
        self.said = said

    def _fitting(self, asked: list[Message]) -> tuple[list[int], int]:
        """The ids of as many of the last turns as leave room for a reply, of one at least, and how many turns are left out."""
        places = [place for place, message in enumerate(asked) if message["role"] == "user"]
        most = self.context - min(self.max_tokens, self.context // ROOM)
        found = bisect_left(places[:-1], True, key=lambda place: len(self._ids(asked[place:])) <= most)
        return self._ids(asked[places[found] :]), found

    def _ids(self, said: list[Message]) -> list[int]:
        return self.model.chat.prompt(_with_system(self.system, said))

    def _check_system(self, text: str | None) -> None:
        size = len(self.model.chat.prompt(_with_system(text, [{"role": "user", "content": "a"}])))
        if size >= self.context:
            raise LiuliError(
                f"the system message takes {size:,} tokens with what the chat template adds, but the model's context holds "
                f"{self.context:,} with all that is said: shorten it"
            )

    def _question(self) -> int:
        places = [place for place, message in enumerate(self.said) if message["role"] == "user"]
        if not places:
            raise LiuliError("nothing has been said yet")
        return places[-1]


def trimmed(records: Iterable[StepRecord]) -> Iterator[str]:
    """The text of a reply as it comes, without white space around it: some templates have their replies begin or end with
    some, and add it again themselves."""
    begun, held = False, ""
    for record in records:
        text = held + (record.text if begun else record.text.lstrip())
        shown = text.rstrip()
        begun, held = begun or shown != "", text[len(shown) :]
        yield shown


def _with_system(system: str | None, said: list[Message]) -> list[Message]:
    return [{"role": "system", "content": system}, *said] if system else said
