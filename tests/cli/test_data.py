"""`liuli data look` as a person types it."""

import json
import subprocess
import sys

import pytest
from rich.cells import cell_len

NOVEL = "".join(f"第{i}章\n\nOnce upon a time.\n" for i in range(3000))  # 84 kB


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_bytes(("\ufeff" + NOVEL).encode())
    lines = [json.dumps({"text": f"line {i % 140}\x1b"}) for i in range(150)]
    (folder / "b.jsonl").write_text("\n".join([*lines, "{", '{"messages": []}']))
    (folder / "c.png").write_bytes(b"\x89PNG")
    return folder


def test_look(liuli, corpus):
    result = liuli("data", "look", "texts")
    assert result.code == 0, result.err
    for line in (
        "documents   151; 157 blocks (long documents are split)",
        "duplicates  10 documents with the text of an earlier one, kept",
        "about one block in 20, chosen by a hash of its text",
        "marks       1 byte order mark at the beginning of a file dropped",
        "skipped 1 × broken JSON; fix it, or remove it\n    texts/b.jsonl:151 (Expecting property name enclosed in",
        'skipped 1 × a dialogue, not a text; only records with a field "text" are read here\n'
        "    texts/b.jsonl:152 (fields: messages)",
        "skipped 1 × unknown file type for text; Liuli reads .txt, .md, .jsonl, .json",
        "\n    texts/c.png\n",
        "excerpts\n  texts/a.txt\n    第0章⏎⏎Once upon a time.⏎",
    ):
        assert line in result.out, result.out
    assert "Latin " in result.out and "Han " in result.out
    assert max(map(cell_len, result.out.splitlines())) <= 120
    assert "\x1b" not in result.out and "<U+001B>\n" in result.out
    assert liuli("data", "look", "texts").out == result.out


def test_json(liuli, corpus):
    body = json.loads(liuli("data", "look", "texts", "--dedup", "--valid", "tail:0.5", "--json").out)
    assert body["sources"] == ["texts"]
    assert (body["documents"], body["duplicates"], body["dropped_marks"]) == (141, 10, 1)
    assert body["validation"]["characters"] == body["total"]["characters"] // 2
    assert body["how"] == "the last 50% of the characters"
    assert sum(body["scripts"].values()) == body["total"]["characters"]
    assert body["skipped"][0] == {
        "reason": "broken JSON",
        "advice": "fix it, or remove it",
        "count": 1,
        "places": [
            {
                "file": "texts/b.jsonl",
                "first": "texts/b.jsonl:151 (Expecting property name enclosed in double quotes at column 2)",
                "count": 1,
            }
        ],
    }
    assert body["samples"][0] == {
        "source": "texts/a.txt",
        "part": 0,
        "text": NOVEL[:200],
        "cut": True,
    }


def test_strict_stops(liuli, corpus):
    result = liuli("data", "look", "texts", "--strict")
    assert result.code == 2 and result.out == ""
    assert result.err.startswith("liuli: texts/b.jsonl:151: broken JSON (Expecting property name")


def test_text_on_both_sides_is_said(liuli, corpus):
    (corpus.parent / "copy.txt").write_bytes((corpus / "a.txt").read_bytes())
    result = liuli("data", "look", "texts", "--valid", "copy.txt")
    assert "in both splits  1 held-out document whose full text is also in the training data" in result.out
    assert json.loads(liuli("data", "look", "texts", "--valid", "copy.txt", "--json").out)["shared"] == 1


def test_standard_input(liuli):
    result = liuli("data", "look", "-", stdin="一二三四五六七八九十".encode())
    assert (
        "held out    1 of 1 block, 1 character (10.0%): the last 10% of the characters, as there are too few blocks"
        in result.out
    )
    assert "excerpts\n  standard input\n    一二三四五六七八九十\n" in result.out
    assert liuli("data", "look", "-").err == (
        "liuli: no text found in -: 1 × file without any text: standard input; add content, or remove the file\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "there is no file or folder 'nowhere'"),
        (["hub:x"], "hub:x is not the name of a dataset on the Hugging Face Hub"),
        (["texts", "--valid", "tail:2"], "tail:2: the share to hold out must be a number between 0 and 1"),
        (["texts", "--valid", "texts/a.txt"], "texts/a.txt is in the training data and in the validation data"),
        (["texts/c.png"], "texts/c.png: Liuli does not read text from files of this type"),
    ],
)
def test_mistakes(liuli, corpus, words, said):
    result = liuli("data", "look", *words)
    assert result.code == 2
    assert result.err.startswith(f"liuli: {said}") and result.err.count("\n") == 1


def test_help_waits_for_nothing_heavy():
    check = "import sys; from liuli.cli.app import app; sys.exit(bool({'torch', 'numpy', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
