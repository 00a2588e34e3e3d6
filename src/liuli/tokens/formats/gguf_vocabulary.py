"""The tokens in a GGUF file's metadata: their texts, their kinds, and which of them have names.

In: an open file. Out: a `GGUFVocabulary`, which `gguf.py` makes a tokenizer of and `settings.py` reads names from.
"""

from dataclasses import dataclass

import numpy as np
from gguf.constants import TokenType

from liuli.errors import LiuliError
from liuli.gguf_file import GGUFFile, shown

MODELS = ("llama", "gpt2")
NAMED = ("bos", "eos", "eot", "eom", "unknown", "padding", "seperator", "cls", "mask")  # GGUF spells it so
DEFAULT_IDS = {"llama": {"bos": 1, "eos": 2, "unknown": 0}, "gpt2": {}}  # what llama.cpp takes if a key is missing
# Control tokens that end a text whatever the metadata names, as in llama.cpp.
ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GGUFVocabulary:
    """Attributes:
    model: "llama" or "gpt2". texts: by id. kinds: by id, of `TokenType`.
    ids: of the tokens that the metadata names: bos, eos, …; those that exist.
    """

    model: str
    texts: list[str]
    kinds: list[int]
    ids: dict[str, int]

    def ends(self) -> list[int]:
        """The ids that end a text or a reply: those that the metadata names first."""
        named = [self.ids[name] for name in ("eos", "eot", "eom") if name in self.ids]
        by_text = {self.texts[number]: number for number, kind in enumerate(self.kinds) if kind == TokenType.CONTROL}
        return list(dict.fromkeys([*named, *(by_text[text] for text in ENDS if text in by_text)]))


def read_vocabulary(file: GGUFFile) -> GGUFVocabulary:
    """The tokens. Raises LiuliError: a broken file; a kind of tokenizer that is not supported."""
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
    # llama.cpp takes 0 for a token of no type; an empty text can be no token.
    typed: list[int] = np.where(given == 0, TokenType.NORMAL, given).tolist()
    kinds = [kind if text else int(TokenType.UNUSED) for text, kind in zip(texts, typed, strict=True)]
    if {*kinds} - {*TokenType}:
        raise file.broken("tokenizer.ggml.token_type holds types that there are not")
    used = [text for text, kind in zip(texts, kinds, strict=True) if kind != TokenType.UNUSED]
    if len({*used}) < len(used):
        raise file.broken("two tokens have the same text")
    ids = dict(DEFAULT_IDS[model])
    for name in NAMED:
        found = file.metadata.get(f"tokenizer.ggml.{name}_token_id")
        if type(found) is int:
            ids[name] = found
    # As in llama.cpp, an id that does not exist is as if it were not named.
    return GGUFVocabulary(model, texts, kinds, {name: id for name, id in ids.items() if 0 <= id < len(texts)})
