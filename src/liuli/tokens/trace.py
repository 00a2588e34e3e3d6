"""How a text was cut: its chunks, and in each chunk every BPE merge in order, or every longest match of WordPiece.

In: a tokenizer and a text. Out: `Chunk`s, which `replay` turns into the same ids that `encode` gives; a test holds
them to it. The cutting is done here a second time, step by step; the encoders themselves stay fast.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from liuli.tokens.bpe import RankedEncoder, merge_steps
from liuli.tokens.library import LibraryEncoder, spelled_bytes
from liuli.tokens.tokenizer import Token, Tokenizer, check_encodable


@dataclass(frozen=True, slots=True)
class Join:
    """One merge: the pieces at `at` and `at + 1`, as they stood then, became `result`. A lower rank goes first."""

    at: int
    left: Token
    right: Token
    rank: int
    result: Token

    def to_json(self) -> dict[str, Any]:
        named = {name: getattr(self, name).to_json() for name in ("left", "right", "result")}
        return {"at": self.at, "rank": self.rank} | named


@dataclass(frozen=True, slots=True)
class Match:
    """WordPiece took `word[start:end]`, the longest piece of the vocabulary that begins there."""

    start: int
    end: int
    piece: Token

    def to_json(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "piece": self.piece.to_json()}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of text that no token crosses. `text` is as the model's normaliser left it, `span` its characters in
    the text that was given. BPE begins with `symbols` and makes `joins`; WordPiece makes `matches`."""

    text: str
    span: tuple[int, int]
    symbols: list[Token]
    joins: list[Join] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        """The chunk's ids, by doing its steps again."""
        if self.matches:
            return [match.piece.id for match in self.matches]
        ids = [symbol.id for symbol in self.symbols]
        for join in self.joins:
            assert ids[join.at : join.at + 2] == [join.left.id, join.right.id]
            ids[join.at : join.at + 2] = [join.result.id]
        return ids

    def to_json(self) -> dict[str, Any]:
        steps = {name: [step.to_json() for step in getattr(self, name)] for name in ("symbols", "joins", "matches")}
        return {"text": self.text, "span": list(self.span), "ids": self.ids} | steps


def trace(tokenizer: Tokenizer, text: str, prompt: bool = False) -> list[Chunk]:
    """Every step of `tokenizer.encode(text, prompt)`, but for the begin token that a prompt gets."""
    check_encodable(text)
    chunks, at = [], 0
    for part, special in tokenizer.parts(text) if prompt else [(text, None)]:
        if special is not None:
            chunks.append(Chunk(part, (at, at + len(part)), [tokenizer.token(special)]))
        elif isinstance(tokenizer.encoder, RankedEncoder):
            chunks += _trace_ranked(tokenizer, tokenizer.encoder, part, at)
        elif isinstance(tokenizer.encoder, LibraryEncoder):
            chunks += _trace_library(tokenizer, tokenizer.encoder, part, at)
        at += len(part)
    return chunks


def replay(chunks: list[Chunk]) -> list[int]:
    """The ids that the steps lead to."""
    return [id for chunk in chunks for id in chunk.ids]


def _trace_ranked(tokenizer: Tokenizer, encoder: RankedEncoder, text: str, offset: int) -> Iterator[Chunk]:
    spans = encoder.spans(text)
    done = 0
    for chunk in encoder.cut(text):
        count = len(encoder.encode_chunk(chunk))
        span = (offset + spans[done][1], offset + max(end for _, _, end in spans[done : done + count]))
        done += count
        shown = chunk if isinstance(chunk, str) else chunk.decode()
        if encoder.whole and chunk in encoder.ids:
            yield Chunk(shown, span, [tokenizer.token(encoder.ids[chunk])])
        else:
            yield _bpe_chunk(tokenizer, shown, span, encoder.symbols(chunk), encoder.rank, encoder.ids.__getitem__)


