"""SentencePiece's `tokenizer.model`: a protocol buffer of pieces with scores, opened as a `RankedEncoder`.

In: the file. Out: the encoder, its control tokens and its begin token. The format is sentencepiece_model.proto of
https://github.com/google/sentencepiece. Only the fields that affect ids are read. A setting that is not supported is refused by
name.
"""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from liuli.errors import REPAIR, LiuliError
from liuli.files import read_json
from liuli.tokens.encoders.bpe import RankedEncoder
from liuli.tokens.formats.added_tokens import ConfiguredTokens
from liuli.tokens.formats.config import refuse_pattern, shown
from liuli.tokens.strings import StringFinder
from liuli.tokens.tokenizer import Added, Tokenizer

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "word", 4: "char"}
NAMED_IDS = {"unk_token": (40, 0), "bos_token": (41, 1), "eos_token": (42, 2)}  # field of the trainer, and its default
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]
LONGEST_VARINT = 10  # bytes, enough for 64 bits
NONE = (1 << 64) - 1  # -1 in a file, which means that there is no such token

# The fields of a message by number: an int for a varint, bytes for all other types.
Message = dict[int, int | bytes]


@dataclass(frozen=True, slots=True)
class SentencePiece:
    """One piece of the vocabulary. `kind`: `NORMAL` to `BYTE`."""

    text: str
    score: float
    kind: int


def open_sentencepiece(folder: Path, pattern: str | None) -> Tokenizer:
    """Opens `tokenizer.model`, with the tokens that the files next to it add. Prompts start with the model's begin token unless
    `tokenizer_config.json` says otherwise. Raises LiuliError and OSError."""
    path = folder / "tokenizer.model"
    refuse_pattern(path, pattern)
    pieces, trainer, normalizer = _read_model(path)
    try:
        _refuse_what_is_not_followed(path, trainer, normalizer, pieces)
        dummy_prefix, begin_id = bool(_number(normalizer, 3, 1)), _number(trainer, 41, 1)
        numbers = {name: _number(trainer, field, default) for name, (field, default) in NAMED_IDS.items()}
    except ValueError as error:
        raise _broken(path, str(error)) from error
    id_of = {piece.text: number for number, piece in enumerate(pieces)}.get
    names = {name: pieces[number].text for name, number in numbers.items() if number < len(pieces)}
    configured = ConfiguredTokens.read(folder).with_defaults(names, id_of)
    own = [Added(number, piece.text) for number, piece in enumerate(pieces) if piece.kind in (CONTROL, UNKNOWN)]
    # `added_tokens_decoder` can give a piece, such as a reserved one, another text, which replaces the piece's own text.
    own = [token for token in own if token.id not in configured.listed or configured.listed[token.id].text == token.text]
    added = configured.merged(own, id_of, len(pieces))
    unknown = next((number for number, piece in enumerate(pieces) if piece.kind == UNKNOWN), None)
    settings = read_json(folder / "tokenizer_config.json")
    begin = [begin_id] if settings.get("add_bos_token") is not False and begin_id != NONE else []
    encoder = piece_encoder(pieces, added, dummy_prefix, first_only=settings.get("legacy") is False)
    return Tokenizer(encoder, "SentencePiece BPE", added, begin, unknown, configured.names)


def piece_encoder(
    pieces: list[SentencePiece], added: Sequence[Added], dummy_prefix: bool, first_only: bool = False
) -> RankedEncoder[str]:
    """Returns an encoder for BPE with scores.

    Args:
        dummy_prefix: whether a space is put before content.
        first_only: whether this space is put only at the beginning of the text, and not after an added token.
    """
    ids = {piece.text: number for number, piece in enumerate(pieces) if piece.kind in (NORMAL, USER_DEFINED, BYTE)}
    normal = {piece.text: piece.score for piece in pieces if piece.kind == NORMAL}
    by_score = {score: rank for rank, score in enumerate(sorted(set(normal.values()), reverse=True))}
    ranks = {text: by_score[score] for text, score in normal.items()}
    texts = {
        number: _byte(piece.text) if piece.kind == BYTE else piece.text.replace(SPACE, " ").encode()
        for number, piece in enumerate(pieces)
    }
    texts |= {token.id: token.text.encode() for token in added}
    fixed = {piece.text for piece in pieces if piece.kind == USER_DEFINED}
    finder = StringFinder(fixed)
    neighbours = {text[i : i + 2] for text in ranks for i in range(len(text) - 1)}

    def cut(text: str) -> Iterator[str]:
        if text:
            yield from cut_on((SPACE if dummy_prefix else "") + text)

    def cut_on(text: str) -> Iterator[str]:
        """Splits before and after fixed pieces, and between two characters that are not neighbours in any piece, because no
        merge can join them."""
        text = text.replace(" ", SPACE)
        end_before = 0
        for start, end in [*finder.find_all(text), (len(text), len(text))]:
            yield from cut_content(text[end_before:start])
            if start < end:
                yield text[start:end]
            end_before = end

    def cut_content(text: str) -> Iterator[str]:
        start = 0
        for i in range(1, len(text)):
            if text[i - 1 : i + 1] not in neighbours:
                yield text[start:i]
                start = i
        if text:
            yield text[start:]

    def symbols(chunk: str) -> list[str]:
        """Returns the chunk's characters. A character that is not a piece is replaced by its UTF-8 bytes."""
        if chunk in fixed:
            return [chunk]
        found: list[str] = []
        for character in chunk:
            found += [character] if character in ranks else [BYTE_PIECES[byte] for byte in character.encode()]
        return found

    style = "spaced" if dummy_prefix else "bytes"
    return RankedEncoder(
        ids, ranks, cut, symbols, texts, added, style, whole=False, prefix=int(dummy_prefix), space=SPACE,
        cut_on=cut_on if first_only else None,
    )  # fmt: skip


