"""A Chinese assistant from real data: ten minutes of novels and technical prose, then dialogues, and a control.

    python benchmarks/assistant.py [--minutes 10] [--epochs 3] [--size nano] [--keep FOLDER] [--show 20]

A base is trained on `text/zh`, then fine-tuned twice for as long, at most five minutes: on the Chinese dialogues, and on the
same questions with their answers shuffled; answers that with their question are longer than 256 tokens are left out. A quarter
of the rows are the same dialogues as plain text (the control's with its own answers): what people ask teaches, too. Printed:
how many of 200 replies to held-out first turns end by themselves within 256 tokens at temperature 0.8, the supervised loss of
both on the same held-out dialogues, and some replies, unedited.
"""

import argparse
import gzip
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from shared import SHARED, machine

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.packing.dialogue_pieces import Cuts, pieces_of_dialogues
from liuli.data.split import split_dialogues
from liuli.evaluate.loss import Evaluation, measure, rows_of
from liuli.files import write_json_lines
from liuli.generate.model import Model, load
from liuli.generate.replies import answer
from liuli.generate.sampling import Sampling
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.machine import keep_memory
from liuli.learn.run_stage import finetune, pretrain

CHINESE = ("belle-dev1k.json", "oasst-zh.json", "cdial-train.txt", "chatterbot-zh", "glaive_toolcall_zh_demo.json")
KDCONV = ("kdconv-film.json", "kdconv-travel.json")  # whose layout names no roles
TRUE, SHUFFLED = "dialogues", "shuffled answers"
ROLES = ("user", "assistant")
LENGTH = 512  # of the base's rows, and so of its context: a question and 256 tokens of reply fit
RATE, DECAY = 0.08, 0.05  # the best of the trials in docs/lab-log.md
ASKED, LONGEST, SAMPLING = 200, 256, Sampling(temperature=0.8)


def main() -> None:
    keep_memory()  # as the commands do
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--size", default="nano")
    parser.add_argument("--keep", help="a folder for the runs, which are gone on with; else they are thrown away")
    parser.add_argument("--show", type=int, default=20)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.keep or scratch)
        folder.mkdir(exist_ok=True)
        _run(folder, arguments.minutes, arguments.epochs, arguments.size, arguments.show)


def _run(folder: Path, minutes: float, epochs: float, size: str, show: int) -> None:
    job = Job.of(sources=_text(folder), size=size, minutes=minutes, length=LENGTH)
    _train(pretrain, job, folder / "base")
    place = SHARED / "data" / "dialogues"
    parts = split_dialogues(
        Dialogues([*(str(place / name) for name in CHINESE), *(_with_roles(place / name, folder) for name in KDCONV)])
    )
    training, held_out = list(parts.training()), list(parts.validation())
    held, tuned = folder / "held-out.jsonl", {}
    write_json_lines((dialogue.to_json() for dialogue in held_out), held)
    for name, some in ((TRUE, training), (SHUFFLED, _shuffled(training))):
        data, text = folder / f"{name}.jsonl", folder / f"{name}, plain.jsonl"
        write_json_lines((dialogue.to_json() for dialogue in some), data)
        write_json_lines(({"text": _plain(dialogue)} for dialogue in some), text)
        job = Job.of(
            parent=str(folder / "base" / "model"), sources=(str(data),), valid=str(held), epochs=epochs, length=LONGEST,
            mix=str(text), rate=RATE, decay=DECAY,
        )  # fmt: skip
        began = time.perf_counter()
        _train(finetune, job, folder / name)
        print(f"{name}: fine-tuned in {(time.perf_counter() - began) / 60:.1f} minutes", flush=True)
        tuned[name] = load(folder / name / "model")
    _losses(tuned, held_out)
    _replies(tuned[TRUE], held_out, show)


def _text(folder: Path) -> tuple[str, ...]:
    """The novels, a book on deep learning, and the Chinese side of Python's documentation, a document a file."""
    place = SHARED / "data" / "text" / "zh"
    files: dict[str, list[str]] = {}
    with gzip.open(place / "python-docs-en-zh.jsonl.gz", "rt", encoding="utf-8") as lines:
        for pair in map(json.loads, lines):
            files.setdefault(pair["file"], []).append(pair["zh"])
    python = folder / "python-docs-zh.jsonl"
    write_json_lines(({"text": "\n\n".join(paragraphs)} for paragraphs in files.values()), python)
    return (*sorted(str(path) for path in place.glob("*.txt")), str(place / "d2l-book.jsonl"), str(python))


