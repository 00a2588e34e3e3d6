"""A world as a folder: its documents, its facts, and a page to read.

`documents.jsonl` has one {"text": …} per line, `facts.json` what is true, `README.md` (`readme.py`) the place for a person.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.files import fill_with_json_lines, part_of, read_json, write_together
from liuli.world.readme import readme_lines
from liuli.world.world import World

DOCUMENTS, FACTS, README = "documents.jsonl", "facts.json", "README.md"
FILES = (DOCUMENTS, FACTS, README)


@dataclass(frozen=True, slots=True)
class WrittenWorld:
    """What was written.

    Attributes:
        bytes: of text in the documents.
        replaced: how many documents the world had that stood there; None if there was none.
    """

    bytes: int
    replaced: int | None


def write_folder(
    world: World, folder: str, count: int, watch: Callable[[Iterable[str]], Iterable[str]] = lambda documents: documents
) -> WrittenWorld:
    """Writes `count` documents and what belongs to them.

    An earlier world in the folder is replaced, each file at once, when all are written. Whatever stops it before leaves no
    partial file and no new folder.

    Args:
        watch: may follow the documents as they pass.

    Raises:
        LiuliError: the folder is a file, holds something else, or cannot be written; a negative count.
    """
    documents = world.documents(count)
    place = Path(folder)
    size = 0

    def records() -> Iterable[dict[str, Any]]:
        nonlocal size
        for document in watch(documents):
            size += len(document.encode())
            yield {"text": document}

    facts = {"world": {"size": world.size, "seed": world.seed, "lang": world.lang}} | world.facts.to_json()
    writers: dict[str, Callable[[Path], Any]] = {
        DOCUMENTS: lambda part: fill_with_json_lines(part, records()),
        FACTS: lambda part: _fill(part, [json.dumps(facts, ensure_ascii=False, indent=1)]),
        README: lambda part: _fill(part, readme_lines(world)),
    }
    new = _new_folders(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _check_own(place)
        replaced = _count_lines(place / DOCUMENTS)
        write_together({place / name: write for name, write in writers.items()})
    except OSError as error:
        raise LiuliError(f"the world cannot be written to {printable(folder)}: {why(error)}") from None
    finally:
        for each in new:  # those that something was written to stay
            with suppress(OSError):
                each.rmdir()
    return WrittenWorld(size, replaced)


def open_folder(folder: Path) -> World | None:
    """The world whose folder it is; None if it is none."""
    about = _about(folder)
    try:
        size, seed, lang = about["size"], about["seed"], about["lang"]
    except (KeyError, TypeError):
        return None
    return World(size, seed, lang)


def _about(folder: Path) -> Any:
    """What the folder's facts say of the world's size, seed and languages; None if nothing is said there."""
    with suppress(LiuliError):
        return read_json(folder / FACTS).get("world")
    return None


def _fill(part: Path, lines: Iterable[str]) -> None:
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _new_folders(place: Path) -> list[Path]:
    """The folders that are to be made, the innermost first. Raises LiuliError: the place is a file, or lies in one."""
    for each in (place, *place.parents):
        if each.exists() and not each.is_dir():
            raise LiuliError(f"{printable(str(each))} is a file: give a folder")
    return [each for each in (place, *place.parents) if not each.exists()]


def _count_lines(path: Path) -> int | None:
    """How many documents stand in `path`; None if it does not exist."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _check_own(place: Path) -> None:
    """Refuses a folder that holds anything except a world, or the unfinished files of one."""
    unfinished = {part_of(place / name).name for name in FILES}
    present = sorted(each.name for each in place.iterdir() if each.name not in unfinished)
    foreign = [name for name in present if name not in FILES]
    if foreign or (present and _about(place) is None):
        held = printable(", ".join((foreign or present)[:3]))
        raise LiuliError(
            f"{printable(str(place))} contains something other than a world ({held}): give --out a new or empty folder"
        )
