"""Numbers and tokens as commands show them."""

import pytest

from liuli.cli.wording import counted, percent, scaled, token_name
from liuli.tokens.tokenizer import Token


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (0.5, "0.5 B"), (999, "999 B"), (1000, "1 kB"), (780_672, "781 kB"), (999_999, "1 MB")],
)
def test_a_number_in_the_largest_unit_that_it_fills(number, shown):
    assert scaled(number, 3, ("TB", "GB", "MB", "kB", "B")) == shown


def test_a_share_that_is_small_is_not_shown_as_none():
    assert [percent(share) for share in (0, 0.00001, 0.1234, 1)] == ["0.00%", "<0.01%", "12.34%", "100.00%"]


def test_one_and_several():
    assert [counted(number, "token") for number in (0, 1, 1000)] == ["0 tokens", "1 token", "1,000 tokens"]


def test_the_name_of_a_special_token_cannot_drive_a_terminal():
    assert token_name(Token(0, "<|im_end|>", b"", special=True)) == "<|im_end|>"
    assert token_name(Token(0, "<\x1b[2J\x9b\u202e�\n>", b"", special=True)) == "<<U+001B>[2J<U+009B><U+202E>�⏎>"
    assert token_name(Token(0, "�", b"\xe5\xa4")) == "<E5><A4>"
