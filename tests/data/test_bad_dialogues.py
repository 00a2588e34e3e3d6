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
    assert problem and problem.reason == "the dialogue has no answer"
    problem = check([], answered=False)
    assert problem and problem.reason == "the dialogue has no messages"


KDCONV = {"messages": [{"message": "a"}, {"message": "b", "attrs": []}], "name": "film"}
RECORDS = [  # a record, or a line, and what is said of it
    ('{"messages": ', "broken JSON (Expecting value at column 13); fix it, or remove it"),
    ("[" * 100_000, "JSON nested too deeply (more than 128 levels)"),
    ([1], 'the record is not an object (found a list); write {"messages": […]}'),
    ({}, f"unknown dialogue layout (fields: none); the supported layouts are {KNOWN}"),
    ({"text": "a"}, "unknown dialogue layout (fields: text)"),
    ({"prompt": "a", "completion": "b"}, "unknown dialogue layout (fields: prompt, completion)"),
    ({"question": "a", "answer": "b", "choices": ["c"]}, "unknown dialogue layout (fields: question, answer"),
    (
        KDCONV,
        'unknown dialogue layout (fields: messages, name; the first element of "messages" has the fields message); the',
    ),
    ({"messages": ["a"]}, 'unknown dialogue layout (fields: messages; the first element of "messages" is a string)'),
    (
        GOOD | {"conversations": [{"from": "human", "value": "a"}]},
        "more than one layout in a record (fields: messages, conversations); keep the fields",
    ),
    (GOOD | {"instruction": "a", "output": "b"}, "more than one layout in a record"),
    ({"messages": []}, '"messages" is not a list of messages (found an empty list)'),
    ({"conversations": "a"}, '"conversations" is not a list of messages (found a string)'),
    (
        GOOD | {"label": False},
        "a rating of an answer (thumbs up or down), not a dialogue (fields: messages, label); only text dialogues are "
        "supported; remove such records",
    ),
    ({"instruction": "a", "output": "b", "kto_tag": True}, "a rating of an answer (thumbs up or down), not a dialogue"),
    ({"conversations": [], "chosen": {}, "rejected": {}}, "a preference, not a dialogue (fields: conversations, chosen"),
    (GOOD | {"images": ["a.png"]}, "a dialogue with images, audio or video"),
    (talk(("user", "a")), "the dialogue has no answer; add a message with the role assistant, or remove the dialogue"),
    (talk(("user", "a"), ("assistant", " \n\u3000")), "an empty answer (message 2); remove the message"),
    (talk(("user", "a"), ("assistant", "", {"tool_calls": []})), "an empty answer (message 2)"),
    (talk(("user", ""), ("assistant", "b")), "an empty message of the user (message 1); remove the message"),
    (talk(("user", "a"), ("developer", "b")), "an unknown role (message 2: developer); the roles are system, user, assistant"),
    (talk(("user", "a"), (None, "b")), "an unknown role (message 2: null)"),
    (talk(("user", "a"), ("b\x1b[1m", "b")), "an unknown role (message 2: b\ufffd[1m)"),
    ({"conversations": [{"from": "bing", "value": "a"}]}, "an unknown role (message 1: bing)"),
    ({"conversations": [{"from": "human"}]}, "the content is not a string (message 1: found null)"),
    ({"messages": [{"role": "user", "content": "a"}, "b"]}, "a message that is not an object (message 2: found a string);"),
    ({"conversations": [{"from": "human", "value": "a"}, 1]}, "a message that is not an object (message 2: found a number)"),
    (talk(("user", 1), ("assistant", "b")), "the content is not a string (message 1: found a number); write it as a string"),
    (
        talk(("user", [{"type": "image_url", "image_url": {}}]), ("assistant", "b")),
        "the content is not a string (message 1: found a list); write it as a string; only text is supported",
    ),
    (
        talk(("user", "a"), ("assistant", "b", {"weight": 0})),
        "the dialogue has no answer to learn from (all answers have weight 0); give one of them a weight above 0",
    ),
    (
        talk(("user", "a"), ("assistant", "b", {"weight": 2})),
        "a weight that is not a number from 0 to 1 (message 2: 2); write 0",
    ),
    (talk(("user", "a"), ("assistant", "b", {"score": 0})), "unknown field in a message (message 2: assistant: s"),
    (talk(("user", "a", {"tool_calls": [CALL]}), ("assistant", "b")), "unknown field in a message (message 1: user"),
    (talk(("user", "a", {"name": 1}), ("assistant", "b")), '"name" of a message is not a string (message 1); write it as a'),
    (
        {"conversations": [{"from": "human", "value": "a", "loss": False}]},
        "unknown field in a message (message 1: user: loss); remove it",
    ),
    (talk(("user", "ab\0"), ("assistant", "b")), "a NUL character in the text (message 1: character 3); remove it"),
    ('{"question": "a", "answer": "b\\ud800"}', "a lone surrogate in the text (message 2: \\ud800 at character 2)"),
    (calling({"function": {"name": "f", "arguments": "no"}}), 'a tool call that cannot be read (message 2); write {"type"'),
    (calling({"function": {"name": "f", "arguments": "[]"}}), "a tool call that cannot be read (message 2)"),
    (calling({"function": {"name": "", "arguments": {}}}), "a tool call that cannot be read (message 2)"),
    (calling({"name": "f", "arguments": {}}), "a tool call that cannot be read (message 2)"),
    (calling(1), "a tool call that cannot be read (message 2)"),
    (
        calling({"function": {"name": "f", "arguments": '{"x": "\\u0000"}'}}),
        "a NUL character in the text (message 2: character 1)",
    ),
    (calling({"function": {"name": "f", "arguments": '{"x": 1e999}'}}), "a number that JSON cannot represent (message 2: inf)"),
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
    (GOOD | {"tools": "[{"}, '"tools" is not a list of tools (found a string); write a list of function tools'),
    (GOOD | {"tools": {"name": "f"}}, '"tools" is not a list of tools (found an object)'),
    (GOOD | {"tools": ["f"]}, 'a tool that cannot be read; write {"type": "function", "function"'),
    (GOOD | {"tools": [{"name": "f", "parameters": 1}]}, "a tool that cannot be read"),
    (GOOD | {"tools": [{"name": 1}]}, "a tool that cannot be read"),
    (GOOD | {"tools": [{"name": "f", "description": "\0"}]}, "a NUL character in the text (tools: character 1)"),
    ({"instruction": "a", "input": "", "output": ["b"]}, "the content is not a string (message 2: found a list)"),
    ({"instruction": "a", "input": 0, "output": "b"}, "the content is not a string (message 1: found a number)"),
    ({"instruction": "", "output": "b"}, "an empty message of the user (message 1)"),
    (
        {"instruction": "a", "output": "b", "history": [["c"]]},
        '"history" is not a list of pairs; write [["question", "answer"], …]',
    ),
    ({"instruction": "a", "output": "b", "history": "c"}, '"history" is not a list of pairs'),
    ({"instruction": "a", "output": "b", "system": 1}, "the content is not a string (message 1: found a number)"),
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
    (b"alone", "a line with only one turn; separate the turns of a dialogue with tabs"),
    (b"a\t", "an empty answer (message 2)"),
    (b"a\tb\t \tc", "an empty message of the user (message 3)"),
    (b"a\t\xd6\xd0", "not UTF-8 but perhaps GB18030 (byte 3 is 0xD6)"),
    (b"a\tb\0", "a NUL character in the text (message 2: character 2)"),
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
        ("a conversation that is not a list of turns", 3),
        ("an empty answer", 1),
        ("the dialogue has no answer", 1),
    ]
    said = f"{path}:2: a conversation that is not a list of turns; write it as a YAML list"
    assert message(path, strict=True).startswith(said)


