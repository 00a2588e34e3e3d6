"""Dialogues of every layout become the same messages, exactly; and which of them are held out."""

import io
import json

import pytest
from helpers.corpora import jsonl, write
from helpers.hub_server import Hub, python
from hypothesis import given, settings
from hypothesis import strategies as st

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.dialogues.messages import check
from liuli.data.split import DialogueSplit, held_out, split_dialogues
from liuli.errors import LiuliError


def user(content: str) -> dict:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict:
    return {"role": "assistant", "content": content}


def system(content: str) -> dict:
    return {"role": "system", "content": content}


def tool(content: str) -> dict:
    return {"role": "tool", "content": content}


def call(name: str, /, **arguments) -> dict:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict) -> dict:
    return {"role": "assistant", "content": "", "tool_calls": list(calls)}


WEATHER = {
    "name": "weather",
    "description": "What the weather is.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
FRAMED = {"type": "function", "function": WEATHER}
ASKED = [user("今天天气?"), calling(call("weather", city="北京")), tool('{"sky": "blue"}'), assistant("晴。")]
SPOKEN = [
    {"from": "human", "value": "今天天气?"},
    {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "北京"}}'},
    {"from": "observation", "value": '{"sky": "blue"}'},
    {"from": "gpt", "value": "晴。"},
]
RECORDS = {  # a record, its messages and tools, and the layout it is in
    "messages": ({"messages": [user("a"), assistant("b")]}, [user("a"), assistant("b")], [], "messages"),
    "as it is written": (
        {"messages": [system(""), user(" a\n"), assistant("\tb \r\n")]},
        [system(""), user(" a\n"), assistant("\tb \r\n")],
        [],
        "messages",
    ),
    "messages called conversations": (
        {"id": 7, "conversations": [user("a"), assistant("b")]},
        [user("a"), assistant("b")],
        [],
        "messages",
    ),
    "the record's system": (
        {"messages": [user("a"), assistant("b")], "system": "s"},
        [system("s"), user("a"), assistant("b")],
        [],
        "messages",
    ),
    "parts of text and nulls": (
        {
            "messages": [
                user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),  # type: ignore
                {"role": "assistant", "content": "c", "tool_calls": None, "refusal": None},
            ],
            "tools": None,
        },
        [user("ab"), assistant("c")],
        [],
        "messages",
    ),
    "OpenAI's calls": (
        {
            "messages": [
                user("a"),
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": [1, null]}'}},
                        {"id": "2", "function": {"name": "g", "arguments": {}}},
                    ],
                },
                tool("r") | {"tool_call_id": "1", "name": "f"},
                tool("") | {"tool_call_id": "2"},
                {"role": "assistant", "content": "b", "tool_calls": []},
            ],
            "tools": [FRAMED],
        },
        [
            user("a"),
            calling(call("f", x=[1, None]) | {"id": "1"}, call("g") | {"id": "2"}),
            tool("r") | {"tool_call_id": "1", "name": "f"},
            tool("") | {"tool_call_id": "2"},
            assistant("b"),
        ],
        [FRAMED],
        "messages",
    ),
    "a call as the last word": (
        {"messages": [user("a"), calling(call("f"))]},
        [user("a"), calling(call("f"))],
        [],
        "messages",
    ),
    "Alpaca": ({"instruction": "a", "input": "", "output": "b"}, [user("a"), assistant("b")], [], "Alpaca"),
    "Alpaca with input": (
        {"instruction": "a", "input": "b", "output": "c", "system": ""},
        [user("a\nb"), assistant("c")],
        [],
        "Alpaca",
    ),
    "Alpaca without": (
        {"instruction": "a", "output": "b", "label": "arithmetic"},
        [user("a"), assistant("b")],
        [],
        "Alpaca",
    ),
    "Alpaca with history": (
        {"instruction": "e", "input": None, "output": "f", "history": [["a", "b"], ["c", "d"]], "system": "s"},
        [system("s"), user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f")],
        [],
        "Alpaca",
    ),
    "ShareGPT": (
        {
            "conversations": [
                {"from": "system", "value": "s"},
                {"from": "user", "value": "a"},
                {"from": "chatgpt", "value": "b"},
                {"from": "human", "value": "c"},
                {"from": "assistant", "value": "d", "markdown": None},
            ]
        },
        [system("s"), user("a"), assistant("b"), user("c"), assistant("d")],
        [],
        "ShareGPT",
    ),
    "Glaive": ({"conversations": SPOKEN, "tools": json.dumps([WEATHER])}, ASKED, [FRAMED], "ShareGPT"),
    "Glaive with several calls": (
        {
            "conversations": [
                SPOKEN[0],
                {
                    "from": "function_call",
                    "value": '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": "{\\"x\\": 1}"}]',
                },
                {"from": "observation", "value": "1"},
                {"from": "tool", "value": "2"},
                SPOKEN[3],
            ],
            "system": "s",
            "tools": "[]",
        },
        [system("s"), ASKED[0], calling(call("f"), call("g", x=1)), tool("1"), tool("2"), ASKED[3]],
        [],
        "ShareGPT",
    ),
    "question/answer": ({"question": "a", "answer": "b"}, [user("a"), assistant("b")], [], "question/answer"),
}


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.zst"])
def test_a_record_becomes_messages(tmp_path, name, suffix):
    record, messages, tools, layout = RECORDS[name]
    content = jsonl(record) if "l" in suffix else json.dumps([record])
    path = write(tmp_path / f"a{suffix}", content)
    dialogues = Dialogues(path)
    assert list(dialogues) == [Dialogue(tuple(messages), f"{path}:1", tuple(tools))]
    assert dialogues.layouts == {str(path): {layout: 1}}
    assert dialogues.skipped == [] and dialogues.unanswered == 0


