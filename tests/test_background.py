"""Ctrl-C while a library works that does not look at it."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from liuli.background import in_background

EXIT = """
import os, signal, threading
from liuli.background import exit_interrupted, in_background

def work():
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()

try:
    in_background(work)
except KeyboardInterrupt:
    print("stopped", end="")
    exit_interrupted()
"""


@pytest.fixture
def heeds_ctrl_c():
    """A shell starts what runs in its background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_does_not_wait_for_the_library(heeds_ctrl_c):
    ended = threading.Event()

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait()

    with pytest.raises(KeyboardInterrupt):
        in_background(work)
    ended.set()


def test_what_it_returns_and_raises():
    assert in_background(lambda: 7) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        in_background(lambda: int("a"))


def test_the_exit_does_not_wait_either(heeds_ctrl_c):
    ended = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "stopped", "")
