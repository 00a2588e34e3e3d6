"""`liuli tokenize --chat`: what is marked is what the template's mask says, with colour and without."""

import json
import re
from functools import partial

import pytest
from helpers import pairs
from rich.cells import cell_len

from liuli.cli.output import Screen
from liuli.cli.wording import token_name
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat

GREEN, ESCAPE = re.compile(r"\x1b\[(?:1;)?32m(.*?)\x1b\[0m"), re.compile(r"\x1b\[[0-9;]*m")
TALKS = [
    ["小明去哪？", "游乐园。\n他坐了过山车。", "and you?<|im_end|>", "I <|im_start|> sat on the mat, 苹果 and a cake"],
    ["a", "b"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = pairs.save_base(tmp_path_factory.mktemp("base"))
    return pairs.save_assistant(tmp_path_factory.mktemp("assistant"), base)


def talk(said):
    roles = ("user", "assistant") * len(said)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(json.dumps(talk(said)) for said in TALKS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def encoded(folder):
    tokenizer = open_tokenizer(folder)
    return tokenizer, [Chat.open(folder, tokenizer).dialogue(talk(said)["messages"]) for said in TALKS]


def pieces(lines):
    """The tokens of printed lines, without what is in front of them."""
    return [piece for line in lines for piece in line[2:].split("│")]


def test_json_is_the_templates_own(liuli, folder, file, encoded):
    body = json.loads(liuli("tokenize", folder, "--chat", file, "--json").out)
    tokenizer, found = encoded
    assert body["tokenizer"] == {"path": str(folder), "kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
    assert (body["template"], body["more"]) == ("the folder's own template", 0)
    assert body["dialogues"] == [
        {
            "source": f"{file}:{number}",
            "text": each.text,
            "ids": each.ids,
            "tokens": [tokenizer.token(id).to_json() for id in each.ids],
            "supervised": each.supervised,
        }
        for number, each in enumerate(found, 1)
    ]


def test_without_colour_the_lines_say_what_is_supervised(liuli, folder, file, encoded):
    tokenizer, found = encoded
    shown = liuli("tokenize", folder, "--chat", file).out
    assert "\x1b" not in shown
    lines = [line for line in shown.split("\n\n")[0].splitlines() if line[:2] in ("  ", "> ")]
    for wanted, gutter in ((True, "> "), (False, "  ")):
        marked = [
            token_name(tokenizer.token(id)) for each in found for id, learned in zip(each.ids, each.supervised, strict=True)
            if learned == wanted
        ]  # fmt: skip
        assert pieces(line for line in lines if line.startswith(gutter)) == marked
    counts = [(len(each.ids), sum(each.supervised)) for each in found]
    assert f"{file}:1: {counts[0][0]} tokens, {counts[0][1]} supervised" in shown
    total, supervised = (sum(c[i] for c in counts) for i in (0, 1))
    assert f"2 dialogues: {total} tokens, {supervised} supervised; chat template: the folder's" in shown
    assert "> supervised: a model learns to generate it" in shown


def test_in_colour_on_a_narrow_screen(liuli, folder, file, encoded, monkeypatch):
    monkeypatch.setattr(
        "liuli.cli.dialogue_tokens.Screen",
        partial(Screen, force_terminal=True, color_system="standard", width=30, no_color=False),
    )
    shown = liuli("tokenize", folder, "--chat", file).out
    dialogues = shown.split("\n\n")[0]
    tokenizer, found = encoded
    green = [piece for piece in GREEN.findall(dialogues) if piece != "> "]
    learned = [id for each in found for id, yes in zip(each.ids, each.supervised, strict=True) if yes]
    assert green == [token_name(tokenizer.token(id)) for id in learned]
    special = re.findall(r"\x1b\[36m(.*?)\x1b", dialogues)
    assert special == [
        token_name(tokenizer.token(id)) for each in found for id, yes in zip(each.ids, each.supervised, strict=True)
        if not yes and tokenizer.token(id).special
    ]  # fmt: skip
    lines = [ESCAPE.sub("", line) for line in dialogues.splitlines() if "\x1b[2m" not in line[:5]]
    assert max(map(cell_len, lines)) <= 30


def test_ten_of_a_large_file(liuli, folder, tmp_path):
    path = tmp_path / "many.jsonl"
    path.write_text("\n".join(json.dumps(talk([f"a{i}", "b"])) for i in range(1234)), encoding="utf-8")
    shown = liuli("tokenize", folder, "--chat", path).out
    assert "10 dialogues: " in shown and f"1,224 more dialogues in {path} are not shown" in shown
    body = json.loads(liuli("tokenize", folder, "--chat", path, "--json").out)
    assert (len(body["dialogues"]), body["more"]) == (10, 1224)


def test_a_layout_of_the_field_and_a_folder_without_template(liuli, tmp_path):
    base = pairs.save_base(tmp_path / "base")
    (tmp_path / "alpaca.json").write_text(json.dumps([{"instruction": "a", "input": "", "output": "b"}]))
    shown = liuli("tokenize", base, "--chat", tmp_path / "alpaca.json").out
    assert "> b│<|im_end|>" in shown and "chat template: ChatML, as the folder has no template" in shown


def test_what_a_template_refuses_is_said(liuli, folder, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    template = "{% for m in messages %}{% if m.content == 'x' %}{{ raise_exception('no x') }}{% endif %}"
    template += "{{ '<|im_start|>' + m.content + '<|im_end|>' }}{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(template)
    talks = tmp_path / "two.jsonl"
    talks.write_text("\n".join(json.dumps(talk(said)) for said in (["x", "b"], ["c", "d"])))
    result = liuli("tokenize", tmp_path, "--chat", talks)
    assert result.err == f"liuli: skipped {talks}:1: the chat template refuses this conversation: no x; change the messages\n"
    assert "1 dialogue: " in result.out
    talks.write_text(json.dumps(talk(["x", "b"])))
    result = liuli("tokenize", tmp_path, "--chat", talks)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"liuli: {talks}:1: the chat template refuses this conversation: no x; change the messages\n"


def test_mistakes(liuli, folder, tiny_folder, file, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    for words, said in [
        ([folder], "give either TEXT or --chat FILE"),
        ([folder, "text", "--chat", file], "give either TEXT or --chat FILE"),
        ([folder, "--chat", file, "--steps"], "--steps shows how a text is tokenized: leave it out with --chat"),
        ([folder, "--chat", tmp_path / "nothing"], "there is no file or folder"),
        ([folder, "--chat", tmp_path / "empty.jsonl"], "no dialogue found in "),
        ([tiny_folder, "--chat", file], "contains no chat template, and its tokenizer has no <|im_start|> and <|im_end|>"),
    ]:
        result = liuli("tokenize", *words)
        assert (result.code, result.out) == (2, "")
        assert said in result.err and result.err.count("\n") == 1