@pytest.mark.parametrize("name", RECORDS)
def test_what_was_converted_is_read_as_it_is(tmp_path, name):
    first = list(Dialogues(write(tmp_path / "a.jsonl", jsonl(RECORDS[name][0]))))
    again = Dialogues(write(tmp_path / "b.jsonl", jsonl(*(each.to_json() for each in first))))
    assert [(each.messages, each.tools) for each in again] == [(each.messages, each.tools) for each in first]
    assert list(again.layouts.values()) == [{"messages": 1}]


LINES = "你 好\t嗨\n\n  a \tb\tc\r\n\ufeffx\ty\n"


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.txt.gz"])
def test_tab_separated_turns(tmp_path, name):
    path = write(tmp_path / name, "\ufeff" + LINES)
    dialogues = Dialogues(path)
    assert list(dialogues) == [
        Dialogue((user("你 好"), assistant("嗨")), f"{path}:1"),
        Dialogue((user("  a "), assistant("b"), user("c")), f"{path}:3"),
        Dialogue((user("\ufeffx"), assistant("y")), f"{path}:4"),
    ]
    assert dialogues.layouts == {str(path): {"tab-separated turns": 3}}
    assert dialogues.unanswered == 1


YAML = """categories:
- 闲聊
conversations:
- - 你好
  - 嗨
- - Are you a robot?
  - Yes
  - "When were\\tyou made?"
- - When?
  - 1984-01-01
- [a, !!python/object/apply:os.system b]
"""


@pytest.mark.parametrize("name", ["a.yml", "a.yaml", "a.yml.gz"])
def test_chatterbot_lists_are_strings_as_they_are_written(tmp_path, name):
    path = write(tmp_path / name, "\ufeff" + YAML)
    dialogues = Dialogues(path)
    assert list(dialogues) == [
        Dialogue((user("你好"), assistant("嗨")), f"{path}:4"),
        Dialogue((user("Are you a robot?"), assistant("Yes"), user("When were\tyou made?")), f"{path}:6"),
        Dialogue((user("When?"), assistant("1984-01-01")), f"{path}:9"),
        Dialogue((user("a"), assistant("b")), f"{path}:11"),
    ]
    assert dialogues.layouts == {str(path): {"chatterbot": 4}}
    assert dialogues.unanswered == 1


def test_mere_questions_where_they_are_asked_for(tmp_path):
    records = [{"messages": [user("a")]}, {"messages": [user("a"), assistant("b"), user("c")]}]
    for path in (write(tmp_path / "a.jsonl", jsonl(*records)), write(tmp_path / "b.json", json.dumps(records))):
        assert [len(each.messages) for each in Dialogues(path, answered=False)] == [1, 3]
        assert [len(each.messages) for each in Dialogues(path)] == [3]


def test_json_with_an_object_a_line_is_read_too(tmp_path):
    records = [{"instruction": f"a{i}", "output": "b"} for i in range(3)]
    path = write(tmp_path / "a.json", "\ufeff" + jsonl(*records))
    assert [each.source for each in Dialogues(path)] == [f"{path}:{i}" for i in (1, 2, 3)]
    one = write(tmp_path / "b.json", json.dumps(records[0]))
    assert [each.messages for each in Dialogues(one)] == [(user("a0"), assistant("b"))]


