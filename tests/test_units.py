"""Numbers with units."""

import pytest

from liuli.units import byte_size, counted


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (0.5, "0.5 B"), (999, "999 B"), (1000, "1 kB"), (780_672, "781 kB"), (999_999, "1 MB")],
)
def test_a_number_in_the_largest_unit_that_it_fills(number, shown):
    assert byte_size(number) == shown


def test_an_estimate_has_two_significant_digits():
    assert [byte_size(number, 2) for number in (0.423e9, 3.06e9, 23.4e9, 999e6)] == ["420 MB", "3.1 GB", "23 GB", "1 GB"]


def test_one_and_several():
    assert [counted(number, "token") for number in (0, 1, 1000, 15 * 10**12)] == [
        "0 tokens",
        "1 token",
        "1,000 tokens",
        "15,000,000,000,000 tokens",
    ]
    assert [counted(number, "minute") for number in (0.5, 1.0, 2.35)] == ["0.5 minutes", "1 minute", "2.35 minutes"]
