"""The words of all texts that people read: none of them is on the list of words to replace, and errors say what to do.

The texts are found in the source: every string with a space that is not a docstring, and the docstrings that are help. `{}`
stands for a value in an f-string. If a text is refused here, say it in other words; do not weaken the expression.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "liuli"
SQL = re.compile(r"\b(SELECT|DELETE FROM|GROUP BY|WHERE) |count\(\*\)")
MODEL_TEXTS = {  # what a model reads or writes, not people
    *(f"world/{name}.py" for name in ("en", "zh", "talk", "talk_en", "talk_zh", "lexicon", "facts", "forms", "language")),
    "tokens/chat/templates.py",
    "act/tables/prompt.py",
    "act/step_form.py",
}
UNITS = r"nats?|bits?|bytes?|chars?|characters?|numbers?|seconds?|hours?|tokens?|FLOPs?|[kMGT]?B|m?s"
PER = r"tokens?|step|line|byte|row|parameter|choice|document|sequence|second"
WORDS = re.compile(
    rf"(?<!see )\bwhere\b|\b(?:go(?:es|ing|ne)?|went) on\b|\bbut for\b|\b(?:{UNITS})(?: on)? an? (?:{PER})\b"
    r"|\bmend(?:s|ed|ing)?\b|\btak(?:e|es|en|ing) away\b|\b(?:told|said)\b|\bwants? (?:a|an|the|no)\b"
    r"|\bproducts?\b|(?<!--)\bcounts?\b"
    r"|\b(?:drawn|drew|draws?)\b|\bbeside\b|\bwhat is held out\b|\bwho(?:ever| shows)?\b|\b(?:any|no)(?:one|body)\b"
    r"|\b(?:will be|is) late\b|\bmet (?:before|yet)\b|\banew\b|\bask(?:s|ed)? for\b|\bthe truth\b|\bcut by\b|\bis no whole\b"
    r"|^\{\} (?:dialogues|answers|held-out dialogues)\b|\bof \{\} (?:answers|dialogue tokens)\b",
    re.IGNORECASE,
)
ROWS = re.compile(  # in training, people know sequences; a row of metrics or of an embedding is another thing
    r"\b(?:a|of|at least \d) rows?\b(?! of metrics)|^rows of|(?<!embedding )\brows? of \{\}|\bthe row length|\bno more rows",
    re.IGNORECASE,
)
PIECES = re.compile(r"\bpieces?\b", re.IGNORECASE)  # on the command line: tokens, continuations
ADVICE = re.compile(r"[:;.] .|\bmust\b|\bneeds?\b|^give |; supported: ")
CONTINUED = {"{} is missing or damaged, or has other prompts"}  # the caller adds what follows from it


class Text(NamedTuple):
    file: str
    line: int
    text: str


FILES = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def text_of(node: ast.AST) -> str | None:
    """The text of a string, with {} for each value; None if it is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def docstring_nodes(tree: ast.Module) -> set[ast.AST]:
    """The strings that are statements."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def help_of_functions(name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The docstrings that the command line prints: of commands, and of the commands of a chat."""
    stem = Path(name).stem
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            is_help = node.decorator_list or node.name == stem or stem.startswith("chat")
            if is_help and (shown := ast.get_docstring(node)):
                yield node.lineno, " ".join(shown.split())


def texts(name: str) -> Iterator[Text]:
    tree = TREES[name]
    docstrings = docstring_nodes(tree)
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if (
            node not in docstrings
            and node not in inside
            and (found := text_of(node))
            and " " in found
            and not SQL.search(found)
        ):
            yield Text(name, getattr(node, "lineno", 0), found)
    if name.startswith("cli/"):
        yield from (Text(name, line, shown) for line, shown in help_of_functions(name, tree))


ALL = [found for name in FILES if name not in MODEL_TEXTS for found in texts(name)]


def matches(words: re.Pattern[str], found: list[Text]) -> list[tuple[str, str]]:
    """Where a word is, and in which text."""
    return [(f"{each.file}:{each.line}: {match[0]}", each.text) for each in found if (match := words.search(each.text))]


def test_there_are_texts():
    assert len(ALL) > 1500
    assert any(each.text.startswith("Talk with a model.") for each in ALL)


@pytest.mark.parametrize("text", ["nats a token", "nothing has been said", "the seed was drawn", "{} answers", "ask for less"])
def test_these_words_are_found(text):
    assert WORDS.search(text)


@pytest.mark.parametrize("text", ["to see where an error is from", "a line that ends with a token", "per token", "accounts"])
def test_these_words_are_fine(text):
    assert not WORDS.search(text)


def test_no_text_has_a_word_to_be_replaced():
    assert matches(WORDS, ALL) == []


def test_training_speaks_of_sequences():
    assert matches(ROWS, [each for each in ALL if each.file.startswith(("learn/", "data/packing/"))]) == []


def test_the_command_line_does_not_speak_of_pieces():
    assert matches(PIECES, [each for each in ALL if each.file.startswith("cli/")]) == []


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """All calls of functions, classes or methods of that name, each with its place."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if called == name:
                    yield f"{file}:{node.lineno}", node


def test_an_error_has_something_after_what_is_wrong():
    """What to do: after a colon, a semicolon or a full stop, or in the sentence itself. A text is not checked if most of it is
    made elsewhere."""
    found = [(place, text_of(call.args[0]) or "") for place, call in calls("LiuliError") if call.args]
    checked = [(place, re.sub(r"^\S+: ", "", text)) for place, text in found]  # without the place in front
    checked = [(place, text) for place, text in checked if len(re.findall(r"[a-z]{2,}", text)) >= 3]
    assert len(checked) > 300
    assert [(place, text) for place, text in checked if not ADVICE.search(text) and text not in CONTINUED] == []


def test_a_problem_says_what_to_do():
    found = list(calls("Problem"))
    assert len(found) > 50
    without = [place for place, call in found if len(call.args) < 3 and "advice" not in {word.arg for word in call.keywords}]
    assert without == []