FILES = {  # content, what is said of it, and whether it is an error by name
    "empty.jsonl": (b"", "file without any dialogue", False),
    "empty.json": (b"[]", "file without any dialogue", False),
    "empty.txt": (b"\n \n", "file without any dialogue", False),
    "empty.yml": (b"conversations: []", "file without any dialogue", False),
    "string.json": (b'"a"', 'not a list of dialogues; write [{"messages": […]}, …]', True),
    "open.json": (b'{\n"messages": [', "broken JSON (Expecting value at line 2, column 14)", False),
    "broken.json": (b'[{"messages":', "broken JSON (Expecting value at column 14)", False),
    "utf16.json": ("[]".encode("utf-16"), "UTF-16, not UTF-8", False),
    "list.yml": (b"- a", 'the file has no list "conversations"; put the dialogues in one list of that name', True),
    "nothing.yml": (b"", 'the file has no list "conversations"', True),
    "word.yaml": (b"conversations: a", 'the file has no list "conversations"', True),
    "twice.yaml": (
        b"conversations: [[a, b]]\nconversations: [[c, d]]",
        'the file has more than one list "conversations"',
        True,
    ),
    "broken.yml": (
        b"conversations:\n- - a\n - b",
        "broken YAML (expected <block end>, but found '<block sequence start>' at line 3); fix it",
        False,
    ),
    "alias.yml": (b"x: &x [a, b]\nconversations: [*x, *x]", "unsupported YAML (an alias at line 2); remove it", False),
    "cycle.yml": (b"conversations: &x [*x]", "unsupported YAML (an alias at line 1)", False),
    "deep.yml": (b"[" * 1000, "unsupported YAML (nested more than 128 levels deep at line 1)", False),
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
    assert message(path) == f"{path}: Liuli does not read dialogues from files of this type; it reads {DIALOGUES.known}"
    assert message(tmp_path) == (
        f"no dialogue found in {tmp_path}: 1 × unknown file type for dialogues: {path}; Liuli reads {DIALOGUES.known}"
    )


def test_more_than_is_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.data.dialogues.chatterbot.LARGEST_YAML", 20)
    path = write(tmp_path / "a.yaml", "conversations: [[a, b]]")
    assert "larger than 0 MB, the limit for a .yaml file; convert it to .jsonl" in message(path, strict=True)
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
        with pytest.raises(LiuliError, match="changed while it was being read: wait until it is completely written"):
            list(each)


def test_other_layouts_among_the_real_files(data):
    for name in ("kdconv-film.json", "kdconv-travel.json"):
        said = message(data / "dialogues" / name)
        assert "150 × unknown dialogue layout: " in said and f"the supported layouts are {KNOWN}" in said
    for name in ("dpo_zh_demo.json", "kto_en_demo.json", "oasst-ranked-zh.json", "helpful-base_test.jsonl.gz"):
        assert message(data / "preferences" / name).startswith("no dialogue found in")
