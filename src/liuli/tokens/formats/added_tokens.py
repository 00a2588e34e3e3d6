"""Which tokens a folder adds to its vocabulary, which of them are special, and which have names.

Several files say it. Their precedence is that of `transformers` (`PreTrainedTokenizerBase._from_pretrained`):

1. The layout's own file, such as the `added_tokens` of `tokenizer.json`.
2. `added_tokens_decoder` of `tokenizer_config.json`, whose properties replace those of the first.
3. Only if there is no `added_tokens_decoder`: `special_tokens_map.json`, whose names replace those of `tokenizer_config.json`,
   and `added_tokens.json`.
4. Named tokens (`bos_token` and the like), and `additional_special_tokens` or `extra_special_tokens`. They are special. One
   that has no id yet gets the next one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tokenizers

from liuli.errors import LiuliError
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
EXTRA_LISTS = ("extra_special_tokens", "additional_special_tokens")  # the newer name counts
MAP, ADDED = "special_tokens_map.json", "added_tokens.json"


@dataclass(frozen=True, slots=True)
class ConfiguredToken:
    """A token as a configuration file describes it. `flags`: fields of `Added` that the file gives."""

    text: str
    flags: dict[str, bool] = field(default_factory=dict)

    def added(self, token_id: int, special: bool) -> Added:
        flags = {"normalized": not special} | self.flags | {"special": special}
        return Added(token_id, self.text, **flags)


@dataclass(frozen=True, slots=True)
class ConfiguredTokens:
    """What the configuration files of a folder say about tokens.

    Attributes:
        listed: tokens with the ids that a file gives them.
        named: by their names, such as `bos_token`; None if a file says that there is none. extra: special tokens without a
            name.
    """

    folder: Path
    listed: dict[int, ConfiguredToken]
    named: dict[str, ConfiguredToken | None]
    extra: list[ConfiguredToken]

    @classmethod
    def read(cls, folder: Path) -> "ConfiguredTokens":
        """Raises LiuliError: a broken file, or an entry that does not describe a token."""
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
        """With the names that a layout's tokenizers have unless a file says otherwise, as far as the vocabulary has them."""
        known = {name: ConfiguredToken(text) for name, text in names.items() if id_of(text) is not None}
        return replace(self, named=known | self.named)

    @property
    def names(self) -> dict[str, str]:
        """The texts of the tokens that have names, by name: what chat templates read."""
        return {name: token.text for name, token in self._in_order()}

    def merged(self, own: Iterable[Added], id_of: Callable[[str], int | None], size: int) -> list[Added]:
        """All added tokens.

        Args:
            own: those of the layout's own file.
            id_of: the id of a text in the vocabulary.
            size: the id of the first token that has none yet, if no file lists a larger one.

        Raises:
            LiuliError: more tokens than there can be ids.
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
            raise LiuliError(f"{self.folder} adds more tokens than ids can number (at most {LARGEST_ID:,})")
        return list(found.values())

    def _in_order(self) -> list[tuple[str, ConfiguredToken]]:
        """The tokens that have names, in the order in which they are numbered: the usual names first."""
        names = [name for name in STANDARD_NAMES if name in self.named] + [
            name for name in self.named if name not in STANDARD_NAMES
        ]
        return [(name, token) for name in names if (token := self.named[name]) is not None]

    def add_to(self, backend: tokenizers.Tokenizer) -> None:
        """Adds the tokens to a tokenizer of the `tokenizers` library, all at once: for each call the library builds its search
        anew. It numbers new tokens by itself, one after the other behind all others.

        Raises:
            LiuliError: a file gives a token another id than the library.
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
                    f"{self.folder}: the added token {shown(token.text)} cannot have the id {token.id}: ids must not leave gaps"
                )


class _EntryReader:
    """Reads the entries of a folder's configuration files. All methods raise LiuliError if an entry describes no token."""

    def __init__(self, folder: Path):
        self._folder = folder

    def names(self, body: dict[str, Any], file: str) -> dict[str, ConfiguredToken | None]:
        """The tokens that have names: the usual ones, and a model's own (`image_token`, an object of extra tokens)."""
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
        """The special tokens without a name. `before`: a file that was read first, whose list counts for the older field."""
        name = next((each for each in EXTRA_LISTS if body.get(each) and not isinstance(body[each], dict)), None)
        if name is None or (name == EXTRA_LISTS[1] and any(before.get(each) for each in EXTRA_LISTS)):
            return []
        given = body[name]
        if not isinstance(given, list):
            raise self._broken(f"{name} must be a list of tokens, not {shown(given)}", file)
        return [self._token(token, f"a token of {name}", file) for token in given]

    def listed(self, given: Any) -> dict[int, ConfiguredToken]:
        """`added_tokens_decoder`: tokens by their ids, which JSON has as strings."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            raise self._broken(f"added_tokens_decoder is {shown(given)}")
        found = {}
        for digits, token in given.items():
            if not re.fullmatch("[0-9]{1,9}", digits) or int(digits) > LARGEST_ID:
                raise self._broken(f"{shown(digits)} is no id")
            if not isinstance(token, dict) or not isinstance(token.get("content"), str):
                raise self._broken(f"token {digits} has no text")
            described = self._token(token, f"token {digits}")
            found[int(digits)] = replace(described, flags={"special": True} | described.flags)
        return found

    def legacy(self, given: dict[str, Any], special: set[str]) -> dict[int, ConfiguredToken]:
        """`added_tokens.json`: ids by text. `special`: the texts that are special because another file names them."""
        found = {}
        for text, token_id in given.items():
            if not is_token_id(token_id):
                raise self._broken(f"the id of {shown(text)} is {shown(token_id)}", ADDED)
            self._check_text(text, f"token {token_id}", ADDED)
            found[token_id] = ConfiguredToken(text, {"special": text in special})
        return found

    def _token(self, token: Any, what: str, file: str = TOKENIZER) -> ConfiguredToken:
        """A token as a string, or as an object with `content` and its properties."""
        body: Any = {"content": token} if isinstance(token, str) else token
        if not isinstance(body, dict) or not isinstance(body.get("content"), str):
            raise self._broken(f"{what} must be a text, or an object with its text as content, not {shown(token)}", file)
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
        return LiuliError(f"{self._folder}: the added tokens in {file} are broken: {reason}")
