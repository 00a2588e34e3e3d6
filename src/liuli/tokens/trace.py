"""The steps by which a text is tokenized: its chunks, and in each chunk every BPE merge in order, or every longest match of
WordPiece.

In: a tokenizer and a text. Out: `Chunk`s, which `replay` converts to ids. A test checks that they equal the ids of `encode`.
The text is tokenized a second time here, step by step, so that the encoders themselves stay fast.
"""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tokenizers import PreTokenizedString

from liuli.fields import Record
from liuli.tokens.encoders.bpe import RankedEncoder, merge
from liuli.tokens.encoders.pipeline import PipelineEncoder, spelled_bytes
from liuli.tokens.tokenizer import Token, Tokenizer, check_encodable

Span = tuple[int, int]  # half-open range of characters


@dataclass(frozen=True, slots=True)
class Join(Record):
    """One merge: the pieces with the indices `at` and `at + 1` at that moment became `result`. Lower ranks are merged first."""

    at: int
    rank: int
    left: Token
    right: Token
    result: Token


@dataclass(frozen=True, slots=True)
class Match(Record):
    """One match of WordPiece: `word[start:end]` is the longest piece of the vocabulary that begins at `start`."""

    start: int
    end: int
    piece: Token


@dataclass(frozen=True, slots=True)
class Chunk(Record):
    """A part of the text that is tokenized separately.

    Attributes:
        text: the normalized text of the chunk.
        span: the range of its characters in the original text.
        symbols: the tokens with which BPE begins.
        joins: the merges of BPE, in order.
        matches: the matches of WordPiece, in order.
    """

    text: str
    span: Span
    symbols: list[Token]
    joins: list[Join] = field(default_factory=list)
    matches: list[Match] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        """The chunk's ids, computed from its steps."""
        if self.matches:
            return [match.piece.id for match in self.matches]
        ids = [symbol.id for symbol in self.symbols]
        for join in self.joins:
            assert ids[join.at : join.at + 2] == [join.left.id, join.right.id]
            ids[join.at : join.at + 2] = [join.result.id]
        return ids

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "span": self.span, "ids": self.ids} | Record.to_json(self)


def trace(tokenizer: Tokenizer, text: str, prompt: bool = False) -> list[Chunk]:
    """Returns every step of `tokenizer.encode(text, prompt)`, except the begin token that is put before a prompt."""
    check_encodable(text)
    encoder = tokenizer.encoder
    if isinstance(encoder, RankedEncoder):
        return list(_trace_ranked(tokenizer, encoder, text, prompt))
    assert isinstance(encoder, PipelineEncoder)
    return list(_trace_pipeline(tokenizer, encoder, text, prompt))


def replay(chunks: list[Chunk]) -> list[int]:
    """Returns the ids that result from the steps."""
    return [id for chunk in chunks for id in chunk.ids]


def _trace_ranked(tokenizer: Tokenizer, encoder: RankedEncoder, text: str, prompt: bool) -> Iterator[Chunk]:
    at = 0
    for part, added in encoder.parts(text, special=prompt):
        if added is not None:
            yield Chunk(part, (at, at + len(part)), [tokenizer.token(added.id)])
        else:
            spans = iter(encoder.content_spans(part, at == 0))
            for chunk in encoder.chunks(part, at == 0):
                inside = list(itertools.islice(spans, len(encoder.encode_chunk(chunk))))
                span = at + inside[0][1], at + max(end for _, _, end in inside)
                shown = chunk if isinstance(chunk, str) else chunk.decode()
                symbols = [chunk] if encoder.whole and chunk in encoder.ids else encoder.symbols(chunk)
                yield _bpe_chunk(tokenizer, shown, span, symbols, encoder.rank, encoder.ids)
        at += len(part)


def _trace_pipeline(tokenizer: Tokenizer, encoder: PipelineEncoder, text: str, prompt: bool) -> Iterator[Chunk]:
    texts = {token.id: token.text for token in encoder.added}
    spans = encoder.spans(text, special=prompt)
    added = {(start, end): id for id, start, end in spans if id in texts and texts[id] in text[start:end]}
    cut = _wordpiece_chunk if encoder.model_kind == "WordPiece" else _merged_chunk
    for chunk, span in _pre_tokenize(encoder, text, sorted(added)):
        if span in added:
            yield Chunk(text[slice(*span)], span, [tokenizer.token(added[span])])
        else:
            yield cut(tokenizer, encoder, chunk, span)


def _pre_tokenize(encoder: PipelineEncoder, text: str, added: list[Span]) -> Iterator[tuple[str, Span]]:
    """Yields the library's pre-tokens with the ranges of their characters in `text`. The `added` ranges are not split."""
    backend, whole = encoder.backend, PreTokenizedString(text)
    edges = sorted({0, len(text), *itertools.chain(*added)})
    whole.split(lambda _, string: [string[start:end] for start, end in itertools.pairwise(edges)])
    if backend.normalizer is not None:
        whole.normalize(backend.normalizer.normalize)
    if backend.pre_tokenizer is not None:
        backend.pre_tokenizer.pre_tokenize(whole)
    waiting = list(added)
    for chunk, span, _ in whole.get_splits("original", "char"):
        inside = next((fixed for fixed in added if fixed[0] <= span[0] and span[1] <= fixed[1]), None)
        if inside in waiting:  # the first piece of this range; its other pieces are skipped
            waiting.remove(inside)
            yield chunk, inside
        elif inside is None and chunk:
            yield chunk, span


def _merged_chunk(tokenizer: Tokenizer, encoder: PipelineEncoder, chunk: str, span: Span) -> Chunk:
    settings, vocab = encoder.model_json, encoder.model_json["vocab"]
    shown = spelled_bytes(chunk).decode(errors="replace") if encoder.spelling == "bytes" else chunk
    whole = settings.get("ignore_merges") and chunk in vocab
    symbols: list[str] = [chunk] if whole else []
    for character in () if whole else chunk:
        bytes_spelled = [f"<0x{byte:02X}>" for byte in character.encode()]
        if character in vocab:
            symbols.append(character)
        elif settings.get("byte_fallback") and all(symbol in vocab for symbol in bytes_spelled):
            symbols += bytes_spelled
        elif settings.get("unk_token") and not (settings.get("fuse_unk") and symbols[-1:] == [settings["unk_token"]]):
            symbols.append(settings["unk_token"])

    return _bpe_chunk(tokenizer, shown, span, symbols, lambda left, right: encoder.pair_ranks.get((left, right)), vocab)


def _bpe_chunk(tokenizer: Tokenizer, text: str, span: Span, symbols: list[Any], rank: Callable, ids: dict[Any, int]) -> Chunk:
    chunk = Chunk(text, span, [tokenizer.token(ids[symbol]) for symbol in symbols])
    firsts = list(range(len(symbols)))  # the index of the first symbol of each current piece

    def note(first: int, left: Any, right: Any, rank: int) -> None:
        at = bisect_left(firsts, first)
        del firsts[at + 1]
        chunk.joins.append(Join(at, rank, *(tokenizer.token(ids[piece]) for piece in (left, right, left + right))))

    merge(symbols, rank, note)
    return chunk


def _wordpiece_chunk(tokenizer: Tokenizer, encoder: PipelineEncoder, word: str, span: Span) -> Chunk:
    """Finds the longest match again and again, from the left (Wu et al. 2016, https://arxiv.org/abs/1609.08144). A word that is
    too long, or cannot be matched to its end, becomes the unknown token."""
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
