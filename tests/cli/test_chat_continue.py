"""Conversations at a terminal are kept, and `liuli chat --continue` continues the last one with a model."""

import json
import os
import stat
from pathlib import Path

import pytest
from helpers import talking
from helpers.chat_terminal import ChatTerminal

import liuli as library
from liuli import LiuliError
from liuli.cli.kept_conversations import KeptConversation, conversations_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return talking.save(tmp_path_factory.mktemp("talking") / "model", replies=("好的。",))


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def model(folder):
    return library.load(folder)


def kept_files(state: Path) -> list[Path]:
    return sorted(state.rglob("*.jsonl"))


def test_a_conversation_is_continued(folder, state, tmp_path):
    first = ChatTerminal(state, folder)
    for line in ("one", "two", "three", "four", "/undo"):
        first.type(line)
    first.screen.sendline("/quit")
    farewell = first.farewell()
    (path,) = kept_files(state)
    assert f"kept in {path}; --continue continues it\n" in farewell
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]

    again = ChatTerminal(state, folder, "--continue", "--system", "S")
    shown = "2 earlier messages not shown\n> two\n好的。\n> three\n好的。\ncontinued: 7 messages; "
    assert shown in again.greeting and " of 128 tokens, without the first turn\n" in again.greeting
    again.type("five")
    again.type(f"/load {path}")  # another conversation: the one so far stays in its file
    again.type("six")
    again.screen.sendeof()
    assert again.ends() == 0
    contents = [[each["content"] for each in json.loads(file.read_text())["messages"]] for file in kept_files(state)]
    continued = ["S", "one", "好的。", "two", "好的。", "three", "好的。", "five", "好的。"]
    assert sorted(contents, key=len) == [continued, [*continued, "six", "好的。"]]


def test_a_terminal_where_nothing_was_said_keeps_nothing(folder, state):
    terminal = ChatTerminal(state, folder)
    terminal.type("one")
    terminal.type("/undo")
    terminal.type("/system Be brief.")
    terminal.screen.sendeof()
    assert "kept in" not in terminal.farewell()
    assert kept_files(state) == []


def test_a_folder_that_cannot_be_written_is_said_once(folder, tmp_path):
    (tmp_path / "file").touch()
    terminal = ChatTerminal(tmp_path / "file", folder)
    shown = terminal.type("one")
    assert shown.startswith("好的。\n") and "liuli: this conversation is not kept: " in shown
    assert "cannot be written" not in terminal.type("two")
    terminal.screen.sendeof()
    assert terminal.ends() == 0


def test_a_pipe_continues_and_keeps_nothing(liuli, folder, model, state):
    kept = KeptConversation(model)
    kept.keep([{"role": "user", "content": "one"}])
    before = kept_files(state)[0].read_bytes()
    result = liuli("chat", folder, "--continue", stdin=b"/undo\ntwo\n")
    assert result.code == 0
    assert "removed: “one”; there is no message yet" in result.err
    assert [path.read_bytes() for path in kept_files(state)] == [before]


def test_there_is_none_to_continue(liuli, folder, state):
    result = liuli("chat", folder, "--continue", stdin=b"one\n")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"liuli: there is no conversation with {folder} to continue in {state}/liuli/conversations/")
    assert result.err.endswith(": leave out --continue to begin one\n")


def test_the_last_one_with_this_model(folder, model, state, tmp_path):
    other = library.load(talking.save(tmp_path / "other"))
    for each, content, age in ((model, "old", 2), (model, "new", 1), (other, "other", 0)):
        kept = KeptConversation(each)
        kept.keep([{"role": "user", "content": content}])
        assert kept.path is not None
        kept.path = kept.path.rename(kept.path.with_name(f"{age}.jsonl"))
        os.utime(kept.path, ns=(0, 10 - age))
    last = KeptConversation(model)
    assert last.continue_last() == [{"role": "user", "content": "new"}]
    assert json.loads(last.path.read_text())["model"] == {"path": str(folder), "hash": model.hash}
    last.path.write_text("{", encoding="utf-8")
    os.utime(last.path, ns=(0, 100))
    with pytest.raises(LiuliError, match=f"^{last.path} does not begin with a line"):
        KeptConversation(model).continue_last()


def test_an_adapter_has_conversations_of_its_own(model, state, monkeypatch):
    plain, adapted = KeptConversation(model), KeptConversation(model)
    plain.keep([{"role": "user", "content": "one"}])
    identity = model.identity() | {"adapter": {"path": "a", "hash": "f" * 64}}
    monkeypatch.setattr(model, "identity", lambda: identity)
    with pytest.raises(LiuliError, match="there is no conversation with"):
        adapted.continue_last()


def test_text_that_no_file_can_hold(model, state):
    kept = KeptConversation(model)
    with pytest.raises(LiuliError, match=r"this conversation is not kept: .* cannot be written: "):
        kept.keep([{"role": "user", "content": "\ud800"}])
    assert kept.where() == ""
    assert list(state.rglob("*.part")) == []


def test_where_conversations_are(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # which the standard ignores
    monkeypatch.setenv("HOME", "/home/somebody")
    assert conversations_folder() == Path("/home/somebody/.local/state/liuli/conversations")
