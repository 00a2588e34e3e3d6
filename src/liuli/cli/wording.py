"""How numbers and tokens are written for people."""

from typing import TYPE_CHECKING

from liuli.display import visible

if TYPE_CHECKING:
    from liuli.tokens import Token


def counted(number: int, what: str) -> str:
    """`1 token`, `2 tokens`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def percent(share: float) -> str:
    """A share of 1 in percent with two decimals; a small one that is not 0 is never shown as 0."""
    return "<0.01%" if 0 < share < 0.0001 else f"{share:.2%}"


def scaled(number: float, digits: int, units: tuple[str, ...]) -> str:
    """A number with `digits` significant digits in the largest unit in which it is at least 1 (999,999 with three digits is
    1 M). `units`: the units of 1e12, 1e9, 1e6, 1e3 and 1."""
    pairs = [(f"{number / size:.{digits}g}", unit) for unit, size in zip(units, (1e12, 1e9, 1e6, 1e3, 1), strict=True)]
    shown, unit = next((pair for pair in pairs if float(pair[0]) >= 1), pairs[-1])
    return f"{shown} {unit}".strip()


def token_name(token: "Token") -> str:
    """A token on one line: a special one by its name, another by its text. White space is shown as signs, and characters that
    would drive a terminal by their numbers."""
    return visible(token.text) if token.special else visible(token.text, token.bytes)
