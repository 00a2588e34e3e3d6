"""A world as a folder: its documents, its facts, and a page to read.

`documents.jsonl` has one {"text": …} a line, `facts.json` what is true, `README.md` the place for a person.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from liuli.data.world.facts import FACTS, HABITS, Entity, EntityKind, attribute
from liuli.data.world.lexicon import Term
from liuli.data.world.world import World
from liuli.errors import LiuliError

FILES = ("documents.jsonl", "facts.json", "README.md")
_PARTIAL = ".partial"
_HEADINGS: dict[EntityKind, str] = {
    "person": "People",
    "town": "Towns",
    "animal": "Animals",
    "shop": "Shops",
    "festival": "Calendar",
}


def write_folder(world: World, folder: str, count: int) -> int:
    """Writes `count` documents and what belongs to them; returns the documents' bytes of text. An earlier world in the
    folder is replaced, each file at once, when all are written.

    Raises:
        LiuliError: the folder holds something else, or cannot be written; a negative count.
    """
    documents = world.documents(count)
    place = Path(folder)
    size = 0

    def write_documents(file: TextIO) -> None:
        nonlocal size
        for document in documents:
            size += len(document.encode())
            file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")

    def write_facts(file: TextIO) -> None:
        body = {"world": {"size": world.size, "seed": world.seed, "lang": world.lang}} | world.facts.to_json()
        file.write(json.dumps(body, ensure_ascii=False, indent=1) + "\n")

    def write_page(file: TextIO) -> None:
        file.writelines(f"{line}\n" for line in page(world))

    writers: tuple[Callable[[TextIO], None], ...] = (write_documents, write_facts, write_page)
    try:
        place.mkdir(parents=True, exist_ok=True)
        _check_own(place)
        try:
            for name, write in zip(FILES, writers, strict=True):
                with (place / (name + _PARTIAL)).open("w", encoding="utf-8", newline="\n") as file:
                    write(file)
            for name in FILES:
                os.replace(place / (name + _PARTIAL), place / name)
        finally:
            for name in FILES:
                (place / (name + _PARTIAL)).unlink(missing_ok=True)
    except OSError as error:
        raise LiuliError(f"the world cannot be written to {folder}: {error.strerror or error}") from None
    return size


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


def page(world: World) -> Iterator[str]:
    """The lines of the README: what is true in the world, and what is never told."""
    floor = world.floor
    yield f"# A small world: size {world.size}, seed {world.seed}, lang {world.lang}"
    yield ""
    yield "Everything here is invented, and everything is known. ~~What is crossed out~~ is just as true, but no document says"
    yield "it. A habit has its frequency behind each value. Made by `liuli world`: the same size and seed give the same world."
    yield ""
    yield f"A document has on average {floor.bytes:.1f} bytes and {sum(floor.choices.values()):.1f} choices, and costs"
    yield f"{sum(floor.nats.values()):.2f} nats: no model can stay below **{floor.bits_per_byte:.4f} bits/byte**, but by luck."
    yield ""
    yield "| kind of choice | a document | nats each |"
    yield "|---|---|---|"
    for kind, number in floor.choices.items():
        yield f"| {kind} | {number:.2f} | {floor.nats[kind] / number:.2f} |"
    yield ""
    yield "## Some documents"
    for document in world.documents(12):
        yield ""
        yield f"> {document}"
    for kind, entities in world.facts.entities.items():
        yield ""
        yield f"## {_HEADINGS[kind]}"
        yield ""
        yield from _table(world, kind, entities)


def _table(world: World, kind: EntityKind, entities: tuple[Entity, ...]) -> Iterator[str]:
    """One line an entity, one column an attribute; all prices of a shop in one."""
    columns = list(dict.fromkeys(map(attribute, FACTS[kind] + HABITS[kind])))
    yield f"| name | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for entity in entities:
        cells = [_cell(world, entity, column) for column in columns]
        yield f"| {_shown(world, entity.name)} | {' | '.join(cells)} |"


def _cell(world: World, entity: Entity, column: str) -> str:
    if column in entity.habits:
        values = entity.habits[column]
        total = sum(values.values())
        return ", ".join(f"{_shown(world, value)} {weight / total:.0%}" for value, weight in values.items())
    facts = [fact for fact in entity.facts if attribute(fact) == column]
    shown = []
    for fact in facts:
        text = _shown(world, entity.facts[fact])
        if column == "price":
            text = f"{fact.removeprefix('price of ')} {text}"
        shown.append(f"~~{text}~~" if fact in entity.untold else text)
    return ", ".join(shown)


def _shown(world: World, term: Term) -> str:
    if world.lang != "both":
        return getattr(term, world.lang)
    return term.zh if term.zh == term.en else f"{term.zh} {term.en}"
