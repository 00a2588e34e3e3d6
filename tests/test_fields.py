"""Dataclasses as JSON, and checks of their fields."""

import json
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
import torch

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_number, is_positive, is_size, is_whole, plain

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


SCALARS = {
    "int64": (np.int64(3), 3),
    "uint8": (np.uint8(3), 3),
    "array": (np.array(3), 3),
    "tensor": (torch.tensor(3), 3),
    "float32": (np.float32(0.5), 0.5),
    "float64, a float itself": (np.float64(0.5), 0.5),
    "longdouble": (np.longdouble(0.5), 0.5),
    "bfloat16 tensor": (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    "bool": (np.bool_(True), True),
    "bool tensor": (torch.tensor(True), True),
    "str": (np.str_("a"), "a"),
    "in a tuple": ((1, np.int64(2), (np.int32(3),)), (1, 2, (3,))),
    "in a list": ([np.int64(2)], [2]),
}


@pytest.mark.parametrize(("given", "expected"), SCALARS.values(), ids=SCALARS)
def test_scalars_of_numpy_and_pytorch_become_pythons_own(given, expected):
    found = plain(given)
    assert found == expected
    assert type(found) is type(expected)


def test_everything_else_is_the_same_object():
    for value in (10**30, 0.1, True, None, "x", (1, 2.0), [1, "a"], {1: 2}, Point(1.0), 1j, np.zeros(2), torch.zeros(1)):
        assert plain(value) is value


def test_a_checked_record_holds_pythons_numbers_although_it_is_frozen():
    point = Point(np.float32(0.5))
    check(point, "x", is_positive, "a number above 0")
    assert (type(point.x), point) == (float, Point(0.5))
    assert json.dumps(point.to_json()) == '{"x": 0.5, "name": "a"}'
    with pytest.raises(FrozenInstanceError):
        point.x = 1.0
    with pytest.raises(LiuliError, match=r"^x must be an integer above 0, not 0$"):
        check(Point(torch.tensor(0)), "x", is_size, "an integer above 0")


def test_json_of_numbers_that_were_never_checked():
    path = Path([Point(np.float64(INF))], (np.int64(3), torch.tensor(4)), {np.int64(7): np.float32(0.5)})
    assert json.loads(json.dumps(path.to_json())) == {
        "points": [{"x": None, "name": "a"}],
        "ends": [3, 4],
        "weights": {"7": 0.5},
        "note": None,
    }


@pytest.mark.parametrize("number", [np.int64, np.int32, torch.tensor, np.array])
def test_integers_of_numpy_and_pytorch_are_accepted(number):
    for good, value in ((is_number, 3), (is_positive, 3), (is_size, 3), (is_whole, 0)):
        assert good(number(value)) is True
    for good, value in ((is_positive, 0), (is_size, 0), (is_whole, -1)):
        assert good(number(value)) is False


@pytest.mark.parametrize("value", [True, np.bool_(True), torch.tensor(True), np.float32(2), torch.tensor(2.0), np.ones(2), "1"])
def test_what_is_no_integer(value):
    assert not is_size(value)
    assert not is_whole(value)
