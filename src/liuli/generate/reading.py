"""How a model reads a prompt: a base the plain text, an assistant the messages as its own chat template writes them.

Whether a model is an assistant is told by its folder: it holds a chat template of its own, and its card (`liuli.json`) does
not say that it is a base. A base trained here has ChatML's tokens but no template, and so reads plain text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.model import Completion, Model
from liuli.generate.record import StepRecord
from liuli.tokens import Tokenizer
from liuli.tokens.chat.chat import Chat


@dataclass(frozen=True, slots=True)
class Prompt(Record):
    """`messages` that end with the user's. `source` says for people where they are from. `typed`: it is one text, in which a
    base reads special strings as `liuli complete` does; what was said in a dialogue stays text."""

    source: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    typed: bool = False

    @classmethod
    def of_text(cls, text: str, source: str) -> "Prompt":
        return cls(source, ({"role": "user", "content": text},), typed=True)

    @property
    def text(self) -> str:
        """What was said, a message a line.

        Raises:
            LiuliError: tools belong to it, for which plain text has no form.
        """
        if self.tools or any(message["role"] == "tool" or message.get("tool_calls") for message in self.messages):
            raise LiuliError("the dialogue has tools, for which plain text has no form: compare assistants alone on it")
        return "\n".join(message["content"] for message in self.messages)


class Reader:
    """A model, and how it reads.

    Attributes:
        chat: its template; None: it reads plain text.
        sampling: the folder's own settings, but for those that were `given`.

    Raises:
        LiuliError: it has no tokenizer, or a broken template; a setting out of range.
    """

    def __init__(self, model: Model, sampling: Mapping[str, Any]):
        if model.tokenizer is None:
            raise LiuliError(f"{model.path} holds no tokenizer: it cannot read a prompt")
        self.model, self.tokenizer = model, model.tokenizer
        self.given, self.sampling = dict(sampling), replace(model.sampling, **sampling)
        self.chat = None if model.stage == "base" else _template(model, self.tokenizer)

    def ids(self, prompt: Prompt) -> list[int]:
        """The prompt as it reads it.

        Raises:
            LiuliError: plain text has no form for it, or the template refuses it.
        """
        if self.chat is not None:
            return self.chat.prompt(prompt.messages, prompt.tools)
        if prompt.typed:
            return self.tokenizer.encode(prompt.text, prompt=True)
        return [*self.tokenizer.begin, *self.tokenizer.encode(prompt.text)]

    def begin(self, prompt: Prompt, max_tokens: int, seed: int, candidates: int) -> tuple[Completion, Iterator[StepRecord]]:
        """An answer that grows as its steps are taken; all that can be wrong with the prompt is found before the first.

        Raises:
            LiuliError: as `ids`; the prompt does not fit. It names the prompt and the model.
        """
        ends = () if self.chat is None else (self.chat.stop,)
        try:
            return self.model.stream(self.ids(prompt), max_tokens, seed, (), candidates, ends, **self.given)
        except LiuliError as error:
            raise LiuliError(f"{prompt.source}, read by {self.model.path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        config, tokenizer = self.model.config, self.tokenizer
        return self.model.identity() | {
            "stage": self.model.stage,
            "reads": "text" if self.chat is None else "template",
            "template": None if self.chat is None else self.chat.origin,
            "context": config.context,
            "vocab_size": config.vocab_size,
            "tokenizer": {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size},
            "sampling": self.sampling.to_json(),
            "sampling_source": self.model.sampling_source,
        }


def same_pieces(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether every id stands for the same piece in both."""
    if (one.vocab_size, one.encoder.style) != (other.vocab_size, other.encoder.style):
        return False
    return all(
        one.token(id) == other.token(id) and one.encoder.piece(id) == other.encoder.piece(id) for id in range(one.vocab_size)
    )


def _template(model: Model, tokenizer: Tokenizer) -> Chat | None:
    """The template that lies beside the adapter, else the one beside the model."""
    beside = Chat.own(model.adapter, tokenizer) if model.adapter else None
    try:
        return beside or Chat.own(model.folder, tokenizer)
    except LiuliError as error:
        raise LiuliError(f"{model.path}: {error}") from None
