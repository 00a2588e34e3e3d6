"""Messages to ids, and which of them a model learns to write.

    chat = Chat.open(folder, tokenizer)
    ids = chat.prompt([{"role": "user", "content": "你好"}])            # up to where the reply begins
    ids, supervised = chat.dialogue(messages)[:2]                        # whole, with the loss mask

The template (`templates.py`) makes one text of the messages. It is cut at the special tokens that the template itself wrote,
and each stretch between them is encoded whole, as content: so whatever was typed stays text. For that every special string in
a message is replaced, before the template sees it, by a character that no text has, and put back afterwards.

A reply begins where the template, given the messages before it, would have one begin, and ends with the special token that
ends a reply: these and only these tokens are supervised.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.chat.templates import BERT, CHATML, Renderer
from liuli.tokens.tokenizer import Tokenizer, check_encodable

Messages = Sequence[dict[str, Any]]
STANDS_FOR_SPECIAL = range(0xF0000, 0xFFFFE)  # characters of private use, of which a dialogue leaves some free
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
NAMED = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
REPLY = chr(STANDS_FOR_SPECIAL[-1])
MADE_UP = ({"role": "user", "content": "a"}, {"role": "assistant", "content": REPLY})


class Encoded(NamedTuple):
    """`supervised[i]`: whether ids[i] is to be predicted: it belongs to a reply, or ends one. `text`: as rendered, with its
    special tokens; `spans[i]`: the half-open range of its characters that ids[i] covers."""

    ids: list[int]
    supervised: list[bool]
    text: str
    spans: list[tuple[int, int]]


class Chat:
    """A tokenizer with a chat template.

    Attributes:
        template: Jinja. origin: where it is from, for people. stop: the id that ends a reply.

    Args:
        names: what else the template may read. today: what it takes for today, as 2026-11-27; None: what the clock says.

    Raises:
        LiuliError: the template fails, or no special token ends its replies.
    """

    def __init__(
        self, tokenizer: Tokenizer, template: str, origin: str, names: dict[str, str] | None = None, today: str | None = None
    ):
        self.tokenizer, self.template, self.origin = tokenizer, template, origin
        self._renderer = Renderer(template, names or {}, today)
        longest_first = sorted(tokenizer.specials, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._added = {token.text: token for token in getattr(tokenizer.encoder, "added", [])}
        self._spaced_within = _spaces_within(tokenizer)
        self.stop = self._stop()

    @classmethod
    def open(cls, folder: Path, tokenizer: Tokenizer, today: str | None = None) -> "Chat":
        """The folder's own template; else the form for BERT's vocabulary, or ChatML, whichever the tokenizer has tokens for.

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
        """The template that the folder itself holds; None where it holds none.

        Raises:
            LiuliError: a broken file or template.
        """
        config = read_json(folder / "tokenizer_config.json")
        own = _own_template(folder, config)
        return None if own is None else cls(tokenizer, own, "the folder's own template", _names(config), today)

    def prompt(self, messages: Messages, tools: Sequence[Any] = ()) -> list[int]:
        """The ids of the messages up to where a reply begins.

        Raises:
            LiuliError: the template refuses the messages, or fails.
        """
        marks = _Marks(self._special, messages, tools)
        (text,) = self._renderer.render([(marks.messages, marks.tools, True)])
        return self._encode(text, marks, []).ids

    def dialogue(self, messages: Messages, tools: Sequence[Any] = ()) -> Encoded:
        """The ids of a whole dialogue, and its loss mask.

        Raises:
            LiuliError: as `prompt`; no message is a reply; or it cannot be told where a reply stands in the text: the template
                writes the messages before it otherwise once there is more, or leaves the reply out.
        """
        replies = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
        if not replies:
            raise LiuliError("the dialogue has no message of role assistant: there is nothing to learn from it")
        marks = _Marks(self._special, messages, tools)
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
        return self._encode(text, marks, starts)

    def special_ids(self) -> tuple[int, ...]:
        """The special tokens that the template itself writes, of a question and its answer; in the order in which they come."""
        (text,) = self._renderer.render([(MADE_UP, (), False)])
        return tuple(dict.fromkeys(self.tokenizer.specials[special] for special in self._special.findall(text)))

    def _encode(self, text: str, marks: "_Marks", starts: list[int]) -> Encoded:
        """Cuts rendered text at its own special tokens. `starts`: where in it replies begin."""
        found, starts = Encoded([], [], marks.restored(text), []), list(starts)
        within, at, some = False, 0, False  # a reply; characters of the restored text; of the reply
        for piece, special, place in self._pieces(text):
            restored = marks.restored(piece)
            tokens = [(special, 0, len(piece))] if special is not None else self._content(restored, place == 0)
            begins = 0 if within else len(restored) + 1  # from which character of this piece on a reply goes
            if not within and starts and starts[0] < place + len(piece):
                begins, within, some = len(marks.restored(piece[: max(0, starts.pop(0) - place)])), True, False
            for id, start, end in tokens:
                found.ids.append(id)
                found.spans.append((at + start, at + end))
                found.supervised.append(within and start >= begins)
            at += len(restored)
            if within and special == self.stop:
                if not some:
                    raise LiuliError("the chat template leaves a reply out: there is nothing to learn from this dialogue")
                within = False
            some = some or (within and len(restored) > begins)
        if within or starts:
            raise LiuliError("the chat template's loss mask cannot be derived: a reply is not ended by its stop token")
        return found

    def _pieces(self, text: str) -> Iterator[tuple[str, int | None, int]]:
        """(text, id of the special token that it is, its place) of every stretch. White space that a special token swallows is
        in no stretch, as the tokenizer has it."""
        place, after = 0, None
        for match in [*self._special.finditer(text), None]:
            stretch = text[place : match.start() if match else len(text)]
            next_one = self._added.get(match.group()) if match else None
            kept = stretch.lstrip() if after is not None and after.strip_right else stretch
            place += len(stretch) - len(kept)
            kept = kept.rstrip() if next_one is not None and next_one.strip_left else kept
            if kept:
                yield kept, None, place
            if match:
                yield match.group(), self.tokenizer.specials[match.group()], match.start()
                place, after = match.end(), next_one

    def _content(self, text: str, first: bool) -> list[tuple[int, int, int]]:
        """(id, first character, character after the last) of content that stands at the beginning or behind a special token."""
        check_encodable(text)
        if first or self._spaced_within or self.tokenizer.encoder.style != "spaced":
            return self.tokenizer.encoder.spans(text)
        around = len(self.tokenizer.encode("\n"))
        return [(id, start - 1, end - 1) for id, start, end in self.tokenizer.encoder.spans("\n" + text)[around:]]

    def _stop(self) -> int:
        """The special token that follows a made-up reply."""
        before, whole = self._renderer.render([(MADE_UP[:1], (), True), (MADE_UP, (), False)])
        if REPLY not in whole:
            raise LiuliError("the chat template leaves replies out: there is nothing to learn with it")
        found = self._special.search(whole, whole.index(REPLY))
        if not whole.startswith(before) or not found:
            why = "no special token of the tokenizer ends a reply" if not found else "a reply does not follow what precedes it"
            raise LiuliError(f"the chat template's loss mask cannot be derived: {why}")
        return self.tokenizer.specials[found.group()]


