"""The pictures of the documentation, and the program that makes them."""

import re
import shlex
from xml.dom import minidom

import pytest
from helpers.documented import ROOT, addressed, options_of

PICTURES = ROOT / "docs" / "pictures"
LIFE = {
    "prompt": "小明今天去游乐园玩",
    "tokens": [("小明", 300), ("今天去", 301)],
    "candidates": [("过山车", 0.6), ("大风车", 0.4)],
    "question": "小明住在哪里？",
    "reply": "小明 <住> 在月港。",
}


@pytest.fixture
def make(monkeypatch):
    monkeypatch.syspath_prepend(str(PICTURES))
    import make

    return make


def test_every_picture_is_there_and_small_and_needs_no_network(make):
    names = {*make.COMMANDS, "life", "life.zh"}
    assert {path.name for path in PICTURES.glob("*.svg")} == {f"{name}.svg" for name in names}
    for path in PICTURES.glob("*.svg"):
        svg = path.read_text(encoding="utf-8")
        minidom.parseString(svg)
        assert len(svg.encode()) < make.LARGEST, path.name
        assert not re.search(r"/(tmp|home|root|work|Users)/", svg), f"{path.name} names a folder of the machine that made it"
        assert set(re.findall(r"https?://[^\"'\s]+", svg)) == {"http://www.w3.org/2000/svg"}, path.name


def test_the_commands_exist(make):
    for typed in make.COMMANDS.values():
        words = shlex.split(typed.rpartition("| ")[2])
        name, command, rest = addressed(words[1:])
        assert words[0] == "liuli" and name
        assert not {word for word in rest if word.startswith("--")} - options_of(command)


def test_a_chinese_character_has_two_cells(make):
    svg = make.terminal_picture("test", "liuli", "ab小明 \x1b[1m60%\x1b[0m")
    minidom.parseString(svg)
    found = re.findall(r'x="([\d.]+)" y="44.4" textLength="([\d.]+)"[^>]*>(.*?)</text>', svg)
    cell = make.CELL
    assert [(float(x), float(length), text.replace("&#160;", " ")) for x, length, text in found] == [
        (0, pytest.approx(2 * cell), "ab"),
        (pytest.approx(2 * cell), pytest.approx(4 * cell), "小明"),
        (pytest.approx(7 * cell), pytest.approx(3 * cell), "60%"),
    ]


def test_a_part_of_an_output(make):
    assert make.part_of("a\nfirst: 1\nb\nthe end\nc", "first", "end") == "…\nfirst: 1\nb\n…"
    with pytest.raises(SystemExit, match="no line with 'first'"):
        make.part_of("a\nb", "first", "end")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_life_shows_what_the_models_said(make, language):
    svg = make.draw_life(LIFE, language)
    minidom.parseString(svg)
    for text in ("过山车 ████ 60%", "小明住在哪里？", "小明 &lt;住&gt; 在月港。", "stroke-dasharray"):
        assert text in svg
