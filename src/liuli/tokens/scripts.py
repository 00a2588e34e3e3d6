"""Which script a character belongs to, as far as reports on text tell them apart."""

import unicodedata
from functools import lru_cache

SCRIPTS = ("Han", "Latin", "digits", "other")
_HAN = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "CJK RADICAL", "KANGXI RADICAL")


@lru_cache(maxsize=100_000)
def script_of(character: str) -> str:
    """One of `SCRIPTS`, by the character's Unicode name. White space, punctuation and signs are "other"."""
    name = unicodedata.name(character, "")
    if name.startswith(_HAN) or character in "々〇〻":
        return "Han"
    if character.isalpha() and name.startswith(("LATIN ", "FULLWIDTH LATIN ")):
        return "Latin"
    return "digits" if unicodedata.category(character).startswith("N") else "other"


def script_of_text(text: str) -> str:
    """The script of the first character that has one; "other" where none has."""
    return next((script for script in map(script_of, text) if script != "other"), "other")
