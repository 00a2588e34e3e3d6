"""How many join questions a model plans right: the articles' example, and 20 questions in Chinese and English.

    python benchmarks/join_questions.py MODEL [--dtype bf16] [--examples N]

The questions are in join_questions.json, with their tables and the right `on` and `how`. --examples: how many examples the
prompt has (all of them without this option).
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared import machine

from liuli.act.tables import ask
from liuli.act.tables.plan import JoinPlan
from liuli.act.tables.prompt import EXAMPLES
from liuli.act.tables.table import Table, TableColumn
from liuli.generate.model import load

QUESTIONS = Path(__file__).with_name("join_questions.json")
ARTICLE = {
    "question": "近三年东方财富、贵州茅台、中国平安的净利润、经营活动现金流入分别是多少",
    "tables": ["净利润", "现金流"],
    "on": ["报告期", "机构全称"],
    "how": "outer",
}


def table_of(name: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A table as a model sees it; it is in no database."""
    kinds = {name: "text" if isinstance(value, str) else "integer" for name, value in rows[0].items()}
    columns = tuple(TableColumn(each, kind, "") for each, kind in kinds.items())
    return Table(name, columns, len(rows), tuple(tuple(row.values()) for row in rows), "")


def interval(right: int, asked: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, right / asked
    middle, half = share + z * z / (2 * asked), z * math.sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return (middle - half) / (1 + z * z / asked), (middle + half) / (1 + z * z / asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--examples", type=int, default=len(EXAMPLES))
    options = parser.parse_args()
    ask.EXAMPLES = EXAMPLES[: options.examples]
    data = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    model = load(options.model, dtype=options.dtype)
    print(machine(), options.model, options.dtype, f"{options.examples} examples", sep="; ")
    right = on = how = 0
    for number, each in enumerate([ARTICLE, *data["questions"]]):
        left, other = (table_of(name, data["tables"][name]) for name in each["tables"])
        began = time.perf_counter()
        found = ask.ask_plan(model, each["question"], left, other)
        took = time.perf_counter() - began
        plan, wanted = found.plan, JoinPlan(tuple(each["on"]), each["how"])
        if number:
            right, on, how = right + (plan == wanted), on + (plan.on == wanted.on), how + (plan.how == wanted.how)
        shares = ", ".join(f"{way} {share:.0%}" for way, share in found.how.items())
        mark = "right" if plan == wanted else "WRONG"
        print(
            f"{mark} {took:5.1f} s  {each['question']}\n      {json.dumps(plan.to_json(), ensure_ascii=False)}  ({shares})",
            flush=True,
        )
        if plan != wanted:
            print(f"      wanted {json.dumps(wanted.to_json(), ensure_ascii=False)}")
    asked = len(data["questions"])
    low, high = interval(right, asked)
    print(f"right: {right} of {asked} ({low:.0%} to {high:.0%}); on: {on}, how: {how}")


if __name__ == "__main__":
    main()
