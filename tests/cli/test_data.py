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


def test_a_bar_stands_behind_its_numbers_at_a_narrow_terminal(liuli, corpus):
    lines = liuli("data", "look", "texts", columns=60).out.splitlines()
    most = next(line for line in lines if line.startswith("Han "))
    assert "█" in most and cell_len(most) <= 60


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
    few = ", as there are too few blocks to choose one in 20 by a hash"
    assert f"held out 1 of 10 characters (10.0%): the last 10% of the characters{few}" in " ".join(result.out.split())
    short = " ".join(liuli("data", "look", "-", stdin=b"hi\n").out.split())
    assert f"held out 1 of 3 characters (33.3%): the last character (10% of 3 characters is less than one){few}" in short
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


@pytest.fixture
def poems(tmp_path, monkeypatch):
    """Records as in collections of poetry, whose text is a list of lines in a field that differs between files."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "poems"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps([{"title": "t", "paragraphs": ["first line", "second"]}] * 3))
    (folder / "b.json").write_text(json.dumps([{"title": "t", "content": ["third", "fourth"], "author": "x"}] * 2))
    return folder


def test_the_text_may_be_in_another_field(liuli, poems):
    body = json.loads(liuli("data", "look", "poems", "--text-field", "paragraphs", "--text-field", "content", "--json").out)
    assert (body["documents"], body["skipped"]) == (5, [])
    assert body["samples"][0]["text"] == "first line\nsecond"
    one = liuli("data", "look", "poems", "--text-field", "content").out
    assert "documents   2" in one
    assert 'skipped 3 × no field "content"; name the field with the text, such as --text-field' in one


def test_the_hint_names_the_fields_and_the_option(liuli, poems):
    said = liuli("data", "look", "poems").err
    assert said.count("\n") == 1
    assert '5 × no field "text": poems/a.json:1 (fields: title, paragraphs) and 4 more; ' in said
    assert said.endswith("; name the field with the text, such as --text-field paragraphs\n")


def test_an_error_names_the_most_frequent_reason_alone(liuli, poems):
    """Many reasons, and many fields of a record, would make a line of hundreds of characters."""
    for i in range(3):
        (poems / f"{i}.json").write_text("{")
    (poems / "c.png").write_bytes(b"")
    fields = {f"field{i}": i for i in range(40)}
    (poems / "a.json").write_text(json.dumps([fields | {"paragraphs": ["a"]}] * 9))
    said = liuli("data", "look", "poems").err
    assert '11 × no field "text": poems/a.json:1 (fields: field0, field1, ' in said and ", field7, …) and 10 more, " in said
    assert "and 4 other problems; name the field with the text, such as --text-field " in said
    assert (said.count("\n"), len(said) < 250) == (1, True)


@pytest.fixture
def talks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    question, answer = {"role": "user", "content": "你好吗？"}, {"role": "assistant", "content": "I am fine.\x1b"}
    dialogues = [
        {"messages": [question, answer]},
        {"messages": [{"role": "system", "content": "s"}, question, answer, question, answer | {"weight": 0}, question]},
        *({"messages": [question | {"content": f"q{i}"}, answer]} for i in range(40)),
        {"messages": [question]},
    ]
    lines = [json.dumps(each) for each in dialogues]
    (tmp_path / "talks.jsonl").write_text("\n".join([*lines, "{"]))
    return tmp_path / "talks.jsonl"


def test_look_at_dialogues(liuli, talks):
    result = liuli("data", "look", "talks.jsonl")
    assert result.code == 0, result.err
    for line in (
        "dialogues   42 ",
        "talks.jsonl: 42 from messages",
        "messages    44 user, 43 assistant, 1 system",
        "exchanges   min 1, median 1, mean 1, p95 1, max 3 questions per dialogue",
        "replies     min 11, median 11, mean 11, p95 11, max 11 characters",
        "duplicates  1 dialogue with the first prompt of an earlier one, kept",
        "of 42 dialogues (",
        "about one dialogue in 20, chosen by a hash of its first prompt",
        "1 dialogue with a system message",
        "1 reply with weight 0: nothing is learned from them",
        "1 dialogue without an answer to the last message",
        "skipped 1 × the dialogue has no answer; add a message with the role assistant, or remove the dialogue\n"
        "    talks.jsonl:43",
        "skipped 1 × broken JSON; fix it, or remove it\n    talks.jsonl:44 (Expecting property name",
        "excerpts\n  talks.jsonl:1\n    user: 你好吗？\n    assistant: I am fine.<U+001B>",
    ):
        assert line in result.out, (line, result.out)
    assert "\x1b" not in result.out


def test_dialogues_as_json(liuli, talks):
    body = json.loads(liuli("data", "look", "talks.jsonl", "--json", "--valid", "tail:0.5").out)
    assert body["layouts"] == {"talks.jsonl": {"messages": 42}}
    assert (body["dialogues"], body["held_out"], body["repeated"], body["unanswered"]) == (42, 21, 1, 1)
    assert body["roles"] == {"user": 44, "assistant": 43, "system": 1}
    characters = 4 * len("你好吗？") + sum(len(f"q{i}") for i in range(40)) + 43 * len("I am fine.\x1b") + len("s")
    assert sum(body["scripts"].values()) == characters
    assert body["skipped"][0]["places"][0]["first"].startswith("talks.jsonl:43")
    assert body["samples"][0] == {
        "source": "talks.jsonl:1",
        "messages": [
            {"role": "user", "text": "你好吗？", "cut": False},
            {"role": "assistant", "text": "I am fine.\x1b", "cut": False},
        ],
        "more": 0,
    }


def test_a_txt_file_of_dialogues_has_to_be_named_as_such(liuli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("hello\tgood day\nbye\tsee you\n")
    assert "documents   1" in liuli("data", "look", "a.txt").out
    assert "a.txt: 2 from tab-separated turns" in liuli("data", "look", "a.txt", "--dialogues").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dedup"], "--dedup applies only to text, and the sources are dialogues: leave out --dedup"),
        (["--dialogues", "--text-field", "a"], "--text-field applies only to text, and --dialogues to dialogues"),
    ],
)
def test_options_that_do_not_apply_to_dialogues(liuli, talks, words, said):
    result = liuli("data", "look", "talks.jsonl", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err


def test_help_waits_for_nothing_heavy():
    check = "import sys; from liuli.cli.app import app; sys.exit(bool({'torch', 'numpy', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