def test_a_single_object_is_one_dialogue(tmp_path):
    path = write(tmp_path / "a.json", json.dumps({"messages": [user("a"), assistant("b")]}, indent=1))
    assert [each.messages for each in Dialogues(path)] == [(user("a"), assistant("b"))]
    write(path, '{\n"messages": []}')
    with pytest.raises(LiuliError, match=r'"messages" is not a list of messages: .*a\.json:1 \(found an empty list\)'):
        list(Dialogues(path))


def test_a_folder_is_read_in_order_at_every_pass(tmp_path):
    write(tmp_path / "d" / "b.txt", "a\tb\nc\td\n")
    write(tmp_path / "d" / "a.yml", YAML)
    write(tmp_path / "d" / "c" / "c.jsonl", jsonl(*(record for record, *_ in RECORDS.values())))
    write(tmp_path / "d" / "README.md", "about")
    dialogues = Dialogues([str(tmp_path / "d"), str(tmp_path / "d" / "b.txt")])
    first = list(dialogues)
    assert [each.source.removeprefix(f"{tmp_path}/d/") for each in first[:7]] == [
        "a.yml:4", "a.yml:6", "a.yml:9", "a.yml:11", "b.txt:1", "b.txt:2", "c/c.jsonl:1",
    ]  # fmt: skip
    assert len(first) == 6 + len(RECORDS) + 2
    said = dialogues.layouts, dialogues.skipped, dialogues.unanswered
    assert said[0][f"{tmp_path}/d/c/c.jsonl"] == {"messages": 7, "Alpaca": 4, "ShareGPT": 3, "question/answer": 1}
    assert [str(each).split(":")[0] for each in said[1]] == ["1 × unknown file type for dialogues"]
    one, other = iter(dialogues), iter(dialogues)
    assert [(next(one), next(other)) for _ in first] == [(each, each) for each in first]
    assert list(dialogues) == first
    assert (dialogues.layouts, dialogues.skipped, dialogues.unanswered) == said


def test_standard_input_is_an_object_a_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(jsonl({"question": "a", "answer": "b"}).encode())))
    assert list(Dialogues("-")) == [Dialogue((user("a"), assistant("b")), "standard input:1")]


HUB = """
from liuli.data.dialogues.dialogues import Dialogues
for dialogue in Dialogues("hub:somebody/talks"):
    print(dialogue.source, len(dialogue.messages))
"""


def test_a_dataset_of_the_hub(tmp_path):
    folder = tmp_path / "published"
    write(folder / "README.md", "a card")
    write(folder / "data" / "talk.yml.gz", YAML.replace("[a, ", "[a, b, "))
    write(folder / "train.jsonl", jsonl(RECORDS["Glaive"][0]))
    hub = Hub(folder, "datasets", "somebody/talks")
    try:
        found = python(HUB, tmp_path, hub.endpoint)
    finally:
        hub.close()
    assert found.stdout.splitlines() == [
        "hub:somebody/talks/data/talk.yml.gz:4 2",
        "hub:somebody/talks/data/talk.yml.gz:6 3",
        "hub:somebody/talks/data/talk.yml.gz:9 2",
        "hub:somebody/talks/data/talk.yml.gz:11 3",
        "hub:somebody/talks/train.jsonl:1 4",
    ], found.stderr


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)
CALL = st.builds(lambda name, given: call(name, **given), TEXT, st.dictionaries(TEXT, JSON, max_size=2))


@st.composite
def exchanges(draw) -> list[dict]:
    """A question, perhaps calls with as many results, and an answer."""
    calls = draw(st.lists(CALL, max_size=2))
    middle = [calling(*calls), *(tool(draw(st.just("") | TEXT)) for _ in calls)] if calls else []
    return [user(draw(TEXT)), *middle, assistant(draw(TEXT))]


@settings(max_examples=60, deadline=None)
@given(st.lists(exchanges(), min_size=1, max_size=3), st.none() | TEXT, st.booleans())
def test_any_dialogue_is_written_and_read_again(tmp_path_factory, parts, first, ended):
    messages = [system(first)] * (first is not None) + [message for part in parts for message in part]
    messages = messages if ended else [*messages, user("?")]
    assert check(messages) is None
    dialogue = Dialogue(tuple(messages), "", (FRAMED,) * ended)
    path = write(tmp_path_factory.mktemp("any") / "a.jsonl", jsonl(dialogue.to_json()))
    (found,) = Dialogues(path, strict=True)
    assert (found.messages, found.tools) == (dialogue.messages, dialogue.tools)
    assert found.answered == ended


