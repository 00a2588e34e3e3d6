"""The encoding of a text file, and the file in UTF-8, which is what DuckDB reads.

UTF-8 is read where it is. UTF-16 with a byte order mark (Excel's "Unicode text") and GB18030 (Excel in China) are converted
to a file in the database's folder.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from liuli.act.tables.database import TableDatabase
from liuli.display import printable
from liuli.errors import LiuliError

PIECE = 1 << 20  # bytes read at a time
MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
COMMON = 0.9  # of the characters beyond ASCII in a Chinese text that GB 2312 has; text in another encoding has few of them
SAVE = "save the file as UTF-8"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file as UTF-8. `path`: in the database's folder, a link to it or a converted copy. `encoding`: that of the file."""

    path: Path
    encoding: str

    def head(self, size: int) -> str:
        """The first `size` bytes as text, without a character that is cut off."""
        with self.path.open("rb") as file:
            return file.read(size).decode("utf-8-sig", errors="ignore")


def open_text(database: TableDatabase, path: Path, name: str) -> TextFile:
    """Finds the encoding of a file.

    Args:
        name: of the link or the copy in the database's folder.

    Raises:
        LiuliError: the file is not text, or its encoding is not known. OSError: it cannot be read, or not copied.
    """
    with path.open("rb") as file:
        mark = file.read(2)
    if mark in MARKS:
        return _converted(path, MARKS[mark], database.folder / name)
    broken = _first_error(path)
    if broken is None:
        return TextFile(database.link(path, name), "UTF-8")
    line, was_utf8 = broken
    if was_utf8:
        raise LiuliError(f"{_place(path, line)}: broken UTF-8; {SAVE}")
    return _converted(path, "gb18030", database.folder / name)


def _first_error(path: Path) -> tuple[int, bool] | None:
    """The line of the first byte that is not UTF-8, and whether characters beyond ASCII stand before it; None if there is no
    such byte. Raises LiuliError: a NUL."""
    line, beyond_ascii = 1, False
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in _pieces(path):
        line += _newlines_without_nul(path, piece, line)
        try:
            beyond_ascii = not decoder.decode(piece).isascii() or beyond_ascii
        except UnicodeDecodeError as error:
            good = error.object[: error.start]
            line += good.count(b"\n") - piece.count(b"\n")
            return line, beyond_ascii or not good.isascii()
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return line, beyond_ascii
    return None


def _newlines_without_nul(path: Path, piece: bytes, line: int) -> int:
    at = piece.find(0)
    if at >= 0:
        where = _place(path, line + piece.count(b"\n", 0, at))
        raise LiuliError(
            f"{where}: a NUL byte, so this is not a text file; give a CSV, JSON or Parquet file with its own suffix"
        )
    return piece.count(b"\n")


def _converted(path: Path, encoding: str, copy: Path) -> TextFile:
    """The file in UTF-8. Raises LiuliError: it is not in that encoding."""
    name = {"gb18030": "GB18030"}.get(encoding, "UTF-16")
    line, beyond_ascii, common = 1, 0, 0
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with copy.open("w", encoding="utf-8", newline="") as target:
            for piece in (*_pieces(path), b""):
                text = decoder.decode(piece, final=not piece).removeprefix("\ufeff")
                line += text.count("\n")
                wide = "".join(character for character in text if character > "\x7f")
                beyond_ascii += len(wide)
                common += len(wide.encode("gb2312", errors="ignore")) // 2  # two bytes each
                target.write(text)
    except UnicodeError:
        where = _place(path, line)
        raise LiuliError(f"{where} or a later line: neither UTF-8 nor {name}; {SAVE}") from None
    if encoding == "gb18030" and common < COMMON * beyond_ascii:
        raise LiuliError(f"{printable(str(path))}: its encoding is not UTF-8, and as GB18030 it is no Chinese text; {SAVE}")
    return TextFile(copy, name)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _place(path: Path, line: int) -> str:
    return f"{printable(str(path))}:{line}"
