"""What a tokenizer does to a text: how far it goes by script, its longest pieces, those that it does not use.

In: a tokenizer and texts. Out: a `TokenizerReport`. Works for a tokenizer of any kind, trained here or not.
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
    """What a script's text costs. A token, with all of its bytes, belongs to the script of the first character in what
    it covers that is not "other": a space goes with its word. It has the characters that begin in it.

    `distinct` are the different characters of the script in the text, `single` the share of them that are one token,
    `single_weighted` the same share of the text itself: each character counts as often as it comes. `longest` are
    pieces of the vocabulary, by their characters.
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
    """`pieces`: how many tokens the vocabulary has beside special ones and single bytes; `unused`: those of them that
    the text did not need; `broken`: those that hold only part of some character. `scripts`: those that the text has."""

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
    """Encodes `texts` as content and counts.

    Raises:
        LiuliError: a text holds a lone surrogate.
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
    """UTF-8's continuation bytes are 10xxxxxx; every other byte begins a character."""
    return sum(byte & 0xC0 != 0x80 for byte in data)
