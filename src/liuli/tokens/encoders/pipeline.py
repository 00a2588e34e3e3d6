"""An encoder that uses the `tokenizers` library: for `tokenizer.json`, BERT's `vocab.txt`, and `vocab.json` + `merges.txt`.

In: a tokenizer of that library. Out: an `Encoder`. By default, the library reads special tokens in any text. Here each call
says whether they are read, because only prompts may contain special tokens.
"""

import copy
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from liuli.errors import REPAIR, LiuliError
from liuli.tokens.encoders.library import FAILS_ON_TEXT, is_library_error, reason
from liuli.tokens.tokenizer import Added, Tokenizer

SUPPORTED = "supported: byte-level BPE, BPE with ▁ for spaces (SentencePiece's way), BPE over characters, WordPiece"


class PipelineEncoder:
    """An `Encoder` that uses a `tokenizers.Tokenizer`."""

    def __init__(self, backend: tokenizers.Tokenizer, where: str):
        backend.post_processor = None  # pyright: ignore[reportAttributeAccessIssue]  # it would trim spaces off spans
        backend.no_truncation()
        backend.no_padding()
        self.backend, self._where, self._one_at_a_time = backend, where, threading.Lock()
        self.model_kind = type(backend.model).__name__
        if self.model_kind == "BPE" and (backend.model.end_of_word_suffix or backend.model.continuing_subword_prefix):
            raise LiuliError(
                f"{where}: BPE with a continuing-subword prefix or an end-of-word suffix is not supported; {SUPPORTED}"
            )
        decoder = json.loads(backend.decoder.__getstate__()) if backend.decoder else {"type": None}
        self.style, self.spelling = _join_style(self.model_kind, decoder, where)
        self.added = [of_library(id, token) for id, token in backend.get_added_tokens_decoder().items()]
        self._verbatim = {token.id: token.text for token in self.added}
        pieces = {id: piece for piece, id in backend.get_vocab(with_added_tokens=False).items()}
        self._pieces = pieces | self._verbatim
        self.vocab_size = max(self._pieces, default=-1) + 1
        self.pieces_size = max(pieces, default=-1) + 1

    def _encoding(self, text: str, special: bool) -> tokenizers.Encoding:
        """Returns the library's result. Raises LiuliError if the library fails on the text, for example because a regular
        expression fails on millions of spaces. (A regular expression from a file may be slow here; see `formats/trial.py`.)"""
        with self._one_at_a_time:
            self.backend.encode_special_tokens = not special
            try:
                return self.backend.encode(text, add_special_tokens=False)
            except BaseException as error:
                if not is_library_error(error):
                    raise
                raise LiuliError(f"{self._where}: {FAILS_ON_TEXT}: {reason(error)}") from error

    def encode(self, text: str, special: bool = False) -> list[int]:
        return self._encoding(text, special).ids

    def spans(self, text: str, special: bool = False) -> list[tuple[int, int, int]]:
        encoding = self._encoding(text, special)
        return [(id, start, end) for id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)]

    def reading_as_text(self, texts: frozenset[str]) -> "PipelineEncoder":
        """See `Encoder`. The library has no such mode, so this returns a copy in which these tokens are special."""
        copied = copy.deepcopy(self.backend)
        copied.add_tokens([to_library(replace(token, special=True)) for token in self.added if token.text in texts])
        return PipelineEncoder(copied, self._where)

    def piece(self, id: int) -> tuple[bytes, bool] | None:
        piece = self._pieces.get(id)
        if piece is None:
            return None
        if id in self._verbatim:
            return piece.encode(), False
        if self.spelling == "bytes":
            return spelled_bytes(piece), False
        if self.spelling in ("spaced", "plain"):
            return _unescaped(piece, space="▁" if self.spelling == "spaced" else " "), False
        prefix = self.model_json["continuing_subword_prefix"]
        return piece.removeprefix(prefix).encode(), piece.startswith(prefix)

    @cached_property
    def pair_ranks(self) -> dict[tuple[str, str], int]:
        """The rank of every pair that BPE can merge."""
        merges = self.model_json["merges"]
        pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in merges)
        return {(left, right): rank for rank, (left, right) in enumerate(pairs)}

    @cached_property
    def model_json(self) -> dict[str, Any]:
        """The model as JSON of the library: vocabulary, merges, settings."""
        return json.loads(self.backend.to_str())["model"]


