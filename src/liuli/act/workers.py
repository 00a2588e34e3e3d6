"""Runs a tool for a limited time: a function in a thread, a coroutine in an event loop of its own.

Python cannot end a thread from outside. When the time is over, an exception is raised in the thread at its next step in Python,
which ends an endless loop; a thread that waits for the operating system goes on waiting, but nobody waits for it: it is a
daemon thread, so the process can exit.
"""

import asyncio
import ctypes
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import wait
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any

GRACE = 1.0  # seconds that an event loop has to answer after a coroutine was cancelled


class OverTime(Exception):
    """The work was not done when its time was over."""


class StopTool(SystemExit):
    """Is raised in a thread whose time is over. Python's threads end silently by it."""


def in_thread(work: Callable[[], Any], seconds: float) -> Any:
    """What `work` returns or raises, if it does so in time.

    Raises:
        OverTime: it does not.
    """
    outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put((work(), None))
        except BaseException as error:  # carried to the thread that waits
            outcome.put((None, error))

    thread = threading.Thread(target=copy_context().run, args=(run,), name="tool", daemon=True)
    thread.start()
    try:
        result, error = outcome.get(timeout=seconds)
    except Empty:
        _stop(thread)
        raise OverTime from None
    except BaseException:  # Ctrl-C
        _stop(thread)
        raise
    if error is not None:
        raise error
    return result


def _stop(thread: threading.Thread) -> None:
    """Raises StopTool in a thread at its next step in Python."""
    if thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(StopTool))


class LoopThread:
    """An event loop in a thread, started by the first coroutine. If a coroutine blocks it, the next one gets a new loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, work: Callable[[], Awaitable[Any]], seconds: float) -> Any:
        """What the coroutine returns or raises, if it does so in time; otherwise it is cancelled.

        Raises:
            OverTime: it does not.
        """
        loop = self._started()

        async def awaited() -> Any:
            return await work()

        future = asyncio.run_coroutine_threadsafe(awaited(), loop)
        try:
            done, _ = wait([future], seconds)
        except BaseException:  # Ctrl-C
            future.cancel()
            raise
        if done:
            return future.result()
        future.cancel()
        answer = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop)
        if not wait([answer], GRACE).done:
            self._abandon()
        raise OverTime

    def close(self) -> None:
        """Cancels what runs, and ends the thread. A loop that is blocked is abandoned."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        ended = asyncio.run_coroutine_threadsafe(_cancel_others(), loop)
        wait([ended], GRACE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GRACE)
        if not thread.is_alive():
            loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="tools", daemon=True)
                self._thread.start()
            return self._loop

    def _abandon(self) -> None:
        with self._lock:
            if self._thread is not None:
                _stop(self._thread)
            self._loop = self._thread = None


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
