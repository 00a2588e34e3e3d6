"""What dataclasses share: their fields as JSON, and checks of their fields."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from liuli.errors import LiuliError


class Record:
    """A dataclass that is JSON too."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        return {field.name: as_json(getattr(self, field.name)) for field in fields(self)}  # pyright: ignore[reportArgumentType]


def as_json(value: Any) -> Any:
    """Tuples become lists, keys strings, numbers of NumPy and PyTorch Python's; numbers that are not finite (the logarithm of
    probability 0) become null."""
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [as_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(plain(name)): as_json(part) for name, part in value.items()}
    return value.to_json() if hasattr(value, "to_json") else value


def plain(value: Any) -> Any:
    """A scalar of NumPy or PyTorch as Python's own int, float, bool or str; also inside a list or a tuple. Everything else is
    returned unchanged, the same object.

    A NumPy bool becomes a bool and not an int, so that it is refused wherever a bool is.
    """
    if type(value) in (int, float, bool, str) or value is None:
        return value
    if type(value) in (list, tuple):
        parts = [plain(part) for part in value]
        changed = any(new is not old for new, old in zip(parts, value, strict=True))
        return type(value)(parts) if changed else value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # NumPy's longdouble gives itself
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, Integral) else value


def check(record: Any, names: str, good: Callable[[Any], bool], wanted: str, whose: str = "") -> None:
    """Checks the fields `names` (separated by spaces) of a dataclass, frozen or not. A scalar of NumPy or PyTorch is first
    replaced by Python's own number, so that the record holds, compares and writes as JSON what it would with that number.

    Args:
        whose: stands before the field's name in the message; after "--" the name is written as an option (`--warm-up`).

    Raises:
        LiuliError: a field is not as `wanted` says; the first one is named.
    """
    for name in names.split():
        given = getattr(record, name)
        value = plain(given)
        if not good(value):
            shown = name.replace("_", "-") if whose == "--" else name
            raise LiuliError(f"{whose}{shown} must be {wanted}, not {value!r}")
        if value is not given:
            object.__setattr__(record, name, value)  # a frozen dataclass refuses setattr


def is_number(value: Any) -> bool:
    """Whether the value is an int or a float, Python's, NumPy's or PyTorch's. A bool is not a number."""
    value = plain(value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_positive(value: Any) -> bool:
    """Whether the value is a finite number above 0."""
    value = plain(value)
    return is_number(value) and 0 < value < math.inf


def is_whole(value: Any) -> bool:
    """Whether the value is an integer of 0 or more. A bool is not an integer, and neither is 2.0."""
    value = plain(value)
    return type(value) is int and value >= 0


def is_size(value: Any) -> bool:
    """Whether the value is an integer above 0."""
    value = plain(value)
    return type(value) is int and value > 0
