"""A separate process for untrusted input. It is ended if it takes too long or too much memory.

In: a program file, whose function `answer` takes and returns JSON values. Out: its answers. A separate process is the only way
to stop an endless loop in a template or a regular expression. The process runs `child.py`, which limits its imports.

Only this process is protected in this way. If Liuli itself is started with `python -m` or `python -c`, or with an empty or
relative entry in PYTHONPATH, Python can import modules from the current folder before any code of Liuli runs. The `liuli`
script does not have this problem.
"""

import json
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from liuli.display import printable
from liuli.errors import LiuliError

STARTING = 60.0  # seconds until the process must be ready
CHILD = Path(__file__).with_name("child.py")


class StoppedError(Exception):
    """The process ended without an answer. `late`: it was stopped because it took too long; if False, it ended by itself,
    usually because of the memory limit."""

    def __init__(self, late: bool):
        super().__init__("took too long" if late else "took too much memory")
        self.late = late


class SandboxedProcess:
    """A process that is started with the first question, and started again after it was stopped.

    Args:
        program: a file that defines `answer(question)`. It imports only the standard library and `modules`.
        modules: modules that are loaded in this process. The sandboxed process loads them from the same files, in this order.
        memory: the limit of its address space in bytes (on systems that have such a limit, such as Linux).
    """

    def __init__(self, program: Path, modules: Sequence[ModuleType], memory: int):
        files = {module.__name__: str(Path(str(module.__file__)).resolve()) for module in modules}
        self._order = json.dumps({"modules": files, "program": str(program.resolve()), "memory": memory})
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def ask(self, question: Any, seconds: float) -> Any:
        """Returns the program's answer.

        Raises:
            StoppedError: there is no answer after `seconds`, or the process ended.
            LiuliError: the process cannot be started.
        """
        with self._one_at_a_time:
            process = self._process = self._process or self._start()
            answer = _exchange(process, json.dumps(question) + "\n", seconds)
            if answer is not None and answer.endswith("\n"):
                return json.loads(answer)
            self._close()
            raise StoppedError(late=answer is None)

    def close(self) -> None:
        """Ends the process. The next question starts a new one."""
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        if self._process is not None:
            _end(self._process)
        self._process = None

    def _start(self) -> "subprocess.Popen[str]":
        with tempfile.TemporaryFile() as errors:  # not the terminal, because error messages may quote untrusted files
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD), self._order],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8",
                cwd="/",
                start_new_session=True,  # otherwise Ctrl-C in the terminal would end it too
            )  # fmt: skip
            weakref.finalize(self, _end, process)
            if _exchange(process, "", STARTING) == "ready\n":
                return process
            _end(process)
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().split("\n")[-1]
        raise LiuliError(f"the sandboxed process could not start ({printable(said)}): free some memory, and try again")


def _exchange(process: "subprocess.Popen[str]", question: str, seconds: float) -> str | None:
    """Writes `question` and returns a line of the answer with its line end. The line is incomplete if the process ended.
    Returns None after `seconds`."""
    assert process.stdin and process.stdout
    found: list[str] = []

    def exchange(stdin: IO[str], stdout: IO[str]) -> None:
        with suppress(BrokenPipeError):
            stdin.write(question)
            stdin.flush()
        found.append(stdout.readline())

    thread = threading.Thread(target=exchange, args=(process.stdin, process.stdout), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(OSError, ValueError):  # closing fails if the process did not read the whole question
            if stream is not None:
                stream.close()
