"""Reads ids from the configuration files next to a tokenizer: the begin token from `tokenizer_config.json`, and the tokens that
end a text from `generation_config.json` and `config.json`. (`added_tokens.py` reads the tokens themselves.)

Files often contain ids that the model does not have, such as an `eos_token_id` of 50256 in a model of 13,317 tokens. Such ids
are ignored with a remark, and are not written to new files.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from liuli.display import printable
from liuli.errors import LiuliError
from liuli.files import read_json, refuse_lfs_pointer
from liuli.remarks import remark
from liuli.tokens.formats.settings import GENERATION, read_settings

ID_FIELDS = (
    "eos_token_id", "bos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id",
)  # fmt: skip
ID_LISTS = ("suppress_tokens", "begin_suppress_tokens")
PHRASES = "bad_words_ids"  # a list of lists of ids
LARGEST_ID = 10_000_000  # the largest token id; the largest vocabularies in use have about 262,000 tokens
LONGEST_TOKEN = 4_096  # characters of an added token
LONGEST_SHOWN = 60  # characters of a value from a file in an error message


def shown(value: Any) -> str:
    """Returns a value from a file for an error message: on one line, printable, and not too long."""
    text = printable(repr(value))
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def is_token_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_ID


def is_encodable(text: str) -> bool:
    """Returns whether the text can be encoded as UTF-8. (JSON can contain a lone surrogate, which cannot.)"""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_utf8(path: Path) -> str:
    """Returns the text of a file. Raises OSError, and LiuliError if the file is not UTF-8 or is a Git LFS pointer."""
    refuse_lfs_pointer(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LiuliError(f"{path} is not UTF-8 text (byte {error.start}): convert it to UTF-8, or download it again") from error


def refuse_pattern(path: Path, pattern: str | None) -> None:
    """Raises LiuliError if a pre-tokenization pattern was given for a layout that has its own."""
    if pattern is not None:
        raise LiuliError(f"{path} has its own pre-tokenizer: leave out --pattern {pattern}")


def read_end_ids(folder: Path, size: int) -> list[int]:
    """Returns the end-of-text ids of `generation_config.json`, or else those of `config.json`; [] if neither has any. Ids that
    a model with `size` ids does not have are left out with a remark.

    Raises:
        LiuliError: a file is broken, or `eos_token_id` is neither an id nor a list of ids.
    """
    for path, ids in _end_ids(folder):
        if possible := possible_ids(ids, size, f"{path}: eos_token_id"):
            return possible
    return []


def _end_ids(folder: Path) -> Iterator[tuple[Path, list[int]]]:
    """Yields the path and the `eos_token_id`, as a list, of each file that has one."""
    for name in (GENERATION, "config.json"):
        path, found = folder / name, read_settings(folder, name).get("eos_token_id")
        if found is not None:
            ids: list[Any] = found if isinstance(found, list) else [found]
            if not all(type(token_id) is int and abs(token_id) <= LARGEST_ID for token_id in ids):
                raise LiuliError(f"{path}: eos_token_id must be an id or a list of ids, not {shown(found)}; correct the file")
            yield path, ids


def possible_generation(folder: Path, size: int) -> dict[str, Any]:
    """Returns the content of `generation_config.json` without the ids that a model with `size` ids does not have.

    Raises:
        LiuliError: a broken file.
    """
    path = folder / GENERATION
    found: dict[str, Any] = {}
    for name, value in read_json(path).items():
        ids = value if isinstance(value, list) else [value]
        if name in (*ID_FIELDS, *ID_LISTS) and are_ids(ids):
            kept = possible_ids(ids, size, f"{path}: {name}")
            if kept:
                found[name] = kept if isinstance(value, list) else kept[0]
        elif name == PHRASES and isinstance(value, list) and all(map(are_ids, value)):
            found[name] = possible_phrases(value, size, f"{path}: {name}")
        else:
            found[name] = value
    return found


def are_ids(value: Any) -> bool:
    """Returns whether a value from a JSON file is a list of whole numbers. The model may not have all of these ids."""
    return isinstance(value, list) and all(type(token_id) is int for token_id in value)


def possible_phrases(phrases: list[list[int]], size: int, what: str) -> list[list[int]]:
    """Returns the phrases that a model with `size` ids can write, with a remark about other ids. `what`: see `possible_ids`."""
    ids = dict.fromkeys(token_id for phrase in phrases for token_id in phrase)
    possible = {*possible_ids(list(ids), size, what)}
    return [phrase for phrase in phrases if possible.issuperset(phrase)]


def possible_ids(ids: list[int], size: int, what: str) -> list[int]:
    """Returns the ids that a model with `size` ids has, with a remark about the others.

    Args:
        what: the file and the field with the ids, for the remark.
    """
    kept = [token_id for token_id in ids if 0 <= token_id < size]
    if len(kept) < len(ids):
        dropped = [token_id for token_id in ids if token_id not in kept]
        remark(f"{what} {shown(dropped[0] if len(dropped) == 1 else dropped)} is ignored: the model's ids are 0 to {size - 1}")
    return kept


def document_ends(folder: Path, specials: Mapping[str, int], names: Mapping[str, str]) -> list[int]:
    """Returns the ids that may end a document, in order of preference: the tokenizer's `eos_token`, the `eos_token_id` in the
    model's files, then the usual tokens. The tokenizer may not have all of these ids."""
    usual = [specials[text] for text in ("[SEP]", "</s>", "<|endoftext|>") if text in specials]
    named = specials.get(names.get("eos_token", ""))
    return [
        *([] if named is None else [named]),
        *(token_id for _, ids in _end_ids(folder) for token_id in ids),
        *usual,
    ]


def configured_begin(folder: Path, names: Mapping[str, str], id_of: Callable[[str], int | None]) -> list[int]:
    """Returns the id of the begin token, in a list, if `tokenizer_config.json` sets `add_bos_token`; else [].

    Args:
        names: the texts of the named tokens.
        id_of: returns the id of a token by its text.
    """
    begin = names.get("bos_token")
    if begin is None or not read_json(folder / "tokenizer_config.json").get("add_bos_token"):
        return []
    token_id = id_of(begin)
    return [] if token_id is None else [token_id]
