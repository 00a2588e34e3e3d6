"""A world as a folder: its documents, its facts, and a page to read.

`documents.jsonl` has one {"text": …} per line, `facts.json` what is true, `README.md` (`readme.py`) the place for a person.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.files import fill_with_json_lines, read_json, write_together
from liuli.output_paths import OwnFolder, check_new_folder, parents_of
from liuli.world.readme import readme_lines
from liuli.world.world import World

DOCUMENTS, FACTS, README = "documents.jsonl", "facts.json", "README.md"
FILES = (DOCUMENTS, FACTS, README)
COMPARED = 100  # documents of a folder with those of its world


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
    world: World,
    folder: str,
    count: int,
    watch: Callable[[Iterable[str]], Iterable[str]] = lambda documents: documents,
    force: bool = False,
) -> WrittenWorld:
    """Writes `count` documents and what belongs to them.

    Whatever stops it before the end leaves no partial file and no new folder.

    Args:
        watch: may follow the documents as they pass.
        force: replace an earlier world in the folder, each file at once, when all are written.

    Raises:
        LiuliError: see `check_world_folder`; a negative count.
    """
    check_world_folder(folder, force)
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
    try:
        with parents_of(place / DOCUMENTS):
            replaced = _count_lines(place / DOCUMENTS)
            write_together({place / name: write for name, write in writers.items()})
    except OSError as error:
        raise LiuliError(f"the world cannot be written to {printable(folder)}: {why(error)}") from None
    return WrittenWorld(size, replaced)


def check_world_folder(folder: str, force: bool = False) -> None:
    """Checks that a world can be written to `folder`. Changes nothing.

    Args:
        force: the folder may contain a world already.

    Raises:
        LiuliError: the folder contains something else, or a world without `force`; it could not be written.
    """
    check_new_folder(folder, OwnFolder("a world", FILES, lambda place: _about(place) is not None), force)


def open_folder(folder: Path) -> World | None:
    """The world whose folder it is; None if it is none."""
    about = _about(folder)
    try:
        size, seed, lang = about["size"], about["seed"], about["lang"]
    except (KeyError, TypeError):
        return None
    world = World(size, seed, lang)
    world.folder = folder
    return world


def text_of(world: World) -> Path | None:
    """The file with the documents of a world that was opened from a folder; None if there is none, or if its first documents
    are not those of this world, as when another version of Liuli wrote them."""
    if world.folder is None or not (world.folder / DOCUMENTS).is_file():
        return None
    path = world.folder / DOCUMENTS
    with suppress(OSError, ValueError, KeyError, TypeError), path.open(encoding="utf-8") as file:
        written = [json.loads(line)["text"] for line in islice(file, COMPARED)]
        if written == list(world.documents(len(written))):
            return path
    return None


def _about(folder: Path) -> Any:
    """What the folder's facts say of the world's size, seed and languages; None if nothing is said there."""
    with suppress(LiuliError):
        return read_json(folder / FACTS).get("world")
    return None


def _fill(part: Path, lines: Iterable[str]) -> None:
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _count_lines(path: Path) -> int | None:
    """How many documents stand in `path`; None if it does not exist."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)
