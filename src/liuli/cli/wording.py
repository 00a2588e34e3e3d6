"""How shares, times and tokens are written on a screen. `units.py` has what the library's messages need too."""

from typing import TYPE_CHECKING

from liuli.display import visible

if TYPE_CHECKING:
    from liuli.tokens import Token

UNITS = {"d": 86_400, "h": 3600, "min": 60, "s": 1}  # of times, in seconds
YEAR = 365.25 * 86_400  # seconds
GRAINS = (10, 1), (90, 5), (5400, 60), (86_400, 600)  # estimates below so many seconds are rounded to so many


def percent(share: float) -> str:
    """A share of 1 in percent with two decimals; a small one that is not 0 is never shown as 0."""
    return "<0.01%" if 0 < share < 0.0001 else f"{share:.2%}"


def duration(seconds: float) -> str:
    """A time in its two largest units: `<1 s`, `7 s`, `2 min 1 s`, `1 h 2 min`, `3 d 4 h`; in years, from two years on."""
    if seconds >= 2 * YEAR:
        return f"{float(f'{seconds / YEAR:.3g}'):,.0f} years" if seconds >= 100 * YEAR else f"{seconds / YEAR:.3g} years"
    if 0 < seconds < 1:
        return "<1 s"
    left, counts = round(seconds), list[tuple[int, str]]()
    for unit, size in UNITS.items():
        count, left = divmod(left, size)
        counts.append((count, unit))
    largest = next((i for i, (count, _) in enumerate(counts) if count), len(counts))
    return " ".join(f"{count} {unit}" for count, unit in counts[largest : largest + 2] if count) or "0 s"


def about(seconds: float) -> str:
    """A time that is only estimated, rounded: `about 50 s`, `about 4 min`, `about 2 h 30 min`."""
    if seconds < 1:
        return "less than a second"
    grain = next((grain for limit, grain in GRAINS if seconds < limit), 3600)
    return f"about {duration(grain * round(seconds / grain))}"


def token_name(token: "Token") -> str:
    """A token on one line: a special one by its name, another by its text. White space is shown as signs, and characters that
    would drive a terminal by their numbers."""
    return visible(token.text) if token.special else visible(token.text, token.bytes)


def bar(share: float, longest: int) -> str:
    """A bar of blocks for a share of 1, exact to an eighth of a cell. `longest`: the cells of a share of 1."""
    eighths = round(share * longest * 8)
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]
