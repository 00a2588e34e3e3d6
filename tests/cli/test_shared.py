"""Numbers as commands show them."""

import pytest

from liuli.cli.shared import percent, scaled
from liuli.display import on_screen


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (0.5, "0.5 B"), (999, "999 B"), (1000, "1 kB"), (780_672, "781 kB"), (999_999, "1 MB")],
)
def test_a_number_in_the_largest_unit_that_it_fills(number, shown):
    assert scaled(number, 3, ("TB", "GB", "MB", "kB", "B")) == shown


def test_a_share_that_is_small_is_not_shown_as_none():
    assert [percent(share) for share in (0, 0.00001, 0.1234, 1)] == ["0.00%", "<0.01%", "12.34%", "100.00%"]


def test_what_would_drive_a_terminal_is_shown_by_its_number():
    assert on_screen("\x1b[2J\a\r\x9b0m\x7f\u202ea") == "<U+001B>[2J<U+0007><U+000D><U+009B>0m<U+007F><U+202E>a"
    kept = "好，\u3000👨\u200d👩\u200d👧 é\tx\ny\ufffd"
    assert on_screen(kept) == kept
