"""JSON from strangers: it means what Python's own decoder says, or is refused before anything is made of it."""

import json
import re
import sys
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from liuli.data.records import bounded_json
from liuli.data.records.bounded_json import DEEPEST, JsonShape, list_elements, measure_shape, parse_json, shape_problem
from liuli.data.records.problem import Problem

TEXT = st.text(st.sampled_from('ab"\\[]{},:\n金😀'), max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


def shape_of(value: object) -> tuple[int, int]:
    """Depth and values, counted on what was decoded."""
    if isinstance(value, dict):
        parts = [shape_of(part) for part in value.values()]
        marks = 1 + len(value) + max(0, len(value) - 1)
    elif isinstance(value, list):
        parts = [shape_of(part) for part in value]
        marks = 1 + max(0, len(value) - 1)
    else:
        return 0, 0
    return 1 + max((depth for depth, _ in parts), default=0), marks + sum(count for _, count in parts)


@given(VALUE, st.booleans())
def test_the_shape_of_a_record_is_exact(value, ascii_only):
    data = json.dumps(value, ensure_ascii=ascii_only).encode()
    depth, values = shape_of(value)
    assert measure_shape(data, listed=False) == JsonShape(depth, values)


@given(st.lists(VALUE, min_size=1, max_size=5), st.integers(1, 9), st.booleans())
def test_the_shape_of_a_list_is_that_of_its_largest_record(values, step, ascii_only):
    data = json.dumps(values, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_json, "STEP", step)  # whatever is measured at a time
        found = measure_shape(data, listed=True)
    assert found.depth == shape_of(values)[0]
    most = max(shape_of(value)[1] for value in values)
    assert most <= found.values <= most + 2  # its comma, and the list's own bracket


@given(st.lists(VALUE), st.sampled_from(["", " ", "\n\t"]))
def test_the_elements_of_a_list(values, space):
    text = space + json.dumps(values, indent=1 if space else None) + space
    found = list(list_elements(text))
    assert [value for value, _ in found] == json.loads(text)
    ends = [end for _, end in found]
    assert ends == sorted(ends)


@given(st.text(st.sampled_from('[]{}",: 1a\n'), max_size=12))
def test_a_broken_list_is_broken_as_the_decoder_says(rest):
    text = "[" + rest
    assume(sys.version_info < (3, 13) or not re.search(r",\s*\]", text))  # which has a message of its own there
    assert outcome(lambda: [value for value, _ in list_elements(text)]) == outcome(lambda: json.loads(text))


def outcome(decode: Callable[[], object]) -> object:
    try:
        return decode()
    except ValueError as error:
        return str(error)


def test_the_deepest_record(monkeypatch):
    def nested(depth: int) -> bytes:
        return b'[{"a":' * (depth // 2) + b"1" + b"}]" * (depth // 2)

    assert parse_json(nested(DEEPEST)) == json.loads(nested(DEEPEST))
    deeper = parse_json(b"[" + nested(DEEPEST) + b"]")
    assert isinstance(deeper, Problem)
    assert deeper.at("x") == "x: JSON nested too deeply (more than 128 levels); fix it, or remove it"
    assert shape_problem(b"[" + nested(DEEPEST) + b"]", listed=True) is None  # the list itself does not count
    assert parse_json(json.dumps("[{" * 1000).encode()) == "[{" * 1000  # in a string they nest nothing


@pytest.mark.parametrize("number", ["1" * 4000, "1e400", "-1e400", "1e-400", "0." + "1" * 5000, "NaN", "Infinity"])
def test_numbers_are_those_of_python(number):
    assert repr(parse_json(f"[{number}]".encode())) == repr(json.loads(f"[{number}]"))


def test_a_number_of_thousands_of_digits():
    found = parse_json(b"[" + b"1" * 5000 + b"]")
    assert isinstance(found, Problem) and found.at("x").startswith("x: broken JSON (a number of thousands of digits)")


PIECES = [b"[],", b"{},", b'{"a":0},', b"[[]],", b'"\\"a",', b'"ab",', b"1.5,", b"0,", b"[", b'{"a":']


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_memory_is_bounded_whatever_the_record(piece):
    """Of the ten times as much that Python would make of 12 MB of these, less than a few times the text itself is held."""
    data = b'{"text":"a","x":[' + piece * ((12 << 20) // len(piece)) + b"0]}"
    tracemalloc.start()
    found = parse_json(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, Problem)
    assert found.reason in ("a record with too many values", "JSON nested too deeply")
    assert peak < 60 << 20
