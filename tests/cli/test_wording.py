"""Numbers and tokens as commands show them."""

from liuli.cli.wording import percent, token_name
from liuli.tokens.tokenizer import Token


def test_a_share_that_is_small_is_not_shown_as_none():
    assert [percent(share) for share in (0, 0.00001, 0.1234, 1)] == ["0.00%", "<0.01%", "12.34%", "100.00%"]


def test_the_name_of_a_special_token_cannot_drive_a_terminal():
    assert token_name(Token(0, "<|im_end|>", b"", special=True)) == "<|im_end|>"
    assert token_name(Token(0, "<\x1b[2J\x9b\u202e�\n>", b"", special=True)) == "<<U+001B>[2J<U+009B><U+202E>�⏎>"
    assert token_name(Token(0, "�", b"\xe5\xa4")) == "<E5><A4>"
