"""The numbers of the calculator: fractions, which are exact, and rounded results of roots and logarithms.

Every result has a limited size, and what could grow fast (powers, factorials) is checked before it is computed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation, Overflow
from fractions import Fraction
from typing import Any

from liuli.act.observation import ToolError

LARGEST = 14_000  # bits of a numerator or a denominator: about 4,200 digits; Python converts up to 4,300 to text
DIGITS = 50  # of a rounded result
SHOWN = 12  # significant digits of a number whose decimals do not end
LONGEST = 100  # digits of a number that is written in full
LARGEST_FACTORIAL = 1000
_CONTEXT = Context(prec=DIGITS, Emax=10_000, Emin=-10_000)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the calculator. `exact`: it is the result itself, and not rounded to `DIGITS` digits."""

    value: Fraction
    exact: bool = True


def apply_operator(operator: str, left: Number, right: Number) -> Number:
    """The result of +, -, *, /, // (rounded down), mod (of the sign of the divisor) or ^.

    Raises:
        ToolError: there is none, or it is too large.
    """
    a, b = left.value, right.value
    if operator == "^":
        return _power(left, right)
    if operator in ("/", "//", "mod") and not b:
        raise ToolError("Division by zero.")
    match operator:
        case "+":
            value = a + b
        case "-":
            value = a - b
        case "*":
            value = a * b
        case "/":
            value = a / b
        case "//":
            value = Fraction(math.floor(a / b))
        case _:
            value = a - b * math.floor(a / b)
    return limited(value, left.exact and right.exact)


def apply_function(name: str, given: list[Number]) -> Number:
    """The value of a function, or of a constant without arguments.

    Raises:
        ToolError: there is no such function; the number of arguments is wrong; it has no value there, or too large a one.
    """
    if name not in FUNCTIONS:
        raise ToolError(f"There is no function {name}. There are {', '.join(sorted(FUNCTIONS))}.")
    least, most, function = FUNCTIONS[name]
    if not least <= len(given) <= most:
        wanted = f"{least}" if least == most else f"{least} or more" if most > 2 else f"{least} or {most}"
        raise ToolError(f"{name} takes {wanted} arguments, not {len(given)}.")
    found = function(*(number.value for number in given))
    value, exact = (found.value, found.exact) if isinstance(found, Number) else (Fraction(found), True)
    rounds = name in ("round", "floor", "ceil")  # their result is exactly what they are asked for
    return limited(value, exact and (rounds or all(number.exact for number in given)))


def written(number: Number) -> str:
    """A number as text: in full if it is exact and its decimals end, else with 12 digits and a note."""
    value = number.value
    if number.exact and value.denominator == 1:
        text = str(value.numerator)
        return text if len(text) <= LONGEST else f"{_rounded_text(value)} (rounded; it has {len(text.lstrip('-'))} digits)"
    places = _decimal_places(value.denominator)
    if number.exact and places is not None and places <= LONGEST:
        return _in_full(value, places)
    exactly = f"{value.numerator}/{value.denominator}"
    note = f"rounded; exactly {exactly}" if number.exact and len(exactly) <= LONGEST // 4 else "rounded"
    return f"{_rounded_text(value)} ({note})"


def _power(base: Number, exponent: Number) -> Number:
    a, b = base.value, exponent.value
    exact = base.exact and exponent.exact
    if not a and b < 0:
        raise ToolError("Division by zero.")
    if b.denominator == 1:
        if abs(a) not in (0, 1) and abs(b) * _bits(a) > 2 * LARGEST:
            raise ToolError("The power is too large.")
        return limited(a ** (b.numerator if abs(a) not in (0, 1) or b >= 0 else b.numerator % 2), exact)
    if a < 0:
        raise ToolError("A root of a negative number is not a real number.")
    if b == Fraction(1, 2):
        root = _root(a)
        return Number(root.value, root.exact and exact)
    return _rounded(lambda: _CONTEXT.power(_decimal(a), _decimal(b)))


