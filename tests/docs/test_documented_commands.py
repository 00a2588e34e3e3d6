"""Every command and every Python example of README.md, README.zh.md and docs/*.md.

A command that can be typed as it stands is run, in a new folder per page and in the order of the page, with exit code 0:

- names of models and data get the small stand-ins of `conftest.py`, unless a command before it has made such a file;
- a published model is the stand-in of its file's name (`STAND_IN_OF`);
- the options in `BUDGETS` replace the budget, because a real one takes minutes;
- `liuli chat` without a pipe reads `TYPED`.

The output that a page shows below a command is compared with what it prints, line by line; "..." stands for lines that are left
out. `MEASURED` lists the outputs that depend on a real model, and `NOT_RUN` the commands that are only parsed.

A form (`liuli chat MODEL [--seed N]`) and a command in the running text must name a command and options that exist.
"""

import re
import subprocess
from pathlib import Path

import pytest
from helpers.documented import PAGES, ROOT, Command, addressed, blocks_of, commands_of, inline_of, options_of, text_of

import liuli as package

STAND_IN_OF = {
    "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
}
BUDGET = {"--minutes", "--tokens", "--epochs"}  # replace each other
BUDGETS = {
    "world": {"--documents": "1000"},
    "world dialogues": {"--count": "200"},
    "train": {"--tokens": "4096"},
    "finetune": {"--epochs": "0.1"},
    "evaluate": {"--points": "2", "--valid": "tail:0.02"},
}
NOT_RUN = {
    "begin": "takes minutes; tests/cli/test_begin_command.py runs it",
    "extract": "needs a model with a longer context; tests/cli/test_extract_command.py runs it",
}
MEASURED = {
    ("docs/chat.md", "chat"): "needs the real model; tests/cli/test_chat_command.py compares it",
    ("README.md", "complete"): "needs the real model; tests/cli/test_readme.py compares it",
    ("README.zh.md", "complete"): "is that of README.md; tests/cli/test_readme.py compares both",
}
ONLY_AT_A_TERMINAL = r"/help lists the commands.*|> .*|\s*"
TYPED = "小明住在哪里？\n"
TWINS = {page for page in PAGES if page.endswith(".zh.md")}  # they have the same commands, which run once
COMMANDS = [command for page in PAGES for command in commands_of(page)]
RUN = [page for page in PAGES if page not in TWINS and any(not command.is_form for command in commands_of(page))]
WITH_PYTHON = [page for page in PAGES if any(block.kind == "python" for block in blocks_of(page))]


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_and_options_exist(command):
    name, called, rest = addressed(command.words)
    assert name or rest[:1] == ["--help"], command
    used = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(word for word in rest if not re.search(r"\s", word))))
    assert not used - options_of(called), command
    if not command.is_form:
        called.make_context(name or "liuli", list(rest))  # raises if an argument is missing or a value is of a wrong type


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_running_text_exist(page):
    for typed in inline_of(page):
        name, called, rest = addressed(re.sub(r"[\"'\[\]]", "", typed).split()[1:])
        assert name or not rest or rest[0].startswith("--"), f"{page}: {typed}"
        assert not {word for word in rest if re.fullmatch(r"--[a-z-]+", word)} - options_of(called), f"{page}: {typed}"


@pytest.mark.parametrize("page", RUN)
def test_commands_run(page, liuli, stand_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in commands_of(page):
        if command.is_form or addressed(command.words)[0] in NOT_RUN:
            continue
        words = prepared(command.words, stand_ins, tmp_path)
        result = liuli(*words, stdin=_input(command), columns=80)
        assert result.code == 0, f"{command}\n{result.err}"
        if command.shown and (page, words[0]) not in MEASURED:
            printed = result.out + result.err
            missing = [line for line in command.shown.splitlines() if not _is_printed(line, printed)]
            assert not missing, f"{command} prints\n{printed}"


@pytest.mark.parametrize("page", sorted(TWINS))
def test_both_languages_have_the_same_commands(page):
    english = commands_of(page.replace(".zh.md", ".md"))
    assert [command.typed for command in commands_of(page)] == [command.typed for command in english]


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_examples_run(page, stand_ins, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, target in stand_ins.items():
        if not name.startswith("my-"):
            (tmp_path / name).symlink_to(target)
    names = {"__name__": "example"}
    for block in blocks_of(page):
        if block.kind == "python":
            exec(compile("\n" * block.line + block.text, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_programs_that_are_named_exist(page):
    for path in re.findall(r"\bpython ([\w/]+\.py)", text_of(page)):
        assert (ROOT / path).is_file() or path == "inside.py", path  # the tour lets the reader write inside.py


@pytest.mark.parametrize("page", PAGES)
def test_python_names_in_the_running_text_exist(page):
    """`import liuli` is enough for all of them."""
    for path in re.findall(r"(?<![\w/.-])liuli(?:\.[A-Za-z]\w*)+", text_of(page)):
        if path != "liuli.json":  # the model card
            found = package
            for part in path.split(".")[1:]:
                found = getattr(found, part)


def test_every_exception_is_used():
    """No table above lists what no page has."""
    assert {addressed(command.words)[0] for command in COMMANDS} >= set(NOT_RUN)
    assert {(command.page, command.words[0]) for command in COMMANDS if command.shown} >= set(MEASURED)
    assert {word for command in COMMANDS for word in command.words} >= set(STAND_IN_OF)


def prepared(words: list[str], stand_ins: dict[str, Path], here: Path) -> list[str]:
    """The words with stand-ins and small budgets; the stand-ins that are missing here are linked."""
    words = [STAND_IN_OF.get(word, word) for word in words]
    for before, word in zip(["", *words], words, strict=False):
        first = Path(word).parts[:1]
        if before not in ("--out", "--gguf") and first and first[0] in stand_ins and not (here / first[0]).exists():
            (here / first[0]).symlink_to(stand_ins[first[0]])
    name, _, _ = addressed(words)
    of_world = any((here / word / "facts.json").is_file() for word in words)
    budget = {} if "--resume" in words or (name == "evaluate" and not of_world) else BUDGETS.get(name, {})
    replaced = budget.keys() | (BUDGET if budget.keys() & BUDGET else set())
    kept: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if word not in replaced and before not in replaced:
            kept.append(word)
    return [*kept, *(word for option in budget.items() for word in option)]


def _input(command: Command) -> bytes:
    if command.before:
        return subprocess.run(["bash", "-c", command.before], capture_output=True, check=True).stdout
    return TYPED.encode() if command.words[0] == "chat" else b""


def _is_printed(line: str, printed: str) -> bool:
    return line == "..." or bool(re.fullmatch(ONLY_AT_A_TERMINAL, line)) or line in printed
