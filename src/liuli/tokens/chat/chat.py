"""Converts messages to ids, with a loss mask for training.

    chat = Chat.open(folder, tokenizer)
    ids = chat.prompt([{"role": "user", "content": "你好"}])            # up to the beginning of the reply
    ids, supervised = chat.dialogue(messages)[:2]                        # a whole dialogue, with the loss mask

A chat template renders the messages as one text (`sandbox.py`). The text is encoded with a loss mask, which says which tokens
are supervised (`mask.py`). The loss mask is computed only when a whole dialogue is encoded. So a model can be used for chat
even if its template allows no loss mask.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.hub import what_holds
from liuli.tokens.chat.folder_templates import DEFAULT, chosen_template, folder_templates
from liuli.tokens.chat.marks import Marks, Messages
from liuli.tokens.chat.mask import REPLY, Encoded, RenderedText
from liuli.tokens.chat.sandbox import Renderer
from liuli.tokens.chat.templates import CHATML_TOKENS, built_in_template
from liuli.tokens.tokenizer import Tokenizer

__all__ = ["Chat", "Encoded", "has_template"]

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}  # for templates that refuse a chat without one
MADE_UP = ({"role": "user", "content": "a"}, {"role": "assistant", "content": REPLY})


class Chat:
    """A tokenizer with a chat template.

    Attributes:
        template: the Jinja source; if there are several templates, the default one.
        origin: a text for users that says where the template comes from.

    Args:
        template: a Jinja source, or several by name (see `folder_templates.py`).
        names: the variables that the template can read next to the messages; None: the tokenizer's named tokens.
        today: the date that the template gets, such as 2026-11-27; None: the current date.

    Raises:
        LiuliError: the template is broken.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: str | Mapping[str, str],
        origin: str,
        names: dict[str, str] | None = None,
        today: str | None = None,
    ):
        self.tokenizer, self.origin = tokenizer, origin
        self._templates = {DEFAULT: template} if isinstance(template, str) else dict(template)
        self._first = DEFAULT if DEFAULT in self._templates else next(iter(self._templates))
        self.template = self._templates[self._first]
        self._names, self._today = tokenizer.names if names is None else names, today
        self._renderers: dict[str, Renderer] = {}
        self._renderer(self._first)

    @classmethod
    def open(cls, folder: Path, tokenizer: Tokenizer, today: str | None = None) -> "Chat":
        """Returns the chat of a folder or a GGUF file: with its own template if it has one, else with a built-in template whose
        tokens are in the tokenizer.

        Raises:
            LiuliError: there is no template, and the tokenizer does not have the tokens of a built-in one; a file is broken.
        """
        own = cls.own(folder, tokenizer, today)
        if own is not None:
            return own
        built_in = built_in_template(tokenizer)
        if built_in is not None:
            template, name = built_in
            return cls(tokenizer, template, f"{name}, as {what_holds(folder)} has no template")
        raise LiuliError(
            f"{folder} contains no chat template, and its tokenizer has no {' and '.join(CHATML_TOKENS)}, so the model was "
            f"probably not trained to answer: fine-tune it first (liuli finetune)"
        )

    @classmethod
    def own(cls, folder: Path, tokenizer: Tokenizer, today: str | None = None) -> "Chat | None":
        """Returns the chat with the template of the folder or the GGUF file itself; None if it has no template.

        Raises:
            LiuliError: a file or a template is broken.
        """
        templates = folder_templates(folder)
        return cls(tokenizer, templates, f"{what_holds(folder)}'s own template", today=today) if templates else None

    @cached_property
    def stop(self) -> int:
        """The id of the token that the template writes after a reply.

        Raises:
            LiuliError: the template writes no such token, or leaves replies out.
        """
        found = self._rendered.end_of_reply(self._made_up)
        if found is None:
            raise LiuliError(
                f"the supervised tokens cannot be found: no special token of the tokenizer ends a reply in the chat template "
                f"({self.origin}); use a template that writes one after each reply"
            )
        return found

    @cached_property
    def stops(self) -> tuple[int, ...]:
        """The ids that end a reply, in addition to those in the model's files: the token that the template writes after a
        reply, or if there is none, the token that ends a document."""
        try:
            found = [self.stop]
        except LiuliError:  # an error for training only
            found = self.tokenizer.end
        return tuple(token_id for token_id in found if token_id not in self.tokenizer.missing)

    def prompt(self, messages: Messages, tools: Sequence[Any] = ()) -> list[int]:
        """Returns the ids of the messages, up to the beginning of the next reply.

        Raises:
            LiuliError: the template refuses the messages or fails; there is no template for such a conversation.
        """
        renderer = self._renderer(self._chosen(tools))
        marks = self._marks(renderer, messages, tools, True)
        (text,) = renderer.render([(marks.messages, marks.tools, True)])
        return [token_id for token_id, _, _ in self._rendered.encode(text, marks)[1]]

    def question(self, text: str) -> list[int]:
        """Returns the ids of one question, up to the beginning of its reply. It has a system message only if the template
        refuses a conversation without one.

        Raises:
            LiuliError: see `prompt`.
        """
        return self.prompt([*self._made_up_messages[:-2], {"role": "user", "content": text}])

    def dialogue(self, messages: Messages, tools: Sequence[Any] = ()) -> Encoded:
        """Returns the ids of a whole dialogue, with its loss mask.

        Raises:
            LiuliError: see `prompt` and `stop`; no message is a reply; or a reply cannot be found in the text, because the
                template leaves it out, or writes the messages before it differently when the reply follows.
        """
        replies = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
        if not replies:
            raise LiuliError("the dialogue has no message of role assistant, so it has no supervised tokens: add a reply")
        stop = self.stop
        renderer = self._renderer(self._chosen(tools))
        marks = self._marks(renderer, messages, tools, False)
        asked = [(marks.messages, marks.tools, False), *((marks.messages[:i], marks.tools, True) for i in replies)]
        text, *beginnings = renderer.render(asked)
        for i, beginning in zip(replies, beginnings, strict=True):
            if not text.startswith(beginning):
                raise LiuliError(
                    f"the supervised tokens cannot be found: the chat template writes the text before message {i + 1}, a "
                    f"reply, differently when the dialogue continues ({self.origin}); use a template that only appends text"
                )
        return self._rendered.encode_with_mask(text, marks, beginnings, stop)

    def special_ids(self) -> tuple[int, ...]:
        """Returns the control tokens that the template writes around a question and its answer, in order."""
        return self._rendered.control_ids(self._made_up)

    def template_for(self, tools: Sequence[Any]) -> str:
        """Returns the Jinja source of the template for a conversation with these tools. Raises the errors of `prompt`."""
        return self._templates[self._chosen(tools)]

    def _chosen(self, tools: Sequence[Any]) -> str:
        return chosen_template(self._templates, bool(tools))

    def _renderer(self, name: str) -> Renderer:
        if name not in self._renderers:
            self._renderers[name] = Renderer(self._templates[name], self._names, self._today)
        return self._renderers[name]

    def _marks(self, renderer: Renderer, messages: Messages, tools: Sequence[Any], replying: bool) -> Marks:
        """Returns the messages in which typed control strings are marked.

        In the assistant's messages, two kinds are not marked: the model's own markers (`_own_markers`), and control strings
        that the template searches for. To find the latter, the messages are rendered once with each string unmarked. If the
        rendered text differs in more than the marks, the template searches for the string.
        """
        marks = Marks(self._rendered.controls, messages, tools, self._own_markers)
        typed = sorted(marks.by_assistant)
        if not typed:
            return marks
        trials = [marks, *(marks.keeping(frozenset({text})) for text in typed)]
        texts = renderer.render([(trial.messages, trial.tools, replying) for trial in trials])
        plain = [trial.read(text).text for trial, text in zip(trials, texts, strict=True)]
        return marks.keeping(frozenset(text for text, found in zip(typed, plain[1:], strict=True) if found != plain[0]))

    @cached_property
    def _own_markers(self) -> frozenset[str]:
        """Control strings that a model writes inside its replies, such as `<think>` and `<tool_call>`: the tokens that are not
        special (so they are shown as text) and that the template does not write around a question and its answer."""
        plain = {text for text in self._rendered.written if text not in self.tokenizer.specials}
        if not plain:
            return frozenset()
        try:
            whole = self._made_up
            (asked,) = self._renderer(self._first).render([(self._made_up_messages[:-1], (), True)])
        except LiuliError:
            return frozenset()
        same = next((i for i, (one, other) in enumerate(zip(asked, whole, strict=False)) if one != other), len(asked))
        around = asked[:same] + REPLY + whole.partition(REPLY)[2]
        return frozenset(plain - {self.tokenizer.token(token_id).text for token_id in self._rendered.control_ids(around)})

    @cached_property
    def _rendered(self) -> RenderedText:
        """Encodes rendered text. Its control strings are the special tokens, and those added tokens that occur in the
        template's source or in a dialogue that it renders."""
        plain = [text for text, token in self.tokenizer.added.items() if not token.special and not text.isspace()]
        if not plain:
            return RenderedText(self.tokenizer)
        every = RenderedText(self.tokenizer, plain)
        found = set(every.control_ids("\n".join(self._templates.values())))
        with suppress(LiuliError):  # the template refuses the made-up dialogue
            found.update(every.control_ids(self._made_up))
        return RenderedText(self.tokenizer, [text for text in plain if self.tokenizer.added[text].id in found])

    @cached_property
    def _made_up_messages(self) -> Messages:
        """A made-up question and its reply, with a system message if the template refuses a conversation without one."""
        try:
            self._renderer(self._first).render([(MADE_UP, (), False)])
        except LiuliError:
            with suppress(LiuliError):
                self._renderer(self._first).render([((SYSTEM, *MADE_UP), (), False)])
                return (SYSTEM, *MADE_UP)
            raise
        return MADE_UP

    @cached_property
    def _made_up(self) -> str:
        """The rendered text of `_made_up_messages`."""
        return self._renderer(self._first).render([(self._made_up_messages, (), False)])[0]


def has_template(folder: Path) -> bool:
    """Returns whether the folder or the GGUF file has a chat template."""
    return bool(folder_templates(folder))