def _trace_library(tokenizer: Tokenizer, encoder: LibraryEncoder, text: str, offset: int) -> Iterator[Chunk]:
    added = encoder.added
    pattern = "|".join(re.escape(content) for content in sorted(added, key=len, reverse=True))
    at = offset
    for part in re.split(f"({pattern})", text) if pattern else [text]:
        if part in added:
            yield Chunk(part, (at, at + len(part)), [tokenizer.token(added[part])])
        else:
            for chunk, (start, end) in _pre_tokenize(encoder, part):
                span = (at + start, at + end)
                cut = _wordpiece_chunk if encoder.model_kind == "WordPiece" else _merged_chunk
                yield cut(tokenizer, encoder, chunk, span)
        at += len(part)


def _pre_tokenize(encoder: LibraryEncoder, text: str) -> list[tuple[str, tuple[int, int]]]:
    """The library's own pre-tokens, with the characters of `text` that each came from."""
    from tokenizers import PreTokenizedString

    backend, whole = encoder.backend, PreTokenizedString(text)
    if backend.normalizer is not None:
        whole.normalize(backend.normalizer.normalize)
    if backend.pre_tokenizer is not None:
        backend.pre_tokenizer.pre_tokenize(whole)
    return [(chunk, span) for chunk, span, _ in whole.get_splits("original", "char") if chunk]


def _merged_chunk(tokenizer: Tokenizer, encoder: LibraryEncoder, chunk: str, span: tuple[int, int]) -> Chunk:
    settings, vocab = encoder.model_json, encoder.model_json["vocab"]
    shown = spelled_bytes(chunk).decode(errors="replace") if encoder.spelling == "bytes" else chunk
    if settings.get("ignore_merges") and chunk in vocab:
        return Chunk(shown, span, [tokenizer.token(vocab[chunk])])
    symbols: list[str] = []
    for character in chunk:
        bytes_spelled = [f"<0x{byte:02X}>" for byte in character.encode()]
        if character in vocab:
            symbols.append(character)
        elif settings.get("byte_fallback") and all(symbol in vocab for symbol in bytes_spelled):
            symbols += bytes_spelled
        elif settings.get("unk_token") and not (settings.get("fuse_unk") and symbols[-1:] == [settings["unk_token"]]):
            symbols.append(settings["unk_token"])

    def rank(left: str, right: str) -> int | None:
        return encoder.pair_ranks.get((left, right))

    return _bpe_chunk(tokenizer, shown, span, symbols, rank, vocab.__getitem__)


def _bpe_chunk(
    tokenizer: Tokenizer, text: str, span: tuple[int, int], symbols: list[Any], rank: Callable, id_of: Callable[[Any], int]
) -> Chunk:
    def token(piece: Any) -> Token:
        return tokenizer.token(id_of(piece))

    joins = [
        Join(step.at, token(step.left), token(step.right), step.rank, token(step.left + step.right))
        for step in merge_steps(symbols, rank)
    ]
    return Chunk(text, span, [token(symbol) for symbol in symbols], joins)


def _wordpiece_chunk(tokenizer: Tokenizer, encoder: LibraryEncoder, word: str, span: tuple[int, int]) -> Chunk:
    """Longest match first, from the left (Wu et al. 2016, https://arxiv.org/abs/1609.08144); a word that cannot be
    matched to its end, or is too long, is unknown as a whole."""
    settings, vocab = encoder.model_json, encoder.model_json["vocab"]
    unknown = Chunk(word, span, [], matches=[Match(0, len(word), tokenizer.token(vocab[settings["unk_token"]]))])
    if len(word) > settings["max_input_chars_per_word"]:
        return unknown
    matches, start = [], 0
    while start < len(word):
        prefix = settings["continuing_subword_prefix"] if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocab)
        end = next(ends, None)
        if end is None:
            return unknown
        matches.append(Match(start, end, tokenizer.token(vocab[prefix + word[start:end]])))
        start = end
    return Chunk(word, span, [], matches=matches)
