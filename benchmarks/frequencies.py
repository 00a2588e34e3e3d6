"""The articles' experiment: where a text goes on with 过山车 so often and 大风车 so often, the model learns just these shares.

    python benchmarks/frequencies.py

Several people go to the amusement park on several days; what each sentence ends with is drawn by a share that is the same for
all. A model is trained on the sentences, and asked after each beginning; the counts in the text are the truth.
"""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from liuli.evaluate.against_world import log_probabilities
from liuli.generate.model import load
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.machine import keep_memory
from liuli.learn.run_stage import pretrain

PEOPLE = ("小明", "小红", "小刚", "小丽", "阿强", "阿兰")
DAYS = ("今天", "昨天", "周末", "上午")
RIDES = ("过山车", "大风车")
RATIOS = ((3, 2), (4, 1), (1, 1), (9, 1), (1, 3))
SENTENCES = 6_000
ROWS = 64  # of a step: many endings, so that no single one sways the last steps


def sentences(ratio: tuple[int, int], seed: int = 0) -> Iterator[str]:
    draw = Random(seed)
    for _ in range(SENTENCES):
        beginning = f"{draw.choice(PEOPLE)}{draw.choice(DAYS)}去游乐园玩"
        yield f"{beginning}{draw.choices(RIDES, ratio)[0]}。"


def experiment(ratio: tuple[int, int], folder: Path, **change: Any) -> tuple[float, float, float]:
    """`change`: of the job.

    Returns:
        The share of the first ride: counted in the text, learned (mean over all beginnings), and the largest difference
        between what was learned after one beginning and the count over all.
    """
    written = list(sentences(ratio))
    text = folder / "park.jsonl"
    text.write_text("".join(json.dumps({"text": each}, ensure_ascii=False) + "\n" for each in written), encoding="utf-8")
    fields: dict[str, Any] = {"tokenizer": "char", "tokens": 1.2e6, "length": 64, "rows": ROWS, "valid": "tail:0.05"}
    for _ in pretrain(Job.of(sources=(str(text),), **fields | change), folder / "run"):
        pass
    endings = Counter(next(ride for ride in RIDES if ride in each) for each in written)
    counted = endings[RIDES[0]] / len(written)
    learned = shares(folder / "run" / "model")
    return counted, fmean(learned), max(abs(each - counted) for each in learned)


def shares(folder: Path) -> list[float]:
    """The model's share of the first ride after each beginning, among the two."""
    model = load(folder)
    assert model.tokenizer is not None
    beginnings = [f"{person}{day}去游乐园玩" for person in PEOPLE for day in DAYS]
    rows = [[*model.tokenizer.begin, *model.tokenizer.encode(f"{each}{ride}。")] for each in beginnings for ride in RIDES]
    nats = log_probabilities(model.decoder, rows)
    return [1 / (1 + math.exp(other - one)) for one, other in zip(nats[::2], nats[1::2], strict=True)]


def main() -> None:
    keep_memory()  # as the commands do
    for ratio in RATIOS:
        with tempfile.TemporaryDirectory() as folder:
            counted, learned, worst = experiment(ratio, Path(folder))
        case = f"{RIDES[0]} {ratio[0]} : {ratio[1]} {RIDES[1]}"
        print(f"{case}: counted {counted:.1%}, learned {learned:.1%}, farthest {worst:.1%}", flush=True)


if __name__ == "__main__":
    main()
