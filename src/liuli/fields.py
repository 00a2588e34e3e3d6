"""What dataclasses share: their fields as JSON, and checks of their fields."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from liuli.errors import LiuliError


class Record:
    """A dataclass that is JSON too."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        return {field.name: _json(getattr(self, field.name)) for field in fields(self)}  # pyright: ignore[reportArgumentType]


def _json(value: Any) -> Any:
    """Tuples become lists, keys strings; numbers that are not finite (probability 0's logarithm) null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _json(part) for name, part in value.items()}
    return value.to_json() if hasattr(value, "to_json") else value


def check(record: Any, names: str, good: Callable[[Any], bool], wanted: str, whose: str = "") -> None:
    """Raises LiuliError at the first of the fields `names` (parted by spaces) that is not as `wanted` says."""
    for name in names.split():
        value = getattr(record, name)
        if not good(value):
            raise LiuliError(f"{whose}{name} must be {wanted}, not {value!r}")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_positive(value: Any) -> bool:
    return is_number(value) and 0 < value < math.inf


def is_size(value: Any) -> bool:
    """A whole number above 0."""
    return type(value) is int and value > 0
