"""A tokenizer: text to ids and back, for every file layout.

An *encoder* (`pipeline.py` or `bpe.py`) encodes plain content. This file has the parts that all layouts share: special tokens,
the begin token, and decoding that never shows a part of a character.
"""

import codecs
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from reprlib import repr as shortened
from typing import Any, Protocol

from liuli.errors import LiuliError
from liuli.remarks import remark


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        text: the token as text: `�` for a part of a character; the name of a special token.
        bytes: the bytes that it adds to a text; empty for a special token.
        span: the half-open range of characters that it covers, if it comes from an encoded text.
    """

    id: int
    text: str
    bytes: bytes
    special: bool = False
    span: tuple[int, int] | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"id": self.id, "text": self.text, "bytes": list(self.bytes)}
        return body if self.span is None else body | {"span": list(self.span)}


@dataclass(frozen=True, slots=True)
class Added:
    """A token in addition to the vocabulary's pieces. A special token adds nothing to a text, and its name is read as a token
    only in prompts. Any other added token stands for its own text and is read everywhere.

    Attributes:
        strip_left, strip_right: whether it includes the white space next to it.
        normalized: whether it is searched for in normalized text.
        single_word: whether it is read only as a whole word.
    """

    id: int
    text: str
    special: bool = True
    strip_left: bool = False
    strip_right: bool = False
    normalized: bool = False
    single_word: bool = False


class Encoder(Protocol):
    """Encodes text to ids. The argument `special` says whether special tokens are read too.

    Attributes:
        style: how pieces are joined to text. "bytes": unchanged. "spaced": unchanged, but one space at the very beginning is
            removed. "words": with a space before each piece that begins a word.
    """

    style: str
    vocab_size: int
    pieces_size: int  # the number of ids, without added tokens whose ids follow those of all pieces

    def encode(self, text: str, special: bool = False) -> list[int]: ...

    def spans(self, text: str, special: bool = False) -> list[tuple[int, int, int]]:
        """Returns (id, first character, character after the last) of every token."""
        ...

    def reading_as_text(self, texts: frozenset[str]) -> "Encoder":
        """Returns an encoder that reads these added tokens only if `special` is true, like special tokens."""
        ...

    def piece(self, id: int) -> tuple[bytes, bool] | None:
        """Returns the bytes that an id adds to the text, and whether it continues a word; None if the id is unknown."""
        ...


class Tokenizer:
    """A tokenizer. `open_tokenizer` creates it.

    Attributes:
        kind: "byte-level BPE", "SentencePiece BPE", "characters" or "WordPiece".
        begin: the ids that a prompt starts with: usually one, or none.
        end: a list with the id that ends a document, or an empty list. If several ids are assigned, the first one that the
            model has is used.
        unknown: the id for text that the vocabulary cannot represent, if there is one.
        added: the tokens in addition to the vocabulary's pieces, by text.
        specials: the ids of the special tokens, by text.
        names: the texts of the named tokens (`bos_token` and so on), by name.
        vocab_size: the number of ids, including special tokens (the largest id + 1).
        missing: the ids of added tokens for which the model's embedding has no row. A text with such a token is refused.
        derived: what other modules have computed from the tokenizer, kept as long as it is.
    """

    def __init__(
        self,
        encoder: Encoder,
        kind: str,
        added: Iterable[Added],
        begin: Sequence[int],
        unknown: int | None = None,
        names: Mapping[str, str] | None = None,
    ):
        self.encoder, self.kind, self.begin, self.unknown = encoder, kind, list(begin), unknown
        self._ends: list[int] = []
        self.missing: frozenset[int] = frozenset()
        self.names = dict(names or {})
        self.added = {token.text: token for token in added}
        self.specials = {token.text: token.id for token in self.added.values() if token.special}
        # The unknown token stands for a text, although that text is lost. So it is shown.
        self._hidden = {id: text for text, id in self.specials.items() if id != unknown}
        self.vocab_size = max(encoder.vocab_size, max((token.id for token in self.added.values()), default=-1) + 1)
        self._tokens: dict[int, Token] = {}
        self.derived: dict[Any, Any] = {}

    @property
    def end(self) -> list[int]:
        return [token_id for token_id in self._ends if 0 <= token_id < self.vocab_size and token_id not in self.missing][:1]

    @end.setter
    def end(self, ids: Iterable[int]) -> None:
        self._ends = list(ids)

    def fit(self, rows: int, where: str) -> None:
        """Adapts the tokenizer to a model whose embedding has `rows` rows.

        Many folders name an added token for which the model has no row, such as `<pad>`. Such a token remains in the tokenizer,
        but a text that uses it is refused. If it is the begin token, it is not put before prompts, and a remark is printed.

        Args:
            where: the model, for messages.

        Raises:
            LiuliError: a piece of the vocabulary itself has no row.
        """
        if self.encoder.pieces_size > rows:
            raise LiuliError(
                f"{where}: the tokenizer has {self.encoder.pieces_size} ids, but the model's embedding has only {rows} rows: "
                f"give the tokenizer that belongs to the model"
            )
        self.missing = frozenset(token.id for token in self.added.values() if token.id >= rows)
        self.leave_out_begin(lambda token_id: token_id in self.missing, where, "the model's embedding has no row for it")

    def leave_out_begin(self, is_wrong: Callable[[int], bool], where: str, reason: str) -> None:
        """Removes begin tokens that cannot be used from `begin`, with a remark about each.

        Args:
            where: the model, for the remark.
            reason: why such a token cannot be used, as a sentence.
        """
        for token_id in filter(is_wrong, self.begin):
            remark(f"{where}: the begin token {shortened(token_id)} is not put before prompts: {reason}")
        self.begin = [token_id for token_id in self.begin if not is_wrong(token_id)]

    def check_rows(self, ids: Iterable[int]) -> None:
        """Raises LiuliError if the model has no row for one of the ids."""
        wrong = next((token_id for token_id in ids if token_id in self.missing), None) if self.missing else None
        if wrong is not None:
            raise LiuliError(
                f"the text uses the token {self.token(wrong).text!r} (id {wrong}), for which the model's embedding has no row: "
                f"remove it from the text, or use the model that this tokenizer belongs to"
            )

    def encode(self, text: str, prompt: bool = False) -> list[int]:
        """Returns the ids of a text. In content (the default), the names of special tokens are plain text, and nothing is
        added. In a prompt, they are read as special tokens, and the begin token is put first unless the text begins with it.

        Raises:
            LiuliError: the text is not a string, contains a lone surrogate, or uses a token for which the model has no row.
        """
        check_encodable(text)
        ids = self.encoder.encode(text, special=prompt)
        ids = self._missing_begin(ids) + ids if prompt else ids
        self.check_rows(ids)
        return ids

    def encode_on(self, text: str) -> list[int]:
        """Returns the ids of content that continues a document after the end of a line or paragraph. It differs from `encode`
        only for a tokenizer that puts a space before a text: here it does not.

        Raises:
            LiuliError: see `encode`; or the tokenizer cannot encode a document in parts.
        """
        check_encodable(text)
        if self.encoder.style != "spaced":
            return self.encode(text)
        around = self.encode("\n")  # a line break, and the space before it
        ids = self.encode("\n" + text)
        if ids[: len(around)] != around:
            raise LiuliError(
                "this tokenizer joins a line break with the text after it, so a long document cannot be encoded in parts: use "
                "another tokenizer for training"
            )
        return ids[len(around) :]

    def tokens(self, text: str, prompt: bool = False) -> list[Token]:
        """Returns the tokens of `encode` as `Token`s with the characters that they cover (none for an added begin token)."""
        check_encodable(text)
        found = self.encoder.spans(text, special=prompt)
        begin = self._missing_begin([id for id, _, _ in found]) if prompt else []
        self.check_rows([*begin, *(id for id, _, _ in found)])
        return [replace(self.token(id), span=(start, end)) for id, start, end in [*((id, 0, 0) for id in begin), *found]]

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """Returns the text of `ids`. Special tokens are left out unless `special`. Bytes that are not UTF-8 become U+FFFD.

        Raises:
            LiuliError: there is no such id. (`TextStream` skips ids that only a model with a larger embedding has.)
        """
        stream, shown, size = TextStream(self, special=special), [], self.vocab_size
        for id in ids:
            # The type is checked first, because `isinstance` with an abstract class takes longer than everything else here.
            if not (type(id) is int or isinstance(id, Integral)) or not 0 <= id < size:
                raise LiuliError(f"there is no token {id!r}: the ids of this tokenizer are 0 to {size - 1}")
            shown.append(stream.push(id))
        return "".join(shown) + stream.finish()

    def token(self, id: int) -> Token:
        """Returns the token with an id. For an id that the vocabulary does not use, it is special and named `<|id 123|>`."""
        if id not in self._tokens:
            piece = None if id in self._hidden else self.encoder.piece(id)
            if piece is None:
                self._tokens[id] = Token(id, self._hidden.get(id, f"<|id {id}|>"), b"", special=True)
            else:
                self._tokens[id] = Token(id, piece[0].decode(errors="replace"), piece[0])
        return self._tokens[id]

    def _missing_begin(self, ids: list[int]) -> list[int]:
        """Returns the begin tokens, or [] if the prompt begins with them."""
        return [] if ids[: len(self.begin)] == self.begin else self.begin


class TextStream:
    """Converts ids to text, one id at a time. A character is returned only when all its bytes are known.

    `decode` uses this class too, so streamed and decoded text cannot differ.

    Args:
        after: ids before the text, such as a prompt. They are not returned, but they can decide whether a space is needed.
        special: whether the names of special tokens are returned too.
    """

    def __init__(self, tokenizer: Tokenizer, after: Iterable[int] = (), special: bool = False):
        self._tokenizer = tokenizer
        self._special = special
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._last: str | None = None  # the last piece's text, for the style "words"; None at the beginning
        for id in after:
            self.push(id)

    def push(self, id: int) -> str:
        """Adds an id. Returns the text that is now complete; "" if a character is incomplete."""
        token = self._tokenizer.token(id)
        if token.special:
            return self._utf8.decode(token.text.encode()) if self._special else ""
        return self._utf8.decode(self._joined(token))

    def finish(self) -> str:
        """Returns the rest of the text: U+FFFD if the last character is incomplete, else ""."""
        return self._utf8.decode(b"", final=True)

    def _joined(self, token: Token) -> bytes:
        style, first, last = self._tokenizer.encoder.style, self._last is None, self._last or ""
        self._last = token.text
        if style == "spaced" and first:
            return token.bytes.removeprefix(b" ")
        if style == "words" and not first:
            piece = self._tokenizer.encoder.piece(token.id)
            goes_on = piece is not None and piece[1]
            return token.bytes if goes_on or _stand_together(last, token.text) else b" " + token.bytes
        return token.bytes


def _stand_together(left: str, right: str) -> bool:
    """Returns whether two words are written without a space between them: before certain punctuation, and between two East
    Asian characters."""
    return right in {".", ",", "?", "!"} or (_is_wide(left[-1:]) and _is_wide(right[:1]))


def _is_wide(character: str) -> bool:
    return character != "" and unicodedata.east_asian_width(character) in "WF"


def check_encodable(text: str) -> None:
    """Raises LiuliError if `text` is not a string, or contains a lone surrogate, to which Python can decode bytes that are not
    UTF-8."""
    if not isinstance(text, str):
        raise LiuliError(f"a text must be a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise LiuliError(
            f"the text is not valid Unicode: character {error.start + 1} is the lone surrogate "
            f"U+{ord(text[error.start]):04X}: remove it, or check that the text was read as UTF-8"
        ) from None
