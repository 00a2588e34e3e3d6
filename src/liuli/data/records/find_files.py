"""Finds the files that a user names, in a fixed order."""

import glob
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from liuli.data.records.problem import shortened, with_advice
from liuli.data.records.source_files import ASK_OWNER, NOT_REGULAR, FileFormats, SourceFile, is_of_system
from liuli.data.records.unpacking import COMPRESSED
from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.watch import Watch

DEEPEST_FOLDER = 100  # levels of nested folders
PIECE = 1 << 20  # bytes of standard input that are copied at a time

SourceNames = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def name_texts(names: SourceNames) -> list[str]:
    """The names of sources as strings. A single name need not be in a list."""
    return [os.fspath(name) for name in ([names] if isinstance(names, (str, os.PathLike)) else names)]


def find_files(names: Sequence[str], formats: FileFormats, watch: Watch | None = None) -> list[SourceFile]:
    """The files of `names`, in order. Those of a folder are sorted by path, without hidden ones.

    Args:
        formats: which files such a source reads.
        watch: follows the reading of standard input, which begins here, and of all files later.

    Raises:
        LiuliError: a name does not exist, or is a file of none of the `formats`, or a pipe, a device or a system file.
    """
    check_names(names, formats)
    files: list[SourceFile] = []
    for name in names:
        if name == "-":
            files.append(_standard_input(formats, watch))
        elif name.startswith("hub:"):
            files += _of_dataset(name, formats, watch)
        elif _is_folder(name):
            files += _of_folder(Path(name), name.rstrip("/") or "/", formats, watch)
        else:
            files.append(_by_name(name, formats, watch))
    return files


def check_names(names: Sequence[str], formats: FileFormats) -> None:
    """Checks the files and folders among the names. Takes no time: nothing is opened or downloaded.

    Raises:
        LiuliError: one does not exist, or is a file of none of the `formats`, or a pipe, a device or a system file; there is no
            name, or - is given twice.
    """
    if not names:
        raise LiuliError("there is no source; give files, folders, - for standard input, or hub:owner/dataset")
    if list(names).count("-") > 1:
        raise LiuliError("standard input (-) can be read only once; give it once")
    for name in names:
        if name != "-" and not name.startswith("hub:") and not _is_folder(name):
            _by_name(name, formats, None)


def _is_folder(name: str) -> bool:
    try:
        return bool(name) and Path(name).is_dir()
    except OSError as error:
        raise LiuliError(f"{shortened(printable(name))} cannot be read: {why(error)}") from None


def _by_name(name: str, formats: FileFormats, watch: Watch | None) -> SourceFile:
    path = Path(name)
    if not name or not path.exists():
        raise LiuliError(f"there is no file or folder {name!r}; give one, - for standard input, or hub:owner/dataset")
    _check_regular(path)
    file = SourceFile(path, printable(name), formats, named=True, watch=watch)
    if not file.format:
        raise LiuliError(f"{file.name}: Liuli does not read {formats.what} from files of this type; it reads {formats.known}")
    return file


def _check_regular(path: Path) -> None:
    if not path.is_file() or is_of_system(path):
        shown = printable(str(path))
        raise LiuliError(f"{shown} is {NOT_REGULAR}: only regular files are read; write its content to a file first")


def _of_folder(folder: Path, name: str, formats: FileFormats, watch: Watch | None) -> list[SourceFile]:
    """All files in the folder. Links to folders are not followed, but they are listed, so that they are named as skipped."""
    if is_of_system(folder):
        raise LiuliError(f"{printable(name)} is a system folder, which contains no data; give another folder")
    found: list[Path] = []
    left = [(folder, 0)]
    while left:
        at, depth = left.pop()
        if depth > DEEPEST_FOLDER:
            raise LiuliError(
                f"{printable(name)} is nested too deeply (more than {DEEPEST_FOLDER} levels); give the inner folders"
            )
        try:
            with os.scandir(at) as entries:
                shown = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            place = shortened(printable(str(at)))
            raise LiuliError(with_advice(f"the folder {place} cannot be read: {why(error)}", ASK_OWNER)) from None
        for entry in shown:
            if _is_real_folder(entry):
                left.append((at / entry.name, depth + 1))
            else:
                found.append(at / entry.name)
    paths = sorted((path.relative_to(folder) for path in found), key=lambda path: path.parts)
    return [SourceFile(folder / path, printable(f"{name}/{path.as_posix()}"), formats, watch=watch) for path in paths]


def _is_real_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder and not a link to one."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _of_dataset(name: str, formats: FileFormats, watch: Watch | None) -> list[SourceFile]:
    """The files of a dataset on the hub, or of one folder or file in it; never its card, which is not part of its data."""
    from liuli.hub import find_dataset

    shown = printable(name)
    found = re.fullmatch(r"hub:(\w[\w.-]*/\w[\w.-]*)((?:/[^/]+)*)/?", name)
    path = found[2].strip("/") if found else ""
    if not found or {".", ".."} & set(path.split("/")):
        raise LiuliError(
            f"{shown} is not the name of a dataset on the Hugging Face Hub; write hub:owner/dataset or hub:owner/dataset/path"
        )
    inside = find_dataset(found[1], _patterns(path, formats)) / path
    files = [SourceFile(inside, shown, formats, watch=watch)] if inside.is_file() else []
    if inside.is_dir():
        files = _of_folder(inside, name.rstrip("/"), formats, watch)
    card = f"{shown.rstrip('/')}/README.md"
    files = [file for file in files if file.format and (path or file.name != card)]
    if not files:
        raise LiuliError(f"{shown} contains no files from which Liuli reads {formats.what}; it reads {formats.known}")
    return files


def _patterns(path: str, formats: FileFormats) -> list[str]:
    """Which files of a dataset to fetch: `path` itself, and all below it that have one of the formats."""
    suffixes = [
        suffix + end for suffix, each in formats.suffixes.items() for end in ("", *COMPRESSED) if each != "parquet" or not end
    ]
    below = f"{glob.escape(path)}/" if path else ""
    itself = [glob.escape(path)] if path.endswith(tuple(suffixes)) else []
    return [f"{below}*{suffix}" for suffix in suffixes] + itself


def _standard_input(formats: FileFormats, watch: Watch | None) -> SourceFile:
    """Standard input in a temporary file, so that it can be read again. The file is deleted with the source."""
    spool = tempfile.NamedTemporaryFile(prefix="liuli-stdin-")  # noqa: SIM115 (the source reads it, again and again)
    size = 0
    try:
        while piece := sys.stdin.buffer.read(PIECE):
            spool.write(piece)
            size += len(piece)
            if watch:
                watch("standard input", size, 0)
        spool.flush()
    except OSError as error:
        raise LiuliError(f"standard input cannot be stored in {tempfile.gettempdir()}: {why(error)}") from None
    return SourceFile(Path(spool.name), "standard input", formats, named=True, spool=spool, watch=watch)
