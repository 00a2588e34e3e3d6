"""Writes the tokenizer of a GGUF file as the files of a model folder.

Byte-level BPE becomes `tokenizer.json`. BPE with scores becomes SentencePiece's `tokenizer.model`, which keeps the scores. The
other metadata become `tokenizer_config.json` and `generation_config.json`.
"""

import json
import struct
from pathlib import Path
from typing import Any

from gguf.constants import TokenType

from liuli.files import write_json
from liuli.gguf_file import GGUFFile, open_gguf, shown
from liuli.remarks import remark
from liuli.tokens.encoders.pipeline import PipelineEncoder
from liuli.tokens.formats.gguf import has_space_prefix, open_gguf_tokenizer, read_pieces
from liuli.tokens.formats.gguf_vocabulary import GGUFVocabulary, read_vocabulary
from liuli.tokens.formats.sentencepiece import NONE, SPACE
from liuli.tokens.formats.settings import GENERATION, TOKENIZER, read_settings
from liuli.tokens.tokenizer import Tokenizer

BPE_MODEL = 2  # SentencePiece's number of the model type


def write_tokenizer_files(path: Path, folder: Path) -> None:
    """Writes the tokenizer of a GGUF file to a folder, or nothing if the file has no tokenizer.

    Raises:
        LiuliError: see `open_gguf_tokenizer`.
        OSError: the folder cannot be written.
    """
    tokenizer = open_gguf_tokenizer(path, None)
    config, generation = read_settings(path, TOKENIZER), read_settings(path, GENERATION)
    if tokenizer is not None and isinstance(tokenizer.encoder, PipelineEncoder):
        write_json(folder / "tokenizer.json", _tokenizer_json(tokenizer.encoder, tokenizer), indent=1)
        write_json(folder / TOKENIZER, {"tokenizer_class": "PreTrainedTokenizerFast"} | config)
    elif tokenizer is not None:
        file = open_gguf(path)
        vocabulary = read_vocabulary(file)
        (folder / "tokenizer.model").write_bytes(_sentencepiece_model(file, vocabulary))
        legacy = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": bool(tokenizer.begin)}
        write_json(folder / TOKENIZER, legacy | config)
    if tokenizer is not None:
        _remark_on_names(path, tokenizer)
    if generation:
        write_json(folder / GENERATION, generation)


def _remark_on_names(path: Path, tokenizer: Tokenizer) -> None:
    """Gives a remark about each token that becomes special, because in a folder's files every named token is special."""
    for text in dict.fromkeys(tokenizer.names.values()):
        if text not in tokenizer.specials:
            remark(
                f"{path} names the token {shown(text)} but does not mark it as a control token. In the folder it becomes a "
                f"special token, so in a prompt it is read as one token."
            )


def _tokenizer_json(encoder: PipelineEncoder, tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the content of `tokenizer.json`: that of the library, and a template with the begin token."""
    content: dict[str, Any] = json.loads(encoder.backend.to_str())
    if tokenizer.begin:
        names = {tokenizer.token(token_id).text: token_id for token_id in tokenizer.begin}
        begin = [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]
        first, second = ({"Sequence": {"id": name, "type_id": number}} for number, name in enumerate("AB"))
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [*begin, first],
            "pair": [*begin, first, second],
            "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in names.items()},
        }
    return content


def _sentencepiece_model(file: GGUFFile, vocabulary: GGUFVocabulary) -> bytes:
    """Returns a message of sentencepiece_model.proto: pieces (1), settings of the trainer (2) and of the normalizer (3)."""
    unknown = vocabulary.ids.get("unknown")
    pieces: list[bytes] = []
    for number, (piece, kind) in enumerate(zip(read_pieces(file, vocabulary), vocabulary.kinds, strict=True)):
        # llama.cpp's converter writes user-defined pieces with plain spaces.
        text = piece.text.replace(" ", SPACE) if kind == TokenType.USER_DEFINED else piece.text
        if number == unknown:
            kind = TokenType.UNKNOWN  # the format needs one, but GGUF files often mark it as a control token
        elif kind == TokenType.UNUSED:
            kind = TokenType.CONTROL  # a row of the embedding without a text
        pieces.append(_bytes(1, _bytes(1, text.encode()) + b"\x15" + struct.pack("<f", piece.score) + _number(3, kind)))
    ends = [vocabulary.ids.get(name, NONE) for name in ("unknown", "bos", "eos", "padding")]
    trainer = _number(3, BPE_MODEL) + _number(35, 1) + b"".join(_number(40 + i, each) for i, each in enumerate(ends))
    normalizer = _bytes(1, b"identity") + _number(3, has_space_prefix(file)) + _number(4, 0) + _number(5, 1)
    return b"".join(pieces) + _bytes(2, trainer) + _bytes(3, normalizer)


def _varint(value: int) -> bytes:
    found: list[int] = []
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(int(value))


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
