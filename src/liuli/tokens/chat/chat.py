"""Messages to ids, and which of them a model learns to write.

    chat = Chat.open(folder, tokenizer)
    ids = chat.prompt([{"role": "user", "content": "你好"}])            # up to where the reply begins
    ids, supervised = chat.dialogue(messages)[:2]                        # whole, with the loss mask

The template makes one text of the messages (`sandbox.py`); the text becomes ids with a loss mask (`mask.py`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liuli.display import why
from liuli.errors import LiuliError
from liuli.tokens.chat.mask import MADE_UP, Encoded, Marks, Messages, RenderedText
from liuli.tokens.chat.sandbox import LARGEST, Renderer
from liuli.tokens.chat.templates import BERT, CHATML
from liuli.tokens.formats.settings import read_settings
from liuli.tokens.tokenizer import Tokenizer

__all__ = ["CHATML_TOKENS", "Chat", "Encoded", "has_template"]

CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


class Chat:
    """A tokenizer with a chat template.

    Attributes:
        template: Jinja.
        origin: where the template is from, for people.
        stop: the id that ends a reply.

    Args:
        names: what else the template can read.
        today: what the template takes for today, as 2026-11-27; None: the clock.

    Raises:
        LiuliError: the template fails, or no special token ends its replies.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: str, origin: str, names: dict[str, str] | None = None, today: str | None = None
    ):
        self.tokenizer, self.template, self.origin = tokenizer, template, origin
        self._renderer = Renderer(template, names or {}, today)
        self._rendered = RenderedText(tokenizer)
        before, whole = self._renderer.render([(MADE_UP[:1], (), True), (MADE_UP, (), False)])
        self.stop = self._rendered.stop(before, whole)

    @classmethod
    def open(cls, folder: Path, tokenizer: Tokenizer, today: str | None = None) -> "Chat":
        """With the folder's own template, or else with the form for BERT's vocabulary or ChatML, for which the tokenizer has
        tokens.

        Raises:
            LiuliError: there is none, and the tokenizer has no tokens for either form; a broken file or template.
        """
        own = cls.own(folder, tokenizer, today)
        if own is not None:
            return own
        if tokenizer.kind == "WordPiece" and "[SEP]" in tokenizer.specials:
            return cls(tokenizer, BERT, "the form [CLS] … [SEP] … [SEP], as the folder has no template")
        if all(token in tokenizer.specials for token in CHATML_TOKENS):
            return cls(tokenizer, CHATML, "ChatML, as the folder has no template")
        raise LiuliError(
            f"{folder} has no chat template, and its tokenizer no {' and '.join(CHATML_TOKENS)}: it has not learned to answer; "
            f"fine-tune it first (liuli finetune)"
        )

    @classmethod
    def own(cls, folder: Path, tokenizer: Tokenizer, today: str | None = None) -> "Chat | None":
        """With the template that the folder itself holds; None if it holds none.

        Raises:
            LiuliError: a broken file or template.
        """
        config = read_settings(folder, "tokenizer_config.json")
        own = _own_template(folder, config)
        return None if own is None else cls(tokenizer, own, "the folder's own template", _names(config), today)

    def prompt(self, messages: Messages, tools: Sequence[Any] = ()) -> list[int]:
        """The ids of the messages up to where a reply begins.

        Raises:
            LiuliError: the template refuses the messages, or fails.
        """
        marks = Marks(self._rendered.specials, messages, tools)
        (text,) = self._renderer.render([(marks.messages, marks.tools, True)])
        return self._rendered.encode(text, marks, [], self.stop).ids

    def dialogue(self, messages: Messages, tools: Sequence[Any] = ()) -> Encoded:
        """The ids of a whole dialogue, and its loss mask.

        Raises:
            LiuliError: as `prompt`; no message is a reply; or the place of a reply in the text cannot be derived, because the
                template writes the messages before it differently when there is more, or leaves the reply out.
        """
        replies = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
        if not replies:
            raise LiuliError("the dialogue has no message of role assistant: there is nothing to learn from it")
        marks = Marks(self._rendered.specials, messages, tools)
        asked = [(marks.messages, marks.tools, False), *((marks.messages[:i], marks.tools, True) for i in replies)]
        text, *beginnings = self._renderer.render(asked)
        starts = []
        for i, beginning in zip(replies, beginnings, strict=True):
            if not text.startswith(beginning):
                raise LiuliError(
                    f"the chat template's loss mask cannot be derived: it writes what comes before message {i + 1}, a reply, "
                    f"otherwise once the dialogue goes on; use a template that only appends"
                )
            starts.append(len(beginning))
        return self._rendered.encode(text, marks, starts, self.stop)

    def special_ids(self) -> tuple[int, ...]:
        """The special tokens that the template itself writes, of a question and its answer; in the order in which they come."""
        (text,) = self._renderer.render([(MADE_UP, (), False)])
        return self._rendered.special_ids(text)


def has_template(folder: Path) -> bool:
    """Whether the folder says by itself how messages become one text."""
    return _own_template(folder, read_settings(folder, "tokenizer_config.json")) is not None


def _own_template(folder: Path, config: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            if path.stat().st_size > 4 * LARGEST:  # bytes; a character has four at most
                raise LiuliError(
                    f"{path} has {path.stat().st_size:,} bytes; a chat template has at most {LARGEST:,} characters"
                )
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise LiuliError(f"{path} is not UTF-8 text") from error
        except OSError as error:
            raise LiuliError(f"{path} cannot be read: {why(error)}") from error
    given = config.get("chat_template")
    if isinstance(given, list):  # several, each with a name
        given = next((each.get("template") for each in given if isinstance(each, dict) and each.get("name") == "default"), None)
    if given is not None and not isinstance(given, str):
        raise LiuliError(f"{folder / 'tokenizer_config.json'}: chat_template must be a string")
    return given


def _names(config: dict[str, Any]) -> dict[str, str]:
    """The special tokens' texts that a template may read by their names."""
    found = {}
    for name in NAMED:
        token = config.get(name)
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[name] = token
    return found
