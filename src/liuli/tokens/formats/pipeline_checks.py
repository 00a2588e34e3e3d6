"""Checks a `tokenizer.json` before the `tokenizers` library reads it: kinds, sizes and ids, and whether it has parts that must
be tested first (`trial.py`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from liuli.errors import REPAIR, LiuliError
from liuli.tokens.encoders.pipeline import SUPPORTED
from liuli.tokens.formats.config import LARGEST_ID, LONGEST_TOKEN, is_token_id, shown
from liuli.tokens.formats.patterns import KNOWN

MOST_STEPS = 100  # the limit for normalizers, for pre-tokenizers, and for decoders
DEEPEST = 16  # levels of sequences within sequences
LONGEST_TEXT = 256  # characters of a field
LONGEST_PATTERN = 10_000  # characters of a regular expression; DeepSeek LLM's has some 3,000
LARGEST_TABLE = 8 << 20  # characters of a table that is given as a string
LARGEST_GROWTH = 1_000  # how many times longer the normalizers can make a text
LONGEST_WORD = 1_000  # characters; the time that WordPiece takes grows with the square of a word's length

AN_ID = f"a whole number from 0 to {LARGEST_ID:,}"

# Steps whose time and memory are bounded for every text.
PLAIN = {
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Prepend", "Replace", "Strip", "StripAccents",
    "BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace", "Punctuation", "Split",
    "UnicodeScripts", "Whitespace", "WhitespaceSplit",
    "BPEDecoder", "ByteFallback", "CTC", "Fuse", "WordPiece",
}  # fmt: skip
INSIDE = ("normalizers", "pretokenizers", "decoders")  # the fields of a sequence


def check_pipeline(content: dict[str, Any], path: Path) -> list[str]:
    """Checks the parts of a `tokenizer.json` that Liuli uses.

    Returns:
        A text for each part that must be tested: unknown regular expressions, tables, and steps of unknown kinds.

    Raises:
        LiuliError: a kind that is not supported, or a field that is out of bounds.
    """
    _check_model(content["model"], path)
    _check_added(content.get("added_tokens"), path)
    foreign: list[str] = []
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        steps = list(_steps(content.get(part), path, DEEPEST))
        if len(steps) > MOST_STEPS:
            raise _broken(path, f"its {part} has {len(steps):,} steps, but at most {MOST_STEPS} are supported")
        growth = 1
        for step in steps:
            foreign += _check_step(step, path)
            growth *= _growth(step)
        if part == "normalizer" and growth > LARGEST_GROWTH:
            raise _broken(path, f"its normalizer can make a text more than {LARGEST_GROWTH:,} times longer")
    return foreign


def _check_model(model: dict[str, Any], path: Path) -> None:
    kind = model.get("type")
    if kind not in ("BPE", "WordPiece", None):  # very old files have no type; the library then derives it from the fields
        raise LiuliError(f"{path}: tokenizers of kind {shown(kind)} are not supported; {SUPPORTED}")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        raise _broken(path, "its model has no vocabulary")
    wrong = next((piece for piece, token_id in vocab.items() if not is_token_id(token_id)), None)
    if wrong is not None:
        raise _broken(path, f"the id of {shown(wrong)} must be {AN_ID}, not {shown(vocab[wrong])}")
    unknown = model.get("unk_token")
    if unknown is not None and not (isinstance(unknown, str) and len(unknown) <= LONGEST_TOKEN):
        raise _broken(path, f'"unk_token" must be a string of at most {LONGEST_TOKEN:,} characters, not {shown(unknown)}')
    prefix, longest_word = model.get("continuing_subword_prefix"), model.get("max_input_chars_per_word", 0)
    if kind == "WordPiece" or "max_input_chars_per_word" in model:
        if not isinstance(prefix, str) or len(prefix) > LONGEST_TEXT:
            raise _broken(path, f'"continuing_subword_prefix" must be a string of at most {LONGEST_TEXT} characters')
        if type(longest_word) is not int or not 0 <= longest_word <= LONGEST_WORD:
            raise _broken(path, f'"max_input_chars_per_word" must be 0 to {LONGEST_WORD:,}, not {shown(longest_word)}')
    elif prefix or model.get("end_of_word_suffix"):
        raise LiuliError(f"{path}: BPE with a continuing-subword prefix or an end-of-word suffix is not supported; {SUPPORTED}")


def _check_added(added: Any, path: Path) -> None:
    if added is None:
        return
    if not isinstance(added, list):
        raise _broken(path, f'"added_tokens" must be a list, not {shown(added)}')
    for token in added:
        if not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise _broken(path, f"an added token has no text: {shown(token)}")
        if len(token["content"]) > LONGEST_TOKEN:
            size = f"{len(token['content']):,} characters"
            raise _broken(path, f"an added token has {size}, but at most {LONGEST_TOKEN:,} are supported")
        if not is_token_id(token.get("id")):
            name = f"the added token {shown(token['content'])}"
            raise _broken(path, f"the id of {name} must be {AN_ID}, not {shown(token.get('id'))}")


def _steps(part: Any, path: Path, levels: int) -> Iterator[dict[str, Any]]:
    """Yields the steps of a normalizer, pre-tokenizer or decoder in order, including those inside sequences."""
    if part is None:
        return
    if not isinstance(part, dict):
        raise _broken(path, f"a step of its pipeline must be an object, not {shown(part)}")
    inside = next((part[name] for name in INSIDE if name in part), None)
    if inside is None:
        yield part
        return
    if levels == 0 or not isinstance(inside, list):
        raise _broken(path, f"a sequence must be a list of steps, at most {DEEPEST} levels deep")
    for step in inside:
        yield from _steps(step, path, levels - 1)


def _check_step(step: dict[str, Any], path: Path) -> list[str]:
    """Returns a text for each part of a step that must be tested; [] for most steps."""
    kind = step.get("type")
    for name, value in step.items():
        longest = LARGEST_TABLE if name == "precompiled_charsmap" else LONGEST_TEXT
        if isinstance(value, str) and len(value) > longest:
            size = f"{len(value):,} characters, but at most {longest:,} are supported"
            raise _broken(path, f"the field {shown(name)} of {shown(kind)} has {size}")
    if kind == "FixedLength" and not (type(step.get("length")) is int and step["length"] > 0):
        raise _broken(path, f'"length" of FixedLength must be above 0, not {shown(step.get("length"))}')
    if kind in ("Replace", "Split") or "pattern" in step:
        return _check_pattern(step.get("pattern"), path)
    return [] if isinstance(kind, str) and kind in PLAIN else [str(kind)[:LONGEST_TEXT]]


def _check_pattern(pattern: Any, path: Path) -> list[str]:
    """Returns the pattern, in a list, if it is an unknown regular expression; else []."""
    if not isinstance(pattern, dict) or len(pattern) != 1 or not all(isinstance(text, str) for text in pattern.values()):
        raise _broken(path, f"a pattern must be a string or a regular expression, not {shown(pattern)}")
    ((kind, text),) = pattern.items()
    if not 0 < len(text) <= LONGEST_PATTERN:
        raise _broken(path, f"a pattern must have 1 to {LONGEST_PATTERN:,} characters, not {len(text):,}")
    return [] if kind == "String" or text in KNOWN else [text]


def _growth(step: dict[str, Any]) -> int:
    """Returns the largest factor by which a replacement can make a text longer."""
    content = step.get("content")
    if step.get("type") != "Replace" or not isinstance(content, str):
        return 1
    fixed = step["pattern"].get("String")
    # A regular expression can match between any two characters.
    return 1 + len(content) if fixed is None else max(1, -(-len(content) // len(fixed)))


def _broken(path: Path, reason: str) -> LiuliError:
    return LiuliError(f"{path} is broken: {reason}; {REPAIR}")
