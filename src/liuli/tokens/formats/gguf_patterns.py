"""llama.cpp's pre-tokenizers for byte-level BPE, by the name in `tokenizer.ggml.pre` of a GGUF file.

Each was compared with llama.cpp: the ids are the same on 2,000 lines of Chinese and English text, and on 3,118 texts of emoji,
control characters and mixed scripts (deepseek-llm: except for 5 of these, with spaces next to U+3000). Others are refused.

Source: src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp, and the models' own tokenizer.json.
"""

from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, pre_tokenizers

from liuli.tokens.formats.patterns import DEEPSEEK_V3, PATTERNS, TRAINED

_DIGIT, _DIGITS = r"\p{N}", r"\p{N}+"
_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_LETTERS = (  # the letters of scripts with upper and lower case
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-"
    "\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-"
    "\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-"
    "\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-"
    "\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-"
    "\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943]+"
)


@dataclass(frozen=True, slots=True)
class Cutting:
    """A pre-tokenizer.

    Attributes:
        patterns: regular expressions that are applied one after the other, each to the chunks of the ones before.
        whole: whether a chunk that is itself a token is not split further.
        begin: whether prompts start with the begin token if the file does not set it.
    """

    patterns: tuple[str, ...]
    whole: bool = False
    begin: bool = False

    def splitter(self) -> pre_tokenizers.PreTokenizer:
        """Returns the pre-tokenizer for the `tokenizers` library. It also converts bytes to GPT-2's characters for bytes."""
        splits: list[pre_tokenizers.PreTokenizer] = [pre_tokenizers.Split(Regex(each), "isolated") for each in self.patterns]
        return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _named(cutting: Cutting, *names: str) -> dict[str, Cutting]:
    return dict.fromkeys(names, cutting)


CUTTINGS: dict[str, Cutting] = {
    **_named(Cutting((PATTERNS["gpt2"],)), "gpt-2", "phi-2", "mpt", "olmo", "jais", "gigachat", "exaone4"),
    **_named(Cutting((PATTERNS["llama3"],), whole=True, begin=True), "llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"),
    **_named(Cutting((PATTERNS["llama3"],)), "dbrx", "smaug-bpe"),
    **_named(Cutting((PATTERNS["qwen"],)), "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez"),
    **_named(Cutting((_DIGIT, PATTERNS["gpt2"])), "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"),
    **_named(
        Cutting(
            (
                r"[\r\n]", _LETTERS, "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
                r"\s+$", _CJK, _DIGITS,
            )
        ),
        "deepseek-llm",
    ),
    **_named(Cutting((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, _DIGIT)), "deepseek-coder"),
    **_named(Cutting(DEEPSEEK_V3), "deepseek-v3"),
}  # fmt: skip
# llama.cpp has no name for the pattern of tokenizers that Liuli trains. With this pattern, the ids are the same on 2,000 lines
# of text, and on nearly all other texts (docs/convert.md).
NEAREST: dict[tuple[str, ...], str] = {(TRAINED,): "deepseek-v3"}


def name_of_pattern(pre_tokenizer: dict[str, Any] | None, whole: bool) -> str | None:
    """Returns llama.cpp's name for the pre-tokenizer of a `tokenizer.json`; None if it has none.

    Args:
        pre_tokenizer: the object in the file.
        whole: whether a chunk that is itself a token is not split further.
    """
    if pre_tokenizer is None:
        return None
    steps: list[dict[str, Any]] = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    patterns: list[str] = []
    for step in steps:
        kind = step["type"]
        if kind == "Split" and step["behavior"] == "Isolated" and not step["invert"] and "Regex" in step["pattern"]:
            patterns.append(step["pattern"]["Regex"])
        elif kind == "Digits" and step["individual_digits"]:
            patterns.append(_DIGIT)
        elif kind == "ByteLevel" and not step["add_prefix_space"] and step is steps[-1]:
            patterns += [PATTERNS["gpt2"]] if step["use_regex"] else []
        else:
            return None
    nearest = NEAREST.get(tuple(patterns))
    names = (name for name, cutting in CUTTINGS.items() if cutting.patterns == tuple(patterns) and cutting.whole == whole)
    return nearest or next(names, None)
