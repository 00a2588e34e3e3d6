"""Gathers the tokens that a folder adds to its vocabulary: their ids, properties and names, and which of them are special.

Several files describe added tokens. They are combined as `transformers` does (`PreTrainedTokenizerBase._from_pretrained`):

1. The layout's own file, such as `added_tokens` of `tokenizer.json`.
2. `added_tokens_decoder` of `tokenizer_config.json`. Its properties replace those of the first.
3. Only without an `added_tokens_decoder`: `special_tokens_map.json`, whose names replace those of `tokenizer_config.json`, and
   `added_tokens.json`.
4. Named tokens (`bos_token` and so on), and `additional_special_tokens` or `extra_special_tokens`. All of these are special. A
   token that has no id yet gets the next free id.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tokenizers

from liuli.errors import REPAIR, LiuliError
from liuli.files import read_json
from liuli.tokens.encoders.library import library_errors
from liuli.tokens.encoders.pipeline import of_library, to_library
from liuli.tokens.formats.config import LARGEST_ID, LONGEST_TOKEN, is_encodable, is_token_id, shown
from liuli.tokens.formats.settings import TOKENIZER, read_settings
from liuli.tokens.tokenizer import Added

STANDARD_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
FIELD_OF = {
    "special": "special", "lstrip": "strip_left", "rstrip": "strip_right", "normalized": "normalized",
    "single_word": "single_word",
}  # fmt: skip
EXTRA_LISTS = ("extra_special_tokens", "additional_special_tokens")  # if both are given, the first, newer name is used
MAP, ADDED = "special_tokens_map.json", "added_tokens.json"


@dataclass(frozen=True, slots=True)
class ConfiguredToken:
    """A token as a configuration file describes it. `flags`: the fields of `Added` that the file sets."""

    text: str
    flags: dict[str, bool] = field(default_factory=dict)

    def added(self, token_id: int, special: bool) -> Added:
        flags = {"normalized": not special} | self.flags | {"special": special}
        return Added(token_id, self.text, **flags)


@dataclass(frozen=True, slots=True)
class ConfiguredTokens:
    """The tokens in a folder's configuration files.

    Attributes:
        listed: the tokens that a file lists with their ids, by id.
        named: the tokens with names, by name, such as `bos_token`; None if a file sets the name to null.
        extra: the special tokens without a name.
    """

    folder: Path
    listed: dict[int, ConfiguredToken]
    named: dict[str, ConfiguredToken | None]
    extra: list[ConfiguredToken]

    @classmethod
    def read(cls, folder: Path) -> "ConfiguredTokens":
        """Reads the files of a folder. Raises LiuliError: a file is broken, or an entry does not describe a token."""
        config = read_settings(folder, TOKENIZER)
        reader = _EntryReader(folder)
        named, extra = reader.names(config, TOKENIZER), reader.extra(config, TOKENIZER, {})
        listed = reader.listed(config.get("added_tokens_decoder"))
        if "added_tokens_decoder" not in config:
            mapped = read_json(folder / MAP)
            named |= reader.names(mapped, MAP)
            extra += reader.extra(mapped, MAP, config)
            special = {token.text for token in (*named.values(), *extra) if token is not None}
            listed = reader.legacy(read_json(folder / ADDED), special)
        return cls(folder, listed, named, extra)

    def with_defaults(self, names: Mapping[str, str], id_of: Callable[[str], int | None]) -> "ConfiguredTokens":
        """Adds a layout's default named tokens, except tokens that are not in the vocabulary and names that a file sets."""
        known = {name: ConfiguredToken(text) for name, text in names.items() if id_of(text) is not None}
        return replace(self, named=known | self.named)

    @property
    def names(self) -> dict[str, str]:
        """The texts of the named tokens, by name. Chat templates read them as variables."""
        return {name: token.text for name, token in self._in_order()}

    def merged(self, own: Iterable[Added], id_of: Callable[[str], int | None], size: int) -> list[Added]:
        """Returns all added tokens.

        Args:
            own: the added tokens of the layout's own file.
            id_of: returns the id of a text in the vocabulary, or None.
            size: the first id for tokens that have none yet, if no file lists a larger id.

        Raises:
            LiuliError: there are more tokens than ids.
        """
        found = {token.text: token for token in own}
        in_order = [token for _, token in self._in_order()]
        named = {token.text for token in in_order}
        for listed_id, token in sorted(self.listed.items()):
            before = found.get(token.text)
            known = id_of(token.text) if before is None else before.id
            special = bool(token.flags.get("special")) or token.text in named or (before is not None and before.special)
            found[token.text] = token.added(listed_id if known is None else known, special)
        size = max([size, *(token.id + 1 for token in found.values())])
        for token in (*in_order, *self.extra):
            before = found.get(token.text)
            if before is None:
                known = id_of(token.text)
                found[token.text] = token.added(size if known is None else known, True)
                size += known is None
            elif token.text in named:
                found[token.text] = replace(before, special=True)
        if size > LARGEST_ID + 1:
            raise LiuliError(f"{self.folder} adds too many tokens (ids go up to {LARGEST_ID:,}): remove some of them")
        return list(found.values())

    def _in_order(self) -> list[tuple[str, ConfiguredToken]]:
        """Returns the named tokens in the order in which they get new ids: the standard names come first."""
        names = [name for name in STANDARD_NAMES if name in self.named] + [
            name for name in self.named if name not in STANDARD_NAMES
        ]
        return [(name, token) for name in names if (token := self.named[name]) is not None]

    def add_to(self, backend: tokenizers.Tokenizer) -> None:
        """Adds the tokens to a tokenizer of the `tokenizers` library.

        They are added in one call, because each call rebuilds the library's search index. The library numbers new tokens
        itself, from the first free id on.

        Raises:
            LiuliError: a file gives a token another id than the library does.
        """
        own = [of_library(token_id, token) for token_id, token in backend.get_added_tokens_decoder().items()]
        size = max([backend.get_vocab_size(with_added_tokens=False), *(token.id + 1 for token in own)])
        known = set(own)
        changed = [token for token in self.merged(own, backend.token_to_id, size) if token not in known]
        changed.sort(key=lambda token: token.id)
        with library_errors(f"{self.folder}: the added tokens are broken"):
            backend.add_tokens([to_library(token) for token in changed])
        for token in changed:
            if backend.token_to_id(token.text) != token.id:
                raise LiuliError(
                    f"{self.folder}: the added token {shown(token.text)} cannot have the id {token.id}: the ids of added "
                    f"tokens must follow those of the vocabulary without gaps; correct the id in the file that lists the token"
                )


