"""What the configuration files next to a tokenizer say about special tokens: `tokenizer_config.json`, `added_tokens.json`,
`generation_config.json`, `config.json`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from liuli.display import printable
from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.formats.settings import read_settings
from liuli.tokens.tokenizer import Added, Tokenizer

LARGEST_ID = 10_000_000  # of a token; the largest vocabularies in use have some 262,000
LONGEST_TOKEN = 4_096  # characters of an added token
LONGEST_SHOWN = 60  # characters of a foreign value in an error message


def shown(value: Any) -> str:
    """A value from a foreign file, for an error message: on one line, and not too long."""
    text = printable(repr(value))  # repr leaves out what drives a terminal; printable makes sure of it
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def is_token_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_ID


def is_encodable(text: str) -> bool:
    """Whether the text has bytes. (JSON can spell half of a character, a lone surrogate, which the library does not take.)"""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_utf8(path: Path) -> str:
    """The text of a file. Raises LiuliError if it is not UTF-8, and OSError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LiuliError(f"{path} is not UTF-8 text (byte {error.start})") from error


def refuse_pattern(path: Path, pattern: str | None) -> None:
    """Raises LiuliError if a cutting pattern was given for a layout that holds its own."""
    if pattern is not None:
        raise LiuliError(f"{path} says by itself how text is cut: leave out --pattern {pattern}")


def read_end_ids(folder: Path) -> list[int]:
    """The end-of-text ids that `generation_config.json` names, else `config.json`; [] if neither does. They can lie outside
    the vocabulary of the tokenizer, since an embedding is often larger.

    Raises:
        LiuliError: a broken file, or an `eos_token_id` that is neither an id nor a list of ids.
    """
    for name in ("generation_config.json", "config.json"):
        found = read_settings(folder, name).get("eos_token_id")
        if found is not None:
            ids: list[Any] = found if isinstance(found, list) else [found]
            if not all(type(token_id) is int and abs(token_id) <= LARGEST_ID for token_id in ids):
                raise LiuliError(f"{folder / name}: eos_token_id must be an id or a list of ids, not {shown(found)}")
            return ids
    return []


def document_end(folder: Path, tokenizer: Tokenizer) -> list[int]:
    """The id that ends a document, in a list; [] if there is none. It is the token that `tokenizer_config.json` names, else the
    first that the model's own files name and the tokenizer has, else the token that the layout always has."""
    specials = tokenizer.specials
    named = token_text(read_settings(folder, "tokenizer_config.json").get("eos_token"))
    if named in specials:
        return [specials[named]]
    known = [token_id for token_id in read_end_ids(folder) if 0 <= token_id < tokenizer.vocab_size]
    return (known + [specials[text] for text in ("[SEP]", "</s>", "<|endoftext|>") if text in specials])[:1]


def configured_begin(folder: Path, id_of: Callable[[str], int | None]) -> list[int]:
    """The id of the begin token, in a list, if `tokenizer_config.json` asks for one; else []."""
    config = read_json(folder / "tokenizer_config.json")
    text = token_text(config.get("bos_token"))
    if not config.get("add_bos_token") or text is None:
        return []
    token_id = id_of(text) if is_encodable(text) else None
    if token_id is None:
        raise LiuliError(f"{folder / 'tokenizer_config.json'}: the begin token {shown(text)} is not in the vocabulary")
    return [token_id]


def configured_added(folder: Path) -> list[Added]:
    """The tokens that `tokenizer_config.json` and `added_tokens.json` add to the vocabulary.

    Raises:
        LiuliError: a broken file, or an entry that does not describe a token.
    """
    described = read_json(folder / "tokenizer_config.json").get("added_tokens_decoder", {})
    listed = read_json(folder / "added_tokens.json")
    if not isinstance(described, dict):
        raise _broken(folder, f"added_tokens_decoder is {shown(described)}")
    added = [_described_token(folder, token_id, token) for token_id, token in described.items()]
    known = {token.text for token in added}
    for text, token_id in listed.items():
        if not is_token_id(token_id):
            raise _broken(folder, f"the id of {shown(text)} is {shown(token_id)}")
        if text not in known:
            added.append(Added(token_id, text))
    for token in added:
        if not 0 < len(token.text) <= LONGEST_TOKEN:
            raise _broken(folder, f"a token must have 1 to {LONGEST_TOKEN:,} characters, not {len(token.text):,}")
        if not is_encodable(token.text):
            raise _broken(folder, f"the text of token {token.id} is not valid Unicode")
    return added


def _described_token(folder: Path, token_id: str, token: Any) -> Added:
    if not re.fullmatch("[0-9]{1,9}", token_id) or int(token_id) > LARGEST_ID:
        raise _broken(folder, f"{shown(token_id)} is no id")
    if not isinstance(token, dict) or not isinstance(token.get("content"), str):
        raise _broken(folder, f"token {token_id} has no text")
    flags = {name: token.get(name, default) for name, default in (("special", True), ("lstrip", False), ("rstrip", False))}
    wrong = next((name for name, value in flags.items() if type(value) is not bool), None)
    if wrong is not None:
        raise _broken(folder, f'"{wrong}" of token {token_id} must be true or false, not {shown(flags[wrong])}')
    return Added(int(token_id), token["content"], flags["special"], flags["lstrip"], flags["rstrip"])


def token_text(token: Any) -> str | None:
    """A token's text, which configurations give as a string or as an object with `content`."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _broken(folder: Path, reason: str) -> LiuliError:
    return LiuliError(f"{folder}: the added tokens in tokenizer_config.json or added_tokens.json are broken: {reason}")
