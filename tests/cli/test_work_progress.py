"""Work that takes time, as a person at a terminal sees it; and what is refused before it is read."""

import io
import json
import logging
import os
import re
from types import SimpleNamespace

import pytest
from helpers.corpora import jsonl, write
from rich.cells import cell_len
from rich.progress import Progress

from liuli.cli import work_progress
from liuli.cli.dialogue_file import first_dialogue
from liuli.cli.output import Screen
from liuli.errors import LiuliError


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", jsonl(*({"text": f"line {i}", "question": "a", "answer": "b"} for i in range(40))))
    write(tmp_path / "b.jsonl", jsonl(*({"question": f"line {i}", "answer": "b"} for i in range(40))))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("data", "look", "a.jsonl"),
        ("data", "convert", "b.jsonl", "--out", "out.jsonl"),
    ],
)
def test_a_bar_on_a_terminal_only(liuli, corpus, monkeypatch, words):
    monkeypatch.setattr(work_progress, "PATIENCE", 0)
    assert liuli(*words).err == ""
    (corpus / "out.jsonl").unlink(missing_ok=True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    result = liuli(*words)
    assert result.code == 0
    assert ("reading a.jsonl" if "look" in words else "converting b.jsonl") in result.err
    assert result.err.endswith("\x1b[2K")  # the bar is wiped away
    assert "reading" not in result.out


def test_a_short_reading_shows_nothing(liuli, corpus, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert liuli("data", "look", "a.jsonl").err == ""


def test_standard_input_is_followed_too(liuli, corpus, monkeypatch):
    monkeypatch.setattr(work_progress, "PATIENCE", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert "reading standard input" in liuli("data", "look", "-", stdin=b"some text, from a pipe").err


def test_a_name_does_not_drive_the_terminal(liuli, corpus, monkeypatch):
    monkeypatch.setattr(work_progress, "PATIENCE", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    name = "[red]x\x1b]0;evil\x07.jsonl"
    (corpus / "a.jsonl").rename(corpus / name)
    result = liuli("data", "look", name)
    assert result.code == 0 and "reading [red]x�]0;evil�.jsonl" in result.err
    assert "\x1b]0" not in result.err + result.out and "\x07" not in result.err + result.out
    (corpus / "b.jsonl").rename(corpus / name)
    shown = liuli("data", "convert", name, "--out", "\x1b]0;evil\x07.jsonl")
    assert "\x1b]0" not in shown.out and "\x07" not in shown.out
    assert "40 dialogues written to " in shown.out


def test_all_files_are_one_piece_of_work(monkeypatch):
    monkeypatch.setattr(work_progress, "PATIENCE", 0)
    monkeypatch.setattr(work_progress, "INTERVAL", 0)
    shown = []
    work = work_progress.WorkProgress("starting")
    monkeypatch.setattr(work, "_set", lambda *each: shown.append(each))
    work.reading("a.txt", 500, 1000)
    work.expect([SimpleNamespace(name="a.txt", stamp=(1000, 0)), SimpleNamespace(name="b.txt", stamp=(3000, 0))], "evaluating")
    work.reading("a.txt", 500, 1000)
    work.reading("b.txt", 2000, 3000)
    work.reading("c.txt", 10, 0)
    assert shown == [
        ("reading a.txt", 500, 1000, "500 B of 1 kB"),
        ("evaluating a.txt", 500, 4000, "500 B of 4 kB"),
        ("evaluating b.txt", 3000, 4000, "3 kB of 4 kB"),
        ("evaluating c.txt", 10, 0, "10 B"),
    ]


def test_the_time_left_and_the_time_since():
    now = [0.0]
    progress = Progress(get_time=lambda: now[0])
    known, unknown = progress.add_task("a", total=100), progress.add_task("b", total=None)
    for done in range(1, 11):
        now[0] += 2.0
        progress.update(known, completed=done)
    column = work_progress.TimeColumn()
    assert [column.render(progress.tasks[task]).plain for task in (known, unknown)] == ["3 min left", "20 s"]


def test_work_of_unknown_length_does_not_look_finished():
    """Without colours, a bar that pulses is a bar that is full."""
    screen = Screen(file=io.StringIO(), width=60, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    progress, column = Progress(console=screen), work_progress.AmountColumn(10)
    known, unknown = progress.add_task("a", total=100, completed=50), progress.add_task("b", total=None)
    shown = {}
    for task in (known, unknown):
        with screen.capture() as captured:
            screen.print(column.render(progress.tasks[task]))
        shown[task] = captured.get().strip()
    assert "━━━━" in shown[known] and "━" not in shown[unknown] and len(shown[unknown]) == 1


@pytest.mark.parametrize("columns", [60, 80])
def test_a_narrow_terminal_keeps_the_counts(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = work_progress._new_progress()
    for what, amount in (("part 3 of 9: scoring texts", "1,034 of 2,328"), ("measuring this machine's speed", "")):
        total = 2328 if amount else None
        progress.add_task(what, total=total, completed=1034, amount=amount)
    with progress.console.capture() as captured:
        progress.console.print(progress.make_tasks_table(progress.tasks[:1]))
        progress.console.print(progress.make_tasks_table(progress.tasks[1:]))
    first, second = re.sub(r"\x1b\[[\d;]*m", "", captured.get()).splitlines()
    assert "part 3 of 9" in first and "1,034 of 2,328" in first and max(map(cell_len, (first, second))) <= columns
    assert "measuring this machine's speed" in second


def test_a_download_shows_its_own_bars(liuli, corpus, monkeypatch):
    """The line gives way to whatever the library logs, and returns with the next report."""
    monkeypatch.setattr(work_progress, "PATIENCE", 0)
    monkeypatch.setattr(work_progress, "INTERVAL", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    shown = []

    def find(*words):
        logging.getLogger("liuli.hub").info("downloading it")
        shown.append(work_progress.WorkProgress.current._progress)
        raise LiuliError("not found")

    monkeypatch.setattr("liuli.data.text.sources.find_files", find)
    assert liuli("data", "look", "a.jsonl", "--text-field", "text").code == 2
    assert shown == [None]


def test_what_never_ends_is_refused_at_once(liuli, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("a.txt")
    os.mkfifo("a.jsonl")
    refused = "is a pipe, a device or a system file: only regular files are read; write its content to a file first"
    for name in ("a.txt", "a.jsonl", "/dev/zero"):
        for words in (
            ("data", "look", name),
            ("data", "convert", name, "--out", "out.jsonl"),
            ("compare", tiny_folder, "--file", name),
        ):
            result = liuli(*words)
            assert (result.code, result.out, result.err) == (2, "", f"liuli: {name} {refused}\n")


def test_a_dialogue_is_loaded_from_a_regular_file_of_a_bounded_line(tmp_path, monkeypatch):
    messages = [{"role": "user", "content": "a"}]
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": messages}) + "\n" + "x" * 100)
    assert first_dialogue(str(path)) == (messages, True)
    (tmp_path / "long.jsonl").write_bytes(b"[" * (17 << 20))
    with pytest.raises(LiuliError, match="the first line is longer than 16 MB; load a shorter dialogue"):
        first_dialogue(str(tmp_path / "long.jsonl"))
    write(tmp_path / "deep.jsonl", "[" * 100_000)
    with pytest.raises(LiuliError, match="does not begin with a line"):
        first_dialogue(str(tmp_path / "deep.jsonl"))
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "system").symlink_to("/proc/self/environ")
    for name in ("fifo", "system"):
        if (tmp_path / name).exists():
            with pytest.raises(LiuliError, match=r"is not a file|a pipe, a device or a system file"):
                first_dialogue(str(tmp_path / name))
