"""How Chinese must be split into words for SQLite's full-text search, so that it is found.

    python benchmarks/search.py

Five ways to index the same texts and to ask for the same things, all ranked by BM25:

- `unicode61`: SQLite's own tokenizer, for which a clause without spaces is one word;
- `characters`: every Chinese character is a word;
- `pairs`: every pair of neighbouring characters is a word;
- `pairs and characters`: what Liuli uses: as `pairs`, and a query of a single character finds it too;
- `trigram`: SQLite's trigram tokenizer, every three characters.

Three tasks, each over 800 cases. *Words*: a passage of a novel is found by two strings of two or three characters from it.
*Question*: the same two strings within a question of common words. *Instruction*: an answer is found by the instruction that it
answers (belle-dev1k, whole natural sentences). Printed: how often the right text is the first, and among the first three.
"""

import json
import random
import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from shared import SHARED, machine

from liuli.act.builtin.search_index import passages_of
from liuli.act.builtin.segment import words_of, words_of_query

CASES = 800
RUN = re.compile(r"[\u4e00-\u9fff]+|[A-Za-z0-9]+")
QUESTIONS = ["请问{}和{}是怎么回事？", "书里讲到{}的时候，{}怎么样了？", "我想知道{}与{}有什么关系", "有没有提到{}和{}的地方"]


def runs(text: str) -> list[str]:
    return RUN.findall(text.casefold())


def characters(text: str) -> list[str]:
    return [word for run in runs(text) for word in ([run] if run.isascii() else run)]


def pairs(text: str) -> list[str]:
    words = []
    for run in runs(text):
        words += [run] if run.isascii() or len(run) == 1 else [run[at : at + 2] for at in range(len(run) - 1)]
    return words


def trigrams(text: str) -> list[str]:
    return [run[at : at + 3] for run in runs(text) for at in range(max(1, len(run) - 2)) if len(run) > 2]


WAYS: dict[str, tuple[str, Callable[[str], list[str]] | None, Callable[[str], list[str]]]] = {
    "unicode61": ("porter unicode61", None, runs),
    "characters": ("porter unicode61", characters, characters),
    "pairs": ("porter unicode61", pairs, pairs),
    "pairs and characters": ("porter unicode61", words_of, words_of_query),
    "trigram": ("trigram", None, trigrams),
}


def ranks(way: str, texts: list[str], queries: list[tuple[str, int]]) -> tuple[list[int], float, float]:
    """The place of each right text among the first three, or 3; the seconds to index, and those per query."""
    tokenizer, split, split_query = WAYS[way]
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE VIRTUAL TABLE found USING fts5(words, tokenize = '{tokenizer}')")
    begin = time.perf_counter()
    rows = ((number, text if split is None else " ".join(split(text))) for number, text in enumerate(texts))
    database.executemany("INSERT INTO found(rowid, words) VALUES(?, ?)", rows)
    indexed = time.perf_counter()
    places = []
    for query, right in queries:
        words = list(dict.fromkeys(split_query(query)))[:64]
        match = " OR ".join(f'"{word}"' for word in words)
        sql = "SELECT rowid FROM found WHERE found MATCH ? ORDER BY bm25(found) LIMIT 3"
        numbers = [row[0] for row in database.execute(sql, (match,))] if words else []
        places.append(numbers.index(right) if right in numbers else 3)
    return places, indexed - begin, (time.perf_counter() - indexed) / len(queries)


def novel_cases(rng: random.Random) -> tuple[list[str], dict[str, list[tuple[str, int]]]]:
    texts = []
    for name in ("三国演义", "红楼梦", "西游记", "水浒传"):
        texts += list(passages_of((Path(SHARED) / "data" / "text" / "zh" / f"{name}.txt").read_text(encoding="utf-8")))
    words, questions = [], []
    while len(words) < CASES:
        right = rng.randrange(len(texts))
        long = [run for run in runs(texts[right]) if len(run) >= 5 and not run.isascii()]
        if len(long) >= 2:
            parts = []
            for run in rng.sample(long, 2):
                size = rng.choice([2, 3])
                at = rng.randrange(len(run) - size + 1)
                parts.append(run[at : at + size])
            words.append((" ".join(parts), right))
            questions.append((rng.choice(QUESTIONS).format(*parts), right))
    return texts, {"words": words, "question": questions}


def instruction_cases() -> tuple[list[str], dict[str, list[tuple[str, int]]]]:
    lines = (Path(SHARED) / "data" / "dialogues" / "belle-dev1k.json").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    queries = [(record["instruction"] + record.get("input", ""), number) for number, record in enumerate(records)]
    return [record["output"] for record in records], {"instruction": queries[:CASES]}


def main() -> None:
    print(machine())
    for texts, tasks in (novel_cases(random.Random(0)), instruction_cases()):
        print(f"{len(texts):,} texts, {sum(map(len, texts)):,} characters")
        for task, queries in tasks.items():
            for way in WAYS:
                places, indexing, asking = ranks(way, texts, queries)
                first, three = (sum(place < most for place in places) / len(places) for most in (1, 3))
                found = f"first {first:6.1%}  first three {three:6.1%}"
                print(f"  {task:<12} {way:<21} {found}  index {indexing:5.1f} s  query {asking * 1000:5.1f} ms")


if __name__ == "__main__":
    main()
