"""SentencePiece's `tokenizer.model`: a protocol buffer of pieces with scores, opened as a `RankedEncoder`.

In: the file. Out: the encoder, its control tokens and its begin token. The format is sentencepiece_model.proto of
https://github.com/google/sentencepiece; only the fields that decide ids are read, and settings that this reader does
not follow are refused by name.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.tokens.encoders.bpe import RankedEncoder
from liuli.tokens.tokenizer import Added, Tokenizer

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "word", 4: "char"}


def open_sentencepiece(path: Path, begin: bool, beside: Sequence[Added]) -> Tokenizer:
    """Args: begin: whether prompts start with the model's begin token. beside: tokens that other files add."""
    pieces, trainer, normalizer = _read_model(path)
    _refuse_what_is_not_followed(path, trainer, normalizer, pieces)
    added = [Added(id, text) for id, (text, _, kind) in enumerate(pieces) if kind in (CONTROL, UNKNOWN)]
    added += [token for token in beside if token.id >= len(pieces)]
    encoder = _encoder(pieces, added, dummy_prefix=bool(normalizer.get(3, 1)))
    unknown = next((id for id, (_, _, kind) in enumerate(pieces) if kind == UNKNOWN), None)
    begin_id = trainer.get(41, 1)  # where there is none, -1, which reads as a number beyond all pieces
    return Tokenizer(encoder, "SentencePiece BPE", added, [begin_id] if begin and begin_id < len(pieces) else [], unknown)


def _encoder(pieces: list[tuple[str, float, int]], added: Sequence[Added], dummy_prefix: bool) -> RankedEncoder[str]:
    ids = {text: id for id, (text, _, kind) in enumerate(pieces) if kind in (NORMAL, USER_DEFINED)}
    byte_ids = [f"<0x{byte:02X}>" for byte in range(256)]
    ids |= {text: id for id, (text, _, kind) in enumerate(pieces) if kind == BYTE}
    normal = {text: score for text, score, kind in pieces if kind == NORMAL}
    by_score = {score: rank for rank, score in enumerate(sorted(set(normal.values()), reverse=True))}
    ranks = {text: by_score[score] for text, score in normal.items()}
    texts = {token.id: token.text.encode() for token in added}
    texts |= {
        id: bytes([int(text[3:5], 16)]) if kind == BYTE else text.replace(SPACE, " ").encode()
        for id, (text, _, kind) in enumerate(pieces)
    }
    fixed = sorted((text for text, _, kind in pieces if kind == USER_DEFINED), key=len, reverse=True)
    fixed_pattern = re.compile("(" + "|".join(map(re.escape, fixed)) + ")") if fixed else None
    neighbours = {text[i : i + 2] for text in ranks for i in range(len(text) - 1)}

    def cut(text: str) -> Iterator[str]:
        """Cuts between two characters that stand side by side in no piece: no join can cross there."""
        if not text:
            return
        text = SPACE * dummy_prefix + text.replace(" ", SPACE)
        for part in fixed_pattern.split(text) if fixed_pattern else [text]:
            start = 0
            for i in range(1, len(part)) if part not in fixed else ():
                if part[i - 1 : i + 1] not in neighbours:
                    yield part[start:i]
                    start = i
            if part:
                yield part[start:]

    def symbols(chunk: str) -> list[str]:
        """The chunk's characters; one that is no piece becomes its UTF-8 bytes."""
        found = []
        for character in chunk:
            found += [character] if character in ranks else [byte_ids[byte] for byte in character.encode()]
        return [chunk] if chunk in fixed else found

    style = "spaced" if dummy_prefix else "bytes"
    return RankedEncoder(ids, ranks, cut, symbols, texts, added, style, whole=False, prefix=int(dummy_prefix), space=SPACE)


def _refuse_what_is_not_followed(path: Path, trainer: dict, normalizer: dict, pieces: list[tuple[str, float, int]]) -> None:
    model_type = MODEL_TYPES.get(trainer.get(3, 1), "unknown")
    problems = {
        f"the model type {model_type} (BPE is supported)": model_type != "BPE",
        "BPE without byte fallback": sum(kind == BYTE for _, _, kind in pieces) != 256,
        "unused pieces": any(kind == UNUSED for _, _, kind in pieces),
        f"the normalisation {normalizer.get(1, b'').decode()!r} (identity is supported)": bool(normalizer.get(2)),
        "removing extra white space": bool(normalizer.get(4, 1)),
        "white space left as it is": not normalizer.get(5, 1),
        "white space as a suffix": bool(trainer.get(24, 0)),
    }
    for problem, present in problems.items():
        if present:
            raise LiuliError(f"{path}: this SentencePiece model needs {problem}, which is not supported")


def _read_model(path: Path) -> tuple[list[tuple[str, float, int]], dict, dict]:
    """(text, score, kind) of every piece, the trainer's settings and the normaliser's, by field number."""
    pieces, trainer, normalizer = [], {}, {}
    try:
        for field, value in _fields(path.read_bytes()):
            if field == 1:
                piece = dict(_fields(value))
                text, kind = piece[1].decode(), piece.get(3, NORMAL)
                if kind == BYTE and not re.fullmatch("<0x[0-9A-F]{2}>", text):
                    raise ValueError(f"{text!r} is no byte")
                pieces.append((text, struct.unpack("<f", piece.get(2, bytes(4)))[0], kind))
            elif field == 2:
                trainer = dict(_fields(value))
            elif field == 3:
                normalizer = dict(_fields(value))
    except (IndexError, KeyError, ValueError, struct.error, TypeError, AttributeError) as error:
        raise LiuliError(f"{path} is broken: it does not read as a SentencePiece model ({error})") from None
    if not pieces:
        raise LiuliError(f"{path} is broken: it does not read as a SentencePiece model (no pieces)")
    return pieces, trainer, normalizer


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of one protocol-buffer message: (number, value), varints as int and all else as bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        length = {1: 8, 5: 4}.get(wire) or varint()
        if wire not in (1, 2, 5) or at + length > len(data):
            raise ValueError(f"damaged at byte {at}")
        yield key >> 3, data[at : at + length]
        at += length
