"""A cache of file hashes, because hashing a model of 1 GB takes seconds.

Each hash is a small file in the user's cache folder. A hash is used again if the path, size, inode and times of the file are
the same. These include ctime, which a program cannot restore after it has changed a file.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from liuli.files import write_json

FORMAT = 1  # the version of the cache and of the hash functions
KEPT = 200  # the number of hashes that are kept
SETTLED = 2.0  # seconds; a file that is newer could still change without a new time, because times have a limited resolution


FileState = list[str | int]  # name, resolved path, device, inode, size in bytes, mtime and ctime in ns


def cached_hash(paths: Sequence[Path], compute: Callable[[], str]) -> str:
    """Returns the result of `compute` for these files, from the cache if they have not changed. Exceptions of `compute` are
    passed on."""
    try:
        before = _states(paths)
        entry = cache_folder() / f"{hashlib.sha256(json.dumps([FORMAT, before]).encode()).hexdigest()}.json"
    except (OSError, RuntimeError):  # a file is missing, which `compute` reports; or there is no home folder
        return compute()
    known = _read(entry, before)
    if known is not None:
        return known
    found = compute()
    newest = max(time_ns for state in before for time_ns in state[-2:] if isinstance(time_ns, int))
    with suppress(OSError):  # a cache that cannot be written costs time, not correctness
        if _states(paths) == before and newest / 1e9 + SETTLED < time.time():
            _write(entry, {"files": before, "hash": found})
    return found


def cache_folder() -> Path:
    """Returns the folder of the hashes: `liuli/hashes` in the user's cache folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if os.path.isabs(given) else Path.home() / ".cache"  # the XDG standard ignores a relative path
    return cache / "liuli" / "hashes"


def _states(paths: Sequence[Path]) -> list[FileState]:
    found: list[FileState] = []
    for path in paths:
        real = path.resolve()
        stat = real.stat()
        found.append([path.name, str(real), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
    return found


def _read(path: Path, files: list[FileState]) -> str | None:
    try:
        known = json.loads(path.read_bytes())
        found = known["hash"] if known["files"] == files else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found) else None


def _write(path: Path, body: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, body)
    oldest_first = sorted(path.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
    for old in oldest_first[:-KEPT]:
        old.unlink(missing_ok=True)
