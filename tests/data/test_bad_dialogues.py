"""Whatever is wrong with a dialogue is named: what, where, what to do; and skipped with a count, or an error."""

import json
from dataclasses import replace

import pytest
from helpers.corpora import jsonl, write

from liuli.data.dialogues.dialogues import DIALOGUES, Dialogues
from liuli.data.dialogues.layouts import DIALOGUE, KNOWN
from liuli.data.dialogues.messages import DEEPEST, ORDER, check
from liuli.errors import LiuliError

GOOD = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}


def message(names, **settings) -> str:
    with pytest.raises(LiuliError) as caught:
        list(Dialogues(names, **settings))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def talk(*turns) -> dict:
    """From (role, content) or (role, content, other fields)."""
    return {"messages": [{"role": turn[0], "content": turn[1]} | dict(*turn[2:]) for turn in turns]}


def calling(*calls, **others) -> dict:
    return talk(("user", "a"), ("assistant", "", {"tool_calls": list(calls)}), ("tool", "c"), ("assistant", "d")) | others


def deep(depth: int) -> object:
    return [deep(depth - 1)] if depth else 1


ORDERS = [
    (("assistant", "a"), "message 1: assistant after nobody"),
    (("tool", "a"), "message 1: tool after nobody"),
    (("system", "a"), ("assistant", "b"), "message 2: assistant after system"),
    (("system", "a"), ("system", "b"), "message 2: system after system"),
    (("user", "a"), ("user", "b"), "message 2: user after user"),
    (("user", "a"), ("system", "b"), "message 2: system after user"),
    (("user", "a"), ("tool", "b"), "message 2: tool after user"),
    (("user", "a"), ("assistant", "b"), ("assistant", "c"), "message 3: assistant after assistant"),
    (("user", "a"), ("assistant", "b"), ("tool", "c"), "message 3: tool after assistant without a call"),
    (("user", "a"), ("assistant", "", {"tool_calls": [CALL]}), ("tool", "c"), ("user", "d"), "message 4: user after tool"),
    (
        ("user", "a"),
        ("assistant", "", {"tool_calls": [CALL]}),
        ("tool", "c"),
        ("tool", "d"),
        "message 4: tool after tool without a call",
    ),
]


@pytest.mark.parametrize("case", ORDERS, ids=range(len(ORDERS)))
def test_roles_in_an_impossible_order(tmp_path, case):
    *turns, said = case
    problem = check(talk(*turns)["messages"])
    assert problem and (problem.reason, problem.detail) == ("roles in an impossible order", said)
    path = write(tmp_path / "a.jsonl", jsonl(talk(*turns)))
    assert message(path, strict=True) == f"{path}:1: roles in an impossible order ({said}); {ORDER}"


def test_a_chat_may_wait_for_its_first_answer():
    messages = talk(("system", "a"), ("user", "b"))["messages"]
    assert check(messages, answered=False) is None
    problem = check(messages)
    assert problem and problem.reason == "no answer in it"
    problem = check([], answered=False)
    assert problem and problem.reason == "no messages in it"


