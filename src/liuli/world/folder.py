"""A world as a folder: its documents, its facts, and a page to read.

`documents.jsonl` has one {"text": …} a line, `facts.json` what is true, `README.md` (`page.py`) the place for a person.
"""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from liuli.errors import LiuliError
from liuli.world.page import page
from liuli.world.world import World

FILES = ("documents.jsonl", "facts.json", "README.md")
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Written:
    """`bytes` of text in the documents; `replaced`: how many documents the world had that stood there, None if none did."""

    bytes: int
    replaced: int | None


def write_folder(
    world: World, folder: str, count: int, watch: Callable[[Iterable[str]], Iterable[str]] = lambda documents: documents
) -> Written:
    """Writes `count` documents and what belongs to them. An earlier world in the folder is replaced, each file at once, when
    all are written. Whatever stops it before leaves no partial file and no new folder. `watch` may follow the documents as
    they pass.

    Raises:
        LiuliError: the folder is a file, holds something else, or cannot be written; a negative count.
    """
    documents = world.documents(count)
    place = Path(folder)
    size = 0

    def write_documents(file: TextIO) -> None:
        nonlocal size
        for document in watch(documents):
            size += len(document.encode())
            file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")

    def write_facts(file: TextIO) -> None:
        body = {"world": {"size": world.size, "seed": world.seed, "lang": world.lang}} | world.facts.to_json()
        file.write(json.dumps(body, ensure_ascii=False, indent=1) + "\n")

    def write_page(file: TextIO) -> None:
        file.writelines(f"{line}\n" for line in page(world))

    new = _check_place(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _check_own(place)
        replaced = _count_lines(place / FILES[0])
        _write_files(place, (write_documents, write_facts, write_page))
    except OSError as error:
        raise LiuliError(f"the world cannot be written to {folder}: {error.strerror or error}") from None
    finally:
        for each in new:  # those that something was written to stay
            with suppress(OSError):
                each.rmdir()
    return Written(size, replaced)


def open_folder(folder: Path) -> World | None:
    """The world whose folder it is; None where it is none."""
    try:
        about = json.loads((folder / "facts.json").read_text(encoding="utf-8"))["world"]
        return World(about["size"], about["seed"], about["lang"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_files(place: Path, writers: Iterable[Callable[[TextIO], None]]) -> None:
    """All to their end, and only then under their own names."""
    try:
        for name, write in zip(FILES, writers, strict=True):
            with (place / (name + _PARTIAL)).open("w", encoding="utf-8", newline="\n") as file:
                write(file)
        for name in FILES:
            os.replace(place / (name + _PARTIAL), place / name)
    finally:
        for name in FILES:
            (place / (name + _PARTIAL)).unlink(missing_ok=True)


def _check_place(place: Path) -> list[Path]:
    """Refuses a place in or under a file; gives the folders that are to be made, the innermost first."""
    for each in (place, *place.parents):
        if each.exists() and not each.is_dir():
            raise LiuliError(f"{each} is a file: name a folder")
    return [each for each in (place, *place.parents) if not each.exists()]


def _count_lines(path: Path) -> int | None:
    """How many documents stand in `path`; None where it does not exist."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _check_own(place: Path) -> None:
    """Refuses a folder that holds anything but a world, or the unfinished files of one."""
    present = sorted(each.name.removesuffix(_PARTIAL) for each in place.iterdir())
    foreign = [name for name in present if name not in FILES]
    finished = [name for name in FILES if (place / name).exists()]
    known: object = None
    with suppress(OSError, ValueError):
        known = json.loads((place / "facts.json").read_text(encoding="utf-8"))
    if foreign or (finished and not (isinstance(known, dict) and "world" in known)):
        held = ", ".join((foreign or finished)[:3])
        raise LiuliError(f"{place} holds something else than a world ({held}): give --out a new or empty folder")
