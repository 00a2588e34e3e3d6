"""Converts a tokenizer to the metadata of a GGUF file, the inverse of `gguf.py` and `gguf_to_files.py`.

In: a model's folder and the tokenizer that was opened from it. Out: keys and values. llama.cpp has two kinds of tokenizers:
`gpt2` (byte-level BPE with merges, and a pre-tokenization pattern that it knows by name) and `llama` (SentencePiece's BPE with
scores). A tokenizer that would have other ids in llama.cpp is refused.

Source: conversion/base.py and src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import TokenType

from liuli.errors import LiuliError
from liuli.gguf_file import is_finite_number
from liuli.tokens.chat.folder_templates import DEFAULT, folder_templates
from liuli.tokens.encoders.bpe import RankedEncoder
from liuli.tokens.encoders.pipeline import PipelineEncoder
from liuli.tokens.formats.config import read_end_ids, shown
from liuli.tokens.formats.gguf_patterns import name_of_pattern
from liuli.tokens.formats.gguf_to_settings import SAMPLING_NAMES, TEMPLATE, TOKEN_NAMES
from liuli.tokens.formats.sentencepiece import BYTE_PIECES, SPACE
from liuli.tokens.formats.settings import GENERATION, read_settings
from liuli.tokens.tokenizer import Added, Tokenizer

UNREACHED = -1e9  # the score of a piece that is not the result of any merge
LARGEST_SETTING = 2**31 - 1  # the largest value of a sampling setting, because a file stores top_k in 32 bits
BYTES = frozenset(BYTE_PIECES)


def tokenizer_metadata(folder: Path, tokenizer: Tokenizer, rows: int) -> dict[str, Any]:
    """Returns the metadata, by key.

    Args:
        rows: the number of rows of the model's embedding. Each row must have a token in the file: rows without a token in the
            tokenizer get unused tokens. Tokens without a row are left out, because the model cannot read them.

    Raises:
        LiuliError: llama.cpp does not support this kind of tokenizer or its pre-tokenizer; a file is broken.
    """
    encoder = tokenizer.encoder
    if isinstance(encoder, PipelineEncoder) and encoder.spelling == "bytes":
        found, texts, scores = _merges(folder, encoder)
    elif isinstance(encoder, PipelineEncoder) and encoder.spelling in ("spaced", "plain"):
        found, texts, scores = _pieces(folder, encoder)
    elif isinstance(encoder, RankedEncoder) and all(isinstance(piece, str) for piece in encoder.ids):
        texts = {number: str(piece) for piece, number in encoder.ids.items()}
        found, scores = {"model": "llama"}, {encoder.ids[piece]: -float(rank) for piece, rank in encoder.ranks.items()}
    else:
        raise _refused(folder, f"llama.cpp does not support {tokenizer.kind} tokenizers in this layout")
    if found["model"] == "llama":
        found |= {"pre": "default", "add_space_prefix": _starts_with_space(tokenizer)}
        if not {*texts.values()} >= BYTES:
            raise _refused(folder, "its tokenizer does not have a token for each byte, which llama.cpp needs")
    added = {token.id: token for token in encoder.added}
    found |= _tokens(added, tokenizer.unknown, texts, scores, rows) | _named(folder, tokenizer, added, rows)
    return {f"tokenizer.ggml.{key}": value for key, value in found.items()} | _templates(folder) | _sampling(folder)


def _refused(folder: Path, reason: str) -> LiuliError:
    return LiuliError(
        f"{folder} cannot be converted to GGUF: {reason}; use the model as a folder (with Liuli, transformers or vLLM)"
    )


def _merges(folder: Path, encoder: PipelineEncoder) -> tuple[dict[str, Any], dict[int, str], None]:
    content = json.loads(encoder.backend.to_str())
    if (content["normalizer"] or {"type": "NFC"})["type"] != "NFC":  # llama.cpp's converter ignores NFC too
        raise _refused(folder, "its tokenizer normalizes the text, which llama.cpp does not support")
    pre = name_of_pattern(content["pre_tokenizer"], bool(content["model"].get("ignore_merges")))
    if pre is None:
        raise _refused(folder, "llama.cpp does not support its pre-tokenizer")
    merges = [f"{left} {right}" for left, right in encoder.pair_ranks]
    texts = {number: piece for piece, number in encoder.backend.get_vocab().items()}
    return {"model": "gpt2", "pre": pre, "merges": merges}, texts, None


def _pieces(folder: Path, encoder: PipelineEncoder) -> tuple[dict[str, Any], dict[int, str], dict[int, float]]:
    """Returns scores that have the order of the merges. A piece's score is that of the first merge whose result it is."""
    content = json.loads(encoder.backend.to_str())
    steps = [content["normalizer"], content["pre_tokenizer"]]
    steps = [inner for step in steps if step for inner in step.get("normalizers", step.get("pretokenizers", [step]))]
    harmless = (
        {"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
    )  # fmt: skip
    if other := next((step["type"] for step in steps if step not in harmless and step["type"] != "Metaspace"), None):
        raise _refused(folder, f"its tokenizer has a step {other}, which llama.cpp does not support")
    first: dict[str, int] = {}
    for (left, right), rank in encoder.pair_ranks.items():
        first.setdefault(left + right, rank)
    vocabulary = encoder.backend.get_vocab()
    if any(pair not in encoder.pair_ranks for piece in first for pair in _halves(piece, vocabulary)):
        reason = "its list of merges is incomplete, and llama.cpp would also merge other pairs, so the ids would differ"
        raise _refused(folder, reason)
    scores = {number: -float(first[piece]) if piece in first else UNREACHED for piece, number in vocabulary.items()}
    if encoder.spelling == "plain" and any(SPACE in piece for piece in vocabulary):
        raise _refused(folder, f"its tokenizer has a token with {SPACE}, which llama.cpp reads as a space")
    return {"model": "llama"}, {number: piece.replace(" ", SPACE) for piece, number in vocabulary.items()}, scores


def _halves(piece: str, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Returns all pairs of pieces whose concatenation is this piece."""
    pairs = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
    return [(left, right) for left, right in pairs if left in vocabulary and right in vocabulary]


def _starts_with_space(tokenizer: Tokenizer) -> bool:
    """Returns whether the tokenizer puts a space before a text."""
    return tokenizer.token(tokenizer.encode("a")[0]).bytes.startswith(b" ")


def _tokens(
    added: dict[int, Added], unknown: int | None, texts: dict[int, str], scores: dict[int, float] | None, rows: int
) -> dict[str, Any]:
    """Returns the text, the type and the score of every row."""
    spelled = dict(texts)
    kinds = np.full(rows, TokenType.NORMAL, np.int32)
    for number in range(rows):
        if number in added:
            spelled[number] = added[number].text
            kinds[number] = TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED
        elif number not in texts:
            kinds[number], spelled[number] = TokenType.UNUSED, f"[PAD{number}]"
        elif scores is not None and texts[number] in BYTES:
            kinds[number] = TokenType.BYTE
        elif scores is not None and number not in scores:  # SentencePiece's user-defined pieces are read first
            kinds[number], spelled[number] = TokenType.USER_DEFINED, texts[number].replace(SPACE, " ")
        if number == unknown:
            kinds[number] = TokenType.UNKNOWN
    found: dict[str, Any] = {"tokens": [spelled[number] for number in range(rows)], "token_type": kinds}
    if scores is not None:
        found["scores"] = np.array([scores.get(number, 0.0) for number in range(rows)], np.float32)
    return found


def _named(folder: Path, tokenizer: Tokenizer, added: dict[int, Added], rows: int) -> dict[str, Any]:
    """Returns the ids of the named tokens, and whether prompts start with the begin token."""
    if len(tokenizer.begin) > 1:
        raise _refused(folder, f"its prompts start with {len(tokenizer.begin)} tokens, and llama.cpp supports at most one")
    texts = {token.text: token.id for token in added.values()}
    named = {name: texts.get(tokenizer.names.get(TOKEN_NAMES[name], "")) for name in NAMED}
    named |= {"bos": tokenizer.begin[0]} if tokenizer.begin else {}
    named |= {"eos": tokenizer.end[0]} if tokenizer.end else {}
    named |= {"unknown": tokenizer.unknown}
    others = [end for end in read_end_ids(folder, rows) if end != named["eos"]]
    named |= {"eot": others[0]} if others else {}
    ids = {f"{name}_token_id": number for name, number in named.items() if number is not None and 0 <= number < rows}
    return ids | {"add_bos_token": bool(tokenizer.begin)}


NAMED = ("bos", "eos", "unknown", "padding")


def _templates(folder: Path) -> dict[str, Any]:
    """Returns the chat templates: the default one, and others with a list of their names."""
    templates = folder_templates(folder)
    found: dict[str, Any] = {TEMPLATE: templates.pop(DEFAULT)} if DEFAULT in templates else {}
    found |= {f"{TEMPLATE}.{name}": text for name, text in templates.items()}
    return found | ({"tokenizer.chat_templates": [*templates]} if templates else {})


def _sampling(folder: Path) -> dict[str, Any]:
    """Returns the model's default sampling settings. Raises LiuliError: a setting is not a number."""
    given = read_settings(folder, GENERATION)
    found: dict[str, Any] = {}
    for name, theirs in SAMPLING_NAMES.items():
        value = given.get(theirs)
        if value is None:
            continue
        if not is_finite_number(value) or abs(value) > LARGEST_SETTING:
            raise LiuliError(f"{folder / GENERATION}: {theirs} must be a number, not {shown(value)}; correct or remove it")
        found[f"general.sampling.{name}"] = int(value) if name == "top_k" else float(value)
    return found
