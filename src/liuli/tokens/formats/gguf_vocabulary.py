"""Reads the tokens in a GGUF file's metadata: their texts, their types, and the named tokens.

In: an open file. Out: a `GGUFVocabulary`. `gguf.py` creates a tokenizer from it, and `settings.py` reads the names.

Source: llama_vocab::impl::load in src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp.
"""

from dataclasses import dataclass

import numpy as np
from gguf.constants import TokenType

from liuli.errors import LiuliError
from liuli.gguf_file import GGUFFile, shown

MODELS = ("llama", "gpt2")
# llama.cpp's defaults for missing keys. (Its default for gpt2 is 11 as begin and end token, which is wrong for every model.)
DEFAULT_IDS = {"llama": {"bos": 1, "eos": 2, "unknown": 0}, "gpt2": {}}
# Texts that llama.cpp recognises: a token with such a text is a control token that ends a text, even if the metadata do not say
# so, as in old conversions. Texts of tokenizers that are not supported here (gpt-oss, Solar Open, Gemma 4, MiniMax) are not in
# this list.
END_TEXTS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]",
    "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<｜end▁of▁sentence｜>",
)  # fmt: skip
# Control tokens for filling in the middle of a text: the name in the metadata, and the texts that llama.cpp looks for if the
# metadata do not have this name.
FILLING_TEXTS = {
    "fim_pre": (
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>",
    ),
    "fim_suf": (
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>",
    ),
    "fim_mid": (
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>", "<|middle|>",
    ),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}  # fmt: skip
NAMED = ("bos", "eos", "eot", "eom", "unknown", "padding", "seperator", "cls", "mask", *FILLING_TEXTS)  # GGUF spells it so
ENDING = ("fim_pad", "fim_rep", "fim_sep")  # the tokens of FILLING_TEXTS that also end a text


@dataclass(frozen=True, slots=True)
class GGUFVocabulary:
    """The tokens in a GGUF file.

    Attributes:
        model: "llama" or "gpt2".
        texts: the text of each token, by id.
        kinds: the `TokenType` of each token, by id.
        ids: the ids of the named tokens that exist, by name: bos, eos, ….
    """

    model: str
    texts: list[str]
    kinds: list[int]
    ids: dict[str, int]

    def ends(self) -> list[int]:
        """Returns the ids that end a text or a reply. Those that the metadata name come first."""
        by_text = {text: number for number, text in enumerate(self.texts) if text in END_TEXTS}
        known = [by_text[text] for text in END_TEXTS if text in by_text]
        first, last = ([self.ids[name] for name in names if name in self.ids] for names in (("eos", "eot", "eom"), ENDING))
        return list(dict.fromkeys([*first, *known, *last]))


def read_vocabulary(file: GGUFFile) -> GGUFVocabulary:
    """Returns the tokens in a file. Raises LiuliError: the file is broken; this kind of tokenizer is not supported."""
    model = file.text("tokenizer.ggml.model")
    if model not in MODELS:
        raise LiuliError(
            f"{file.path}: tokenizers of the kind {shown(model)} are not supported; supported: llama (SentencePiece BPE), gpt2 "
            f"(byte-level BPE)"
        )
    texts = file.texts("tokenizer.ggml.tokens")
    if not texts:
        raise file.broken("it has no tokenizer.ggml.tokens")
    given = file.metadata.get("tokenizer.ggml.token_type")
    if given is None:
        given = np.full(len(texts), TokenType.NORMAL)
    if not isinstance(given, np.ndarray) or len(given) != len(texts):
        raise file.broken("tokenizer.ggml.token_type must be as long as tokenizer.ggml.tokens")
    # 0 means that a token has no type. A token without a text is not used.
    typed: list[int] = np.where(given == 0, TokenType.NORMAL, given).tolist()
    kinds = [kind if text else int(TokenType.UNUSED) for text, kind in zip(texts, typed, strict=True)]
    if {*kinds} - {*TokenType}:
        raise file.broken("tokenizer.ggml.token_type contains unknown token types")
    ids = _named_ids(file, model, len(texts))
    for number in _controls(texts, ids):
        kinds[number] = int(TokenType.CONTROL)
    used = [text for text, kind in zip(texts, kinds, strict=True) if kind != TokenType.UNUSED]
    if len({*used}) < len(used):
        raise file.broken("two tokens have the same text")
    return GGUFVocabulary(model, texts, kinds, ids)


def _named_ids(file: GGUFFile, model: str, size: int) -> dict[str, int]:
    """Returns the ids of the named tokens. As in llama.cpp, a name with an id that does not exist is ignored. Raises
    LiuliError: a value is not an integer."""
    ids = dict(DEFAULT_IDS[model])
    for name in NAMED:
        found = file.integer(f"tokenizer.ggml.{name}_token_id")
        if found is not None and 0 <= found < size:
            ids[name] = found
    return {name: number for name, number in ids.items() if number < size}


def _controls(texts: list[str], ids: dict[str, int]) -> list[int]:
    """Returns the ids of the tokens that are control tokens because of their text. Those for filling in the middle are added to
    `ids`."""
    looked_for = {*END_TEXTS, *(text for group in FILLING_TEXTS.values() for text in group)}
    present = {text: number for number, text in enumerate(texts) if text in looked_for}
    found = [number for text, number in present.items() if text in END_TEXTS]
    for name, group in FILLING_TEXTS.items():
        number = next((present[text] for text in group if text in present), None)
        if name not in ids and number is not None:
            ids[name] = number
            found.append(number)
    return found