def _refuse_what_is_not_followed(path: Path, trainer: Message, normalizer: Message, pieces: list[SentencePiece]) -> None:
    """Raises LiuliError if the model has a setting that is not supported, and ValueError if a field has the wrong type."""
    model_type = MODEL_TYPES.get(_number(trainer, 3, 1), "unknown")
    byte_pieces = {piece.text for piece in pieces if piece.kind == BYTE}
    normalization = shown(_bytes(normalizer, 1).decode(errors="replace"))
    problems = {
        f"it is of the type {model_type} (BPE is supported)": model_type != "BPE",
        "it has no byte fallback": byte_pieces != set(BYTE_PIECES),
        "it has unused pieces": any(piece.kind == UNUSED for piece in pieces),
        f"it has the normalisation {normalization} (identity is supported)": bool(_bytes(normalizer, 2)),
        "it removes extra white space": bool(_number(normalizer, 4, 1)),
        "it does not replace white space by ▁": not _number(normalizer, 5, 1),
        "it puts white space at the end of pieces (as a suffix)": bool(_number(trainer, 24, 0)),
    }
    for problem, present in problems.items():
        if present:
            raise LiuliError(
                f"{path}: this SentencePiece model is not supported, because {problem}; use the model's tokenizer.json, if it "
                f"has one"
            )


def _read_model(path: Path) -> tuple[list[SentencePiece], Message, Message]:
    """Returns the pieces, the trainer's settings and the normalizer's settings."""
    pieces: list[SentencePiece] = []
    trainer: Message = {}
    normalizer: Message = {}
    try:
        for field, value in _fields(path.read_bytes()):
            if field == 1:
                pieces.append(_piece(_bytes({field: value}, field)))
            elif field == 2:
                trainer = dict(_fields(_bytes({field: value}, field)))
            elif field == 3:
                normalizer = dict(_fields(_bytes({field: value}, field)))
    except ValueError as error:
        raise _broken(path, str(error)) from error
    if not pieces:
        raise _broken(path, "it has no pieces")
    if len({piece.text for piece in pieces}) < len(pieces):
        raise _broken(path, "two pieces have the same text")
    return pieces, trainer, normalizer


def _piece(data: bytes) -> SentencePiece:
    """Returns a piece. Raises ValueError if the message is not a piece."""
    message = dict(_fields(data))
    text, kind, score = _bytes(message, 1).decode(), _number(message, 3, NORMAL), _bytes(message, 2, bytes(4))
    if not text:
        raise ValueError("a piece has no text")
    if not NORMAL <= kind <= BYTE:
        raise ValueError(f"the type of {shown(text)} must be {NORMAL} to {BYTE}, not {kind}")
    if kind == BYTE and not re.fullmatch("<0x[0-9A-F]{2}>", text):
        raise ValueError(f"{shown(text)} is not a byte such as <0x41>")
    if len(score) != 4 or not math.isfinite(struct.unpack("<f", score)[0]):
        raise ValueError(f"the score of {shown(text)} is not a number")
    return SentencePiece(text, struct.unpack("<f", score)[0], kind)


def _byte(text: str) -> bytes:
    """Returns the byte of a piece such as `<0x41>`."""
    return bytes([int(text[3:5], 16)])


def _number(message: Message, field: int, default: int) -> int:
    """Returns a field that must be a number. Raises ValueError if it is bytes."""
    value = message.get(field, default)
    if isinstance(value, bytes):
        raise ValueError(f"field {field} must be a number")
    return value


def _bytes(message: Message, field: int, default: bytes = b"") -> bytes:
    """Returns a field that must be bytes. Raises ValueError if it is a number."""
    value = message.get(field, default)
    if not isinstance(value, bytes):
        raise ValueError(f"field {field} must not be a number")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the fields of one protocol-buffer message as (number, value).

    Raises:
        ValueError: the message is truncated or invalid.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if wire in (1, 5):
            length = 8 if wire == 1 else 4
        elif wire == 2:
            length, at = _varint(data, at)
        else:
            raise ValueError(f"it is damaged at byte {at}")
        if at + length > len(data):
            raise ValueError(f"it is damaged at byte {at}: the message ends within a field of {length} bytes")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns the number that begins at this byte, and the index after it. Raises ValueError."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for i, byte in enumerate(data[at : at + LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & NONE, at + i + 1
    raise ValueError(f"it is damaged at byte {at}: a number does not end")


def _broken(path: Path, reason: str) -> LiuliError:
    return LiuliError(f"{path} is broken: it is not a valid SentencePiece model ({reason}); {REPAIR}")
