"""BERT's `vocab.txt`: one piece of WordPiece per line, its id is the line's number from 0."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.encoders.library import library_errors
from liuli.tokens.encoders.pipeline import pipeline_tokenizer
from liuli.tokens.formats.config import read_utf8, refuse_pattern, shown, token_text
from liuli.tokens.tokenizer import Tokenizer

ROLES = ("pad", "unk", "cls", "sep", "mask")
LONGEST_WORD = 100  # characters; a longer word is unknown, as BERT has it


def open_wordpiece(folder: Path, pattern: str | None) -> Tokenizer:
    """Opens `vocab.txt`, with the settings of `tokenizer_config.json`. Raises LiuliError and OSError."""
    path, config = folder / "vocab.txt", read_json(folder / "tokenizer_config.json")
    refuse_pattern(path, pattern)
    lines = read_utf8(path).split("\n")
    vocab = {line.rstrip("\r"): number for number, line in enumerate(lines) if line or number < len(lines) - 1}
    names = {role: token_text(config.get(f"{role}_token")) or f"[{role.upper()}]" for role in ROLES}
    if names["unk"] not in vocab:
        raise LiuliError(f"{path} is no BERT vocabulary: it has no line {shown(names['unk'])}")
    strip_accents = config.get("strip_accents")
    if strip_accents not in (None, True, False):
        raise LiuliError(
            f"{folder / 'tokenizer_config.json'}: strip_accents must be true, false or null, not {shown(strip_accents)}"
        )
    with library_errors(f"{path} is broken"):
        model = models.WordPiece(vocab, unk_token=names["unk"], max_input_chars_per_word=LONGEST_WORD)
        backend = tokenizers.Tokenizer(model)
        backend.normalizer = normalizers.BertNormalizer(
            handle_chinese_chars=config.get("tokenize_chinese_chars") is not False,
            strip_accents=None if strip_accents is None else bool(strip_accents),
            lowercase=config.get("do_lower_case") is not False,
        )
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece()
        backend.add_special_tokens([name for name in names.values() if name in vocab])
    begin = [vocab[names["cls"]]] if names["cls"] in vocab else []
    return pipeline_tokenizer(backend, folder, begin, names["unk"])
