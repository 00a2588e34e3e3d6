"""What foreign text may do on its way to people: everything except drive their terminal."""

import json
import pickle
import sys
import unicodedata

from liuli.display import drives_terminal, escaped, on_line, on_screen, printable, visible
from liuli.errors import LiuliError

KEPT = "好，“琉璃”…：（\u3000）👨\u200d👩\u200d👧 é ，。 שלום\u200f مرحبا \u00a0x"
HOSTILE = "\x1b]0;title\a\x1b[2J\r\x9b0m\x7f\0\u202ea\u2066\u2028"
SHOWN = (
    "<U+001B>]0;title<U+0007><U+001B>[2J<U+000D><U+009B>0m<U+007F><U+0000><U+202E>a<U+2066><U+2028>"
)  # fmt: skip


def test_what_drives_a_terminal():
    """All control characters, what breaks a line, and what Unicode's bidirectional algorithm takes for a command."""
    found = {character for character in map(chr, range(sys.maxunicode + 1)) if drives_terminal(character)}
    commands = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert found == {
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(character) in commands
    }


def test_it_is_shown_by_its_number():
    assert on_screen(HOSTILE) == SHOWN
    assert on_screen(f"{KEPT}\tx\ny�") == f"{KEPT}\tx\ny�"


def test_a_message_stays_on_one_line():
    assert on_line(HOSTILE).replace("␍", "<U+000D>") == SHOWN
    assert on_line(f"a\nb\tc {KEPT}") == f"a⏎b⇥c {KEPT}"


def test_a_name_in_a_message():
    assert printable("a\x1b[2J\n\t\u202e\u200b\ue000\ud800b") == "a�[2J������b"
    assert printable("模型\u3000（一）.json\u00a0é") == "模型\u3000（一）.json\u00a0é"


def test_a_text_exactly():
    assert visible("a b\n\x1b\u202e\u3000·") == "a·b⏎<U+001B><U+202E><U+3000><U+00B7>"
    assert visible("好�", "好".encode() + b"\xe5") == "好<E5>"
    assert visible("a�b") == "a�b"  # its bytes are not known


def test_json_parses_to_the_same_text_and_drives_nothing():
    body = {f"key{HOSTILE}": [KEPT, HOSTILE, '"\\', "\ud83d", "😀"], "n": 1.5}
    shown = escaped(json.dumps(body, ensure_ascii=False))
    assert json.loads(shown) == body
    assert not any(drives_terminal(character) for character in shown)
    assert "好，“琉璃”" in shown
    assert "😀" in shown
    shown.encode()


def test_no_error_message_drives_a_terminal():
    error = LiuliError(f"config.json: {KEPT} {HOSTILE}\nsecond line")
    assert str(error).startswith(f"config.json: {KEPT} <U+001B>]0;title")
    assert str(error).endswith("⏎second line")
    assert not any(drives_terminal(character) for character in str(error))
    assert str(LiuliError(str(error))) == str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
