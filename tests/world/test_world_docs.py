"""docs/world.md and docs/world-samples.md print what the world really gives."""

import re
from pathlib import Path

import pytest

from liuli import open_tokenizer
from liuli.tokens.train import train
from liuli.world import World, floor_per_token
from liuli.world.facts import FACTS, attribute

DOCS = Path(__file__).resolve().parents[2] / "docs"
DOC = (DOCS / "world.md").read_text(encoding="utf-8")
SAMPLES = (DOCS / "world-samples.md").read_text(encoding="utf-8")
PROSE = " ".join(DOC.split())  # without line breaks


@pytest.mark.parametrize("title", ["Ten documents in Chinese", "Ten documents in English"])
def test_the_documents_are_real(title):
    section = SAMPLES.split(f"## {title}\n")[1].split("\n## ")[0]
    lang, seed = re.search(r'World\("begin", 0, "(\w\w)"\)\.documents\(10, seed=(\d+)\)', section).groups()
    shown = [line.removeprefix("> ") for line in section.splitlines() if line.startswith("> ")]
    assert shown == list(World("begin", 0, lang).documents(10, int(seed)))


def test_the_numbers_are_real(both):
    floor = both.floor
    assert f"**{floor.bits_per_byte:.4f} bits/byte**" in PROSE
    assert f"{sum(floor.choices.values()):.1f} choices and {floor.bytes:.0f} bytes" in PROSE
    assert f"its entropy is {sum(floor.nats.values()):.1f} nats" in PROSE
    for kind, count in floor.choices.items():
        assert f"| {kind} | {count:.2f} | {floor.nats[kind] / count:.2f} |" in DOC
    people = both.facts.entities["person"]
    assert f"{sum(len(person.untold) for person in people)} of {sum(len(person.facts) for person in people)}" in PROSE


def test_the_untold_facts_are_real(both):
    """The table lists all of them."""
    table = SAMPLES.split("## What was never told\n")[1]
    shown = [line for line in table.splitlines() if line.startswith("|")][2:]
    real = []
    for kind, entities in both.facts.entities.items():
        for fact in dict.fromkeys(map(attribute, FACTS[kind])):
            names = [entity.name.zh for entity in entities if fact in map(attribute, entity.untold)]
            if names:
                real.append(f"| {kind} | {fact} | {'、'.join(names)} |")
    assert shown == real


def test_the_command_prints_what_is_shown(both):
    pieces = both.next_pieces("小明今天去游乐园玩")
    for piece, share in pieces.items():
        assert f"{share:>9.2%}  {piece}\n" in DOC


def test_the_floor_per_token_is_real(both, tmp_path):
    train(both.documents(20_000), "bpe", 2000).write(tmp_path)
    found = floor_per_token(both, open_tokenizer(tmp_path))
    floor = f"a floor of {found.nats:.4f} ± {found.error:.4f} nats per token"
    assert f"has {found.tokens:.1f} tokens per document and {floor}" in PROSE
