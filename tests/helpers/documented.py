"""The commands and Python examples of the documentation, as they stand in its pages."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from liuli.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "README.zh.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$|^((?: {4}[^\n]*\n)+)", re.M | re.S)
INLINE = re.compile(r"`(liuli(?: [^`]+)?)`")
PLACEHOLDER = re.compile(r"[\[{]*[A-Z]{2,}(\.\.\.|\.jsonl)?[\]}]*")  # MODEL, SOURCE..., [TEXT]


@dataclass(frozen=True)
class Block:
    """A fenced or an indented block. `kind`: the word after the fence; "" for an indented block."""

    page: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command line of a block.

    Attributes:
        typed: from `liuli` on, on one line. before: what a pipe gives it, such as "printf 'a\\n'", or "".
        shown: the output that the page shows below it, or "".
    """

    page: str
    line: int
    typed: str
    before: str = ""
    shown: str = ""

    @property
    def words(self) -> list[str]:
        """Without `liuli`."""
        return shlex.split(self.typed)[1:]

    @property
    def is_form(self) -> bool:
        """Whether it shows what can be typed (`liuli chat MODEL [--seed N]`), and cannot be typed as it is."""
        return "[" in self.typed or any(PLACEHOLDER.fullmatch(word) for word in self.words)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.typed}"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    text, blocks = text_of(page), []
    for found in FENCED.finditer(text):
        kind, fenced, indented = found.groups()
        line = text.count("\n", 0, found.start()) + 1
        blocks.append(Block(page, line, kind or "", _unindented(indented) if fenced is None else fenced))
    return blocks


def _unindented(text: str) -> str:
    return "".join(line.removeprefix("    ") for line in text.splitlines(keepends=True))


def commands_of(page: str) -> list[Command]:
    """All command lines that begin with `liuli`, also after `&&` or a pipe."""
    found: list[Command] = []
    for block in blocks_of(page):
        if block.kind in ("", "sh", "bash"):
            joined = re.sub(r"\\\n\s*", "", block.text)
            found += [command for line in joined.splitlines() for command in _in_line(block, line)]
        elif block.kind == "text" and block.text.startswith("$ liuli "):
            typed, _, shown = block.text.removeprefix("$ ").partition("\n")
            found.append(Command(page, block.line, typed, "", shown))
        elif block.kind == "text" and found and _follows(page, found[-1], block):
            last = found.pop()
            found.append(Command(page, last.line, last.typed, last.before, block.text))
    return found


def _in_line(block: Block, line: str) -> list[Command]:
    commands = []
    for part in line.split(" && "):
        before, pipe, after = part.partition(" | liuli ")
        typed = f"liuli {after}" if pipe else part
        if typed.startswith("liuli "):
            explained = re.split(r" {3,}", typed)[0]  # without the remark at the end of the line
            commands.append(Command(block.page, block.line, explained, before if pipe else ""))
    return commands


def _follows(page: str, command: Command, block: Block) -> bool:
    """Whether the block is the next one after the command's, with at most one paragraph between them."""
    others = [each for each in blocks_of(page) if command.line < each.line < block.line]
    between = "\n".join(text_of(page).splitlines()[command.line : block.line - 1])
    after_fence = between.rpartition("```\n")[2].strip()
    return not others and "\n\n" not in after_fence and "#" not in after_fence


def inline_of(page: str) -> list[str]:
    """The commands in the running text and in tables, on one line each."""
    text = FENCED.sub("", text_of(page)).replace("\\|", "|")
    return [" ".join(typed.split()) for typed in INLINE.findall(text)]


def addressed(words: list[str]) -> tuple[str, Any, list[str]]:
    """The name of the command that the words call ("world ask"), the command, and the words that it is given."""
    command: Any = typer.main.get_command(app)
    names, rest = [], list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        names.append(rest.pop(0))
        command = command.commands[names[-1]]
    return " ".join(names), command, rest


def options_of(command: Any) -> set[str]:
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help", "-h"}
