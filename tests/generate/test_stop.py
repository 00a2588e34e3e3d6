"""Stop strings against a reference that sees the whole text at once."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liuli.errors import LiuliError
from liuli.generate.stop import StopStrings

examples = settings(deadline=None, derandomize=True, max_examples=500)
letters = "aab\n止🙂"
texts = st.text(letters, max_size=30)
stop_lists = st.lists(st.text(letters, min_size=1, max_size=4), max_size=4)


def reference(text: str, stops: list[str]) -> tuple[str, str | None]:
    """What is shown in the end, and the stop found: the one that is complete first, then the longest."""
    ends = [(at + len(stop), at, stop) for stop in stops for at in range(len(text)) if text.startswith(stop, at)]
    return (text[: min(ends)[1]], min(ends)[2]) if ends else (text, None)


def held(text: str, stops: list[str]) -> int:
    """How many last characters may still become a stop."""
    return max(n for n in range(len(text) + 1) if n == 0 or any(stop.startswith(text[-n:]) for stop in stops))


def run(parts: list[str], stops: list[str]) -> tuple[str, str | None]:
    stopper = StopStrings(stops)
    shown = "".join([stopper.push(part) for part in parts])
    return shown + stopper.finish(), stopper.found


@st.composite
def split(draw) -> list[str]:
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@examples
@given(split(), stop_lists)
@example(["a", "", "a", "ab"], ["aab"])
@example(["a", "b", "c"], ["abd", "b"])
def test_any_split_is_the_reference(parts, stops):
    text = "".join(parts)
    assert run(parts, stops) == run(list(text), stops) == run([text], stops) == reference(text, stops)


@examples
@given(split(), stop_lists)
def test_only_what_could_become_a_stop_is_held_back(parts, stops):
    """All that may be shown is shown at once, and nothing shown is ever part of the stop."""
    final, _ = reference("".join(parts), stops)
    stopper, text, shown = StopStrings(stops), "", ""
    for part in parts:
        text += part
        shown += stopper.push(part)
        assert final.startswith(shown)
        if stopper.found is None:
            assert shown == text[: len(text) - held(text, stops)]
        else:
            assert shown == final


@examples
@given(split(), stop_lists, texts)
def test_nothing_comes_after_a_stop(parts, stops, more):
    stopper = StopStrings([*stops, "END"])
    for part in parts:
        stopper.push(part)
    stopper.push("END")
    found = stopper.found
    assert found is not None
    assert (stopper.push(more), stopper.push("END"), stopper.finish(), stopper.found) == ("", "", "", found)


@examples
@given(split())
def test_no_stops_hold_nothing_back(parts):
    stopper = StopStrings([])
    assert [stopper.push(part) for part in parts] == parts
    assert (stopper.finish(), stopper.found) == ("", None)


@pytest.mark.parametrize(
    ("parts", "stops", "shown", "found"),
    [
        (["one\n", "\ntwo"], ["\n\n"], ["one", ""], "\n\n"),
        (["before STOP after"], ["STOP"], ["before "], "STOP"),
        (["STOP"], ["STOP"], [""], "STOP"),
        (["xS", "T", "x"], ["STOP"], ["x", "", "STx"], None),
        (["aa", "ab"], ["aab"], ["", "a"], "aab"),
        (["abab", "c"], ["ababd", "bc"], ["", "aba"], "bc"),
        (["abcd"], ["abcd", "bc"], ["a"], "bc"),  # complete first
        (["xabc"], ["bc", "abc", "c"], ["x"], "abc"),  # complete at once: the longest
        (["ab"], ["b", "ab", "ab"], [""], "ab"),
        (["你好。", "再", "见吗"], ["再见"], ["你好。", "", ""], "再见"),
        (["好🙂", "🙃!"], ["🙂🙃"], ["好", ""], "🙂🙃"),
        (["👩", "\u200d", "🚀x"], ["👩\u200d👩"], ["", "", "👩\u200d🚀x"], None),
    ],
    ids=str,
)
def test_by_hand(parts, stops, shown, found):
    stopper = StopStrings(stops)
    assert [stopper.push(part) for part in parts] == shown
    assert (stopper.finish(), stopper.found) == ("", found)


def test_finish_gives_what_was_held_back_once():
    stopper = StopStrings(["STOP"])
    assert stopper.push("to ST") == "to "
    assert (stopper.finish(), stopper.finish(), stopper.found) == ("ST", "", None)


@pytest.mark.parametrize("stops", [[""], ["a", ""]])
def test_an_empty_stop(stops):
    with pytest.raises(LiuliError, match="a stop string is empty"):
        StopStrings(stops)
