"""load_tools: built-in names, the user's own files, and nothing that is not named."""

import pytest

import liuli
from liuli.act.load import load_tools

GOOD = '''
from __future__ import annotations
from dataclasses import dataclass
import liuli

print("not shown")

@dataclass
class Room:
    number: int

@liuli.tool
def twice(room: Room) -> int:
    """Double the number of a room."""
    return 2 * room.number

def not_a_tool(a):
    return a

class Counter(liuli.Toolbox):
    def __init__(self):
        self.count = 0

    def count_up(self, by: int = 1) -> int:
        """Count up."""
        self.count += by
        return self.count

again = twice
'''

TWICE = "import liuli\n@liuli.tool\ndef calculator(a: int):\n    'Do.'"


def message(*args, **settings) -> str:
    with pytest.raises(liuli.LiuliError) as caught:
        load_tools(*args, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_active_unless_it_is_named():
    assert load_tools().names == []
    assert load_tools().call("calculator", {"expression": "1"}).text == "There is no tool 'calculator'. There are no tools."


def test_built_in_tools():
    tools = load_tools(["calculator", "clock", "calculator"])
    assert tools.names == ["calculator", "add_to_date", "current_time", "days_between", "weekday"]
    assert {tool.source for tool in tools} == {"calculator", "clock"}
    assert len(tools) == 5
    assert "clock" not in tools
    assert [each["function"]["name"] for each in tools.definitions()] == tools.names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("calc", "there is no built-in tool 'calc'; there are calculator, clock, search:FOLDER, tables:PATH"),
        ("", "there is no built-in tool ''"),
        ("clock:here", "there is no built-in tool 'clock:here'"),
        ("search", "the tool search needs a path: write search:PATH"),
        ("tables:", "the tool tables needs a path"),
    ],
)
def test_names_that_are_no_tools(name, words):
    assert words in message([name])


def test_the_tools_of_a_file(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(GOOD, encoding="utf-8")
    tools = load_tools(files=[path])
    assert sorted(tools.names) == ["count_up", "twice"]
    assert tools["twice"].source == "mine.py"
    assert tools.call("twice", {"room": {"number": 4}}).text == "8"
    assert [tools.call("count_up", {"by": by}).text for by in (1, 2)] == ["1", "3"]
    assert load_tools(files=[path]).call("count_up", {}).text == "1"  # each run has its own state
    assert capsys.readouterr().out == ""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mine.py"]  # no __pycache__


def test_an_object_of_a_toolbox_in_a_file_is_used_instead_of_its_class(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import liuli\n"
        "class Box(liuli.Toolbox):\n"
        "    def __init__(self, word: str):\n"
        "        self._word = word\n"
        "    def word(self) -> str:\n"
        "        'Tell the word.'\n"
        "        return self._word\n"
        "box = Box('hello')\n"
    )
    assert load_tools(files=[tmp_path / "mine.py"]).call("word", {}).text == "hello"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "has no tools: write @liuli.tool above a function"),
        ("def f(:", "mine.py, line 1: SyntaxError"),
        ("\n\nimport nowhere_at_all", "line 3: ModuleNotFoundError: No module named 'nowhere_at_all'; correct"),
        ("def f():\n    1/0\nf()", "mine.py, line 2: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "mine.py, line 2: SystemExit: 3"),
        ("import liuli\n@liuli.tool\ndef f(a):\n    'Do.'", "mine.py, line 2: the tool f has no type for a"),
        ("import liuli\nclass A(liuli.Toolbox):\n    def __init__(self, a): ...", "A() fails with TypeError"),
        (TWICE, "two tools are called calculator (of calculator and of mine.py)"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "mine.py").write_text(text)
    assert words in message(["calculator"], [tmp_path / "mine.py"])


def test_files_that_are_not_there(tmp_path):
    assert "there is no file" in message(files=[tmp_path / "nowhere.py"])
    assert "there is no file" in message(files=[tmp_path])
