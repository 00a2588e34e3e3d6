"""Reading ahead: an iterator that a thread works on, a bounded number of items before they are asked for."""

import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
DEPTH = 64  # items


class Ahead(Generic[Item]):
    """The same items in the same order; what the iterator raises is raised here, in its turn."""

    def __init__(self, items: Iterator[Item]):
        self._ready: queue.Queue[tuple[str, Any]] = queue.Queue(DEPTH)
        stop = threading.Event()
        thread = threading.Thread(target=_work, args=(items, self._ready, stop), daemon=True)
        self._end = weakref.finalize(self, _end, thread, self._ready, stop)
        thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if not self._end.alive:
            raise StopIteration
        what, item = self._ready.get()
        if what == "item":
            return item
        self.close()
        raise item if what == "error" else StopIteration

    def close(self) -> None:
        """Ends the thread; nothing more comes."""
        self._end()


def _work(items: Iterator[Any], ready: "queue.Queue[tuple[str, Any]]", stop: threading.Event) -> None:
    try:
        for item in items:
            ready.put(("item", item))
            if stop.is_set():
                return
        ready.put(("end", None))
    except BaseException as error:  # carried to the thread that asks
        ready.put(("error", error))


def _end(thread: threading.Thread, ready: "queue.Queue[tuple[str, Any]]", stop: threading.Event) -> None:
    stop.set()
    while thread.is_alive():
        try:  # a thread that waits for room gets it
            ready.get_nowait()
        except queue.Empty:
            thread.join(0.01)
