"""The spinner while a command has nothing to show: it appears after a moment, and goes before something else is printed."""

import sys
from threading import Event

import pytest
from helpers.terminal import FakeTerminal

from liuli.cli import waiting
from liuli.cli.output import Screen


def to_terminal(monkeypatch) -> FakeTerminal:
    """What standard error is from now on. Not in a fixture: pytest sets its own before the test itself."""
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    return terminal


@pytest.fixture
def shown(monkeypatch) -> Event:
    """Set when a status appears."""
    event = Event()
    status = Screen.status

    def report(*words, **options):
        event.set()
        return status(*words, **options)

    monkeypatch.setattr(Screen, "status", report)
    return event


def test_it_is_shown_when_it_takes_long(monkeypatch, shown):
    terminal = to_terminal(monkeypatch)
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with waiting.waiting("opening 模型\x1b[2J") as spinner:
        assert shown.wait(60)
        spinner.close()
        seen = terminal.seen()
        assert "opening 模型<U+001B>[2J …" in seen
        assert "\x1b[2K" in seen.rsplit("opening", 1)[1]  # the line is empty again
    assert terminal.seen() == seen


def test_nothing_is_shown_when_it_is_fast(monkeypatch, shown):
    terminal = to_terminal(monkeypatch)
    with waiting.waiting("opening") as spinner:
        spinner.show("reading")
    assert not shown.is_set()
    assert terminal.seen() == ""


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with waiting.waiting("opening"):
        pass
    assert capsys.readouterr() == ("", "")
