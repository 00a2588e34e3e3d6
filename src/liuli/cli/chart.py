"""Curves drawn in text: points in, lines out.

A line is drawn in braille, whose characters are cells of 2 × 4 dots, and single points by a character each, so that two curves
are told apart without colour. The upright axis is chosen so that a few huge values do not flatten the rest: where they would,
it ends above the 95th percentile of each curve, and the lines say what stands above it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite, log10

from liuli.units import counted

MARGIN = " ┤"  # between the labels and the picture
LEAST = 10  # characters of a picture's width
PERCENTILE = 0.95
FAR, ROOM = 3.0, 1.25  # times the height of the percentile: from where on values are cut off; where the axis ends then
EQUAL, NOTHING = 1e-9, 1e-12  # a relative and an absolute difference that are none
TICKS = 3  # asked of an axis at least, so that one at least falls on it
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille character, by row and column
BRAILLE = 0x2800

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """`points` (x, y) in order of x, a whole number such as a step; `mark`: the character drawn at each, or None for a line."""

    name: str
    points: Sequence[Point]
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of `columns` × `rows` characters, and what is at its edges."""

    columns: int
    rows: int
    left: float
    right: float
    low: float
    high: float

    def dot(self, point: Point) -> Point:
        """Where a point is, in dots from the left and from the top; above the picture it is negative."""
        x, y = point
        across = (x - self.left) / (self.right - self.left) * (2 * self.columns - 1)
        return across, (self.high - y) / (self.high - self.low) * (4 * self.rows - 1)

    def cell(self, point: Point) -> tuple[int, int]:
        """The row and column of a point's character."""
        x, y = self.dot(point)
        return round(y) // 4, round(x) // 2


def smooth(points: Sequence[Point], most: int) -> tuple[list[Point], int]:
    """At most about `most` points, each the mean of so many neighbours; and how many these are."""
    width = max(1, ceil(len(points) / most))
    parts = [points[i : i + width] for i in range(0, len(points), width)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts], width


