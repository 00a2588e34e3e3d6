"""Work of a library that does not look at Ctrl-C for seconds: it runs in a thread, and the main thread can be interrupted."""

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import NoReturn, TypeVar

NAME = "work of a library"  # of its thread

Result = TypeVar("Result")


def in_background(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises. It runs in another thread. Python handles Ctrl-C in the main thread, which waits here, so
    that it ends the wait at once; `work` then still runs."""
    outcome: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # carried to the thread that waits
            outcome.put((None, error))

    threading.Thread(target=run, name=NAME, daemon=True).start()
    result, error = outcome.get()
    if error is not None:
        raise error
    return result  # pyright: ignore[reportReturnType]


def exit_interrupted() -> NoReturn:
    """Exits with 130, the code of Ctrl-C. If work in the background still runs, at once: an ordinary exit would tear its thread
    down in the midst of what the library does."""
    if any(thread.name == NAME for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
    sys.exit(130)