def _with_roles(file: Path, folder: Path) -> str:
    """KdConv's dialogues as messages: two people in turn, the second of whom is the assistant here."""
    out = folder / file.with_suffix(".jsonl").name
    talks = [[message["message"] for message in talk["messages"]] for talk in json.loads(file.read_text(encoding="utf-8"))]
    messages = [[{"role": ROLES[i % 2], "content": said} for i, said in enumerate(talk)] for talk in talks]
    write_json_lines(({"messages": each} for each in messages), out)
    return str(out)


def _train(how: Any, job: Job, out: Path) -> None:
    if not (out / "model").exists():
        for _ in how(job, out):
            pass


def _shuffled(dialogues: list[Dialogue]) -> list[Dialogue]:
    """The same questions, each with the answer to another; calls of tools stay where tools are called."""
    kind = lambda message: "call" if message.get("tool_calls") else message["role"]
    answers: dict[str, list[Any]] = {"call": [], "assistant": []}
    for dialogue in dialogues:
        for message in dialogue.messages:
            if kind(message) in answers:
                answers[kind(message)].append(message)
    for some in answers.values():
        random.Random(0).shuffle(some)
    other = lambda message: answers[kind(message)].pop() if kind(message) in answers else message
    return [replace(dialogue, messages=tuple(map(other, dialogue.messages))) for dialogue in dialogues]


def _plain(dialogue: Dialogue) -> str:
    return "\n".join(message.get("content") or "" for message in dialogue.messages)


def _losses(models: dict[str, Model], dialogues: list[Dialogue]) -> None:
    """Of the true answers, a file at a time and all together."""
    by_file: dict[str, list[Dialogue]] = {}
    for dialogue in dialogues:
        name = Path(dialogue.source.rpartition(":")[0])
        by_file.setdefault(name.parent.name if name.parent.name in CHINESE else name.name, []).append(dialogue)
    tokens, nats = 0, Counter[str]()
    for file, some in by_file.items():
        found = {name: _measured(model, some) for name, model in models.items()}
        nats.update({name: each.nats for name, each in found.items()})
        tokens += found[TRUE].tokens
        _compare(
            f"{file}, {len(some):,} dialogues, {found[TRUE].tokens:,} supervised tokens",
            found[TRUE].tokens,
            found[TRUE].nats,
            found[SHUFFLED].nats,
        )
    _compare(f"all {len(dialogues):,} held-out dialogues, {tokens:,} supervised tokens", tokens, nats[TRUE], nats[SHUFFLED])


def _compare(what: str, tokens: int, true: float, shuffled: float) -> None:
    print(
        f"{what}: {true / tokens:.4f} nats a token, the control {shuffled / tokens:.4f}: {1 - true / shuffled:.1%} lower",
        flush=True,
    )


def _measured(model: Model, dialogues: list[Dialogue]) -> Evaluation:
    assert model.tokenizer is not None
    pieces = pieces_of_dialogues(dialogues, model.chat, LONGEST, Cuts())
    return measure(model.decoder, model.tokenizer, rows_of(pieces, LONGEST), LONGEST)


def _replies(model: Model, dialogues: list[Dialogue], show: int) -> None:
    assert model.tokenizer is not None
    prompts, ids = [], []
    for dialogue in dialogues:
        asked = next(i for i, message in enumerate(dialogue.messages) if message["role"] == "user")
        found = model.chat.prompt(dialogue.messages[: asked + 1], dialogue.tools)
        if len(found) + LONGEST <= model.config.context:
            prompts.append(dialogue.first_prompt)
            ids.append(found)
    prompts, ids = prompts[:ASKED], ids[:ASKED]
    replies = answer(model.decoder, model.tokenizer, ids, (model.chat.stop, *model.stop_ids), SAMPLING, LONGEST)
    ended = sum(reply.finish_reason == "stop" for reply in replies)
    print(f"{ended} of {len(replies)} replies end by themselves within {LONGEST} tokens ({ended / len(replies):.1%})")
    for prompt, reply in islice(zip(prompts, replies, strict=True), show):
        print(f"\n问：{prompt}\n答：{reply.text}")


if __name__ == "__main__":
    main()
