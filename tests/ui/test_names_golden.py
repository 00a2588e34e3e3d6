"""The names of tokens in the terminal and in the page: both are compared with ui/test/names.json.

PYTHONPATH=src:tests python tests/ui/test_names_golden.py     writes the file anew
"""

import json
import re
import unicodedata
from pathlib import Path

import pytest

from liuli.cli.look.drawing import passage_token_name
from liuli.display import visible
from liuli.inside.passage import passage
from liuli.tokens import Token

GOLDEN = Path(__file__).resolve().parents[2] / "ui" / "test" / "names.json"
TEXTS = (
    "a b\n\t\r", "好，“琉璃”…：（一）", "\x00\x1b[31m\x7f\x9b", "\u202e\u2066\u2028\u2029", "\u200b", "\ufeff", "\u00ad",
    "\u3000", "\u00a0x", "\u200e\u200f\u061c", "卡尔·马克思", "⏎⇥␍", "👨\u200d👩", "\ue000", "\ud800x", "é e\u0301",
    "שלום مرحبا", "\ufffd", "😀", "\U00020000", "\U000e0041", "",
)  # fmt: skip
BYTES = (
    b"\xe5", b"\xe5\x88", b"\x20\xe6\x98\xaf\xe5", b"\xff", b"\x88\x9b", "\ufffd".encode(), b"a\xef\xbf\xbd\xff",
    b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\xaf", "\u200b".encode(), b"\xef\xbb\xbf", b"\xef\xbb\xbf\xe5", b"\n\xe5",
)  # fmt: skip
ROWS = (  # each the bytes of the tokens of one text; the name of a special token is text
    (b"a", "刚".encode()[:2], "刚".encode()[2:], "。".encode()),
    ("变".encode()[:1], "变".encode()[1:2], "变".encode()[2:], b" 1"),
    ("<|begin|>", b"\n", "\u202e".encode(), "·".encode(), "\u200b".encode()[:1], "\u200b".encode()[1:]),
)


def visible_cases() -> list[dict]:
    texts = [{"text": text, "bytes": [], "visible": visible(text)} for text in TEXTS]
    pieces = ((data.decode(errors="replace"), data) for data in BYTES)
    return texts + [{"text": text, "bytes": list(data), "visible": visible(text, data)} for text, data in pieces]


def row_case(row: tuple[bytes | str, ...]) -> dict:
    """A text whose tokens have these bytes, and the names of the tokens at their places."""
    text = b"".join(each for each in row if isinstance(each, bytes)).decode()
    tokens, read = [], 0
    for number, each in enumerate(row):
        if isinstance(each, str):
            tokens.append(Token(number, each, b"", special=True, span=(0, 0)))
            continue
        before = text.encode()[:read].decode(errors="ignore")
        read += len(each)
        whole = text.encode()[:read].decode(errors="replace")
        tokens.append(Token(number, each.decode(errors="replace"), each, span=(len(before), len(whole))))
    names = [passage_token_name(token) for token in passage(text, tokens).tokens]
    return {"tokens": [{"text": token.text, "bytes": list(token.bytes)} for token in tokens], "names": names}


def make_golden() -> dict:
    return {"visible": visible_cases(), "rows": [row_case(row) for row in ROWS]}


def test_names_are_the_recorded_ones():
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == make_golden()


def test_the_golden_file_covers_what_the_drawing_code_must_know():
    categories = {unicodedata.category(character) for text in TEXTS for character in text}
    assert categories >= {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"}


@pytest.mark.parametrize("text", TEXTS)
def test_a_visible_text_has_nothing_that_cannot_be_seen(text):
    assert not re.search("[\\s\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u00ad\x00-\x1f\x7f-\x9f]", visible(text))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(make_golden(), indent=1) + "\n", encoding="utf-8")
