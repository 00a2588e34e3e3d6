"""docs/tour.md and its twin: the same steps, commands, program and terms."""

import re

import pytest
from helpers.documented import blocks_of, text_of

ENGLISH, CHINESE = "docs/tour.md", "docs/tour.zh.md"
PARTS = {ENGLISH: ("**You will see**", "**Look at**", "**Think about:**"), CHINESE: ("**会看到**", "**看这里**", "**想一想**")}
REQUIRED = {
    "AdamW", "BPE", "ChatML", "KL divergence", "LoRA", "Muon", "entropy", "epoch", "logits", "nat", "perplexity", "temperature",
    "token", "top-k, top-p",
}  # fmt: skip


def steps_of(page: str) -> list[str]:
    return re.split(r"^## (?:Step \d+: |第 \d+ 步：)", text_of(page), flags=re.M)[1:]


def glossary_of(page: str) -> list[list[str]]:
    """The cells of each row."""
    table = text_of(page).split("\n|---|---|---|\n")[1]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table.splitlines()]


@pytest.mark.parametrize("page", PARTS)
def test_every_step_has_the_same_parts(page):
    assert len(steps_of(page)) == 10
    for step in steps_of(page):
        places = [step.index(part) for part in PARTS[page]]
        assert places == sorted(places) and "```" in step


def test_the_glossaries_have_the_same_terms():
    english, chinese = glossary_of(ENGLISH), glossary_of(CHINESE)
    assert [(term, other) for term, other, _ in english] == [(other, term) for term, other, _ in chinese]
    assert {term for term, _, _ in english} >= REQUIRED
    assert [term.lower() for term, _, _ in english] == sorted(term.lower() for term, _, _ in english)


def test_the_programs_differ_only_in_their_docstring():
    one, other = (
        [re.sub(r'""".*?"""', "", block.text) for block in blocks_of(page) if block.kind == "python"] for page in PARTS
    )
    assert one == other


def test_the_program_prints_what_the_page_says(stand_ins, tmp_path, monkeypatch, capsys):
    """The last token is the same in both texts, and attention tells their vectors apart."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "liuli-begin").symlink_to(stand_ins["liuli-begin"])
    program = next(block.text for block in blocks_of(ENGLISH) if block.kind == "python")
    exec(program, {})
    first, *others = map(float, capsys.readouterr().out.split())
    assert first == 1
    assert others[-1] < 1
