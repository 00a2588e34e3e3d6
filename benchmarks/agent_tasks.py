"""How many of sixty questions a model answers right with tools and without, under a grammar and in free text.

    python benchmarks/agent_tasks.py MODEL [--dtype bf16] [--only plain,react] [--kinds calculator,date] [--out RESULTS.jsonl]

The questions (`benchmarks/agent/tasks.jsonl`) need the calculator, the calendar, the tables in `shared/data/tables`, the texts
in `benchmarks/agent/notes`, or no tool; half of them are Chinese. All tools are offered for each question. The clock says
Monday, 30 November 2026. An answer is right if it contains one of the expected texts; numbers must match as a whole.
Intervals are Wilson's, 95 %.
"""

import argparse
import json
import re
import sys
import time
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path

from shared import SHARED, machine

import liuli
from liuli.act.builtin.clock import Clock
from liuli.act.free_writer import FreeWriter, ModelReplier
from liuli.act.load import load_tools
from liuli.act.react import Agent
from liuli.act.step_form import ReActTurns, TemplateCalls
from liuli.act.tools import Tools
from liuli.act.writers import GrammarWriter
from liuli.tokens.chat.call_form import call_form

FOLDER = Path(__file__).parent / "agent"
NOW = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
SETTINGS = ("plain", "react", "template", "free")


def right(answer: str, expected: list[str]) -> bool:
    """Whether an answer contains an expected text. Digits around a number would make it another one; thousands separators
    do not matter."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", answer).casefold()
    for text in expected:
        edges = (r"(?<![\d.])", r"(?!\.?\d)") if text[:1].isdigit() and text[-1:].isdigit() else ("", "")
        tail = r"(?:\.?0*)" if re.fullmatch(r"\d+(\.\d+)?", text) else ""
        if re.search(edges[0] + re.escape(text.casefold()) + tail + edges[1], plain):
            return True
    return False


def interval(good: int, count: int) -> tuple[float, float]:
    z = 1.96
    share, spread = good / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / count + spread / 4 / count) / (1 + spread)
    return middle - half, middle + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--only", default=",".join(SETTINGS))
    parser.add_argument("--kinds", default="")
    parser.add_argument("--out")
    given = parser.parse_args()
    model = liuli.load(given.model, dtype=given.dtype)
    tasks = [json.loads(line) for line in (FOLDER / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    tasks = [task for task in tasks if not given.kinds or task["kind"] in given.kinds.split(",")]
    print(machine())
    names = ["calculator", f"search:{FOLDER / 'notes'}", f"tables:{SHARED / 'data' / 'tables'}"]
    with load_tools(names) as some, Tools([*some, Clock(lambda: NOW)]) as tools:
        for setting in given.only.split(","):
            measure(setting, model, tools, tasks, given.out)


def measure(setting: str, model: liuli.Model, tools: Tools, tasks: list[dict], out: str | None) -> None:
    begin = time.perf_counter()
    by_kind: dict[str, list[bool]] = {}
    for task in tasks:
        started = time.perf_counter()
        answer, steps = answered(setting, model, tools, task["question"])
        ok = right(answer, task["answer"])
        by_kind.setdefault(task["kind"], []).append(ok)
        if out:
            seconds = time.perf_counter() - started
            row = {"setting": setting, **task, "said": answer, "right": ok, "steps": steps, "seconds": seconds}
            with open(out, "a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        print(f"\r{setting}: {sum(map(sum, by_kind.values()))} of {sum(map(len, by_kind.values()))}", end="", file=sys.stderr)
    good = sum(map(sum, by_kind.values()))
    low, high = interval(good, len(tasks))
    kinds = ", ".join(f"{kind} {sum(found)}/{len(found)}" for kind, found in by_kind.items())
    share = f"{good / len(tasks):.0%}, {low:.0%} to {high:.0%}"
    print(f"\r{setting}: {good} of {len(tasks)} right ({share}); {kinds}; {time.perf_counter() - begin:.0f} s")


def answered(setting: str, model: liuli.Model, tools: Tools, question: str) -> tuple[str, list[list[str]]]:
    """The answer, and the steps to it with what was read after each."""
    if setting == "plain":
        ids, stops = model.chat.question(question), model.chat.stops
        return model.complete(ids, max_tokens=200, temperature=0.0, stop_ids=stops).text, []
    run = Agent(writer(setting, model, tools), tools).run(question)
    return run.answer or "", [[step.text, step.read] for step in run.steps]


def writer(setting: str, model: liuli.Model, tools: Tools):
    if setting == "free":
        return FreeWriter(ModelReplier(model), tools, seed=0)
    if setting == "template":
        form = call_form(model.chat)
        assert form is not None
        return GrammarWriter(model, tools, TemplateCalls(model.chat, form, tools), seed=0)
    return GrammarWriter(model, tools, ReActTurns(model.chat, tools), seed=0)


if __name__ == "__main__":
    main()