def draw(curves: Sequence[Curve], width: int, height: int) -> list[str]:
    """Names, a picture of `height` rows with its axes, and a line on whatever it leaves out; nothing where there are no points.
    All but the names and that line fit into `width` columns, where these are not too few for any picture."""
    known = [Curve(curve.name, [point for point in curve.points if all(map(isfinite, point))], curve.mark) for curve in curves]
    if not any(curve.points for curve in known):
        return []
    low, high = _bounds([[y for _, y in curve.points] for curve in known if curve.points])
    labels = _labels(_ticks(low, high, height // 2))
    margin = max(len(label) for label in labels.values())
    across = [x for curve in known for x, _ in curve.points]
    left, right = min(across), max(across)
    columns = max(LEAST, width - margin - len(MARGIN))
    frame = Frame(columns, height, left, right if right > left else left + 1, low, high)
    beside = {frame.cell((left, value))[0]: label for value, label in labels.items()}
    picture = [
        f"{beside.get(row, ''):>{margin}} {'┤' if row in beside else '│'}{''.join(cells)}".rstrip()
        for row, cells in enumerate(_cells(known, frame))
    ]
    left_out = sum(len(curve.points) for curve in curves) - sum(len(curve.points) for curve in known)
    return [*_names(known, width), *picture, *_foot(frame, margin), *_missing(known, high, left_out)]


def _bounds(values: list[list[float]]) -> tuple[float, float]:
    """The lowest and the highest value of the upright axis. Each curve has its own percentile: one that lies above the others
    stays in sight."""
    low, most = min(map(min, values)), max(map(max, values))
    high = max(sorted(ys)[ceil(PERCENTILE * len(ys)) - 1] for ys in values)
    high = most if most - low <= FAR * (high - low) else low + ROOM * (high - low)
    if high - low <= max(EQUAL * abs(high), NOTHING):
        room = abs(high) / 20 if abs(high) > NOTHING else 1.0
        return low - room, high + room
    return low, high


def _ticks(low: float, high: float, most: int, least: float = 0.0) -> list[float]:
    """About so many round numbers, evenly spaced: 1, 2 or 5 times a power of ten apart, and `least` at least."""
    rough = max((high - low) / max(TICKS, most), least)
    power = 10.0 ** floor(log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - EQUAL))
    return [step * number for number in range(ceil(low / step - EQUAL), floor(high / step + EQUAL) + 1)]


def _labels(values: list[float]) -> dict[float, str]:
    """With as many digits as tell them apart."""
    gap, most = values[1] - values[0] if len(values) > 1 else 1.0, max(map(abs, values))
    if most >= 1e6:
        return {value: f"{value:.{max(1, ceil(log10(most / gap)) + 1)}g}" for value in values}
    return {value: f"{value:.{max(0, -floor(log10(gap) + EQUAL))}f}" for value in values}


def _cells(curves: list[Curve], frame: Frame) -> list[list[str]]:
    """The characters of the picture, by row and column; marks over lines."""
    dots = [[0] * frame.columns for _ in range(frame.rows)]
    for curve in curves:
        if curve.mark is None:
            _draw_line(dots, [frame.dot(point) for point in curve.points])
    cells = [[chr(BRAILLE + bits) if bits else " " for bits in row] for row in dots]
    for curve in curves:
        for point in curve.points if curve.mark else ():
            row, column = frame.cell(point)
            if row >= 0 and curve.mark:
                cells[row][column] = curve.mark
    return cells


def _draw_line(dots: list[list[int]], points: list[Point]) -> None:
    """Sets, in each column of dots, all from the line's highest to its lowest dot; what is above the picture is left out."""
    spans: dict[int, tuple[float, float]] = {}
    for start, end in zip(points, points[1:] or points, strict=False):  # a single point is a line from it to itself
        for column in range(round(start[0]), round(end[0]) + 1):
            ys = [_between(start, end, column - 0.5), _between(start, end, column + 0.5)]
            top, bottom = spans.get(column, (inf, -inf))
            spans[column] = min(top, *ys), max(bottom, *ys)
    for column, (top, bottom) in spans.items():
        for row in range(max(0, round(top)), min(4 * len(dots) - 1, round(bottom)) + 1):
            dots[row // 4][column // 2] |= DOTS[row % 4][column % 2]


def _between(start: Point, end: Point, x: float) -> float:
    """The y of a line from start to end at x, or at its end nearest to x."""
    (x0, y0), (x1, y1) = start, end
    if x1 <= x0:
        return y1
    share = min(1.0, max(0.0, (x - x0) / (x1 - x0)))
    return y0 + share * (y1 - y0)


def _names(curves: list[Curve], width: int) -> list[str]:
    names = [f"{curve.mark or chr(BRAILLE + 0x12) * 2} {curve.name}" for curve in curves if curve.points]
    line = "   ".join(names)
    return [line] if len(line) <= width else names


def _foot(frame: Frame, margin: int) -> list[str]:
    """The lower axis and its labels; one for which there is no room is left out, and its tick with it."""
    axis, labels = ["─"] * frame.columns, " " * (margin + len(MARGIN) + frame.columns)
    for value in _ticks(frame.left, frame.right, frame.columns // 12, least=1.0):
        label, column = f"{value:,.0f}", frame.cell((value, frame.low))[1]
        start = min(len(labels) - len(label), max(0, margin + len(MARGIN) + column - len(label) // 2))
        if not labels[max(0, start - 1) : start + len(label) + 1].strip():
            labels = labels[:start] + label + labels[start + len(label) :]
            axis[column] = "┬"
    return [f"{'':>{margin}} └{''.join(axis)}", labels.rstrip()]


def _missing(curves: list[Curve], high: float, left_out: int) -> list[str]:
    above = [y for curve in curves for _, y in curve.points if y > high]
    found = []
    if above:
        found.append(f"cut off at the top: {counted(len(above), 'point')} above {high:.4g}, the highest {max(above):.4g}")
    if left_out:
        found.append(f"left out: {counted(left_out, 'point')} whose value is not finite")
    return found
