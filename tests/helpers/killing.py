"""Trainings in processes of their own that die at a chosen moment: by SIGKILL, between two calls of the file system; or that
find the disk full from then on.

One process imports PyTorch, once, and forks the others: `Killer` in a test talks to it, as JSON lines. What a training does to
the file system is counted by Python's audit hook, and by wrappers where there is no audit event (fsync) or where a call writes
a whole file: that is cut in half, so that a death leaves half a file.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALLS = ("open", "os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "shutil.rmtree", "shutil.copyfile")
WRITES = ("os.rename", "os.mkdir", "os.symlink")


@dataclass(frozen=True)
class End:
    """How a process ended: whether it was killed; the error it raised; what it was about to do, of all it did to its run."""

    killed: bool
    error: str
    calls: int
    events: int
    last: str


class Killer:
    """The process that forks trainings. Used as a context."""

    def __enter__(self) -> "Killer":
        words = [sys.executable, __file__]
        self._server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def run(
        self,
        job: Any,
        out: Path,
        resume: bool = False,
        call: int | None = None,
        event: int | None = None,
        in_save: int | None = None,
        stop: int | None = None,
        full: bool = False,
        largest: int | None = None,
    ) -> End:
        """Trains, until it is killed.

        Args:
            call: dies before that call of the file system, from 1. event: dies when that event comes, from 1.
            in_save: calls count only within the save of that step. stop: the step after which it is stopped, and saves.
            full: from `call` on, nothing can be written, instead of dying. largest: bytes of a file, by the system's own limit.
        """
        assert self._server.stdin is not None and self._server.stdout is not None
        order = {"job": job.to_json(), "out": str(out), "resume": resume, "call": call, "event": event}
        self._server.stdin.write(
            json.dumps(order | {"in_save": in_save, "stop": stop, "full": full, "largest": largest}) + "\n"
        )
        self._server.stdin.flush()
        return End(**json.loads(self._server.stdout.readline()))


class Moment:
    """Counts calls and events of the training in `out`; kills this process at the chosen one."""

    def __init__(self, order: dict[str, Any], report: int):
        self._out, self._order, self._report = order["out"], order, report
        self._armed, self._calls, self._events, self.step = order["in_save"] is None, 0, 0, 0

    def watch(self) -> None:
        import liuli.learn.run.state
        import liuli.model.formats.hugging_face

        sys.addaudithook(self._audit)
        os.fsync = self._sync
        Path.write_text = lambda path, text, **_: self._write(path, text.encode())
        for module in (liuli.learn.run.state, liuli.model.formats.hugging_face):
            module.save_file = self._saving(module.save_file)

    def event(self, event: Any) -> None:
        name, self.step = type(event).__name__, getattr(event, "step", 0)
        self._events += 1
        if self.step and self.step == self._order["in_save"]:
            self._armed = name == "Sampled"
        if self._events == self._order["event"]:
            self._die(name)

    def tell(self, killed: bool, last: str, error: str = "") -> None:
        os.write(self._report, json.dumps([killed, error, self._calls, self._events, last]).encode())

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in CALLS and self._armed:
            paths = [os.fspath(each) for each in args[:2] if isinstance(each, str | Path)]
            inside = [path for path in paths if path.startswith(self._out) and "/tensorboard" not in path]
            if inside or event == "os.rmdir":
                writes = bool(args[2] & (os.O_WRONLY | os.O_RDWR)) if event == "open" else event in WRITES
                self._count(f"{event} {' '.join(path.removeprefix(self._out) for path in inside)}", writes)

    def _sync(self, number: int) -> None:  # a process that dies leaves to the system what it wrote: no need to wait for disks
        if self._armed:
            self._count(f"fsync {os.readlink(f'/proc/self/fd/{number}').removeprefix(self._out)}")

    def _write(self, path: Path, content: bytes) -> int:
        with path.open("wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            if self._armed:
                self._count(f"write {str(path).removeprefix(self._out)}")
            file.write(content[len(content) // 2 :])
        return len(content)

    def _saving(self, save: Any) -> Any:
        from safetensors import SafetensorError

        def save_in_halves(tensors: Any, path: Path, **rest: Any) -> None:
            save(tensors, path, **rest)
            try:
                self._write(path, path.read_bytes())
            except OSError as error:  # as the library tells of it
                raise SafetensorError(
                    f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                ) from None

        return save_in_halves

    def _count(self, what: str, writes: bool = True) -> None:
        self._calls += 1
        if self._order["full"] and writes and self._calls >= self._order["call"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._calls == self._order["call"] and not self._order["full"]:
            self._die(what)

    def _die(self, what: str) -> None:
        self.tell(True, what)
        os.kill(os.getpid(), signal.SIGKILL)


def train(order: dict[str, Any], report: int) -> None:
    from liuli.learn.prepare.job import Job
    from liuli.learn.run_stage import pretrain

    moment, job, out = Moment(order, report), Job.from_json(order["job"]), Path(order["out"])
    moment.watch()
    if order["largest"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest"], order["largest"]))
    try:
        for event in pretrain(job, out, order["resume"], stop=lambda: moment.step == order["stop"]):
            moment.event(event)
        moment.tell(False, "the end")
    except BaseException as error:
        moment.tell(False, "an error", repr(error))


def serve() -> None:
    import torch
    import torch._dynamo  # the optimiser's first step imports it: here, so that no child has to
    import torch.utils.tensorboard

    import liuli.learn.run_stage  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            train(json.loads(line), write)
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        killed, error, calls, events, last = json.loads(told)
        assert killed == (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)
        print(json.dumps({"killed": killed, "error": error, "calls": calls, "events": events, "last": last}), flush=True)


if __name__ == "__main__":
    serve()
