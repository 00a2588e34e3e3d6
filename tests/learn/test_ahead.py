"""Reading ahead changes neither what comes nor in which order, and ends when it is told to."""

import itertools
import threading

import pytest

from liuli.learn.rows.read_ahead import DEPTH, Ahead


def test_the_same_items_in_the_same_order():
    assert list(Ahead(iter(range(1000)))) == list(range(1000))


def test_after_the_end_nothing_comes():
    ahead = Ahead(iter([1]))
    assert list(ahead) == [1]
    assert list(ahead) == []


def test_an_error_comes_in_its_turn():
    def items():
        yield 1
        raise KeyError("broken")

    ahead = Ahead(items())
    assert next(ahead) == 1
    for _ in range(3):
        with pytest.raises(KeyError, match="broken"):
            next(ahead)


def test_it_reads_no_further_than_its_depth():
    read, enough = [], threading.Event()

    def items():
        for i in itertools.count():
            read.append(i)
            if i == DEPTH:
                enough.set()
            yield i

    ahead = Ahead(items())
    assert enough.wait(10)
    assert len(read) <= DEPTH + 1
    ahead.close()


def test_closing_ends_the_thread():
    before = threading.active_count()
    ahead = Ahead(itertools.count())
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        next(ahead)


def test_a_forked_process_is_told(monkeypatch):
    ahead = Ahead(iter(range(3)))
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="forked"):
        next(ahead)


def test_forgetting_it_ends_the_thread():
    before = threading.active_count()
    Ahead(itertools.count())
    assert threading.active_count() == before