KDCONV = {"messages": [{"message": "a"}, {"message": "b", "attrs": []}], "name": "film"}
RECORDS = [  # a record, or a line, and what is said of it
    ('{"messages": ', "broken JSON (Expecting value at column 13); fix it, or remove it"),
    ("[" * 100_000, "JSON with too many lists and objects inside one another (more than 128)"),
    ([1], 'no object with a dialogue (but a list); write {"messages": […]}'),
    ({}, f"no layout of a dialogue that Liuli reads (fields: none); it reads {KNOWN}"),
    ({"text": "a"}, "no layout of a dialogue that Liuli reads (fields: text)"),
    ({"prompt": "a", "completion": "b"}, "no layout of a dialogue that Liuli reads (fields: prompt, completion)"),
    ({"question": "a", "answer": "b", "choices": ["c"]}, "no layout of a dialogue that Liuli reads (fields: question, answer"),
    (
        KDCONV,
        "no layout of a dialogue that Liuli reads (messages, name; the first of its messages: fields: message); it reads",
    ),
    ({"messages": ["a"]}, "no layout of a dialogue that Liuli reads (messages; the first of its messages: but a string)"),
    (
        GOOD | {"conversations": [{"from": "human", "value": "a"}]},
        "more than one layout in a record (fields: messages, conversations); keep the fields",
    ),
    (GOOD | {"instruction": "a", "output": "b"}, "more than one layout in a record"),
    ({"messages": []}, '"messages" is no list of messages (but an empty one)'),
    ({"conversations": "a"}, '"conversations" is no list of messages (but a string)'),
    (GOOD | {"label": False}, "a thumb for an answer, not a dialogue (fields: messages, label); only dialogues are read here"),
    ({"instruction": "a", "output": "b", "kto_tag": True}, "a thumb for an answer, not a dialogue"),
    ({"conversations": [], "chosen": {}, "rejected": {}}, "a preference, not a dialogue (fields: conversations, chosen"),
    (GOOD | {"images": ["a.png"]}, "a dialogue about images, sounds or films"),
    (talk(("user", "a")), "no answer in it; a dialogue to learn from has a message of the assistant"),
    (talk(("user", "a"), ("assistant", " \n\u3000")), "an empty answer (message 2); remove the message"),
    (talk(("user", "a"), ("assistant", "", {"tool_calls": []})), "an empty answer (message 2)"),
    (talk(("user", ""), ("assistant", "b")), "an empty message of the user (message 1); remove the message"),
    (talk(("user", "a"), ("developer", "b")), "an unknown role (message 2: developer); the roles are system, user, assistant"),
    (talk(("user", "a"), (None, "b")), "an unknown role (message 2: null)"),
    (talk(("user", "a"), ("b\x1b[1m", "b")), "an unknown role (message 2: b\ufffd[1m)"),
    ({"conversations": [{"from": "bing", "value": "a"}]}, "an unknown role (message 1: bing)"),
    ({"conversations": [{"from": "human"}]}, "a content that is not a string (message 1: but null)"),
    ({"messages": [{"role": "user", "content": "a"}, "b"]}, "a message that is not an object (message 2: but a string); write"),
    ({"conversations": [{"from": "human", "value": "a"}, 1]}, "a message that is not an object (message 2: but a number)"),
    (talk(("user", 1), ("assistant", "b")), "a content that is not a string (message 1: but a number); write it as a string"),
    (
        talk(("user", [{"type": "image_url", "image_url": {}}]), ("assistant", "b")),
        "a content that is not a string (message 1: but a list); write it as a string; only text is read",
    ),
    (talk(("user", "a"), ("assistant", "b", {"weight": 0})), "no answer to learn from in it (each has weight 0); give one"),
    (
        talk(("user", "a"), ("assistant", "b", {"weight": 2})),
        "a weight that is not a number from 0 to 1 (message 2: 2); write 0",
    ),
    (talk(("user", "a"), ("assistant", "b", {"score": 0})), "a field of a message that is not read (message 2: assistant: s"),
    (talk(("user", "a", {"tool_calls": [CALL]}), ("assistant", "b")), "a field of a message that is not read (message 1: user"),
    (talk(("user", "a", {"name": 1}), ("assistant", "b")), "a name that is not a string (message 1); write it as a string"),
    (
        {"conversations": [{"from": "human", "value": "a", "loss": False}]},
        "a field of a message that is not read (message 1: user: loss); remove it from the messages",
    ),
    (talk(("user", "ab\0"), ("assistant", "b")), "a NUL in its text (message 1: character 3); remove it"),
    ('{"question": "a", "answer": "b\\ud800"}', "half a surrogate pair in its text (message 2: \\ud800 at character 2)"),
    (calling({"function": {"name": "f", "arguments": "no"}}), 'a tool call that cannot be read (message 2); write {"type"'),
    (calling({"function": {"name": "f", "arguments": "[]"}}), "a tool call that cannot be read (message 2)"),
    (calling({"function": {"name": "", "arguments": {}}}), "a tool call that cannot be read (message 2)"),
    (calling({"name": "f", "arguments": {}}), "a tool call that cannot be read (message 2)"),
    (calling(1), "a tool call that cannot be read (message 2)"),
    (calling({"function": {"name": "f", "arguments": '{"x": "\\u0000"}'}}), "a NUL in its text (message 2: character 1)"),
    (calling({"function": {"name": "f", "arguments": '{"x": 1e999}'}}), "a number that JSON does not have (message 2: inf)"),
    (
        calling({"function": {"name": "f", "arguments": {"x": deep(DEEPEST)}}}),
        f"lists and objects nested too deeply (message 2: more than {DEEPEST} levels); remove the message",
    ),
    (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "f(\x1b)"}]},
        "a function_call that is not JSON with name and arguments (f(\ufffd)); write",
    ),
    (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": '{"name": "f"}'}]},
        'a function_call that is not JSON with name and arguments ({"name": "f"})',
    ),
    (GOOD | {"tools": "[{"}, '"tools" is not a list of tools (but a string); write a list of function tools'),
    (GOOD | {"tools": {"name": "f"}}, '"tools" is not a list of tools (but an object)'),
    (GOOD | {"tools": ["f"]}, 'a tool that cannot be read; write {"type": "function", "function"'),
    (GOOD | {"tools": [{"name": "f", "parameters": 1}]}, "a tool that cannot be read"),
    (GOOD | {"tools": [{"name": 1}]}, "a tool that cannot be read"),
    (GOOD | {"tools": [{"name": "f", "description": "\0"}]}, "a NUL in its text (tools: character 1)"),
    ({"instruction": "a", "input": "", "output": ["b"]}, "a content that is not a string (message 2: but a list)"),
    ({"instruction": "a", "input": 0, "output": "b"}, "a content that is not a string (message 1: but a number)"),
    ({"instruction": "", "output": "b"}, "an empty message of the user (message 1)"),
    (
        {"instruction": "a", "output": "b", "history": [["c"]]},
        '"history" is no list of pairs; write [["question", "answer"], …]',
    ),
    ({"instruction": "a", "output": "b", "history": "c"}, '"history" is no list of pairs'),
    ({"instruction": "a", "output": "b", "system": 1}, "a content that is not a string (message 1: but a number)"),
]


