"""A model's vocabulary as a grammar sees it: the bytes that each token adds to the text.

A token always adds the same bytes, except that SentencePiece's tokenizers remove one space at the very beginning of a text. So
some tokens have a second *form*, without the space, and the context (whether there is text before) decides which form a token
has. The grammar is asked about forms.

WordPiece is refused: it writes a space before each word, except next to certain characters, so its tokens have no bytes of
their own, and it could not write JSON.

Legend of shape suffixes: V ids of the model, F forms.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import llguidance
import numpy as np

from liuli.errors import LiuliError
from liuli.tokens import Tokenizer

BEGIN, INSIDE = 0, 1  # contexts: nothing has been written, or something
BYTES = 256  # symbols below this number are bytes, the others special tokens

Encode = Callable[[str | bytes], list[int]]


class Vocabulary:
    """The forms of all tokens. `Vocabulary.of` returns the one of a model.

    A *symbol* is a byte (0 to 255) or a special token: the smallest steps in which a grammar can be followed.

    Attributes:
        size: V, the ids of the model.
        tokens: the forms, for llguidance. symbols: the symbols, for llguidance.
        prepared: what grammars have computed for this vocabulary; it is kept as long as the grammar.
        end_form, end_symbol: the end of the text among the forms, and among the symbols.
    """

    def __init__(self, tokenizer: Tokenizer, size: int):
        self.size = size
        self.prepared: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._tokenizer = tokenizer
        self._style = tokenizer.encoder.style
        if self._style == "words":
            raise LiuliError(
                f"a grammar cannot be used with a {tokenizer.kind} vocabulary, which writes a space before each word: use a "
                f"model with another kind of tokenizer"
            )
        specials = {token_id: text for text, token_id in tokenizer.specials.items() if token_id < size}
        self._specials = specials
        self._forms = self._pieces(specials)
        self._form_of = self._add_first_forms()
        self.end_form = len(self._forms)
        names = {token_id: text.encode() for token_id, text in specials.items()}
        listed = [names.get(form, data) for form, data in enumerate(self._forms)]
        self.tokens = _library_tokenizer([*listed, b"<end>"], [*names, self.end_form], self._canonical)
        self._special_symbols = {token_id: BYTES + i for i, token_id in enumerate(sorted(specials))}
        self._special_ids = {symbol: token_id for token_id, symbol in self._special_symbols.items()}
        single = [bytes([byte]) for byte in range(BYTES)]
        symbols = [*single, *(names[token_id] for token_id in sorted(specials)), b"<end>"]
        self.end_symbol = len(symbols) - 1
        self.symbols = _library_tokenizer(symbols, range(BYTES, len(symbols)), _as_bytes)

    @staticmethod
    def of(tokenizer: Tokenizer, size: int) -> "Vocabulary":
        """The vocabulary of a model with `size` ids. It is kept as long as the tokenizer, because it takes some tenths of a
        second to prepare."""
        key = "vocabulary of a grammar", size
        if key not in tokenizer.derived:
            tokenizer.derived[key] = Vocabulary(tokenizer, size)
        return tokenizer.derived[key]

    def forces(self, context: int) -> bool:
        """Whether the tokenizer's own spelling of a text can be used in a context, so that tokens can be forced."""
        return context not in self._form_of

    @cached_property
    def spells_every_byte(self) -> bool:
        """Whether each byte is a token of its own, so that every text can be spelled."""
        return all(bytes([byte]) in self._by_bytes for byte in range(BYTES))

    def context_after(self, ids: Iterable[int]) -> int:
        """The context after the tokens of a prompt."""
        context = BEGIN
        for token_id in ids:
            context = self.next_context(context, token_id)
        return context

    def next_context(self, context: int, token_id: int) -> int:
        """The context after one more token."""
        if not self._forms[token_id] and token_id != self._tokenizer.unknown:
            return context  # it adds nothing to the text
        return INSIDE

    def form(self, token_id: int, context: int) -> int:
        """The form that a token has in a context."""
        forms = self._form_of.get(context)
        return token_id if forms is None else int(forms[token_id])

    def by_id(self, allowed_F: np.ndarray, context: int) -> np.ndarray:
        """From what is allowed among the forms, bool (F), to what is allowed among the ids, bool (V)."""
        forms = self._form_of.get(context)
        return allowed_F[: self.size] if forms is None else allowed_F[forms]

    def symbols_of(self, token_id: int, context: int) -> list[int]:
        """The symbols that a token adds to the text."""
        if token_id in self._special_symbols:
            return [self._special_symbols[token_id]]
        return list(self._forms[self.form(token_id, context)])

    def is_special(self, token_id: int) -> bool:
        return token_id in self._specials

    def fewest_tokens(self, symbols: Sequence[int], context: int) -> list[int] | None:
        """The ids of the fewest tokens that spell the symbols after a context; None if the vocabulary cannot spell them."""
        data = bytes(symbol if symbol < BYTES else 0 for symbol in symbols)
        specials_at = [place for place, symbol in enumerate(symbols) if symbol >= BYTES]
        reached: dict[tuple[int, int], tuple[tuple[int, int], int] | None] = {(0, context): None}
        front = [(0, context)]
        while front:
            following: list[tuple[int, int]] = []
            for place in front:
                at, now = place
                if at == len(symbols):
                    return _traced(reached, place)
                if symbols[at] >= BYTES:
                    found = [(at + 1, self._special_ids[symbols[at]])]
                else:
                    until = next((special for special in specials_at if special > at), len(symbols))
                    found = self._pieces_at(data, at, until, now)
                for end, token_id in found:
                    step = end, self.next_context(now, token_id)
                    if step not in reached:
                        reached[step] = place, token_id
                        following.append(step)
            front = following
        return None

    def _pieces_at(self, data: bytes, at: int, until: int, context: int) -> list[tuple[int, int]]:
        """The tokens that spell what follows a place, each with the place after it."""
        found: list[tuple[int, int]] = []
        for end in range(at + 1, min(until, at + self._longest) + 1):
            for token_id in self._by_bytes.get(data[at:end], ()):
                if self._forms[self.form(token_id, context)] == data[at:end]:
                    found.append((end, token_id))
                    break
        return found

    @cached_property
    def _by_bytes(self) -> dict[bytes, list[int]]:
        """The ids that have a form with these bytes."""
        found: dict[bytes, list[int]] = {}
        for forms in [range(self.size), *self._form_of.values()]:
            for token_id, form in enumerate(forms):
                data = self._forms[form]
                if data and token_id not in self._specials:
                    ids = found.setdefault(data, [])
                    if not ids or ids[-1] != token_id:
                        ids.append(token_id)
        return found

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._by_bytes), default=0)

    def _pieces(self, specials: dict[int, str]) -> list[bytes]:
        """The bytes of each id, b"" for ids that add no text."""
        found = [b""] * self.size
        for token_id in range(min(self.size, self._tokenizer.vocab_size)):
            if token_id not in specials and token_id != self._tokenizer.unknown:
                piece = self._tokenizer.encoder.piece(token_id)
                found[token_id] = b"" if piece is None else piece[0]
        return found

    def _add_first_forms(self) -> dict[int, np.ndarray]:
        """Adds the forms without a space. Returns the form of each id, int64 (V), for each context in which there are such."""
        if self._style != "spaced":
            return {}
        first = np.arange(self.size)
        for token_id, data in enumerate(self._forms[: self.size]):
            if data.startswith(b" "):
                first[token_id] = len(self._forms)
                self._forms.append(data[1:])
        return {BEGIN: first}

    def _canonical(self, text: str | bytes) -> list[int]:
        """The tokens that the tokenizer itself makes of a text within a completion. The library forces these."""
        data = text.encode() if isinstance(text, str) else text
        try:
            decoded = data.decode()
            around = self._tokenizer.encode("\n") if self._style == "spaced" else []
            ids = self._tokenizer.encode("\n" + decoded if around else decoded)[len(around) :]
        except (UnicodeDecodeError, LiuliError):
            ids = []
        if all(token_id < self.size for token_id in ids) and b"".join(self._forms[token_id] for token_id in ids) == data:
            return ids
        return self.fewest_tokens(list(data), INSIDE) or []


class _LibraryVocabulary:
    """What llguidance reads a vocabulary from; the names are its own."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens: list[bytes], specials: Iterable[int], encode: Encode):
        self.tokens = tokens
        self.eos_token_id = len(tokens) - 1
        self.special_token_ids = list(specials)
        self._encode = encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text)


def _as_bytes(text: str | bytes) -> list[int]:
    return list(text.encode() if isinstance(text, str) else text)


def _library_tokenizer(tokens: list[bytes], specials: Iterable[int], encode: Encode) -> llguidance.LLTokenizer:
    return llguidance.LLTokenizer(_LibraryVocabulary(tokens, specials, encode))  # pyright: ignore[reportArgumentType]


def _traced(reached: dict[tuple[int, int], tuple[tuple[int, int], int] | None], place: tuple[int, int]) -> list[int]:
    """The tokens on the way to a place."""
    ids: list[int] = []
    while (step := reached[place]) is not None:
        place, token_id = step
        ids.append(token_id)
    return ids[::-1]
