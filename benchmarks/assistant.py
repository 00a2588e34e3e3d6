"""A Chinese assistant from real data: ten minutes of novels and technical prose, five of dialogues, and a control.

    python benchmarks/assistant.py [--minutes 10 5] [--keep FOLDER] [--show 20]

A base is trained on `text/zh`, then fine-tuned twice for as long: on the Chinese dialogues, and on the same questions with
their answers shuffled. Printed: how many of 200 replies to held-out first turns end by themselves within 256 tokens at
temperature 0.8, the supervised loss of both on the same held-out dialogues, and some replies, unedited.
"""

import argparse
import json
import random
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from shared import SHARED, machine

from liuli.data.dialogues import Dialogue, Dialogues
from liuli.data.division import split
from liuli.generate.model import Model, load
from liuli.generate.replies import answer
from liuli.generate.sampling import Sampling
from liuli.learn.dialogue_rows import Cuts, pieces_of_dialogues
from liuli.learn.evaluate import measure, rows_of
from liuli.learn.finetune import finetune
from liuli.learn.job import Job
from liuli.learn.pretrain import pretrain
from liuli.tokens.chat import Chat

CHINESE = ("belle-dev1k.json", "oasst-zh.json", "cdial-train.txt", "chatterbot-zh")
ASKED, LONGEST, SAMPLING = 200, 256, Sampling(temperature=0.8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs=2, default=(10.0, 5.0))
    parser.add_argument("--size", default="micro")
    parser.add_argument("--keep", help="a folder for the runs, which are gone on with; else they are thrown away")
    parser.add_argument("--show", type=int, default=20)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.keep or scratch)
        folder.mkdir(exist_ok=True)
        _run(folder, arguments.minutes, arguments.size, arguments.show)


def _run(folder: Path, minutes: tuple[float, float], size: str, show: int) -> None:
    text = sorted(str(path) for path in (SHARED / "data" / "text" / "zh").glob("*.txt"))
    text.append(str(SHARED / "data" / "text" / "zh" / "d2l-book.jsonl"))
    _train(pretrain, Job(sources=tuple(text), size=size, minutes=minutes[0]), folder / "base")
    parts = split(Dialogues([str(SHARED / "data" / "dialogues" / name) for name in CHINESE]))
    training, held_out = list(parts.training()), list(parts.validation())
    tuned = {}
    for name, some in (("dialogues", training), ("shuffled answers", _shuffled(training))):
        data, held = folder / f"{name}.jsonl", folder / "held-out.jsonl"
        _write(some, data)
        _write(held_out, held)
        job = Job(parent=str(folder / "base" / "model"), sources=(str(data),), valid=str(held), minutes=minutes[1])
        _train(finetune, job, folder / name)
        tuned[name] = load(folder / name / "model")
    losses = {name: _loss(model, held_out) for name, model in tuned.items()}
    for name, loss in losses.items():
        print(f"{name}: {loss:.4f} nats a supervised token of {len(held_out):,} held-out dialogues", flush=True)
    better = 1 - losses["dialogues"] / losses["shuffled answers"]
    print(f"the loss on the true answers is {better:.1%} below that of the control")
    _replies(tuned["dialogues"], held_out, show)


def _train(how: Any, job: Job, out: Path) -> None:
    if not (out / "model").exists():
        for _ in how(job, out):
            pass


def _write(dialogues: list[Dialogue], path: Path) -> None:
    lines = (json.dumps(dialogue.to_json(), ensure_ascii=False) + "\n" for dialogue in dialogues)
    path.write_text("".join(lines), encoding="utf-8")


def _shuffled(dialogues: list[Dialogue]) -> list[Dialogue]:
    """The same questions, each with the answer to another."""
    answers = [message for each in dialogues for message in each.messages if message["role"] == "assistant"]
    random.Random(0).shuffle(answers)
    left = iter(answers)
    return [
        replace(each, messages=tuple(next(left) if message["role"] == "assistant" else message for message in each.messages))
        for each in dialogues
    ]


def _loss(model: Model, dialogues: list[Dialogue]) -> float:
    assert model.tokenizer is not None
    length, chat = model.config.context, Chat.open(model.folder, model.tokenizer)
    pieces = pieces_of_dialogues(dialogues, chat, length, Cuts())
    return measure(model.decoder, model.tokenizer, rows_of(pieces, model.tokenizer, length)).nats_per_token


def _replies(model: Model, dialogues: list[Dialogue], show: int) -> None:
    assert model.tokenizer is not None
    chat = Chat.open(model.folder, model.tokenizer)
    prompts, ids = [], []
    for dialogue in dialogues:
        found = chat.prompt([{"role": "user", "content": dialogue.first_prompt}])
        if len(found) + LONGEST <= model.config.context:
            prompts.append(dialogue.first_prompt)
            ids.append(found)
    prompts, ids = prompts[:ASKED], ids[:ASKED]
    replies = answer(model.decoder, model.tokenizer, ids, (chat.stop, *model.stop_ids), SAMPLING, LONGEST)
    ended = sum(reply.finish_reason == "stop" for reply in replies)
    print(f"{ended} of {len(replies)} replies end by themselves within {LONGEST} tokens ({ended / len(replies):.1%})")
    for prompt, reply in islice(zip(prompts, replies, strict=True), show):
        print(f"\n问：{prompt}\n答：{reply.text}")


if __name__ == "__main__":
    main()
