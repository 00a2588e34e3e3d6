"""A run is a folder: its checkpoints, its metrics, and the lock that lets only one process write there.

    RUN/run.json                        its settings: the stage, the job, the command
    RUN/checkpoints/<step>/{model,state}
    RUN/latest, RUN/best                → checkpoints/<step>
    RUN/model, RUN/state                → latest/model, latest/state
    RUN/metrics.jsonl                   one line per step, one line per validation
    RUN/trace.json, RUN/tensorboard/    predictions during training; the metrics for TensorBoard
    RUN/tokenizer/                      the tokenizer of the run
    RUN/prepared.json                   until the run starts: what its tokenizer was trained from
    RUN/lock                            held by the process that trains

A checkpoint is written to a temporary folder next to its place, flushed to the disk, and renamed once: a folder with a number
is complete. Metrics logged before a checkpoint are on the disk before it. Links are relative, so that a run can be moved.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from liuli.errors import LiuliError
from liuli.files import link, read_json, sync, sync_tree, write_json, write_text
from liuli.output_paths import check_given, check_new_folder, missing_folders, part_of, remove_empty

TOKENIZER, PREPARED = "tokenizer", "prepared.json"
CHECKPOINTS, METRICS, SETTINGS, TRACE = "checkpoints", "metrics.jsonl", "run.json", "trace.json"
LOCKED = 3  # attempts before a lock counts as held by another process


class Run:
    """The run in `folder`, which is created if it does not exist. Until `close`, or until the process ends, no other process
    can write there.

    Raises:
        LiuliError: another process writes there; the folder cannot be created, or contains something other than a run.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        _check_own(folder)
        self._made = missing_folders(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        self._metrics: BinaryIO | None = None

    @property
    def settings(self) -> dict[str, Any] | None:
        """What `write_settings` wrote; None if the run has not started."""
        return read_settings(self.folder)

    def clear(self) -> None:
        """Removes what is left of an attempt without a checkpoint, except its tokenizer."""
        self.close_metrics()
        for name in (METRICS, TRACE):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("tensorboard", "rehearsal", CHECKPOINTS):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def prepared_tokenizer(self, origin: dict[str, Any] | None) -> Path | None:
        """The folder of the tokenizer that an earlier attempt trained from the same `origin`; None if there is none. Any other
        tokenizer is removed."""
        folder, record = self.folder / TOKENIZER, self.folder / PREPARED
        if origin is not None and folder.is_dir() and read_json(record) == origin:
            return folder
        record.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def keep_tokenizer(self, origin: dict[str, Any]) -> None:
        """Records what the tokenizer was trained from, for another attempt."""
        write_json(self.folder / PREPARED, origin)

    def started(self) -> None:
        """The run starts: from now on, its tokenizer belongs to its checkpoints."""
        (self.folder / PREPARED).unlink(missing_ok=True)

    def withdraw(self) -> None:
        """Removes the folder of a run that could not start, if this process created it, and the new folders above it."""
        self.close_metrics()
        if self._made and not self.checkpoints():
            shutil.rmtree(self.folder, ignore_errors=True)
            remove_empty(self._made)

    def set_aside(self, name: str) -> Path | None:
        """Renames a broken file. Returns the new path, or None if there is no such file."""
        place, aside = self.folder / name, self.folder / f"broken-{name}"
        if not place.exists():
            return None
        os.replace(place, aside)
        return aside

    def write_settings(self, settings: dict[str, Any]) -> None:
        write_text(self.folder / SETTINGS, json.dumps(settings, ensure_ascii=False, indent=1) + "\n")

    def checkpoints(self) -> list[int]:
        """The steps of all checkpoints, in order. Each checkpoint is complete."""
        return checkpoints(self.folder)

    def checkpoint(self, step: int) -> Path:
        return self.folder / CHECKPOINTS / str(step)

    def log(self, row: dict[str, Any]) -> None:
        """Adds a line to the metrics."""
        if self._metrics is None:
            self._metrics = (self.folder / METRICS).open("ab", buffering=0)
        line = json.dumps(row).encode() + b"\n"
        while line:  # on a disk that is nearly full a part of it is written
            line = line[self._metrics.write(line) :]

    def save(self, step: int, write: Callable[[Path], None], best: int | None, keep: int) -> None:
        """Writes checkpoint `step` with the function `write` and makes it the latest. Then removes all others except checkpoint
        `best` and the `keep` before it. If anything fails, the earlier checkpoints are unchanged.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        if self._metrics is not None:
            os.fsync(self._metrics.fileno())
        place = self.checkpoint(step)
        part = place.with_name(f".{step}.part")
        try:
            if not place.exists():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir(parents=True)
                write(part)
                sync_tree(part)
                os.rename(part, place)
                sync(place.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        self.settle(best, keep)

    def settle(self, best: int | None, keep: int) -> None:
        """Links to the newest and the best checkpoint. Removes those that are not kept, and what a killed process left."""
        steps = self.checkpoints()
        link(self.folder / "latest", f"{CHECKPOINTS}/{steps[-1]}")
        for name in ("model", "state"):
            link(self.folder / name, f"latest/{name}")
        if best in steps:
            link(self.folder / "best", f"{CHECKPOINTS}/{best}")
        elif not (self.folder / "best").exists():
            (self.folder / "best").unlink(missing_ok=True)
        for step in steps[: -1 - keep]:
            if step != best:  # renamed first, so that a number always stands for a whole checkpoint
                os.rename(self.checkpoint(step), self.checkpoint(step).with_name(f".{step}.part"))
        for left in (self.folder / CHECKPOINTS).glob(".*.part"):
            shutil.rmtree(left, ignore_errors=True)

    def drop_after(self, step: int) -> None:
        """Removes the checkpoints after `step`, which becomes the latest."""
        for later in [found for found in self.checkpoints() if found > step]:
            os.rename(self.checkpoint(later), self.checkpoint(later).with_name(f".{later}.part"))
        self.settle(step, keep=1)

    def rewind(self, step: int) -> None:
        """Removes what was logged after `step`, and an incomplete last line."""
        rows = [row for row in read_metrics(self.folder) if row["step"] <= step]
        self.close_metrics()
        write_text(self.folder / METRICS, "".join(json.dumps(row) + "\n" for row in rows))

    def close_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def close(self) -> None:
        """Releases the lock."""
        self.close_metrics()
        os.close(self._lock)


def check_run_folder(name: str | Path, resume: bool) -> None:
    """Checks that a run can be started in a folder or, with `resume`, that there is one. Changes nothing.

    Raises:
        LiuliError: the folder contains something else, or a run with a checkpoint without `resume`; it could not be written.
    """
    check_given(name)
    folder = Path(name)
    if resume and read_settings(folder) is None:
        raise LiuliError(f"there is no run in {folder} to resume: leave out --resume")
    _check_own(folder)
    if checkpoints(folder) and not resume:
        raise LiuliError(f"{folder} already contains a run: give --resume to continue it, or give another folder")


def _check_own(folder: Path) -> None:
    """Raises LiuliError unless a run is in the folder (or its settings were being written), or could be written there."""
    if not any(os.path.isfile(path) for path in (folder / SETTINGS, part_of(folder / SETTINGS))):
        check_new_folder(folder, ignored=("lock",))


def is_run(folder: Path) -> bool:
    return (folder / SETTINGS).is_file()


def find_runs(folder: Path) -> list[Path]:
    """The runs in `folder` or in one of its subfolders, by name."""
    return sorted(path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{SETTINGS}") if path.is_file())


def checkpoints(folder: Path) -> list[int]:
    place = folder / CHECKPOINTS
    return sorted(int(path.name) for path in place.iterdir() if path.name.isdigit()) if place.is_dir() else []


def read_settings(folder: Path) -> dict[str, Any] | None:
    """The stage, the job and the command of a run; None if there is no run.

    Raises:
        LiuliError: the file cannot be read, or contains something else.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise LiuliError(
            f"{folder / SETTINGS} cannot be read ({error}): the run cannot be resumed; restore the file, or start a new run"
        ) from None
    kinds = {"stage": str, "job": dict, "command": list}
    if not isinstance(settings, dict) or not all(isinstance(settings.get(name), kind) for name, kind in kinds.items()):
        raise LiuliError(f"{folder / SETTINGS} does not contain the settings of a run: restore the file, or start a new run")
    return settings


def read_metrics(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's metrics, without an incomplete last line.

    Raises:
        LiuliError: a line other than the last is not a row of metrics.
    """
    try:
        lines = (folder / METRICS).read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for number, line in enumerate(lines[:-1], 1):  # after the last line break is nothing, or an incomplete line
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise LiuliError(f"{folder / METRICS}, line {number} is not a row of metrics: delete that line") from None
        yield row


def _lock(folder: Path) -> int:
    """Takes the kernel's lock on a file, which is released when the process ends, however it ends."""
    number = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(LOCKED):
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number
        except OSError:
            if attempt + 1 < LOCKED:
                time.sleep(0.05)  # `in_use` holds it for an instant
    os.close(number)
    raise LiuliError(f"{folder} is in use: another process trains there; wait for it, or give another folder")


def in_use(folder: Path) -> bool:
    """Whether a process trains there. Takes the lock as shared for an instant; never creates the file or blocks a training."""
    try:
        number = os.open(folder / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(number)
    return False
