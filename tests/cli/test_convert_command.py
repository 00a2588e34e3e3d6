"""`liuli data convert` as a person types it."""

import json

import pytest

from liuli.data.dialogues.dialogues import Dialogues


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    talks = tmp_path / "talks"
    talks.mkdir()
    records = [{"instruction": "一", "input": "", "output": "二"}, {"question": "三", "answer": "四\u2028\n"}, {"text": "五"}]
    (talks / "a.json").write_text(json.dumps(records), encoding="utf-8")
    (talks / "b.txt").write_text("a\tb\nc\td\te\nalone\n", encoding="utf-8")
    (talks / "notes.md").write_text("notes")
    return tmp_path


WRITTEN = [
    '{"messages": [{"role": "user", "content": "一"}, {"role": "assistant", "content": "二"}]}',
    '{"messages": [{"role": "user", "content": "三"}, {"role": "assistant", "content": "四\u2028\\n"}]}',
    '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
    '{"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}, {"role": "user", "content": "e"}]}',
]


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_convert(liuli, folder):
    result = liuli("data", "convert", "talks", "--out", "out.jsonl")
    assert (result.code, result.err) == (0, "")
    assert (folder / "out.jsonl").read_bytes().decode() == "".join(line + "\n" for line in WRITTEN)
    assert result.out.startswith(
        "talks/a.json: 1 dialogue from Alpaca, 1 dialogue from question/answer\n"
        "talks/b.txt: 2 dialogues from tab-separated turns\n"
        "\nskipped 1 × unknown dialogue layout; the supported layouts are messages, "
    )
    assert "\n    talks/a.json:3 (fields: text)\n" in result.out
    assert "skipped 1 × a line with only one turn; separate the turns of a dialogue with tabs" in result.out
    assert "skipped 1 × unknown file type for dialogues; Liuli reads .jsonl, .json, .txt" in result.out
    assert result.out.endswith(
        "\n1 dialogue ends without an answer: the last message is not supervised\n\n4 dialogues written to out.jsonl\n"
    )
    assert names(folder) == ["out.jsonl", "talks"]


def test_what_was_written_is_read_again(liuli, folder):
    liuli("data", "convert", "talks", "--out", "out.jsonl")
    result = liuli("data", "convert", "out.jsonl", "--out", "again.jsonl")
    assert result.out.startswith("out.jsonl: 4 dialogues from messages\n")
    assert (folder / "again.jsonl").read_bytes() == (folder / "out.jsonl").read_bytes()
    assert [each.to_json() for each in Dialogues("again.jsonl")] == [each.to_json() for each in Dialogues("talks")]


def test_json(liuli, folder):
    body = json.loads(liuli("data", "convert", "talks", "--out", "out.jsonl", "--json").out)
    assert [each["count"] for each in body.pop("skipped")] == [1, 1, 1]
    assert body == {
        "sources": ["talks"],
        "out": "out.jsonl",
        "dialogues": 4,
        "unanswered": 1,
        "layouts": {
            "talks/a.json": {"Alpaca": 1, "question/answer": 1},
            "talks/b.txt": {"tab-separated turns": 2},
        },
    }


def test_standard_input(liuli, folder):
    result = liuli("data", "convert", "-", "--out", "out.jsonl", stdin=(WRITTEN[0] + "\n").encode())
    assert result.out == "standard input: 1 dialogue from messages\n\n1 dialogue written to out.jsonl\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["talks", "--out", "there.jsonl"], "there.jsonl already exists and will not be overwritten: give another name"),
        (["talks", "--out", "out.json"], "out.json: the name of the output file must end with .jsonl; give such a name"),
        (
            ["talks", "--out", "no/out.jsonl", "--strict"],
            "talks/a.json:3: unknown dialogue layout (fields: text)",
        ),
        (["talks/notes.md", "--out", "out.jsonl"], "talks/notes.md: Liuli does not read dialogues from files of this type; it"),
        (["empty", "--out", "out.jsonl"], "no dialogue found in empty: it contains no files"),
        (["nowhere", "--out", "out.jsonl"], "there is no file or folder 'nowhere'"),
        (["talks"], "Missing option '--out'"),
    ],
)
def test_mistakes_leave_nothing_behind(liuli, folder, words, said):
    (folder / "there.jsonl").write_text("mine")
    (folder / "empty").mkdir()
    result = liuli("data", "convert", *words)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"liuli: {said}") and result.err.count("\n") == 1
    assert names(folder) == ["empty", "talks", "there.jsonl"]
    assert (folder / "there.jsonl").read_text() == "mine"


def test_an_interruption_leaves_nothing_behind(liuli, folder, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("liuli.data.dialogues.dialogues.Dialogue.to_json", interrupt)
    assert liuli("data", "convert", "talks", "--out", "out.jsonl").code == 130
    assert names(folder) == ["talks"]
