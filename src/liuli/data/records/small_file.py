"""A file of text that is read whole, such as a list of prompts."""

from pathlib import Path

from liuli.data.records.source_files import NOT_REGULAR, is_of_system, open_regular
from liuli.display import printable, why
from liuli.errors import LiuliError

LARGEST = 16 << 20  # bytes


def read_small_file(path: Path) -> str:
    """The text of a file, without its byte order mark.

    Raises:
        LiuliError: what `check_small_file` raises; it cannot be read; it has more than `LARGEST` bytes, or is not UTF-8.
    """
    shown = printable(str(path))
    check_small_file(path)
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}") from None
    if len(data) > LARGEST:
        raise LiuliError(f"{shown} has more than {LARGEST >> 20} MB; split it into several files")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1} of {len(data)} is 0x{data[error.start]:02X}"
        raise LiuliError(f"{shown} is not UTF-8 text: {where}; convert it to UTF-8") from None


def check_small_file(path: Path) -> None:
    """Checks that there is a file, without opening it.

    Raises:
        LiuliError: there is no such file; it is a pipe, a device or a system file.
    """
    shown = printable(str(path))
    try:
        if path.is_dir() or not path.exists():
            raise LiuliError(f"there is no file {shown}; give the name of a text file")
        if not path.is_file() or is_of_system(path):
            raise LiuliError(f"{shown} is {NOT_REGULAR}: only regular files are read; write its content to a file first")
    except OSError as error:
        raise LiuliError(f"{shown} cannot be read: {why(error)}") from None
