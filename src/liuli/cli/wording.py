"""How shares, times and tokens are written on a screen. `units.py` has what the library's messages need too."""

from typing import TYPE_CHECKING

from liuli.display import visible

if TYPE_CHECKING:
    from liuli.tokens import Token


def percent(share: float) -> str:
    """A share of 1 in percent with two decimals; a small one that is not 0 is never shown as 0."""
    return "<0.01%" if 0 < share < 0.0001 else f"{share:.2%}"


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def token_name(token: "Token") -> str:
    """A token on one line: a special one by its name, another by its text. White space is shown as signs, and characters that
    would drive a terminal by their numbers."""
    return visible(token.text) if token.special else visible(token.text, token.bytes)


def bar(share: float, longest: int) -> str:
    """A bar of blocks for a share of 1, exact to an eighth of a cell. `longest`: the cells of a share of 1."""
    eighths = round(share * longest * 8)
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
