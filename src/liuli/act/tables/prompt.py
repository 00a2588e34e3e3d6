"""What a model reads before it plans a join: instructions, eight examples, and the question with a few rows of both tables.

The articles' prompt has one example, which is answered with "outer". A small model then prefers one of the four ways whatever
the question says (`docs/lab-log.md`). So there are two examples for each way, one in English and one in Chinese. In one of
them, the tables share a column that does not belong to the key.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from liuli.act.tables.plan import How, JoinPlan
from liuli.act.tables.table import Table

INSTRUCTIONS = """Two tables are joined. Answer with one JSON object with the keys "on" and "how".

"on": the columns that identify the same thing in both tables; the values in them must be equal.
"how": which rows are kept:
- "inner": only rows that have a match in both tables
- "left": all rows of the first table, also those without a match
- "right": all rows of the second table, also those without a match
- "outer": all rows of both tables, also those without a match
"""
ROWS = 3  # of each table
LONGEST_CELL = 32  # characters
LONGEST_TABLE = 700  # characters of its rows, after the first


@dataclass(frozen=True, slots=True)
class JoinExample:
    """A question about two tables of one row each, with its answer."""

    left: tuple[str, dict[str, Any]]
    right: tuple[str, dict[str, Any]]
    question: str
    on: tuple[str, ...]
    how: How


EXAMPLES = (  # each four have all ways
    JoinExample(
        ("books", {"isbn": "978-1", "title": "Emma"}),
        ("loans", {"isbn": "978-1", "reader": "Kim"}),
        "Show all books, also those that nobody has borrowed.",
        ("isbn",),
        "left",
    ),
    JoinExample(
        ("产品", {"产品编号": "A1", "名称": "茶杯"}),
        ("库存", {"产品编号": "A1", "数量": 5}),
        "保留库存表的所有记录，有产品名称就补上。",
        ("产品编号",),
        "right",
    ),
    JoinExample(
        ("players", {"team": "Reds", "year": 2020, "player": "Lee"}),
        ("results", {"team": "Reds", "year": 2020, "wins": 9}),
        "Only teams and years that are in both tables.",
        ("team", "year"),
        "inner",
    ),
    JoinExample(
        ("收入", {"城市": "北京", "年份": 2020, "收入": 10}),
        ("支出", {"城市": "北京", "年份": 2020, "支出": 8}),
        "各城市每年的收入和支出分别是多少，两边的数据都要保留。",
        ("城市", "年份"),
        "outer",
    ),
    JoinExample(
        ("会员", {"卡号": "77", "姓名": "周红", "备注": "新"}),
        ("消费", {"卡号": "77", "金额": 35, "备注": None}),
        "两张表里都有的会员各消费了多少？",
        ("卡号",),
        "inner",
    ),
    JoinExample(
        ("rooms", {"room": "R1", "size": 20}),
        ("bookings", {"room": "R1", "day": "2024-01-01", "guest": "Ann"}),
        "Every booking has to be in the result; add the size of the room if it is known.",
        ("room",),
        "right",
    ),
    JoinExample(
        ("教师", {"教师号": "T1", "姓名": "何平"}),
        ("课程", {"教师号": "T1", "课程": "物理"}),
        "列出全部教师和他们的课程，没有课的教师也不能漏掉。",
        ("教师号",),
        "left",
    ),
    JoinExample(
        ("exports", {"country": "Peru", "year": 2021, "exports": 3.1}),
        ("imports", {"country": "Peru", "year": 2021, "imports": 2.4}),
        "What are the exports and imports of each country and year, with all rows of both tables?",
        ("country", "year"),
        "outer",
    ),
)


def join_messages(question: str, left: Table, right: Table, shared: list[str], examples: int) -> list[dict[str, str]]:
    """The messages of a chat up to the question. `examples`: how many of `EXAMPLES` come before it."""
    messages = [{"role": "system", "content": INSTRUCTIONS}]
    for example in EXAMPLES[:examples]:
        tables = (example.left[0], [example.left[1]]), (example.right[0], [example.right[1]])
        common = [name for name in example.left[1] if name in example.right[1]]
        messages.append({"role": "user", "content": _asked(example.question, *tables, common)})
        messages.append(
            {"role": "assistant", "content": json.dumps(JoinPlan(example.on, example.how).to_json(), ensure_ascii=False)}
        )
    tables = (left.name, _rows(left)), (right.name, _rows(right))
    return [*messages, {"role": "user", "content": _asked(question, *tables, shared)}]


def _asked(question: str, left: tuple[str, Any], right: tuple[str, Any], shared: Iterable[str]) -> str:
    (first, rows), (second, other_rows) = left, right
    return (
        f"First table {first}: {_json(rows)}\nSecond table {second}: {_json(other_rows)}\n"
        f"Columns that both tables have: {', '.join(shared)}\nQuestion: {question}"
    )


def _rows(table: Table) -> list[dict[str, Any]]:
    """Some first rows that are not too long together; long cells are shortened."""
    found: list[dict[str, Any]] = []
    for record in table.records(ROWS):
        short = {name: _short(value) for name, value in record.items()}
        if found and len(_json([*found, short])) > LONGEST_TABLE:
            break
        found.append(short)
    return found


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else _json(value)
    return value if len(text) <= LONGEST_CELL else text[:LONGEST_CELL] + "…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
