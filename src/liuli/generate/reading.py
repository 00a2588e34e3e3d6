"""How a model reads a prompt: a base model reads plain text, an assistant the messages as its own chat template writes them.

A model is an assistant if its folder holds a chat template, unless its card (`liuli.json`) says that it is a base. A base
trained here has ChatML's tokens but no template, so it reads plain text.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.completion import Completion
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.model import Model
from liuli.generate.record import StepRecord
from liuli.tokens import Tokenizer
from liuli.tokens.chat.chat import Chat


@dataclass(frozen=True, slots=True)
class Prompt(Record):
    """What a model is asked.

    Attributes:
        source: where the prompt is from, for people.
        messages: the last one is the user's.
        typed: whether it is one text, in which a base reads special strings as `liuli complete` does. In the messages of a
            dialogue they stay text.
    """

    source: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    typed: bool = False

    @classmethod
    def of_text(cls, text: str, source: str) -> "Prompt":
        return cls(source, ({"role": "user", "content": text},), typed=True)

    @property
    def text(self) -> str:
        """The contents of the messages, one message per line.

        Raises:
            LiuliError: the prompt has tools, which plain text cannot represent.
        """
        if self.tools or any(message["role"] == "tool" or message.get("tool_calls") for message in self.messages):
            raise LiuliError("the dialogue has tools, and a base model reads only plain text: compare only assistants on it")
        return "\n".join(message["content"] for message in self.messages)


class PromptReader:
    """A model, and how it reads prompts.

    Attributes:
        chat: its chat template; None: it reads plain text.
        given: the sampling settings that replace the folder's own. sampling: all settings in force.

    Raises:
        LiuliError: the model has no tokenizer, or a broken template; a setting is out of range.
    """

    def __init__(self, model: Model, sampling: Mapping[str, Any]):
        if model.tokenizer is None:
            raise LiuliError(f"{model.path} contains no tokenizer, so it cannot read a prompt: add its tokenizer files")
        self.model = model
        self.tokenizer = model.tokenizer
        self.given = dict(sampling)
        self.sampling = replace(model.sampling, **sampling)
        self.chat = None if model.stage == "base" else _template(model, self.tokenizer)

    def ids(self, prompt: Prompt) -> list[int]:
        """The prompt as this model reads it.

        Raises:
            LiuliError: plain text cannot represent it, or the template refuses it.
        """
        if self.chat is not None:
            return self.chat.prompt(prompt.messages, prompt.tools)
        if prompt.typed:
            return self.tokenizer.encode(prompt.text, prompt=True)
        return [*self.tokenizer.begin, *self.tokenizer.encode(prompt.text)]

    def begin(
        self, prompt: Prompt, max_tokens: int, seed: int | None, candidates: int | None, grammar: Grammar | None = None
    ) -> tuple[Completion, Iterator[StepRecord]]:
        """An answer that grows as its steps are taken. The prompt is checked before the first step. The arguments are those of
        `Model.stream`.

        Raises:
            LiuliError: what `ids` raises; the prompt does not fit. The message names the prompt and the model.
        """
        ends = () if self.chat is None else self.chat.stops
        try:
            ids = self.ids(prompt)
            return self.model.stream(ids, max_tokens, seed, candidates=candidates, stop_ids=ends, grammar=grammar, **self.given)
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
        one.token(token_id) == other.token(token_id) and one.encoder.piece(token_id) == other.encoder.piece(token_id)
        for token_id in range(one.vocab_size)
    )


def _template(model: Model, tokenizer: Tokenizer) -> Chat | None:
    """The template in the adapter's folder, else the one in the model's."""
    of_adapter = Chat.own(model.adapter, tokenizer) if model.adapter else None
    try:
        return of_adapter or Chat.own(model.folder, tokenizer)
    except LiuliError as error:
        raise LiuliError(f"{model.path}: {error}") from None
