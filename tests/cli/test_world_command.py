"""`liuli world` as a person types it."""

import json
import re

import pytest

from liuli.world import World
from liuli.world.conversation import SimulatedConversation
from liuli.world.dialogues import Conversations


def test_ask(liuli):
    result = liuli("world", "ask", "小明今天去游乐园玩")
    assert result.out == "小明今天去游乐园玩 → a habit (values with known frequencies)\n   60.00%  过山车\n   40.00%  大风车\n"
    assert liuli("world", "ask", "小明今天去游乐园玩过山车。").out.endswith("→ the end of the document\n  100.00%  (end)\n")
    assert "·the·roller·coaster" in liuli("world", "ask", "--lang", "en", "Ming went to the fair today and rode").out
    many = liuli("world", "ask", "").out.splitlines()
    assert len(many) == 22
    assert many[0] == "(the beginning) → a choice of words"
    assert many[-1].endswith("other continuations (--json lists all)")


def test_ask_json(liuli):
    body = json.loads(liuli("world", "ask", "小明今天去游乐园玩", "--json").out)
    pieces = [{"text": "过山车", "probability": 0.6}, {"text": "大风车", "probability": 0.4}]
    assert body == {"prefix": "小明今天去游乐园玩", "kind": "habit", "pieces": pieces}
    opening = json.loads(liuli("world", "ask", "", "--json").out)
    assert sum(piece["probability"] for piece in opening["pieces"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("--seed", 5, "--lang", "zh"), ()),
        ((), ("--seed", 5, "--lang", "zh")),
        (("--seed", 5), ("--lang", "zh")),
        (("--seed", 5), ("--seed", 5, "--lang", "zh")),
    ],
)
def test_options_mean_the_same_before_and_after_ask(liuli, before, after):
    result = liuli("world", *before, "ask", "小红", *after, "--json")
    assert result.code == 0
    pieces = json.loads(result.out)["pieces"]
    assert {piece["text"]: piece["probability"] for piece in pieces} == World("begin", 5, "zh").next_pieces("小红")
    assert json.loads(liuli("world", *before, "--json", "ask", "小红", *after).out)["pieces"] == pieces


def test_wrong_options_before_and_after_ask(liuli, tmp_path):
    for option, message in (
        (("--size", "huge"), "a world's size must be one of begin, large, not 'huge'"),
        (("--lang", "fr"), "a world's lang must be one of zh, en, both, not 'fr'"),
        (("--seed", -1), "a seed must be a whole number of at least 0, not -1"),
    ):
        for words in ((*option, "ask", "小明"), ("ask", *option, "小明")):
            result = liuli("world", *words)
            assert (result.code, result.out, result.err) == (2, "", f"liuli: {message}\n")
    result = liuli("world", "--seed", 5, "ask", "--seed", 0, "小明")
    assert (result.code, result.err) == (2, "liuli: --seed is given twice: 5 before ask and 0 after it; give it once\n")
    for option in (("--out", tmp_path / "w"), ("--documents", 5), ("--documents", 50000), ("--force",)):
        result = liuli("world", *option, "ask", "小明")
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("liuli: --out, --documents and --force belong to `liuli world` itself: remove them before")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_ask_standard_input(liuli, end):
    text = "小明今天去游乐园玩"
    assert liuli("world", "ask", "-", stdin=(text + end).encode()).out == liuli("world", "ask", text).out
    assert "begins with '小明\\n'" in liuli("world", "ask", "-", stdin="小明\n\n".encode()).err
    assert "is not UTF-8 text" in liuli("world", "ask", "-", stdin=b"\xff").err


def test_ask_what_no_document_says(liuli):
    result = liuli("world", "ask", "小明今天去上班")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "liuli: no document of this world begins with '小明今天去上班'. The first 5 of 7 characters match"
    )
    assert result.err.count("\n") == 1


