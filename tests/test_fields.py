"""Dataclasses as JSON, and checks of their fields."""

from dataclasses import dataclass

import pytest

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_number, is_positive, is_size

INF, NAN = float("inf"), float("nan")


@dataclass(frozen=True, slots=True)
class Point(Record):
    x: float
    name: str = "a"


@dataclass(slots=True)
class Path(Record):
    points: list[Point]
    ends: tuple[int, int]
    weights: dict[int, float]
    note: None = None


def test_json_is_plain_all_the_way_down():
    path = Path([Point(1.5), Point(-INF, "b")], (3, 4), {7: NAN, 8: 2.0})
    assert path.to_json() == {
        "points": [{"x": 1.5, "name": "a"}, {"x": None, "name": "b"}],
        "ends": [3, 4],
        "weights": {"7": None, "8": 2.0},
        "note": None,
    }


def test_a_check_names_the_first_field_that_is_wrong():
    check(Point(1.0), "x name", lambda value: value, "given")
    with pytest.raises(LiuliError, match=r"^a point's name must be given, not ''$"):
        check(Point(1.0, ""), "x name", lambda value: value, "given", "a point's ")


@pytest.mark.parametrize(
    ("value", "number", "positive", "size"),
    [
        (1, True, True, True), (0, True, False, False), (-1, True, False, False), (0.5, True, True, False),
        (2.0, True, True, False), (INF, True, False, False), (NAN, True, False, False), (True, False, False, False),
        ("1", False, False, False), (None, False, False, False), ([], False, False, False),
    ],
    ids=str,
)  # fmt: skip
def test_numbers(value, number, positive, size):
    assert (is_number(value), is_positive(value), is_size(value)) == (number, positive, size)