class _EntryReader:
    """Reads the entries of a folder's configuration files. All methods raise LiuliError if an entry does not describe a
    token."""

    def __init__(self, folder: Path):
        self._folder = folder

    def names(self, body: dict[str, Any], file: str) -> dict[str, ConfiguredToken | None]:
        """Returns the named tokens: those with standard names, and a model's own (`image_token`, or an object of extra
        tokens)."""
        given = {
            name: token
            for name, token in body.items()
            if name in STANDARD_NAMES or (name.endswith("_token") and isinstance(token, str))
        }
        others = body.get(EXTRA_LISTS[0])
        given |= others if isinstance(others, dict) else {}
        return {
            name: None if token is None or token == "" else self._token(token, f"the token {shown(name)}", file)
            for name, token in given.items()
        }

    def extra(self, body: dict[str, Any], file: str, before: dict[str, Any]) -> list[ConfiguredToken]:
        """Returns the special tokens without a name.

        Args:
            before: the content of the file that was read first. If it has such a list, `additional_special_tokens` here is not
                read.
        """
        name = next((each for each in EXTRA_LISTS if body.get(each) and not isinstance(body[each], dict)), None)
        if name is None or (name == EXTRA_LISTS[1] and any(before.get(each) for each in EXTRA_LISTS)):
            return []
        given = body[name]
        if not isinstance(given, list):
            raise self._broken(f"{name} must be a list of tokens, not {shown(given)}", file)
        return [self._token(token, f"a token of {name}", file) for token in given]

    def listed(self, given: Any) -> dict[int, ConfiguredToken]:
        """Returns the tokens of `added_tokens_decoder` by id. (In JSON, the ids are strings.)"""
        if given is None:
            return {}
        if not isinstance(given, dict):
            raise self._broken(f"added_tokens_decoder must be an object, not {shown(given)}")
        found = {}
        for digits, token in given.items():
            if not re.fullmatch("[0-9]{1,9}", digits) or int(digits) > LARGEST_ID:
                raise self._broken(f"{shown(digits)} is not a token id (0 to {LARGEST_ID:,})")
            if not isinstance(token, dict) or not isinstance(token.get("content"), str):
                raise self._broken(f"token {digits} has no text (content)")
            described = self._token(token, f"token {digits}")
            found[int(digits)] = replace(described, flags={"special": True} | described.flags)
        return found

    def legacy(self, given: dict[str, Any], special: set[str]) -> dict[int, ConfiguredToken]:
        """Returns the tokens of `added_tokens.json`, which has ids by text. `special`: the texts of special tokens in another
        file."""
        found = {}
        for text, token_id in given.items():
            if not is_token_id(token_id):
                wanted = f"a whole number from 0 to {LARGEST_ID:,}"
                raise self._broken(f"the id of {shown(text)} must be {wanted}, not {shown(token_id)}", ADDED)
            self._check_text(text, f"token {token_id}", ADDED)
            found[token_id] = ConfiguredToken(text, {"special": text in special})
        return found

    def _token(self, token: Any, what: str, file: str = TOKENIZER) -> ConfiguredToken:
        """Returns a token that is given as a string, or as an object with `content` and its properties."""
        body: Any = {"content": token} if isinstance(token, str) else token
        if not isinstance(body, dict) or not isinstance(body.get("content"), str):
            wanted = 'a string, or an object with the string in the field "content"'
            raise self._broken(f"{what} must be {wanted}, not {shown(token)}", file)
        self._check_text(body["content"], what, file)
        wrong = next((name for name in FIELD_OF if name in body and type(body[name]) is not bool), None)
        if wrong is not None:
            raise self._broken(f'"{wrong}" of {what} must be true or false, not {shown(body[wrong])}', file)
        flags: dict[str, bool] = {FIELD_OF[name]: body[name] for name in FIELD_OF if name in body}
        return ConfiguredToken(body["content"], flags)

    def _check_text(self, text: str, what: str, file: str = TOKENIZER) -> None:
        if not 0 < len(text) <= LONGEST_TOKEN:
            raise self._broken(f"a token must have 1 to {LONGEST_TOKEN:,} characters, not {len(text):,}", file)
        if not is_encodable(text):
            raise self._broken(f"the text of {what} is not valid Unicode", file)

    def _broken(self, reason: str, file: str = TOKENIZER) -> LiuliError:
        return LiuliError(f"{self._folder}: the added tokens in {file} are broken: {reason}; {REPAIR}")
