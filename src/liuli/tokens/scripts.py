"""Which script a character belongs to: as reports on a corpus tell them apart, and more coarsely those on a tokenizer."""

import re
import unicodedata
from functools import lru_cache

SCRIPTS = ("Han", "Latin", "digits", "other")
_HAN = ("CJK ", "IDEOGRAPHIC ", "KANGXI ", "VERTICAL IDEOGRAPHIC ")
_NO_SCRIPTS = ("", "Modifier", "Caron", "Space", "Turned", "Roman", "Vertical", "Masu", "Combining")  # letters of no one script
_KINDS = {"N": "digits", "P": "punctuation", "S": "symbols", "Z": "white space", "M": "marks"}  # by general category


@lru_cache(maxsize=100_000)
def kind_of(character: str) -> str:
    """The script of a letter, which is the first word of its Unicode name (Han, Latin, Hiragana …), or what else it is.
    Compatible forms count as what they stand for: fullwidth letters, ª and µ."""
    name, category = unicodedata.name(character, ""), unicodedata.category(character)
    if name.startswith(_HAN) and category in ("Lo", "Lm", "Nl", "So"):
        return "Han"
    if category.startswith("L"):
        word = re.split("[ -]", unicodedata.name(unicodedata.normalize("NFKC", character)[0], ""))[0].capitalize()
        return "other" if word in _NO_SCRIPTS else word
    return "white space" if character.isspace() else _KINDS.get(category[0], "other")


def script_of(character: str) -> str:
    """One of `SCRIPTS`: `kind_of`, with every other kind as "other"."""
    kind = kind_of(character)
    return kind if kind in SCRIPTS else "other"


def script_of_text(text: str) -> str:
    """The script of the first character that has one; "other" where none has."""
    return next((script for script in map(script_of, text) if script != "other"), "other")
