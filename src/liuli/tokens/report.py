"""Reports how a tokenizer encodes texts: bytes and characters per token for each script, the longest pieces, and unused pieces.

In: a tokenizer of any kind and texts. Out: a `TokenizerReport`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from liuli.tokens.scripts import SCRIPTS, script_of, script_of_text
from liuli.tokens.tokenizer import Token, Tokenizer, check_encodable

LONGEST = 8


@dataclass(frozen=True)
class ScriptRow:
    """The tokens of one script. A token, with all its bytes, belongs to the script of its first character that is not "other".
    So a space belongs to the word after it. A character is counted for the token in which it begins.

    Attributes:
        distinct: the number of different characters of the script in the text.
        single: the fraction of these characters that are one token.
        single_weighted: the same fraction, but each character is counted as often as it occurs.
        longest: the pieces of the vocabulary with the most characters.
    """

    script: str
    tokens: int
    bytes: int
    characters: int
    distinct: int
    single: float
    single_weighted: float
    longest: list[Token]

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens

    @property
    def characters_per_token(self) -> float:
        return self.characters / self.tokens

    def to_json(self) -> dict[str, Any]:
        ratios = {"bytes_per_token": self.bytes_per_token, "characters_per_token": self.characters_per_token}
        return asdict(self) | ratios | {"longest": [token.to_json() for token in self.longest]}


@dataclass(frozen=True)
class TokenizerReport:
    """The report about a tokenizer and a text.

    Attributes:
        pieces: the number of tokens in the vocabulary, except special tokens and single bytes.
        unused: the pieces that do not occur in the text.
        broken: the pieces that contain a part of a character.
        scripts: one row for each script in the text.
    """

    kind: str
    vocab_size: int
    tokens: int
    bytes: int
    characters: int
    pieces: int
    unused: list[Token]
    broken: list[Token]
    scripts: list[ScriptRow]

    def to_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in ("kind", "vocab_size", "tokens", "bytes", "characters", "pieces")}
        listed = {name: [token.to_json() for token in getattr(self, name)] for name in ("unused", "broken")}
        return body | listed | {"scripts": [row.to_json() for row in self.scripts]}


def report(tokenizer: Tokenizer, texts: Iterable[str]) -> TokenizerReport:
    """Returns the report about `texts`, which are encoded as content.

    Raises:
        LiuliError: a text contains a lone surrogate.
    """
    pieces = _pieces(tokenizer)
    scripts = {token.id: script_of_text(token.text) for token in pieces if not _is_broken(token)}
    used: Counter[tuple[str, int]] = Counter()  # of (script, id)
    characters: Counter[str] = Counter()
    for text in texts:
        check_encodable(text)
        characters.update(text)
        for id, start, end in tokenizer.encoder.spans(text):
            used[scripts.get(id) or script_of_text(text[start:end]), id] += 1
    seen = {id for _, id in used}
    rows = [_row(tokenizer, script, used, characters, [t for t in pieces if scripts.get(t.id) == script]) for script in SCRIPTS]
    return TokenizerReport(
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        tokens=used.total(),
        bytes=sum(len(character.encode()) * count for character, count in characters.items()),
        characters=characters.total(),
        pieces=len(pieces),
        unused=[token for token in pieces if token.id not in seen],
        broken=[token for token in pieces if _is_broken(token)],
        scripts=[row for row in rows if row.tokens],
    )


def _pieces(tokenizer: Tokenizer) -> list[Token]:
    known = map(tokenizer.token, range(tokenizer.vocab_size))
    return [token for token in known if not token.special and len(token.bytes) > 1]


def _is_broken(token: Token) -> bool:
    return token.text.encode() != token.bytes


def _row(
    tokenizer: Tokenizer, script: str, used: Counter[tuple[str, int]], characters: Counter[str], pieces: list[Token]
) -> ScriptRow:
    counts = {tokenizer.token(id): count for (of, id), count in used.items() if of == script}
    own = {character: count for character, count in characters.items() if script_of(character) == script}
    single = [character for character in own if len(tokenizer.encode(character)) == 1]
    return ScriptRow(
        script=script,
        tokens=sum(counts.values()),
        bytes=sum(len(token.bytes) * count for token, count in counts.items()),
        characters=sum(_characters_begun(token.bytes) * count for token, count in counts.items()),
        distinct=len(own),
        single=len(single) / max(len(own), 1),
        single_weighted=sum(own[character] for character in single) / max(sum(own.values()), 1),
        longest=sorted(pieces, key=lambda token: (-len(token.text), token.id))[:LONGEST],
    )


def _characters_begun(data: bytes) -> int:
    """Returns the number of characters that begin in these bytes of UTF-8: those that are not continuation bytes (10xxxxxx)."""
    return sum(byte & 0xC0 != 0x80 for byte in data)
