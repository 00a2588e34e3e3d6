"""The loss mask: which tokens of a rendered dialogue are supervised, so that a model learns to write them.

The rendered text is encoded as a whole, so that every added token is read with its own properties (`strip_left` and so on).
There is one exception: if somebody typed a control string (`marks.py`), the text between the two control tokens around it is
encoded as content.

To find the beginning of a reply, the template renders only the messages before it, with the beginning of a reply. The reply
ends with the control token that the template writes after a reply. Only the tokens of replies, including this one, are
supervised.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from liuli.errors import LiuliError
from liuli.tokens.chat.marks import PRIVATE_USE, Marks, PlainText, free_characters
from liuli.tokens.strings import StringFinder
from liuli.tokens.tokenizer import Encoder, Tokenizer, check_encodable

REPLY = chr(PRIVATE_USE[-1])

Span = tuple[int, int, int]  # an id, its first character, and the character after its last


class Encoded(NamedTuple):
    """A rendered dialogue.

    Attributes:
        supervised: for each id, whether it is supervised, because it belongs to a reply or ends one.
        text: the rendered text, with its special tokens.
        spans: for each id, the half-open range of characters of `text` that it covers.
    """

    ids: list[int]
    supervised: list[bool]
    text: str
    spans: list[tuple[int, int]]


class RenderedText:
    """Encodes rendered text, with a loss mask, for one tokenizer.

    Attributes:
        controls: a finder for the control strings in a text.
        written: the texts of added tokens that are not special, but that the template writes. They are control strings too.
    """

    def __init__(self, tokenizer: Tokenizer, written: Iterable[str] = ()):
        self.tokenizer = tokenizer
        self.written = frozenset(written)
        self._ids = tokenizer.specials | {text: tokenizer.added[text].id for text in self.written}
        self._control_ids = {token_id for token_id in self._ids.values() if token_id != tokenizer.unknown}
        self._texts = {token_id: text for text, token_id in self._ids.items()}
        self._spaced_after: dict[int, bool] = {}
        self.controls = StringFinder(self._ids)

    def end_of_reply(self, whole: str) -> int | None:
        """Returns the id of the control token that ends a reply; None if there is none.

        Args:
            whole: the rendered text of a made-up question and its reply.

        Raises:
            LiuliError: the template leaves the reply out.
        """
        if REPLY not in whole:
            raise LiuliError("the chat template leaves replies out, so there are no supervised tokens: use another template")
        found = self.controls.find(whole, whole.index(REPLY))
        return None if found is None else self._ids[whole[slice(*found)]]

    def control_ids(self, text: str) -> tuple[int, ...]:
        """Returns the control tokens in the text, without repetitions, in the order of their first occurrence."""
        return tuple(dict.fromkeys(self._ids[text[start:end]] for start, end in self.controls.find_all(text)))

    def encode(self, text: str, marks: Marks) -> tuple[str, list[Span]]:
        """Returns the text without marks, and its tokens.

        Raises:
            LiuliError: the text contains a lone surrogate, or uses a token for which the model has no row.
        """
        plain = marks.read(text)
        check_encodable(plain.text)
        spans = list(self._spans(plain))
        self.tokenizer.check_rows(token_id for token_id, _, _ in spans)
        return plain.text, spans

    def encode_with_mask(self, text: str, marks: Marks, beginnings: Sequence[str], stop: int) -> Encoded:
        """Returns the ids of a dialogue with its loss mask.

        Args:
            beginnings: for each reply, in order, the part of the text before it.
            stop: the id that ends a reply.

        Raises:
            LiuliError: a reply is empty, or does not end with `stop`; see also `encode`.
        """
        plain, spans = self.encode(text, marks)
        waiting = [len(marks.read(beginning).text) for beginning in beginnings]
        supervised: list[bool] = []
        begin = None  # the beginning of the current reply; None outside of replies
        for token_id, start, _ in spans:
            if begin is None and waiting and start >= waiting[0]:
                begin = waiting.pop(0)
            supervised.append(begin is not None)
            if begin is not None and token_id == stop:
                if start <= begin:
                    raise LiuliError(
                        "the chat template leaves a reply out, or the reply is empty: correct the template or the reply"
                    )
                begin = None
        if begin is not None or waiting:
            raise LiuliError(
                "the supervised tokens cannot be found: the chat template does not end a reply with its stop token; use a "
                "template that ends all replies with the same special token"
            )
        ids, places = [token_id for token_id, _, _ in spans], [(start, end) for _, start, end in spans]
        return Encoded(ids, supervised, plain, places)

    def _spans(self, plain: PlainText) -> Iterator[Span]:
        """Yields the tokens. If there is a typed control string between two control tokens, the text between these two is
        encoded as content."""
        typed, spans = self._typed_and_spans(plain)
        if not typed:
            yield from spans
            return
        stretch: list[Span] = []
        before: Span = (-1, 0, 0)  # the last control token
        end_of_text = len(plain.text)
        for span in [*spans, (-1, end_of_text, end_of_text)]:
            if span[0] not in self._control_ids and span[0] >= 0:
                stretch.append(span)
                continue
            first, last = before[2], span[1]
            if any(start < last and first < end for start, end in typed):
                content = self._content(plain.text[first:last], before[0])
                stretch = [(token_id, first + start, first + end) for token_id, start, end in content]
            yield from stretch
            if span[0] >= 0:
                yield span
            stretch, before = [], span

    def _typed_and_spans(self, plain: PlainText) -> tuple[list[tuple[int, int]], list[Span]]:
        """Returns the ranges of the typed control strings, and the tokens of the text in which these ranges are replaced by a
        character that the text does not contain.

        Some typed control strings are found only by encoding. For example, a tokenizer that normalizes text before it looks
        for tokens reads `<|IM_END|>` as `<|im_end|>`. The template writes the exact texts of the tokens.
        """
        typed, filled = list(plain.typed), list(plain.text)
        filler, _ = free_characters([plain.text])
        while True:
            for start, end in typed:
                filled[start:end] = filler * (end - start)
            spans = self.tokenizer.encoder.spans("".join(filled), special=True)
            disguised = {
                (start, end)
                for token_id, start, end in spans
                if start < end and token_id in self._control_ids and self._texts[token_id] not in plain.text[start:end]
            }
            if disguised <= {*typed}:
                return sorted(typed), spans
            typed += disguised.difference(typed)

    def _content(self, text: str, before: int) -> list[Span]:
        """Returns the tokens of content. `before`: the id of the control token before it; -1 at the beginning of the text."""
        encoder = self._content_encoder
        if before < 0 or encoder.style != "spaced" or self._is_spaced_after(before):
            return encoder.spans(text)
        around = len(encoder.encode("\n"))
        return [(token_id, start - 1, end - 1) for token_id, start, end in encoder.spans("\n" + text)[around:]]

    @cached_property
    def _content_encoder(self) -> Encoder:
        """An encoder that reads control strings as plain text."""
        plain = frozenset(text for text in self.written if text not in self.tokenizer.specials)
        return self.tokenizer.encoder.reading_as_text(plain) if plain else self.tokenizer.encoder

    def _is_spaced_after(self, control: int) -> bool:
        """Returns whether the tokenizer puts a space before content after this control token, as it does before a text."""
        if control not in self._spaced_after:
            encoder = self.tokenizer.encoder
            alone = encoder.encode("a")
            self._spaced_after[control] = encoder.encode(self._texts[control] + "a", special=True)[-len(alone) :] == alone
        return self._spaced_after[control]
