"""Numbers and tokens as commands show them."""

import pytest

from liuli.cli.wording import YEAR, about, duration, percent, token_name
from liuli.tokens.tokenizer import Token


def test_a_share_that_is_small_is_not_shown_as_none():
    assert [percent(share) for share in (0, 0.00001, 0.1234, 1)] == ["0.00%", "<0.01%", "12.34%", "100.00%"]


def test_the_name_of_a_special_token_cannot_drive_a_terminal():
    assert token_name(Token(0, "<|im_end|>", b"", special=True)) == "<|im_end|>"
    assert token_name(Token(0, "<\x1b[2J\x9b\u202e�\n>", b"", special=True)) == "<<U+001B>[2J<U+009B><U+202E>�⏎>"
    assert token_name(Token(0, "�", b"\xe5\xa4")) == "<E5><A4>"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.3, "<1 s"), (7.4, "7 s"), (59.6, "1 min"), (121, "2 min 1 s"), (3600, "1 h"), (3605, "1 h"),
        (3725, "1 h 2 min"), (86_400 * 3 + 4 * 3600, "3 d 4 h"), (2.5 * YEAR, "2.5 years"), (355.4 * YEAR, "355 years"),
    ],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "less than a second"), (3.2, "about 3 s"), (52, "about 50 s"), (100, "about 2 min"), (250, "about 4 min"),
        (5300, "about 1 h 28 min"), (5500, "about 1 h 30 min"), (400_000, "about 4 d 15 h"), (2.5 * YEAR, "about 2.5 years"),
    ],
)  # fmt: skip
def test_an_estimate_is_rounded(seconds, text):
    assert about(seconds) == text