def pairs(path, count: int, start: int = 0):
    return write(path, "".join(f"question {i}\tanswer {i}\n" for i in range(start, start + count)))


def sides(found: DialogueSplit) -> dict[str, bool]:
    """Each dialogue's side, by its first prompt."""
    return {each.first_prompt: False for each in found.training()} | {each.first_prompt: True for each in found.validation()}


def test_about_one_dialogue_in_twenty_by_its_first_prompt(tmp_path):
    before = split_dialogues(Dialogues(pairs(tmp_path / "a.txt", 1000)))
    assert before.how == "about one dialogue in 20, chosen by a hash of its first prompt"
    held = sides(before)
    assert held == {f"question {i}": held_out(f"question {i}") for i in range(1000)}
    assert 30 <= sum(held.values()) <= 70
    alpaca = [{"instruction": f"question {i}", "output": "another", "system": "s"} for i in range(900, -300, -1)]
    after = sides(split_dialogues(Dialogues(write(tmp_path / "b.jsonl", jsonl(*alpaca)))))
    assert all(after[prompt] == side for prompt, side in held.items() if prompt in after)


def test_the_last_dialogues(tmp_path):
    found = split_dialogues(Dialogues(pairs(tmp_path / "a.txt", 19)), "tail:0.1")
    assert [each.first_prompt for each in found.validation()] == ["question 18"]
    assert [each.first_prompt for each in found.training()] == [f"question {i}" for i in range(18)]
    assert found.how == "the last 10% of the dialogues"
    assert len(list(split_dialogues(Dialogues(tmp_path / "a.txt"), "tail:0.5").validation())) == 9


def test_too_few_to_hold_out_by_content(tmp_path):
    found = split_dialogues(Dialogues(pairs(tmp_path / "a.txt", 2)))
    assert found.how == "the last 10% of the dialogues, as there are too few to choose one in 20 by a hash"
    assert list(sides(found).values()) == [False, True]
    one = Dialogues(pairs(tmp_path / "b.txt", 1))
    for how in ("content", "tail:0.5"):
        with pytest.raises(LiuliError, match="has only one dialogue, so none can be held out: add dialogues, or give"):
            split_dialogues(one, how)


def test_a_file_is_all_validation(tmp_path):
    path, other = pairs(tmp_path / "a.txt", 20), pairs(tmp_path / "b.txt", 5, start=18)
    found = split_dialogues(Dialogues(path), str(other))
    assert (found.how, found.shared) == (f"all of {other}", 2)
    assert [each.source for each in found.validation()] == [f"{other}:{i}" for i in range(1, 6)]
    assert list(found.training()) == list(Dialogues(path))
    said = r"contains the first prompt of 2 validation dialogues, the first at .*b.txt:1: remove such dialogues"
    with pytest.raises(LiuliError, match=said):
        split_dialogues(Dialogues(path, strict=True), str(other))
    with pytest.raises(LiuliError, match=r"a.txt is in the training data and in the validation data: remove it from"):
        split_dialogues(Dialogues(path), str(path))


REAL = {  # file or folder: dialogues by layout, those without an answer at the end, those skipped
    "belle-dev1k.json": ({"Alpaca": 1000}, 0, 0),
    "oasst-zh.json": ({"Alpaca": 689}, 0, 0),
    "instructions-en.json": ({"Alpaca": 1100}, 0, 0),
    "gsm8k-train.jsonl": ({"question/answer": 7473}, 0, 0),
    "cdial-valid.txt": ({"tab-separated turns": 2000}, 0, 0),
    "glaive_toolcall_en_demo.json": ({"ShareGPT": 300}, 0, 0),
    "glaive_toolcall_zh_demo.json": ({"ShareGPT": 298}, 0, 2),
    "chatterbot-zh": ({"chatterbot": 467}, 7, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_real_dialogues(data, name):
    layouts, unanswered, skipped = REAL[name]
    dialogues = Dialogues(data / "dialogues" / name)
    found = list(dialogues)
    counts: dict[str, int] = {}
    for each in dialogues.layouts.values():
        counts |= {layout: counts.get(layout, 0) + count for layout, count in each.items()}
    assert (counts, dialogues.unanswered, sum(each.count for each in dialogues.skipped)) == (layouts, unanswered, skipped)
    assert all(check(each.messages) is None for each in found)
    assert 0.02 < sum(held_out(each.first_prompt) for each in found) / len(found) < 0.08
