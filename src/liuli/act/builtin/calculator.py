"""A calculator for models: exact, limited, and a parser instead of `eval`.

The parser is a Pratt parser (V. Pratt, "Top down operator precedence", 1973): each operator has a binding power, and
`_expression` takes operators as long as they bind more strongly than the one on its left. Numbers are fractions, so 0.1 + 0.2
is 0.3 and 1/3*3 is 1. Roots and logarithms have 50 digits and are marked as rounded.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from liuli.act.builtin.arithmetic import Number, apply_function, apply_operator, limited, written
from liuli.act.observation import ToolError

LONGEST = 1000  # characters of an expression
DEEPEST = 50  # levels of brackets and signs
CHINESE = {"加上": "+", "加": "+", "减去": "-", "减": "-", "乘以": "*", "乘": "*", "除以": "/", "除": "/"}
SIGNS = dict(zip("×·✕÷−–（），％＋－＊／", "***/--(),%+-*/", strict=True)) | {"**": "^"}
UNITS = {"万": 10**4, "亿": 10**8}
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,4})?|\.\d+)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<sign>\*\*|//|加上|减去|乘以|除以|[加减乘除万亿]|[^\w\s]))"
)
POWERS = {"+": 10, "-": 10, "*": 20, "/": 20, "//": 20, "mod": 20, "^": 40}
SIGN_POWER = 30  # so that -2^2 is -(2^2)


def calculator(expression: str) -> str:
    """Compute an arithmetic expression exactly, such as (3 + 4) * 1.5, 15% * 80 or round(sqrt(2), 2). 计算算式，如 3.5万 × 12。

    Args:
        expression: numbers, + - * / // % ^ ! and brackets (or × ÷ 加减乘除), and sqrt, abs, round, floor, ceil, min, max, sum,
            mean, mod, gcd, lcm, ln, log10 or exp
    """
    return written(calculate(expression))


def calculate(expression: str) -> Number:
    """The value of an expression.

    Raises:
        ToolError: it is empty, cannot be parsed, has no value, or is too large.
    """
    if not expression.strip():
        raise ToolError("The expression is empty.")
    if len(expression) > LONGEST:
        raise ToolError(f"The expression has {len(expression):,} characters; {LONGEST:,} are allowed.")
    return _Parser(_tokens(expression)).whole()


@dataclass(frozen=True, slots=True)
class ExpressionToken:
    """A number, a name or a sign of an expression, and its place, from 1."""

    kind: str
    text: str
    place: int


def _tokens(expression: str) -> list[ExpressionToken]:
    """The tokens, with all spellings of an operator made one. A comma between digits groups thousands, except in the arguments
    of a function, where it separates them."""
    tokens: list[ExpressionToken] = []
    brackets: list[bool] = []  # for each open bracket: whether it holds arguments
    at = 0
    text = expression.strip().removesuffix("=").rstrip()
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise ToolError(f"The character {text[at:].lstrip()[0]!r} cannot be part of an expression.")
        kind = str(found.lastgroup)
        word, at = found[kind], found.end()
        if kind == "number" and "," in word and any(brackets[-1:]):
            word = word.partition(",")[0]
            at = found.start(kind) + len(word)
        sign = CHINESE.get(word) or SIGNS.get(word, word)
        if sign == "(":
            brackets.append(bool(tokens) and tokens[-1].kind == "name")
        elif sign == ")" and brackets:
            brackets.pop()
        tokens.append(ExpressionToken(kind, sign, found.start(kind) + 1))
    return [*tokens, ExpressionToken("end", "the end", len(text) + 1)]


class _Parser:
    def __init__(self, tokens: list[ExpressionToken]):
        self._tokens, self._at, self._depth = tokens, 0, 0

    def whole(self) -> Number:
        value = self._expression(0)
        self._expect("the end")
        return value

    @property
    def _next(self) -> ExpressionToken:
        return self._tokens[self._at]

    def _take(self) -> ExpressionToken:
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, text: str) -> None:
        token = self._take() if self._next.kind != "end" else self._next
        if token.text != text:
            raise ToolError(f"At character {token.place}, {text} is expected instead of {token.text}.")

    def _expression(self, left_power: int) -> Number:
        """The value of what follows, up to an operator that binds no more strongly than the one on the left."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ToolError(f"The expression is nested more than {DEEPEST} levels deep.")
        value = self._after_operand(self._operand())
        while (power := POWERS.get(self._operator(), 0)) > left_power:
            operator = self._operator()
            self._take()
            right = self._expression(power - 1 if operator == "^" else power)  # 2^3^2 is 2^(3^2)
            value = apply_operator(operator, value, right)
        self._depth -= 1
        return value

    def _operator(self) -> str:
        return "mod" if self._next.text == "%" else self._next.text

    def _operand(self) -> Number:
        token = self._take()
        if token.kind == "number":
            return limited(Fraction(token.text.replace(",", "")))
        if token.text in ("+", "-"):
            value = self._expression(SIGN_POWER)
            return value if token.text == "+" else apply_operator("-", Number(Fraction(0)), value)
        if token.text == "(":
            value = self._expression(0)
            self._expect(")")
            return value
        if token.kind == "name" and self._next.text == "(":
            return self._call(token)
        if token.kind == "name":
            return apply_function(token.text, [])
        raise ToolError(f"At character {token.place}, a number is expected instead of {token.text}.")

    def _call(self, name: ExpressionToken) -> Number:
        self._take()
        values = [self._expression(0)]
        while self._next.text == ",":
            self._take()
            values.append(self._expression(0))
        self._expect(")")
        return apply_function(name.text, values)

    def _after_operand(self, value: Number) -> Number:
        """Applies what stands behind a value: !, 万, 亿, and % if no operand follows it (otherwise it is the remainder)."""
        while True:
            if self._next.text == "!":
                value = apply_function("factorial", [value])
            elif self._next.text in UNITS:
                value = apply_operator("*", value, Number(Fraction(UNITS[self._next.text])))
            elif self._next.text == "%" and not self._starts_operand(self._tokens[self._at + 1]):
                value = apply_operator("/", value, Number(Fraction(100)))
            else:
                return value
            self._take()

    def _starts_operand(self, token: ExpressionToken) -> bool:
        return token.kind in ("number", "name") or token.text == "("
