"""Curves in text: each point stands where its value is, whatever the values, and what is not drawn is said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liuli.cli.chart import BRAILLE, DOTS, LEAST, Curve, draw, smooth

VALUES = st.floats(-1e30, 1e30) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 5e-324, 2.5])


def dots_of(lines: list[str]) -> list[tuple[int, int]]:
    """(column, row) of every dot of the braille in a picture's lines, in dots from the left and from the top."""
    found = []
    for row, line in enumerate(lines):
        for column, sign in enumerate(picture(line)):
            bits = ord(sign) - BRAILLE if ord(sign) > BRAILLE else 0
            found += [
                (2 * column + dx, 4 * row + dy) for dy, pair in enumerate(DOTS) for dx, bit in enumerate(pair) if bits & bit
            ]
    return found


def picture(line: str) -> str:
    """What stands right of the upright axis."""
    return line[max(line.find("│"), line.find("┤")) + 1 :]


def test_a_falling_line_with_marks():
    line, marks = Curve("training", [(0, 4.0), (8, 2.0)]), Curve("validation", [(0, 3.0), (8, 3.0)], "o")
    assert draw([line, marks], 24, 5) == [
        "⠒⠒ training",
        "o validation",
        "4 ┤⠙⠲⢤⣀⡀",
        "  │    ⠉⠓⠦⣄⡀",
        "3 ┤o       ⠉⠓⠦⢤⣀       o",
        "  │            ⠈⠙⠲⢤⣀",
        "2 ┤                ⠈⠉⠓⠦⣄",
        "  └┬────────────┬───────",
        "   0            5",
    ]


def test_every_dot_is_where_the_value_is():
    """A parabola, whose dots are taken back to values; a dot of the line covers two columns' worth of slope."""
    points = [(x, (x / 50 - 1) ** 2) for x in range(101)]
    lines = draw([Curve("parabola", points)], 60, 20)[1:21]
    columns = 60 - lines[0].index("┤") - 1
    found = dots_of(lines)
    assert {column for column, _ in found} == set(range(2 * columns))
    for column, row in found:
        x = column / (2 * columns - 1) * 100
        steepest = 2 * abs(x / 50 - 1) / 50 * (100 / (2 * columns - 1)) + 0.01
        assert abs(1 - row / 79 - (x / 50 - 1) ** 2) <= 0.5 / 79 + steepest


def test_labels_stand_at_their_values():
    lines = draw([Curve("line", [(0, 0.0), (1000, 100.0)])], 80, 21)[1:22]
    labels = {row: float(line.split("┤")[0]) for row, line in enumerate(lines) if "┤" in line}
    assert len(labels) >= 3
    for row, value in labels.items():
        assert abs((100 - value) / 100 * 83 - (4 * row + 1.5)) <= 2


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_a_picture_keeps_to_its_width_and_height(width):
    points = [(x, 3 + math.cos(x / 100)) for x in range(0, 100_000, 7)]
    _, *lines = draw([Curve("wave", points)], width, 12)
    assert len(lines) == 14
    assert max(map(len, lines)) <= max(width, len("4.0 ┤") + LEAST)
    assert lines[12].endswith("─") or lines[12].endswith("┬")


def test_a_huge_beginning_is_cut_off_and_said():
    points = [(x, 2 + 2 * math.exp(-x / 20)) for x in range(100)]
    plain = draw([Curve("loss", points)], 80, 16)
    cut = draw([Curve("loss", [(0, 1e9), (1, 5e8), *points[2:]])], 80, 16)
    assert "cut off" not in "".join(plain)
    low, percentile = points[-1][1], points[5][1]  # the 95th of 100 values
    end = low + 1.25 * (percentile - low)
    assert cut[-1] == f"cut off at the top: 2 points above {end:.4g}, the highest 1e+09"
    rows = {row for _, row in dots_of(cut[1:17])}
    assert min(rows) == 0 and max(rows) == 63  # the rest has the whole height


def test_a_beginning_that_is_not_huge_stays():
    assert "cut off" not in "".join(draw([Curve("loss", [(x, 2 + 3 * math.exp(-x / 5)) for x in range(60)])], 80, 16))


def test_a_curve_high_above_the_other_stays_in_sight():
    """Validation of a run that learnt its text by heart."""
    training = Curve("training", [(x, 0.5 + 2 / (1 + x)) for x in range(1000)])
    validation = Curve("validation", [(x, 5.0) for x in range(0, 1000, 100)], "o")
    assert "".join(draw([training, validation], 80, 16)[1:]).count("o") == 10


@pytest.mark.parametrize("value", [0.0, 2.5, -3.0, 1e18, 1e-300])
def test_equal_values_are_a_level_line(value):
    lines = draw([Curve("level", [(x, value) for x in range(50)])], 60, 9)
    found = dots_of(lines[1:10])
    assert len({row for _, row in found}) == 1 and len(found) > 50


def test_one_point():
    assert len(dots_of(draw([Curve("point", [(7, 2.5)])], 60, 9)[1:10])) == 1
    assert "o" in "".join(draw([Curve("point", [(7, 2.5)], "o")], 60, 9)[1:10])


def test_nothing_to_draw():
    assert draw([], 80, 16) == draw([Curve("none", [])], 80, 16) == draw([Curve("none", [(0, math.nan)])], 80, 16) == []


def test_values_that_are_not_finite_are_left_out_and_said():
    lines = draw([Curve("loss", [(0, math.inf), (1, 2.0), (2, math.nan), (3, 1.0)])], 60, 9)
    assert lines[-1] == "left out: 2 points whose value is not finite"


def test_a_curve_without_points_has_no_name_in_the_picture():
    assert draw([Curve("training", [(0, 1.0)]), Curve("validation", [], "o")], 80, 9)[0] == "⠒⠒ training"


def test_smoothing_takes_means_of_neighbours():
    points = [(x, float(x % 2)) for x in range(1, 101)]
    means, count = smooth(points, 10)
    assert count == 10 and means == [(10 * i + 5.5, 0.5) for i in range(10)]
    assert smooth(points[:7], 3) == ([(2, 2 / 3), (5, 1 / 3), (7, 1.0)], 3)
    assert smooth(points[:5], 10) == (points[:5], 1)
    assert smooth([], 10) == ([], 1)


@given(st.lists(st.lists(VALUES, max_size=30), max_size=3), st.integers(0, 100), st.integers(1, 20))
def test_any_values_are_drawn(curves, width, height):
    given_curves = [Curve("c", list(enumerate(ys)), mark) for ys, mark in zip(curves, (None, "o", None), strict=False)]
    lines = draw(given_curves, width, height)
    assert bool(lines) == any(math.isfinite(y) for ys in curves for y in ys)
    if lines:
        said = sum(line.startswith(("cut off", "left out")) for line in lines)
        assert len(lines) - said - height - 2 in (1, 2, 3)  # names: on one line, or a line each
