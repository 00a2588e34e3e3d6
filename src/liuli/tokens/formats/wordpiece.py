"""BERT's `vocab.txt`: one WordPiece piece per line. Its id is the number of the line, counted from 0."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.encoders.library import library_errors
from liuli.tokens.encoders.pipeline import pipeline_tokenizer
from liuli.tokens.formats.added_tokens import ConfiguredTokens
from liuli.tokens.formats.config import read_utf8, refuse_pattern, shown
from liuli.tokens.tokenizer import Tokenizer

NAMES = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "unk", "cls", "sep", "mask")}  # defaults
LONGEST_WORD = 100  # characters; as in BERT, a longer word becomes the unknown token


def open_wordpiece(folder: Path, pattern: str | None) -> Tokenizer:
    """Opens `vocab.txt`, with the settings of `tokenizer_config.json`. Raises LiuliError and OSError."""
    path, config = folder / "vocab.txt", read_json(folder / "tokenizer_config.json")
    refuse_pattern(path, pattern)
    lines = read_utf8(path).split("\n")
    vocab = {line.rstrip("\r"): number for number, line in enumerate(lines) if line or number < len(lines) - 1}
    configured = ConfiguredTokens.read(folder).with_defaults(NAMES, vocab.get)
    unknown = configured.names.get("unk_token", NAMES["unk_token"])
    if unknown not in vocab:
        raise LiuliError(f"{path} is not a BERT vocabulary, because it has no line {shown(unknown)}: download it again")
    strip_accents = config.get("strip_accents")
    if strip_accents not in (None, True, False):
        raise LiuliError(
            f"{folder / 'tokenizer_config.json'}: strip_accents must be true, false or null, not {shown(strip_accents)}; "
            f"correct the file"
        )
    with library_errors(f"{path} is broken"):
        model = models.WordPiece(vocab, unk_token=unknown, max_input_chars_per_word=LONGEST_WORD)
        backend = tokenizers.Tokenizer(model)
        backend.normalizer = normalizers.BertNormalizer(
            handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
            strip_accents=None if strip_accents is None else bool(strip_accents),
            lowercase=config.get("do_lower_case") is not False,
        )
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
    configured.add_to(backend)
    begin = backend.token_to_id(configured.names["cls_token"]) if "cls_token" in configured.names else None
    return pipeline_tokenizer(backend, folder, [] if begin is None else [begin], unknown, configured.names)