def test_write(liuli, tmp_path):
    out = tmp_path / "deep" / "world"
    result = liuli("world", "--documents", 20, "--out", out)
    world = World()
    assert result.code == 0
    assert "replaced" not in result.out
    assert "20 documents" in result.out and f"{world.floor.bits_per_byte:.4f} bits per byte" in result.out
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "documents.jsonl", "facts.json"]
    lines = (out / "documents.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"text": text} for text in world.documents(20)]
    facts = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    assert facts == {"world": {"size": "begin", "seed": 0, "lang": "both"}} | world.facts.to_json()
    page = (out / "README.md").read_text(encoding="utf-8")
    ming = next(line for line in page.splitlines() if line.startswith("| 小明 Ming |"))
    assert "过山车 the roller coaster 60%, 大风车 the big windmill 40%" in ming
    assert ming.count("~~") == 2 * len(world.facts.entities["person"][0].untold)


def test_write_json_and_again(liuli, tmp_path):
    """A folder that holds a world takes another with --force; nothing of the first is left."""
    out = tmp_path / "world"
    liuli("world", "--documents", 5, "--out", out)
    (out / ".facts.json.part").write_text("left by a killed run")
    before = (out / "documents.jsonl").read_bytes()
    refused = liuli("world", "--documents", 4, "--out", out)
    said = f"{out} already contains a world: give a new or empty folder, or --force to replace it"
    assert (refused.code, refused.out, refused.err) == (2, "", f"liuli: {said}\n")
    assert (out / "documents.jsonl").read_bytes() == before
    again = liuli("world", "--documents", 4, "--out", out, "--force")
    assert "the previous world there, with 5 documents, was replaced" in again.out
    body = json.loads(liuli("world", "--seed", 7, "--lang", "zh", "--documents", 3, "--out", out, "--force", "--json").out)
    assert body["replaced"] == 4
    world = World("begin", 7, "zh")
    documents = list(world.documents(3))
    assert body["bytes"] == len("".join(documents).encode())
    assert body["floor"]["bits_per_byte"] == world.floor.bits_per_byte
    assert (body["size"], body["seed"], body["lang"], body["documents"]) == ("begin", 7, "zh", 3)
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "documents.jsonl", "facts.json"]
    assert len((out / "documents.jsonl").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("where", ["floor", "documents"])
def test_ctrl_c_leaves_nothing_behind(liuli, tmp_path, monkeypatch, where):
    def interrupt(self, *_):
        raise KeyboardInterrupt

    def interrupted(self, count, seed=0):
        yield "小明"
        raise KeyboardInterrupt

    monkeypatch.setattr(World, where, property(interrupt) if where == "floor" else interrupted)
    out = tmp_path / "deep" / "world"
    result = liuli("world", "--documents", 20, "--out", out)
    assert (result.code, result.out, result.err) == (130, "", f"liuli: stopped; {out} was not written\n")
    assert list(tmp_path.iterdir()) == []
    out.mkdir(parents=True)
    liuli("world", "--documents", 20, "--out", out)
    assert list(out.iterdir()) == []  # a folder that was there stays


@pytest.mark.parametrize("lang", ["zh", "en", "both"])
def test_the_page_is_in_the_languages_of_the_world(liuli, tmp_path, lang):
    liuli("world", "--lang", lang, "--documents", 1, "--out", tmp_path / "w")
    text = (tmp_path / "w" / "README.md").read_text(encoding="utf-8")
    titles = {
        "zh": ("一个小世界", "人物"),
        "en": ("A small world", "People"),
        "both": ("一个小世界 A small world", "人物 People"),
    }
    assert text.startswith(f"# {titles[lang][0]}\n") and f"\n## {titles[lang][1]}\n" in text
    if lang == "zh":  # beside the setting's own words
        assert set(re.findall("[A-Za-z]+", text)) == {"begin", "liuli", "world"}
    if lang == "en":
        assert not re.search("[一-鿿]", text)
    assert ("一顶草帽" in text, "a straw hat" in text) == (lang != "en", lang != "zh")
    assert "\n\n\n" not in text


def test_a_folder_with_something_else_is_left_alone(liuli, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for words in ((), ("--force",)):
        result = liuli("world", "--documents", 1, "--out", tmp_path, *words)
        said = f"{tmp_path} contains other files (thesis.txt): give a new or empty folder"
        assert (result.code, result.err) == (2, f"liuli: {said}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("facts", ["", "[]", '{"people": 3}'])
def test_files_of_the_same_name_are_not_taken_for_a_world(liuli, tmp_path, facts):
    (tmp_path / "facts.json").write_text(facts)
    result = liuli("world", "--documents", 1, "--out", tmp_path, "--force")
    assert result.code == 2
    assert "contains other files (facts.json)" in result.err
    assert (tmp_path / "facts.json").read_text() == facts


def test_bad_input(liuli, tmp_path):
    def error(*words):
        result = liuli("world", *words)
        assert result.code == 2
        assert result.out == ""
        return result.err

    assert error() == "liuli: liuli world needs --out FOLDER, to which it writes documents.jsonl, facts.json and README.md\n"
    out = ("--out", tmp_path / "w")
    assert error("--size", "huge", *out) == "liuli: a world's size must be one of begin, large, not 'huge'\n"
    assert error("--lang", "fr", *out) == "liuli: a world's lang must be one of zh, en, both, not 'fr'\n"
    assert error("--seed", -1, *out) == "liuli: a seed must be a whole number of at least 0, not -1\n"
    assert error("--documents", -1, *out) == "liuli: the number of documents must be at least 0, not -1\n"
    assert not (tmp_path / "w").exists()
    assert "--seed" in error("ask", "--seed", "x", "小明")


def test_dialogues(liuli, tmp_path):
    out = tmp_path / "talk.jsonl"
    result = liuli("world", "dialogues", "--out", out, "--count", 30, "--lang", "zh")
    assert (result.code, result.err) == (0, "")
    command = f"liuli finetune MODEL {out} --out RUN"
    assert result.out.startswith(f"30 dialogues written to {out}; train an assistant with: {command}")
    lines = [json.loads(line)["messages"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert lines == list(Conversations(World("begin", 0, "zh")).training(30))
    deep = tmp_path / "new" / "deep.jsonl"
    body = json.loads(liuli("world", "dialogues", "--out", deep, "--count", 2, "--json").out)
    assert body == {"file": str(deep), "dialogues": 2}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep.jsonl", "new", "talk.jsonl"]


def test_dialogues_bad_input(liuli, tmp_path):
    def error(*words):
        result = liuli("world", *words)
        assert (result.code, result.out) == (2, "")
        return result.err

    out = tmp_path / "talk.jsonl"
    said = "liuli: the number of dialogues (--count) must be at least 0, not -1\n"
    assert error("dialogues", "--out", out, "--count", -1) == said
    nowhere = tmp_path / "nowhere" / "talk.jsonl"
    assert "must be at least 0" in error("dialogues", "--out", nowhere, "--count", -1)
    assert "must end with .jsonl" in error("dialogues", "--out", tmp_path / "talk.txt")
    assert "remove them before dialogues" in error("--out", tmp_path / "w", "dialogues", "--out", out)
    assert "--out" in error("dialogues")
    assert not list(tmp_path.iterdir())


def test_dialogues_ctrl_c(liuli, tmp_path, monkeypatch):
    """Nothing is left."""
    out = tmp_path / "new" / "talk.jsonl"

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SimulatedConversation, "small_talk", interrupted)
    result = liuli("world", "dialogues", "--out", out)
    assert (result.code, result.err) == (130, f"liuli: stopped; {out} was not written\n")
    assert not list(tmp_path.iterdir())
