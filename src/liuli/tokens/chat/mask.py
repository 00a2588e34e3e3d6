"""The loss mask: which tokens of a rendered dialogue a model learns to write.

The rendered text is cut at the special tokens that the template itself wrote. Each stretch between them is encoded whole, as
content, so that whatever was typed stays text. For that, every special string in a message is replaced, before the template
sees it, by a character that no text has, and put back afterwards.

A reply begins where the template, given the messages before it, would have one begin, and ends with the special token that
ends a reply. These tokens, and no others, are supervised.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.tokens.strings import StringFinder
from liuli.tokens.tokenizer import Tokenizer, check_encodable

Messages = Sequence[dict[str, Any]]
STANDS_FOR_SPECIAL = range(0xF0000, 0xFFFFE)  # characters of private use, of which a dialogue leaves some free
REPLY = chr(STANDS_FOR_SPECIAL[-1])
MADE_UP = ({"role": "user", "content": "a"}, {"role": "assistant", "content": REPLY})


class Encoded(NamedTuple):
    """A rendered dialogue. `supervised[i]`: whether ids[i] is to be predicted, because it belongs to a reply or ends one.
    `text`: as rendered, with its special tokens. `spans[i]`: the half-open range of its characters that ids[i] covers."""

    ids: list[int]
    supervised: list[bool]
    text: str
    spans: list[tuple[int, int]]


class RenderedText:
    """Turns text that a template wrote into ids with a loss mask, for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self.specials = StringFinder(tokenizer.specials)
        self._added = {token.text: token for token in getattr(tokenizer.encoder, "added", [])}
        self._spaced_within = _spaces_within(tokenizer)

    def stop(self, before: str, whole: str) -> int:
        """The id of the special token that ends a reply.

        Args:
            before: the made-up question as rendered, up to where a reply begins.
            whole: the made-up question and its reply as rendered.

        Raises:
            LiuliError: there is no such token.
        """
        if REPLY not in whole:
            raise LiuliError("the chat template leaves replies out: there is nothing to learn with it")
        found = self.specials.find(whole, whole.index(REPLY))
        if found is None or not whole.startswith(before):
            why = "no special token of the tokenizer ends a reply" if not found else "a reply does not follow what precedes it"
            raise LiuliError(f"the chat template's loss mask cannot be derived: {why}")
        return self.tokenizer.specials[whole[slice(*found)]]

    def special_ids(self, text: str) -> tuple[int, ...]:
        """The special tokens in the text, each once, in the order in which they first come."""
        return tuple(dict.fromkeys(self.tokenizer.specials[text[start:end]] for start, end in self.specials.find_all(text)))

    def encode(self, text: str, marks: "Marks", starts: Sequence[int], stop: int) -> Encoded:
        """Cuts rendered text at its own special tokens.

        Args:
            starts: the characters at which replies begin, in order.
            stop: the id that ends a reply.

        Raises:
            LiuliError: a reply is empty, or not ended by `stop`.
        """
        found, waiting = Encoded([], [], marks.restored(text), []), list(starts)
        within = False  # whether this place is inside a reply
        some = False  # whether the reply has any character yet
        at = 0  # characters of the restored text before this place
        for piece, special, place in self._pieces(text):
            restored = marks.restored(piece)
            tokens = [(special, 0, len(piece))] if special is not None else self._content(restored, place == 0)
            begins = 0 if within else len(restored) + 1  # the character of this piece from which on it is a reply
            if not within and waiting and waiting[0] < place + len(piece):
                begins = len(marks.restored(piece[: max(0, waiting.pop(0) - place)]))
                within, some = True, False
            for token_id, start, end in tokens:
                found.ids.append(token_id)
                found.spans.append((at + start, at + end))
                found.supervised.append(within and start >= begins)
            at += len(restored)
            if within and special == stop:
                if not some:
                    raise LiuliError("the chat template leaves a reply out: there is nothing to learn from this dialogue")
                within = False
            some = some or (within and len(restored) > begins)
        if within or waiting:
            raise LiuliError("the chat template's loss mask cannot be derived: a reply is not ended by its stop token")
        return found

    def _pieces(self, text: str) -> Iterator[tuple[str, int | None, int]]:
        """(text, its id if it is a special token, its place) for every stretch. White space that a special token swallows is
        in no stretch, as the tokenizer has it."""
        place, token_before = 0, None
        for start, end in [*self.specials.find_all(text), (len(text), len(text))]:
            special = text[start:end]
            token = self._added.get(special)
            stretch = text[place:start]
            kept = stretch.lstrip() if token_before is not None and token_before.strip_right else stretch
            place += len(stretch) - len(kept)
            kept = kept.rstrip() if token is not None and token.strip_left else kept
            if kept:
                yield kept, None, place
            if special:
                yield special, self.tokenizer.specials[special], start
                place, token_before = end, token

    def _content(self, text: str, first: bool) -> list[tuple[int, int, int]]:
        """(id, first character, character after the last) of content. `first`: it begins the text; else it stands behind a
        special token."""
        check_encodable(text)
        if first or self._spaced_within or self.tokenizer.encoder.style != "spaced":
            return self.tokenizer.encoder.spans(text)
        around = len(self.tokenizer.encode("\n"))
        spans = self.tokenizer.encoder.spans("\n" + text)[around:]
        return [(token_id, start - 1, end - 1) for token_id, start, end in spans]


class Marks:
    """Messages in which each special string that was typed is one character of private use, and the way back."""

    def __init__(self, specials: StringFinder, messages: Messages, tools: Sequence[Any]):
        texts = list(_strings((list(messages), list(tools))))
        typed = dict.fromkeys(text[start:end] for text in texts for start, end in specials.find_all(text))
        taken = set().union(*texts)  # characters
        free = [chr(code) for code in STANDS_FOR_SPECIAL if chr(code) not in taken] if typed else []
        if len(typed) > len(free):
            raise LiuliError(f"the messages hold {len(typed):,} different special strings; at most {len(free):,} are possible")
        self._specials = specials
        self._mark_of = dict(zip(typed, free, strict=False))
        self._typed = {ord(mark): text for text, mark in self._mark_of.items()}
        self.messages, self.tools = self._marked(list(messages)), self._marked(list(tools))

    def restored(self, text: str) -> str:
        """The text with the special strings in their places."""
        return text.translate(self._typed) if self._typed else text

    def _marked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._specials.replace(value, self._mark_of.__getitem__) if self._mark_of else value
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


def _spaces_within(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer puts a space before content behind a special token too, not only at the beginning."""
    special = next(iter(tokenizer.specials), None)
    if special is None or tokenizer.encoder.style != "spaced":
        return False
    return tokenizer.encoder.encode(special + "a", special=True)[1:] == tokenizer.encode("a")