def of_library(token_id: int, token: tokenizers.AddedToken) -> Added:
    """Converts an added token of the library."""
    return Added(token_id, token.content, token.special, token.lstrip, token.rstrip, token.normalized, token.single_word)


def to_library(token: Added) -> tokenizers.AddedToken:
    """Converts an added token to the library's form, in which it has no id: the library assigns one."""
    return tokenizers.AddedToken(
        token.text,
        single_word=token.single_word,
        lstrip=token.strip_left,
        rstrip=token.strip_right,
        normalized=token.normalized,
        special=token.special,
    )


def pipeline_tokenizer(
    backend: tokenizers.Tokenizer,
    where: Path,
    begin: Sequence[int],
    unknown: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Tokenizer:
    """Returns a `Tokenizer` that encodes with the library's tokenizer.

    Args:
        where: the file or folder that it was read from, for error messages.
        begin: the ids that a prompt starts with.
        unknown: the text of the token for text that the vocabulary cannot represent.
        names: the texts of the named tokens, by name.

    Raises:
        LiuliError: this kind of tokenizer is not supported, or its unknown token is not in its vocabulary.
    """
    encoder = PipelineEncoder(backend, str(where))
    unknown_id = None if unknown is None else backend.token_to_id(unknown)
    if unknown is not None and unknown_id is None:
        raise LiuliError(f"{where} is broken: its unknown token {unknown!r} is not in its vocabulary; {REPAIR}")
    kinds = {"words": "WordPiece", "bytes": "byte-level BPE", "spaced": "SentencePiece BPE", "plain": "characters"}
    return Tokenizer(encoder, kinds[encoder.spelling], encoder.added, begin, unknown_id, names)


def _join_style(model: str, decoder: dict[str, Any], where: str) -> tuple[str, str]:
    """Returns how pieces are joined (`Encoder.style`), and how the characters of a piece represent bytes, both from the decoder
    of a `tokenizer.json`."""
    steps = decoder.get("decoders", [decoder])
    kinds = [step["type"] for step in steps]
    if model == "WordPiece" and kinds in (["WordPiece"], [None]):
        return "words", "words"
    if model == "BPE" and "ByteLevel" in kinds:
        return "bytes", "bytes"
    kinds = kinds or [None]
    if model == "BPE" and kinds[0] == "Metaspace" and steps[0].get("replacement") == "▁":
        return "bytes" if steps[0].get("prepend_scheme") == "never" else "spaced", "spaced"
    if model == "BPE" and kinds[0] == "Replace" and steps[0].get("pattern") == {"String": "▁"}:
        strips = any(step["type"] == "Strip" and step.get("start") == 1 for step in steps)
        return "spaced" if strips else "bytes", "spaced"
    if model == "BPE" and kinds == ["ByteFallback", "Fuse"]:
        return "bytes", "plain"
    if model in ("BPE", "WordPiece"):
        raise LiuliError(f"{where}: the decoder {kinds} of this {model} tokenizer is not supported; {SUPPORTED}")
    raise LiuliError(f"{where}: tokenizers of kind {model} are not supported; {SUPPORTED}")


def _byte_alphabet() -> dict[str, int]:
    """Returns GPT-2's characters for bytes: a printable byte is itself, the others are U+0100 and following.
    Source: bytes_to_unicode in https://github.com/openai/gpt-2."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


BYTE_OF = _byte_alphabet()


def spelled_bytes(piece: str) -> bytes:
    """Returns the bytes of a byte-level piece. A piece with other characters stands for its own text in UTF-8."""
    spelled = [BYTE_OF.get(character) for character in piece]
    return piece.encode() if None in spelled else bytes(byte for byte in spelled if byte is not None)


def _unescaped(piece: str, space: str) -> bytes:
    is_byte = re.fullmatch("<0x[0-9A-F]{2}>", piece)
    return bytes([int(piece[3:5], 16)]) if is_byte else piece.replace(space, " ").encode()
