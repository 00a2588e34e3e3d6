"""The calculator is exact, limited, and understands Chinese signs."""

import ast
import random
from contextlib import suppress
from fractions import Fraction

import pytest

import liuli
from liuli.act.builtin.calculator import LONGEST, calculate, calculator
from liuli.act.observation import ToolError
from liuli.act.tools import Tools


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("0.1 + 0.2", "0.3"),
        ("1/3*3", "1"),
        ("7 - 2 - 1", "4"),
        ("2^3^2", "512"),
        ("2 ** 10", "1024"),
        ("-2^2", "-4"),
        ("2^-2", "0.25"),
        ("2 * -3", "-6"),
        ("--3", "3"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 % 3", "1"),
        ("15% * 80", "12"),
        ("200 + 10%", "200.1"),
        ("50%", "0.5"),
        ("5!", "120"),
        ("-3!", "-6"),
        ("2 ^ 3!", "64"),
        ("1,234,567.5 * 2", "2469135"),
        ("max(1,234)", "234"),
        ("max((1,234), 3)", "1234"),
        ("1.5e3 + .5", "1500.5"),
        ("2 + 3 =", "5"),
        ("１２×（３＋４）÷２", "42"),
        ("12 乘以 3 加上 4", "40"),
        ("100除以8减去2", "10.5"),
        ("3.5万 × 12", "420000"),
        ("1.2亿 / 3万", "4000"),
        ("1/3", "0.333333333333 (rounded; exactly 1/3)"),
        ("sqrt(16) + sqrt(0.25)", "4.5"),
        ("sqrt(2)", "1.41421356237 (rounded)"),
        ("2 ^ 0.5", "1.41421356237 (rounded)"),
        ("8 ^ (1/3)", "2 (rounded)"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(10/3, 2)", "3.33"),
        ("round(1234, -2)", "1200"),
        ("round(sqrt(2), 3)", "1.414"),
        ("floor(-1.5) + ceil(1.2)", "0"),
        ("min(3, 1, 2) + abs(-4)", "5"),
        ("mean(1, 2, 4)", "2.33333333333 (rounded; exactly 7/3)"),
        ("gcd(12, 18) + lcm(4, 6) + mod(-7, 3)", "20"),
        ("ln(1) + log10(1000)", "3 (rounded)"),
        ("round(pi, 4)", "3.1416"),
        ("2^200", str(2**200)),
        ("10^400", "1E+400 (rounded; it has 401 digits)"),
        ("0^0", "1"),
        ("(-1)^1000000001", "-1"),
    ],
)
def test_values(expression, text):
    assert calculator(expression) == text


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "is empty"),
        ("1 +", "At character 4, a number is expected instead of the end."),
        ("1 2", "At character 3, the end is expected instead of 2."),
        ("(1", "At character 3, ) is expected instead of the end."),
        ("1 = 1", "the end is expected instead of =."),
        ("1/0", "Division by zero."),
        ("7 // (1 - 1)", "Division by zero."),
        ("5 % 0", "Division by zero."),
        ("0^-1", "Division by zero."),
        ("sqrt(-1)", "not a real number"),
        ("(-8)^(1/3)", "not a real number"),
        ("ln(0)", "only of numbers above zero"),
        ("log(2)", "There is no function log. There are abs, ceil, e, exp,"),
        ("x + 1", "There is no function x."),
        ("sqrt", "sqrt takes 1 arguments, not 0."),
        ("round(1, 2, 3)", "round takes 1 or 2 arguments, not 3."),
        ("gcd(1.5, 3)", "take whole numbers"),
        ("9^9^9", "The power is too large."),
        ("10^-100000", "The power is too large."),
        ("2^(10^9)", "The power is too large."),
        ("1e9999", "too many digits"),
        ("exp(100000)", "too large"),
        ("1000.5^2000.5", "too many digits"),
        ("2000!", "A factorial is computed of whole numbers from 0 to 1,000."),
        ("0.5!", "A factorial"),
        ("round(1, 10000)", "number of decimal places"),
        ("¥5 + 3", "¥"),
        ("__import__('os')", "a number is expected instead of '."),
        ("'a' * 3", "At character 1"),
        ("1 if 1 else 2", "the end is expected instead of if."),
        ("(" * 60 + "1" + ")" * 60, "nested more than 50 levels deep"),
        ("-" * 60 + "1", "nested more than 50 levels deep"),
        ("1+" * LONGEST + "1", "characters; 1,000 are allowed"),
        ("٣ + 二", "cannot be part of an expression"),
    ],
)
def test_what_has_no_value_is_said_in_words(expression, words):
    with pytest.raises(ToolError) as caught:
        calculator(expression)
    assert words in str(caught.value)


def reference(node: ast.AST) -> Fraction:
    """The value of Python's own syntax tree, in fractions."""
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp):
        return -reference(node.operand)
    assert isinstance(node, ast.BinOp)
    left, right = reference(node.left), reference(node.right)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return Fraction(left // right)
        case _:
            return left ** int(right)


def random_expression(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(6) if depth else 0
    if kind == 0:
        return rng.choice([str(rng.randrange(1, 50)), f"{rng.randrange(9)}.{rng.randrange(1, 99)}"])
    if kind == 1:
        return f"-{random_expression(rng, depth - 1)}"
    if kind == 2:
        return f"({random_expression(rng, depth - 1)})"
    if kind == 3:
        return f"{random_expression(rng, 0)}**{rng.randrange(4)}"
    operator = rng.choice(["+", "-", "*", "/", "//"])
    return f"{random_expression(rng, depth - 1)} {operator} {random_expression(rng, depth - 1)}"


def test_it_agrees_with_python_on_random_expressions():
    rng = random.Random(0)
    compared = 0
    for _ in range(500):
        expression = random_expression(rng, 4)
        try:
            expected = reference(ast.parse(expression, mode="eval").body)
        except ZeroDivisionError:
            continue
        assert calculate(expression).value == expected, expression
        compared += 1
    assert compared > 400


def test_random_characters_never_raise_anything_else():
    rng = random.Random(1)
    for _ in range(2000):
        text = "".join(rng.choice("0123456789.,+-*/%^!()×÷加减万 eE_xmaxsqrt'\"\n=") for _ in range(rng.randrange(30)))
        with suppress(ToolError):
            assert calculator(text)


def test_as_a_tool():
    tools = Tools([liuli.tool(calculator)])
    assert tools.call("calculator", {"expression": "6 × 7"}).text == "42"
    failed = tools.call("calculator", {"expression": "1/0"})
    assert (failed.text, failed.failure) == ("Division by zero.", "error")