@pytest.mark.parametrize("case", RECORDS, ids=range(len(RECORDS)))
def test_a_bad_record_is_named_by_its_place_and_skipped(tmp_path, case):
    record, said = case
    line = record if isinstance(record, str) else json.dumps(record)
    path = write(tmp_path / "a.jsonl", jsonl(GOOD) + "\n" + line + "\n" + jsonl(GOOD))
    assert message(path, strict=True).startswith(f"{path}:3: {said}")
    dialogues = Dialogues(path)
    for _ in range(2):
        assert [each.source[-2:] for each in dialogues] == [":1", ":4"]
        assert [each.count for each in dialogues.skipped] == [1]  # of one pass, not of both
    assert dialogues.skipped[0].places[0].first.startswith(f"{path}:3")
    assert dialogues.layouts == {str(path): {"messages": 2}}


LINES = [
    (b"alone", "one turn alone, without a tab; a line holds the turns of a dialogue, split by tabs"),
    (b"a\t", "an empty answer (message 2)"),
    (b"a\tb\t \tc", "an empty message of the user (message 3)"),
    (b"a\t\xd6\xd0", "not UTF-8 but perhaps GB18030 (byte 3 is 0xD6)"),
    (b"a\tb\0", "a NUL in its text (message 2: character 2)"),
]


@pytest.mark.parametrize("case", LINES, ids=range(len(LINES)))
def test_bad_lines_of_turns(tmp_path, case):
    line, said = case
    path = write(tmp_path / "a.txt", b"a\tb\n" + line + b"\n")
    assert message(path, strict=True).startswith(f"{path}:2: {said}")
    assert [each.source for each in Dialogues(path)] == [f"{path}:1"]


def test_bad_lists_of_chatterbot(tmp_path):
    path = write(tmp_path / "a.yml", 'conversations:\n- alone\n- - a\n  - b\n- []\n- - [c]\n- - d\n  - ""\n- - e\n')
    dialogues = Dialogues(path)
    assert [each.source for each in dialogues] == [f"{path}:3"]
    assert [(each.reason, each.count) for each in dialogues.skipped] == [
        ("a conversation that is no list of turns", 3),
        ("an empty answer", 1),
        ("no answer in it", 1),
    ]
    assert message(path, strict=True).startswith(f"{path}:2: a conversation that is no list of turns; write - - question")


