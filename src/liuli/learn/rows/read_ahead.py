"""Reading ahead: a thread takes items from an iterator, a bounded number of them before they are needed."""

import os
import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
DEPTH = 64  # items


class Ahead(Generic[Item]):
    """The same items in the same order. What the iterator raises is raised here at the same item, and at every later call.

    Raises:
        RuntimeError: it is used after `close`, or in a process that was forked since and has no such thread.
    """

    def __init__(self, items: Iterator[Item]):
        self._ready: queue.Queue[tuple[str, Any]] = queue.Queue(DEPTH)
        self._outcome: BaseException | None = None
        self._process = os.getpid()
        stop = threading.Event()
        thread = threading.Thread(target=_work, args=(items, self._ready, stop), daemon=True)
        self._stop = weakref.finalize(self, _stop, thread, self._ready, stop)
        self._stop.atexit = False  # a thread in the middle of a long item must not hold the interpreter back
        thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if os.getpid() != self._process:
            raise RuntimeError("reading ahead does not continue in a forked process")
        if self._outcome is not None:
            raise self._outcome
        if not self._stop.alive:
            raise RuntimeError("reading ahead was closed")
        what, item = self._ready.get()
        if what == "item":
            return item
        self._outcome = outcome = item if what == "error" else StopIteration()
        self.close()
        raise outcome

    def close(self) -> None:
        """Ends the thread when its current item is done."""
        self._stop()


def _work(items: Iterator[Any], ready: "queue.Queue[tuple[str, Any]]", stop: threading.Event) -> None:
    try:
        for item in items:
            ready.put(("item", item))
            if stop.is_set():
                return
        ready.put(("end", None))
    except BaseException as error:  # carried to the thread that asks
        ready.put(("error", error))


def _stop(thread: threading.Thread, ready: "queue.Queue[tuple[str, Any]]", stop: threading.Event) -> None:
    stop.set()
    while thread.is_alive() and thread is not threading.current_thread():
        try:  # a thread that waits for room gets it
            ready.get_nowait()
        except queue.Empty:
            thread.join(0.01)
