"""Numbers with units, for people."""


def scaled(number: float, digits: int, units: tuple[str, ...]) -> str:
    """A number with `digits` significant digits in the largest unit in which it is at least 1 (999,999 with three digits is
    1 M). `units`: the units of 1e12, 1e9, 1e6, 1e3 and 1."""
    pairs = [(f"{number / size:.{digits}g}", unit) for unit, size in zip(units, (1e12, 1e9, 1e6, 1e3, 1), strict=True)]
    shown, unit = next((pair for pair in pairs if float(pair[0]) >= 1), pairs[-1])
    return f"{shown} {unit}".strip()


def byte_size(number: float, digits: int = 3) -> str:
    """Bytes: `3.14 GB`, `23 GB`. An estimate has two significant digits."""
    return scaled(float(f"{number:.{digits}g}"), 3, ("TB", "GB", "MB", "kB", "B"))


def counted(number: float, what: str, several: str = "") -> str:
    """A number of things: `1 token`, `1,000 tokens`, `0.5 minutes`. `what`: the noun in the singular. `several`: its plural, if
    that does not end in -s alone."""
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,g}"
    return f"{shown} {what if number == 1 else several or what + 's'}"