FILES = {  # content, what is said of it, and whether it is an error by name
    "empty.jsonl": (b"", "no dialogue in it", False),
    "empty.json": (b"[]", "no dialogue in it", False),
    "empty.txt": (b"\n \n", "no dialogue in it", False),
    "empty.yml": (b"conversations: []", "no dialogue in it", False),
    "object.json": (b'{\n"messages": []}', 'no list of dialogues; write [{"messages": […]}, …]', True),
    "string.json": (b'"a"', "no list of dialogues", True),
    "broken.json": (b'[{"messages":', "broken JSON (Expecting value at column 14)", False),
    "utf16.json": ("[]".encode("utf-16"), "UTF-16, not UTF-8", False),
    "list.yml": (b"- a", 'no list "conversations"; write it as chatterbot does', True),
    "nothing.yml": (b"", 'no list "conversations"', True),
    "word.yaml": (b"conversations: a", 'no list "conversations"', True),
    "twice.yaml": (b"conversations: [[a, b]]\nconversations: [[c, d]]", 'no list "conversations"', True),
    "broken.yml": (
        b"conversations:\n- - a\n - b",
        "broken YAML (expected <block end>, but found '<block sequence start>' at line 3); fix it",
        False,
    ),
    "alias.yml": (b"x: &x [a, b]\nconversations: [*x, *x]", "broken YAML (an alias at line 2); fix it", False),
    "cycle.yml": (b"conversations: &x [*x]", "broken YAML (an alias at line 1)", False),
    "deep.yml": (b"[" * 1000, "broken YAML (too many lists inside one another at line 1)", False),
    "control.yml": (b"conversations: [[a, b\x01]]", "broken YAML (unacceptable character", False),
    "latin1.yml": (b"conversations: [[caf\xe9, b]]", "not UTF-8 (byte 21 is 0xE9)", False),
    "plain.yml.gz": (b"conversations: [[a, b]]", "broken gzip", False),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_used(tmp_path, name):
    content, said, by_name = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert message(tmp_path, strict=True).startswith(f"{tmp_path}/{name}: {said}")
    assert message(tmp_path / name).startswith(f"{tmp_path}/{name}: {said}" if by_name else "no dialogue found in")
    write(tmp_path / "z.jsonl", jsonl(GOOD))
    dialogues = Dialogues(tmp_path)
    assert [each.source for each in dialogues] == [f"{tmp_path}/z.jsonl:1"]
    assert [each.count for each in dialogues.skipped] == [1]


def test_files_of_no_format(tmp_path):
    path = write(tmp_path / "a.csv", b"a,b")
    assert message(path) == f"{path} is no file of dialogues that Liuli reads: it reads {DIALOGUES.known}"
    assert message(tmp_path) == (
        f"no dialogue found in {tmp_path}: 1 × no format of dialogues, by its suffix: {path}; Liuli reads {DIALOGUES.known}"
    )


def test_more_than_is_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.data.dialogues.chatterbot.LARGEST_YAML", 20)
    path = write(tmp_path / "a.yaml", "conversations: [[a, b]]")
    assert "more than the 0 MB that are read of a .yaml; write one object a line, as .jsonl" in message(path, strict=True)
    monkeypatch.setattr("liuli.data.dialogues.tab_separated.DIALOGUE", replace(DIALOGUE, longest=20))
    path = write(tmp_path / "a.txt", "a\t" + "b" * 30)
    assert message(path, strict=True) == f"{path}:1: a line longer than 0 MB; remove it, or parts of it"


def test_a_file_that_changes_is_an_error(tmp_path):
    path = write(tmp_path / "a.txt", "a\tb\n" * 5)
    dialogues = Dialogues(path)
    passing = iter(dialogues)
    next(passing)
    path.write_text("c\td\n")
    for each in (passing, dialogues):
        with pytest.raises(LiuliError, match="has changed while it was read; wait until it is written, and start again"):
            list(each)


def test_other_layouts_among_the_real_files(data):
    for name in ("kdconv-film.json", "kdconv-travel.json"):
        said = message(data / "dialogues" / name)
        assert "150 × no layout of a dialogue that Liuli reads: " in said and f"it reads {KNOWN}" in said
    for name in ("dpo_zh_demo.json", "kto_en_demo.json", "oasst-ranked-zh.json", "helpful-base_test.jsonl.gz"):
        assert message(data / "preferences" / name).startswith("no dialogue found in")
