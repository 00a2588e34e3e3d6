"""Pre-tokenization patterns: named regular expressions that split a text into chunks before merging. This file also finds the
pattern of a folder, and lists the patterns that are known to be fast on every text."""

from pathlib import Path

from tokenizers import Regex, pre_tokenizers

from liuli.errors import LiuliError
from liuli.files import read_json

# From https://github.com/openai/tiktoken (tiktoken_ext/openai_public.py) and from Qwen's tokenizer.
_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen": rf"{_LETTERS}|\p{{N}}|{_REST}",
    "llama3": rf"{_LETTERS}|\p{{N}}{{1,3}}|{_REST}",
}
# The pattern of tokenizers that Liuli trains; docs/tokenizers.md explains each line.
TRAINED = "|".join(
    [
        r"['’](?i:[sdmt]|ll|ve|re)(?!\p{L})",
        r"\p{Han}+",
        r" ?[\p{L}\p{M}&&[^\p{Han}]]+",
        r"\p{N}",
        r" ?[^\s\p{L}\p{N}\p{Han}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?= [^\s\p{N}\p{Han}])",
        r"\s+",
    ]
)
PATTERN_OF_CLASS = {"GPT2Tokenizer": "gpt2", "Qwen2Tokenizer": "qwen", "QWenTokenizer": "qwen"}
PATTERN_OF_MODEL = {"gpt2": "gpt2", "qwen": "qwen", "qwen2": "qwen", "qwen3": "qwen"}

# Words that end in lower-case letters, and words in upper case, from GPT-4o's tokenizer.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SMALL, _CAPITAL = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+", rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_SUFFIX, _SLASHED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# The patterns of DeepSeek V3, applied one after the other.
DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)

# Patterns of `tokenizer.json` that need no test (`trial.py`), because their time is proportional to the length of the text.
# Other patterns are tested each time their tokenizer is opened, which takes some tenths of a second.
KNOWN = frozenset(PATTERNS.values()) | {
    TRAINED,
    rf"{_SMALL}{_SUFFIX}|{_CAPITAL}{_SUFFIX}|\p{{N}}{{1,3}}|{_SLASHED}",  # GPT-4o, gpt-oss, Llama 4
    rf"{_SMALL}|{_CAPITAL}|\p{{N}}|{_SLASHED}",  # Mistral Nemo
    *DEEPSEEK_V3,
    "[0-9][0-9][0-9]",  # Falcon
    r" ?[^(\s|[.,!?…。，、।۔،])]+",  # BLOOM
    r"\s+",
    " {2,}",
}


def check_name(pattern: str) -> None:
    """Raises LiuliError if there is no pre-tokenization pattern with this name."""
    if pattern not in PATTERNS:
        raise LiuliError(f"there is no pre-tokenization pattern {pattern!r}; known: {', '.join(PATTERNS)}")


def pattern_of(folder: Path, given: str | None, layout: str) -> str:
    """Returns the name of the pre-tokenization pattern in a folder's configuration, or else `given`. It is never guessed.

    Args:
        layout: the file that does not have the pattern, for error messages.

    Raises:
        LiuliError: there is neither a configured nor a given pattern, they differ, or the configuration asks for a prefix
            space.
    """
    config = read_json(folder / "tokenizer_config.json")
    if config.get("add_prefix_space"):
        raise LiuliError(
            f"{folder / 'tokenizer_config.json'}: add_prefix_space is not supported for {layout}: use the model's "
            f"tokenizer.json, if it has one"
        )
    tokenizer_class = str(config.get("tokenizer_class"))
    model_type = str(read_json(folder / "config.json").get("model_type"))
    stated = PATTERN_OF_CLASS.get(tokenizer_class.removesuffix("Fast")) or PATTERN_OF_MODEL.get(model_type)
    if stated and given and stated != given:
        raise LiuliError(f"{folder} says that its pre-tokenization pattern is {stated!r}: leave out --pattern {given}")
    name = stated or given
    if name is None:
        raise LiuliError(
            f"{folder}: none of {layout}, tokenizer_config.json and config.json names the pre-tokenization pattern: give it "
            f"with --pattern ({', '.join(PATTERNS)})"
        )
    return name


def splitter(name: str) -> pre_tokenizers.PreTokenizer:
    """Returns a pre-tokenizer that splits a text by the pattern with this name."""
    return pre_tokenizers.Split(Regex(PATTERNS[name]), "isolated")
