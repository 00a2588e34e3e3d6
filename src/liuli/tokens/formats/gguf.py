"""The tokenizer in a GGUF file's metadata: SentencePiece's BPE with scores (`llama`), or byte-level BPE with merges (`gpt2`).

In: an open file. Out: a `Tokenizer` with the same ids as llama.cpp: a text is not normalised (Qwen's own tokenizer.json
composes accents, NFC), user-defined tokens are read in any text, and control tokens only in prompts. `gguf_vocabulary.py`
decides which tokens are control tokens.

Source: src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp.
"""

from pathlib import Path

import numpy as np
import tokenizers
from gguf.constants import TokenType
from tokenizers import decoders, models

from liuli.errors import LiuliError
from liuli.gguf_file import GGUFFile, open_gguf, shown
from liuli.tokens.encoders.library import library_errors
from liuli.tokens.encoders.pipeline import pipeline_tokenizer
from liuli.tokens.formats.added_tokens import ConfiguredTokens
from liuli.tokens.formats.config import LONGEST_TOKEN, refuse_pattern
from liuli.tokens.formats.gguf_patterns import CUTTINGS, Cutting
from liuli.tokens.formats.gguf_vocabulary import GGUFVocabulary, read_vocabulary
from liuli.tokens.formats.sentencepiece import BYTE_PIECES, SentencePiece, piece_encoder
from liuli.tokens.tokenizer import Added, Tokenizer

READ = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)  # tokens that are read before pre-tokenization


def open_gguf_tokenizer(path: Path, pattern: str | None) -> Tokenizer | None:
    """Opens the tokenizer in a file. Returns None if the file has no tokenizer.

    Raises:
        LiuliError: the file is broken; the kind of tokenizer or its pre-tokenizer is not supported.
    """
    file = open_gguf(path)
    if "tokenizer.ggml.model" not in file.metadata:
        return None
    refuse_pattern(path, pattern)
    vocabulary = read_vocabulary(file)
    return (_open_pieces if vocabulary.model == "llama" else _open_merges)(file, vocabulary)


def _added(file: GGUFFile, vocabulary: GGUFVocabulary) -> list[Added]:
    """Returns the tokens that are read before pre-tokenization. Raises LiuliError if one is too long."""
    found = [
        Added(number, vocabulary.texts[number], special=kind != TokenType.USER_DEFINED)
        for number, kind in enumerate(vocabulary.kinds)
        if kind in READ
    ]
    if any(len(token.text) > LONGEST_TOKEN for token in found):
        raise file.broken(f"a special token has more than {LONGEST_TOKEN:,} characters")
    return found


def _begin(file: GGUFFile, vocabulary: GGUFVocabulary, default: bool) -> list[int]:
    """Returns the begin token, in a list, if prompts start with one; else []."""
    if not file.flag("tokenizer.ggml.add_bos_token", default):
        return []
    if "bos" not in vocabulary.ids:
        raise file.broken("tokenizer.ggml.add_bos_token is true, but tokenizer.ggml.bos_token_id names no token")
    return [vocabulary.ids["bos"]]


def _open_merges(file: GGUFFile, vocabulary: GGUFVocabulary) -> Tokenizer:
    cutting = _cutting(file)
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(file.texts("tokenizer.ggml.merges") or []):
        left, _, right = line[1:].partition(" ")
        if not right:
            raise file.broken(f"merge {number:,} must be two tokens, not {shown(line)}")
        merges.append((line[0] + left, right))
    ids = {text: number for number, text in enumerate(vocabulary.texts) if vocabulary.kinds[number] != TokenType.UNUSED}
    with library_errors(f"{file.path}: its tokens and merges do not fit together"):
        backend = tokenizers.Tokenizer(models.BPE(ids, merges, ignore_merges=cutting.whole))
        backend.pre_tokenizer = cutting.splitter()
        backend.decoder = decoders.ByteLevel()
        backend.add_tokens(
            [tokenizers.AddedToken(each.text, normalized=False, special=each.special) for each in _added(file, vocabulary)]
        )
    names = ConfiguredTokens.read(file.path).names
    return pipeline_tokenizer(backend, file.path, _begin(file, vocabulary, cutting.begin), names=names)


def _cutting(file: GGUFFile) -> Cutting:
    name = file.text("tokenizer.ggml.pre")
    if name not in CUTTINGS:
        known = ", ".join(CUTTINGS)
        raise LiuliError(
            f"{file.path}: the pre-tokenizer tokenizer.ggml.pre = {shown(name)} is not supported; supported: {known}"
        )
    return CUTTINGS[name]


def _open_pieces(file: GGUFFile, vocabulary: GGUFVocabulary) -> Tokenizer:
    pieces = read_pieces(file, vocabulary)
    for setting in ("remove_extra_whitespaces", "precompiled_charsmap"):
        given = file.metadata.get(f"tokenizer.ggml.{setting}")
        if isinstance(given, np.ndarray) or given:
            raise LiuliError(f"{file.path}: tokenizer.ggml.{setting} is not supported: use a model without this setting")
    added = _added(file, vocabulary)
    # Like added tokens, llama.cpp reads user-defined tokens before it puts the space before a text.
    encoder = piece_encoder(pieces, added, dummy_prefix=has_space_prefix(file))
    begin = _begin(file, vocabulary, default=True)
    names = ConfiguredTokens.read(file.path).names
    return Tokenizer(encoder, "SentencePiece BPE", added, begin, vocabulary.ids.get("unknown"), names)


def has_space_prefix(file: GGUFFile) -> bool:
    """Returns whether the tokenizer puts a space before a text."""
    return file.flag("tokenizer.ggml.add_space_prefix", True)


def read_pieces(file: GGUFFile, vocabulary: GGUFVocabulary) -> list[SentencePiece]:
    """Returns the pieces of a vocabulary with scores. User-defined pieces are returned as control pieces."""
    scores = file.metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, np.ndarray) or len(scores) != len(vocabulary.texts) or not np.isfinite(scores).all():
        raise file.broken("tokenizer.ggml.scores must have one number per token")
    kinds = [TokenType.CONTROL if kind == TokenType.USER_DEFINED else kind for kind in vocabulary.kinds]
    if {text for text, kind in zip(vocabulary.texts, kinds, strict=True) if kind == TokenType.BYTE} != {*BYTE_PIECES}:
        raise LiuliError(f"{file.path}: a tokenizer without a token for each byte is not supported: use another model")
    return [SentencePiece(*each) for each in zip(vocabulary.texts, scores.tolist(), kinds, strict=True)]
