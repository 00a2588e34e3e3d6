"""GPT-2's `vocab.json` (byte-level pieces and their ids) and `merges.txt` (one pair of pieces per line, in the order of
merging). The files do not contain the pre-tokenization pattern: `tokenizer_config.json`, `config.json` or the caller names
it."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from liuli.errors import REPAIR, LiuliError
from liuli.files import read_json
from liuli.tokens.encoders.library import library_errors
from liuli.tokens.encoders.pipeline import pipeline_tokenizer
from liuli.tokens.formats.added_tokens import ConfiguredTokens
from liuli.tokens.formats.config import LARGEST_ID, configured_begin, is_encodable, is_token_id, read_utf8, shown
from liuli.tokens.formats.patterns import pattern_of, splitter
from liuli.tokens.tokenizer import Tokenizer

END = "<|endoftext|>"
NAMES = {  # the default named tokens, by pre-tokenization pattern
    "gpt2": {"bos_token": END, "eos_token": END, "unk_token": END},
    "qwen": {"eos_token": END, "pad_token": END},
    "llama3": {},
}


def open_vocab_and_merges(folder: Path, pattern: str | None) -> Tokenizer:
    """Opens `vocab.json` and `merges.txt`. Raises LiuliError and OSError."""
    name = pattern_of(folder, pattern, "vocab.json")
    vocab = read_json(folder / "vocab.json")
    for piece, token_id in vocab.items():
        if not is_token_id(token_id):
            problem = f"the id of {shown(piece)} must be a whole number from 0 to {LARGEST_ID:,}, not {shown(token_id)}"
            raise LiuliError(f"{folder / 'vocab.json'} is broken: {problem}; {REPAIR}")
        if not is_encodable(piece):
            raise LiuliError(f"{folder / 'vocab.json'} is broken: the piece {shown(piece)} is not valid Unicode; {REPAIR}")
    with library_errors(f"{folder}: vocab.json and merges.txt do not fit together"):
        backend = tokenizers.Tokenizer(models.BPE(vocab, _read_merges(folder)))
    if name == "qwen":
        backend.normalizer = normalizers.NFC()
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([splitter(name), spelled])
    backend.decoder = decoders.ByteLevel()
    configured = ConfiguredTokens.read(folder).with_defaults(NAMES[name], backend.token_to_id)
    configured.add_to(backend)
    begin = configured_begin(folder, configured.names, backend.token_to_id)
    return pipeline_tokenizer(backend, folder, begin, names=configured.names)


def _read_merges(folder: Path) -> list[tuple[str, str]]:
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(read_utf8(folder / "merges.txt").split("\n"), 1):
        if line and not line.startswith("#version"):
            pieces = line.split(" ")
            if len(pieces) != 2:
                raise LiuliError(
                    f"{folder / 'merges.txt'} is broken: line {number} must have two pieces, but has {len(pieces)}; {REPAIR}"
                )
            merges.append((pieces[0], pieces[1]))
    return merges
