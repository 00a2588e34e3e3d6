"""The Chinese page is Chinese: every error of a view and every unit of a check has a Chinese text."""

import ast
import re
from pathlib import Path

import pytest

import liuli.inside
from liuli.inside.reasons import REASONS, in_chinese
from liuli.inside.self_check import UNITS
from liuli.inside.views import Subject, make_all

FOLDER = Path(liuli.inside.__file__).parent
NOT_REASONS = {"html.py", "drawing_code.py", "compare.py"}  # errors about files; compare has no condition that a page can miss
NOT_ON_PAGES = ("there is no view", "the view ", "there is no head", "there is no token")  # wrong options, not reasons
HAN = re.compile("[\u4e00-\u9fff]")


def calls(name):
    """The calls of a function in the package, with the file that each is in, and the texts of its variables."""
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
        texts = {node.targets[0].id: node.value for node in assigned if isinstance(node.value, ast.Constant | ast.JoinedStr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield path.name, texts, node


def sample(message, texts):
    """A message with a 7 for every value."""
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(sample(part, texts) for part in message.values)
    if isinstance(message, ast.FormattedValue) and isinstance(message.value, ast.Name) and message.value.id in texts:
        return sample(texts[message.value.id], {})
    return "7"


MESSAGES = [sample(node.args[0], texts) for file, texts, node in calls("LiuliError") if file not in NOT_REASONS]
MESSAGES = [message for message in MESSAGES if message != "7"]  # it is made by a function


@pytest.mark.parametrize("message", [each for each in MESSAGES if not each.startswith(NOT_ON_PAGES)])
def test_a_reason_has_a_chinese_text(message):
    assert HAN.search(in_chinese(message))


def test_values_stay_in_the_chinese_text():
    message = (
        "'a b' has 3 tokens and 'c' has 2: this view needs two texts with the same number of tokens, which differ in a word"
    )
    found = in_chinese(message)
    assert found.startswith("'a b' 有 3 个 token，'c' 有 2 个：")
    assert in_chinese("something else") == "something else"


def test_both_texts_of_a_reason_have_the_same_values():
    names = re.compile(r"\{(\w+)\}")
    assert all(set(names.findall(template)) == set(names.findall(text)) for template, text in REASONS.items())


def test_what_a_model_refuses_has_a_chinese_text(tiny):
    _, refused = make_all(Subject(tiny, "the cat"))
    assert refused and all(HAN.search(in_chinese(reason)) for reason in refused.values())


def test_units_have_chinese_names():
    used = {node.args[2].value for _, _, node in calls("SelfCheck") if isinstance(node.args[2], ast.Constant)}
    assert used <= UNITS.keys()
