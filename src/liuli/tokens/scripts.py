"""The script of a character: a detailed one for reports about a corpus, and a coarse one for reports about a tokenizer."""

import re
import unicodedata
from functools import lru_cache

SCRIPTS = ("Han", "Latin", "digits", "other")
_HAN = ("CJK ", "IDEOGRAPHIC ", "KANGXI ", "VERTICAL IDEOGRAPHIC ")
# First words of the names of letters that do not belong to one script.
_NO_SCRIPTS = ("", "Modifier", "Caron", "Space", "Turned", "Roman", "Vertical", "Masu", "Combining")
_KINDS = {"N": "digits", "P": "punctuation", "S": "symbols", "Z": "white space", "M": "marks"}  # by general category


@lru_cache(maxsize=100_000)
def kind_of(character: str) -> str:
    """Returns the script of a letter, which is the first word of its Unicode name (Han, Latin, Hiragana, …), or the kind of any
    other character. Compatibility forms (fullwidth letters, ª, µ) have the script of their normal form."""
    name, category = unicodedata.name(character, ""), unicodedata.category(character)
    if name.startswith(_HAN) and category in ("Lo", "Lm", "Nl", "So"):
        return "Han"
    if category.startswith("L"):
        word = re.split("[ -]", unicodedata.name(unicodedata.normalize("NFKC", character)[0], ""))[0].capitalize()
        return "other" if word in _NO_SCRIPTS else word
    return "white space" if character.isspace() else _KINDS.get(category[0], "other")


def script_of(character: str) -> str:
    """Returns the result of `kind_of` if it is in `SCRIPTS`, else "other"."""
    kind = kind_of(character)
    return kind if kind in SCRIPTS else "other"


def script_of_text(text: str) -> str:
    """Returns the script of the first character whose script is not "other"; "other" if there is none."""
    return next((script for script in map(script_of, text) if script != "other"), "other")
