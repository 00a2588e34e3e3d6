"""The spinner while a command has nothing to show: it appears after a moment, and goes before something else is printed."""

from threading import Event

from helpers.terminal import FakeTerminal

from liuli.cli import waiting
from liuli.cli.output import Screen
from liuli.cli.waiting import Waiting


class Watched(Screen):
    """A screen that reports when a status is shown."""

    def __init__(self, terminal: FakeTerminal):
        super().__init__(file=terminal, force_terminal=True, width=60)
        self.shown = Event()

    def status(self, *words, **options):
        found = super().status(*words, **options)
        self.shown.set()
        return found


def test_it_is_shown_when_it_takes_long(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    monkeypatch.setenv("TERM", "xterm")
    terminal = FakeTerminal()
    screen = Watched(terminal)
    with Waiting("opening 模型\x1b[2J", screen) as spinner:
        assert screen.shown.wait(60)
        spinner.stop()
        shown = terminal.seen()
        screen.print("after")
    assert "opening 模型<U+001B>[2J" in shown and " …" in shown
    assert "opening" not in terminal.seen()[len(shown) :]
    assert shown.endswith("\x1b[2K")  # the line is empty again


def test_nothing_is_shown_when_it_is_fast():
    terminal = FakeTerminal()
    screen = Watched(terminal)
    with Waiting("opening", screen):
        pass
    assert not screen.shown.is_set()
    assert terminal.seen() == ""


def test_nothing_is_shown_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "PATIENCE", 0)
    with Waiting("opening"):
        pass
    assert capsys.readouterr() == ("", "")