class _Marks:
    """Messages in which each special string that was typed is one character of private use, and the way back."""

    def __init__(self, special: "re.Pattern[str]", messages: Messages, tools: Sequence[Any]):
        texts = "".join(_strings((list(messages), list(tools))))
        typed = dict.fromkeys(special.findall(texts))
        free = (chr(code) for code in STANDS_FOR_SPECIAL if chr(code) not in texts)
        self._mark_of = dict(zip(typed, free, strict=False))
        self._special, self._typed = special, {mark: text for text, mark in self._mark_of.items()}
        self.messages, self.tools = self._marked(list(messages)), self._marked(list(tools))

    def restored(self, text: str) -> str:
        """With the special strings in their places."""
        for mark, typed in self._typed.items():
            text = text.replace(mark, typed)
        return text

    def _marked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._special.sub(lambda match: self._mark_of[match.group()], value) if self._mark_of else value
        if isinstance(value, dict):
            return {self._marked(key): self._marked(inner) for key, inner in value.items()}
        return [self._marked(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _strings(value: Any) -> Iterator[str]:
    """Every string in messages."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key)
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def has_template(folder: Path) -> bool:
    """Whether the folder says by itself how messages become one text."""
    return _own_template(folder, read_json(folder / "tokenizer_config.json")) is not None


def _own_template(folder: Path, config: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise LiuliError(f"{path} is not UTF-8 text") from None
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


def _spaces_within(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer puts a space before content behind a special token too, not only at the beginning."""
    special = next(iter(tokenizer.specials), None)
    if special is None or tokenizer.encoder.style != "spaced":
        return False
    return tokenizer.encoder.encode(special + "a", special=True)[1:] == tokenizer.encode("a")
