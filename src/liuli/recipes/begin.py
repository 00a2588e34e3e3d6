"""`liuli begin`: a small world, a base model trained on its text, and an assistant that answers questions about it; and how far
what they learned is from the truth.

    FOLDER/world/        the text and its facts
    FOLDER/dialogues.jsonl
    FOLDER/run/          the base model's run, with its tokenizer
    FOLDER/assistant/    the assistant's
    FOLDER/report.json   every number that is shown

Finished parts are not made again, and a stopped run is resumed.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liuli.evaluate.against_world import compare_with_world, world_scorer
from liuli.evaluate.questions import ask, reply_to
from liuli.files import read_json, write_text
from liuli.generate.model import Model, load
from liuli.learn.prepare.job import Job
from liuli.learn.run.events import Event, Note
from liuli.learn.run.folder import TRACE, checkpoints
from liuli.learn.run_stage import finetune, pretrain
from liuli.output_paths import check_new_folder
from liuli.world import World, floor_per_token, shares_at
from liuli.world.dialogues import Conversations, Group, Question, write_dialogues
from liuli.world.folder import open_folder, write_folder
from liuli.world.grammar import read
from liuli.world.language import Code
from liuli.world.steps import ValueStep

WORLD, RUN, ASSISTANT, DIALOGUES, REPORT = "world", "run", "assistant", "dialogues.jsonl", "report.json"
DOCUMENTS = 100_000  # more than two cores read once in the time
CONVERSATIONS = 48_000  # likewise
MINUTES = 2.35  # of training, including the tokenizer and the measurement of speed
TALKED, LEAST_TALKED = 0.85, 0.5  # the assistant trains for this share of the base's minutes, but at least so many minutes
POINTS, SAMPLES = 200, 250  # of each kind of choice
SHOWN = (("zh", "person ride"), ("en", "person ride"), ("zh", "person home"), ("en", "person home"), ("zh", "person food"))
OF_THE_ARTICLES = {("zh", "person ride"): "小明今天去游乐园玩", ("en", "person ride"): "Ming went to the fair today and rode"}
SHOWN_REPLY = 30  # tokens, of the base
LOOKED_THROUGH = 2_000  # documents, for short prompts of each sort


@dataclass(frozen=True, slots=True)
class WatchedBeginning:
    """How a document begins, up to a value. `attribute`: what it is of, such as "person home"."""

    text: str
    lang: str
    attribute: str


def read_of_it(folder: Path, minutes: float, seed: int, stop: Callable[[], bool]) -> Iterator[Event]:
    """Makes a world and a base model in `folder`, or what is missing of them.

    Raises:
        LiuliError: the folder contains something else; what making a world and training raise.
    """
    world = World()
    place = folder / WORLD
    if not place.is_dir():
        check_new_folder(folder)
    job, going_on = Job.of(sources=(str(place / "documents.jsonl"),)), bool(checkpoints(folder / RUN))
    if not going_on:
        probes = tuple(prompt.text for prompt in prompts_of(world))
        job = job.but(size="nano", minutes=minutes, seed=seed, probes=probes)
    if open_folder(place) is None:
        yield Note("generating the corpus (Chinese and English)")
        write_folder(world, str(place), DOCUMENTS)
    yield from pretrain(job, folder / RUN, going_on, stop=stop, command=_typed(folder))


def talk_of_it(folder: Path, minutes: float, seed: int, stop: Callable[[], bool]) -> Iterator[Event]:
    """Makes an assistant of the base model, if there is none. Raises as `finetune`."""
    going_on, dialogues = bool(checkpoints(folder / ASSISTANT)), folder / DIALOGUES
    if not dialogues.exists():
        yield Note("generating dialogues about the corpus")
        write_dialogues(World(), dialogues, CONVERSATIONS)
    job = Job.of(sources=(str(dialogues),), mix=str(folder / WORLD / "documents.jsonl"))
    if not going_on:
        asked = tuple(question.text for question in three_questions(World()))
        budget = max(LEAST_TALKED, TALKED * minutes)
        job = job.but(parent=str(folder / RUN / "model"), minutes=budget, seed=seed, probes=asked)
    yield from finetune(job, folder / ASSISTANT, going_on, stop=stop, command=_typed(folder))


def _typed(folder: Path) -> list[str]:
    return ["liuli", "begin", "--out", str(folder)]


def report(folder: Path) -> dict[str, Any]:
    """All numbers of a finished `begin`, saved in `report.json`. They are computed again only if a model changed."""
    model, assistant = load(folder / RUN / "model"), load(folder / ASSISTANT / "model")
    known = read_json(folder / REPORT)
    if [known.get(name, {}).get("hash") for name in ("model", "assistant")] == [model.hash, assistant.hash]:
        return known
    world = World()
    found = _of_base(folder, world, model) | {"assistant": _of_assistant(folder, world, model, assistant)}
    write_text(folder / REPORT, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return found


def _of_base(folder: Path, world: World, model: Model) -> dict[str, Any]:
    tokenizer = model.tokenizer
    assert tokenizer is not None
    card, trace = read_json(model.folder / "liuli.json"), read_json(folder / RUN / TRACE)["body"]
    compared = compare_with_world(model.decoder, tokenizer, world, POINTS, SAMPLES)
    scorer = world_scorer(model.decoder, tokenizer)
    floor = floor_per_token(world, tokenizer)
    parameters = sum(parameter.numel() for parameter in model.decoder.parameters())
    answers = [
        {
            "prompt": prompt.text,
            "lang": prompt.lang,
            "attribute": prompt.attribute,
            "pieces": [
                {"text": piece, "truth": truth, "learned": learned}
                for piece, truth, learned in shares_at(world, scorer, prompt.text)
            ],
        }
        for prompt in prompts_of(world)
    ]
    return {
        "model": {"hash": model.hash, "parameters": parameters, "layers": model.config.layers},
        "training": {name: card[name] for name in ("step", "tokens_seen", "recipe", "fixed", "seed")},
        "validation": card["metrics"]["validation"],
        "floor": floor.to_json(),
        "losses": [{"step": step, "loss": loss} for step, loss in zip(trace["steps"], trace["loss"], strict=True)],
        "prompts": answers,
        "playback": [
            {"prompt": probe["input"]["text"], "steps": trace["steps"], "top": [top[:3] for top in probe["top"]]}
            for probe in trace["probes"]
        ],
        "world": compared.to_json(),
    }


def _of_assistant(folder: Path, world: World, model: Model, assistant: Model) -> dict[str, Any]:
    card, chat = read_json(assistant.folder / "liuli.json"), assistant.chat
    asked = three_questions(world)
    replies = reply_to(assistant.decoder, chat, asked)
    return {
        "hash": assistant.hash,
        "training": {name: card[name] for name in ("step", "tokens_seen", "recipe", "fixed", "seed")},
        "validation": card["metrics"]["validation"],
        "answers": [found.to_json() for found in ask(assistant.decoder, chat, Conversations(world))],
        "questions": [
            {
                "question": question.text,
                "group": question.group,
                "truth": question.answer,
                "base": model.complete(question.text, max_tokens=SHOWN_REPLY, temperature=0.0).text,
                "assistant": reply.text,
            }
            for question, reply in zip(asked, replies, strict=True)
        ],
    }


def three_questions(world: World) -> list[Question]:
    """The first of each group, in Chinese, English, and Chinese."""
    conversations = Conversations(world)
    asked: tuple[tuple[Group, Code], ...] = (("a", "zh"), ("b", "en"), ("c", "zh"))
    return [conversations.questions(group, lang)[0] for group, lang in asked]


def prompts_of(world: World) -> list[WatchedBeginning]:
    """For each sort in `SHOWN`, the articles' prompt or the shortest beginning of a document that stops before such a value."""
    found: dict[tuple[str, str], str] = dict(OF_THE_ARTICLES)
    for document in world.documents(LOOKED_THROUGH, seed=1):
        for state, choice, place in read(world.start, document):
            if choice is not None and isinstance(state.step, ValueStep) and len(choice.pieces) + (choice.kind == "fact") > 1:
                sort = state.step.code, state.step.attribute(state)
                if sort not in OF_THE_ARTICLES:
                    found[sort] = min(found.get(sort, document[:place]), document[:place], key=len)
    return [WatchedBeginning(found[sort], *sort) for sort in SHOWN]