def _root(value: Fraction) -> Number:
    if value < 0:
        raise ToolError("A root of a negative number is not a real number.")
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    return Number(root) if root * root == value else _rounded(lambda: _CONTEXT.sqrt(_decimal(value)))


def _logarithm(value: Fraction, compute: Callable[[Decimal], Decimal]) -> Number:
    if value <= 0:
        raise ToolError("A logarithm exists only of numbers above zero.")
    return Number(Fraction(0)) if value == 1 else _rounded(lambda: compute(_decimal(value)))


def _round(value: Fraction, places: Fraction = Fraction(0)) -> Fraction:
    """Halves are rounded away from zero, as it is taught at school."""
    if places.denominator != 1 or abs(places) > 1000:
        raise ToolError("The number of decimal places must be a whole number up to 1,000.")
    scale = Fraction(10) ** int(places)
    rounded = math.floor(abs(value) * scale + Fraction(1, 2))
    return Fraction(rounded if value >= 0 else -rounded) / scale


def _factorial(value: Fraction) -> int:
    if value.denominator != 1 or not 0 <= value <= LARGEST_FACTORIAL:
        raise ToolError(f"A factorial is computed of whole numbers from 0 to {LARGEST_FACTORIAL:,}.")
    return math.factorial(int(value))


def _whole(values: tuple[Fraction, ...]) -> list[int]:
    if any(value.denominator != 1 for value in values):
        raise ToolError("gcd and lcm take whole numbers.")
    return [int(value) for value in values]


def _modulo(value: Fraction, divisor: Fraction) -> Fraction:
    return apply_operator("mod", Number(value), Number(divisor)).value


def _decimal(value: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _rounded(compute: Callable[[], Decimal]) -> Number:
    try:
        return limited(Fraction(compute()), exact=False)
    except (InvalidOperation, Overflow, OverflowError, ValueError):
        raise ToolError("The result is too large, or there is none.") from None


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def limited(value: Fraction, exact: bool = True) -> Number:
    """A number of limited size. Raises ToolError: it has too many digits."""
    if _bits(value) > LARGEST:
        raise ToolError("The result has too many digits.")
    return Number(value, exact)


def _decimal_places(denominator: int) -> int | None:
    """How many decimals a fraction in lowest terms has; None if they do not end."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None


def _in_full(value: Fraction, places: int) -> str:
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _rounded_text(value: Fraction) -> str:
    rounded = Context(prec=SHOWN).plus(_decimal(value)).normalize()
    return f"{rounded:f}" if -7 <= rounded.adjusted() <= 20 else f"{rounded}"


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "pi": (0, 0, lambda: Number(Fraction("3.1415926535897932384626433832795028841971693993751"), False)),
    "e": (0, 0, lambda: _rounded(lambda: _CONTEXT.exp(Decimal(1)))),
    "sqrt": (1, 1, _root),
    "abs": (1, 1, abs),
    "round": (1, 2, _round),
    "floor": (1, 1, math.floor),
    "ceil": (1, 1, math.ceil),
    "factorial": (1, 1, _factorial),
    "min": (1, 100, lambda *values: min(values)),
    "max": (1, 100, lambda *values: max(values)),
    "sum": (1, 100, lambda *values: sum(values, Fraction(0))),
    "mean": (1, 100, lambda *values: sum(values, Fraction(0)) / len(values)),
    "mod": (2, 2, _modulo),
    "gcd": (1, 100, lambda *values: math.gcd(*_whole(values))),
    "lcm": (1, 100, lambda *values: math.lcm(*_whole(values))),
    "ln": (1, 1, lambda value: _logarithm(value, _CONTEXT.ln)),
    "log10": (1, 1, lambda value: _logarithm(value, _CONTEXT.log10)),
    "exp": (1, 1, lambda value: _rounded(lambda: _CONTEXT.exp(_decimal(value)))),
}
