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
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

from liuli.errors import LiuliError
from liuli.evaluate.against_world import compare_with_world, world_scorer
from liuli.evaluate.questions import ask, reply_to
from liuli.files import read_json, write_text
from liuli.generate.completion import Completion
from liuli.generate.model import Model, load
from liuli.generate.replies import BatchReply
from liuli.learn.prepare.job import Job, option_name
from liuli.learn.run.events import Doing, Event, Note
from liuli.learn.run.folder import TRACE, checkpoints, read_metrics, read_settings
from liuli.learn.run_stage import finetune, pretrain
from liuli.output_paths import check_new_folder
from liuli.units import counted
from liuli.watch import Watch, counting, unwatched
from liuli.world import World, floor_per_token, shares_at
from liuli.world.dialogues import Conversations, Group, Question, write_dialogues
from liuli.world.folder import open_folder, write_folder
from liuli.world.grammar import read
from liuli.world.language import Code
from liuli.world.steps import ValueStep

WORLD, RUN, ASSISTANT, DIALOGUES, REPORT = "world", "run", "assistant", "dialogues.jsonl", "report.json"
DOCUMENTS = 100_000  # about as many as the base model reads
CONVERSATIONS = 48_000
LEAST = 0.05  # of both, however few tokens are asked for
# How long the two models train. Tokens, not minutes: what they learn does not depend on the machine's speed.
BASE_TOKENS = 4.2e6
ASSISTANT_TOKENS = 3.4e6  # with another number for the base model, in proportion
POINTS, SAMPLES = 200, 250  # of each kind of choice
SHOWN = (("zh", "person ride"), ("en", "person ride"), ("zh", "person home"), ("en", "person home"), ("zh", "person food"))
OF_THE_ARTICLES = {("zh", "person ride"): "小明今天去游乐园玩", ("en", "person ride"): "Ming went to the fair today and rode"}
SHOWN_REPLY = 30  # tokens, of the base
LOOKED_THROUGH = 2_000  # documents, for short prompts of each sort
COMPARED = ("seed", "tokens")  # settings that a folder keeps


@dataclass(frozen=True, slots=True)
class WatchedBeginning:
    """How a document begins, up to a value. `attribute`: what it is of, such as "person home". `certain`: what follows
    whichever value it is."""

    text: str
    lang: str
    attribute: str
    certain: str

    @property
    def prompt(self) -> str:
        """The beginning up to where the next token has a real choice: a model's predictions are watched there."""
        return self.text + self.certain


def read_of_it(
    folder: Path,
    tokens: float | None,
    seed: int | None,
    stop: Callable[[], bool],
    count: Watch = unwatched,
    read: Watch | None = None,
) -> Iterator[Event]:
    """Makes a world and a base model in `folder`, or what is missing of them.

    Args:
        tokens: that the base model trains on. seed: of the weights and the data's order. None: those of the folder, or the
            defaults.
        stop: asked between two steps. count: is called as documents are written. read: is called as files are read.

    Raises:
        LiuliError: the folder contains something else, or was made with other settings; what making a world and training raise.
    """
    world = World()
    place = folder / WORLD
    if not place.is_dir():
        check_new_folder(folder)
    job = Job.of(sources=(str(place / "documents.jsonl"),), tokens=tokens, seed=seed)
    going_on = bool(checkpoints(folder / RUN))
    if going_on:
        _check_settings(folder, job)
    if _is_trained(folder / RUN):
        return
    yield Note("part 1 of 3: the base model")
    budget = (_base_job(folder).budget.tokens if going_on else tokens) or BASE_TOKENS
    if not going_on:
        prompts = tuple(prompt.prompt for prompt in prompts_of(world))
        job = job.but(size="nano", tokens=budget, seed=seed or 0, probes=prompts)
    documents = _in_proportion(DOCUMENTS, budget)
    if open_folder(place) is None:
        yield Doing("computing the entropy of the world")
        _ = world.floor  # computed once, for the README of the world
        yield Doing("generating the text (Chinese and English)")
        write_folder(world, str(place), documents, lambda texts: counting(texts, "documents", documents, count))
    elif not going_on:
        _check_documents(place, documents, budget)
    yield from pretrain(job, folder / RUN, going_on, stop=stop, command=_typed(folder, tokens, seed), watch=read)


def talk_of_it(
    folder: Path,
    tokens: float | None,
    seed: int | None,
    stop: Callable[[], bool],
    count: Watch = unwatched,
    read: Watch | None = None,
) -> Iterator[Event]:
    """Makes an assistant of the base model, if there is none. `tokens`: of the base model. For the other arguments see
    `read_of_it`. Raises as `finetune`."""
    going_on, dialogues = bool(checkpoints(folder / ASSISTANT)), folder / DIALOGUES
    if _is_trained(folder / ASSISTANT):
        return
    yield Note("part 2 of 3: the assistant")
    job = Job.of(sources=(str(dialogues),), mix=str(folder / WORLD / "documents.jsonl"))
    base = _base_job(folder)
    budget = base.budget.tokens or BASE_TOKENS
    if not going_on:
        job = job.but(
            parent=str(folder / RUN / "model"),
            tokens=budget / BASE_TOKENS * ASSISTANT_TOKENS,
            seed=base.seed,
            probes=tuple(question.text for question in three_questions(World())),
        )
    if not dialogues.exists():
        yield Doing("generating dialogues about the world")
        number = _in_proportion(CONVERSATIONS, budget)
        write_dialogues(World(), dialogues, number, lambda found: counting(found, "dialogues", number, count))
    command = _typed(folder, tokens, seed)
    yield from finetune(job, folder / ASSISTANT, going_on, stop=stop, command=command, watch=read)


def _base_job(folder: Path) -> Job:
    """What the base model's run was asked to do."""
    settings = read_settings(folder / RUN)
    assert settings is not None
    return Job.from_json(settings["job"])


def _in_proportion(number: int, tokens: float) -> int:
    """How much of a corpus a base model that trains on `tokens` tokens needs. A longer training than usual reads it again."""
    return math.ceil(number * min(1.0, max(LEAST, tokens / BASE_TOKENS)))


def _check_documents(place: Path, number: int, tokens: float) -> None:
    """Raises LiuliError: an earlier `liuli begin`, stopped before its first step, has made another number of documents."""
    found = (place / "documents.jsonl").read_bytes().count(b"\n")
    if found != number:
        raise LiuliError(
            f"{place} has {counted(found, 'document')}, but {number:,} are needed for --tokens {_short(tokens)}: remove that "
            f"folder, or give --out a new folder"
        )


def _check_settings(folder: Path, given: Job) -> None:
    """Raises LiuliError: the folder was made with other settings than those given now."""
    settings = read_settings(folder / RUN)
    before = Job.from_json(settings["job"]) if settings else given
    differing = given.differences(before)
    for name in COMPARED:
        if name in differing:
            now, then = differing[name]
            option = f"--{option_name(name)}"
            was = f"without {option}" if then is None else f"with {option} {_short(then)}"
            raise LiuliError(
                f"{folder} was made {was}, but {option} {_short(now)} is given now: leave {option} out to use the folder as it "
                f"is, or give --out a new folder"
            )


def _short(number: float) -> str:
    """As people type it: `4.2e6`, `12`."""
    mantissa, _, exponent = f"{number:.6e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if number >= 1e5 else f"{number:g}"


def _typed(folder: Path, tokens: float | None, seed: int | None) -> list[str]:
    given = {"tokens": tokens, "seed": seed}
    options = [word for name, value in given.items() if value is not None for word in (f"--{name}", _short(value))]
    return ["liuli", "begin", "--out", str(folder), *options]


def _is_trained(run: Path) -> bool:
    """Whether the run's last checkpoint is that of its last step."""
    card = read_json(run / "model" / "liuli.json")
    return "step" in card and card["step"] == card["steps"]


def is_trained(folder: Path) -> bool:
    """Whether both models are finished."""
    return _is_trained(folder / RUN) and _is_trained(folder / ASSISTANT)


def report(folder: Path, watch: Watch = unwatched) -> dict[str, Any]:
    """All numbers of a finished `begin`, saved in `report.json`. They are computed again only if a model changed.

    Args:
        watch: is called with the name of each part before it is computed.
    """
    model, assistant = load(folder / RUN / "model"), load(folder / ASSISTANT / "model")
    known = read_json(folder / REPORT)
    hashes = [known.get(name, {}).get("hash") for name in ("model", "assistant")]
    if hashes == [model.hash, assistant.hash] and "compared" in known:
        return known
    world = World()
    with _one_thread():
        found = _of_base(folder, world, model, watch) | {"assistant": _of_assistant(folder, world, model, assistant, watch)}
    found["compared"] = datetime.now().astimezone().isoformat(timespec="minutes")
    write_text(folder / REPORT, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """A model of this size gains nothing from a second thread, and loses much if the other core is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _of_base(folder: Path, world: World, model: Model, watch: Watch) -> dict[str, Any]:
    tokenizer = model.tokenizer
    assert tokenizer is not None
    card, trace = read_json(model.folder / "liuli.json"), read_json(folder / RUN / TRACE)["body"]
    watch("the base model's probabilities", 0, 0)
    compared = compare_with_world(model.decoder, tokenizer, world, POINTS, SAMPLES, watch)
    scorer = world_scorer(model.decoder, tokenizer)
    watch("the entropy of the text", 0, 0)
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
        "training": _training(folder / RUN, card),
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


def _of_assistant(folder: Path, world: World, model: Model, assistant: Model, watch: Watch) -> dict[str, Any]:
    card, chat = read_json(assistant.folder / "liuli.json"), assistant.chat
    watch("both models' replies to the same questions", 0, 0)
    asked = three_questions(world)
    continued = [model.complete(question.text, max_tokens=SHOWN_REPLY, temperature=0.0) for question in asked]
    replies = reply_to(assistant.decoder, chat, asked)
    watch("the assistant's answers to all questions", 0, 0)
    return {
        "hash": assistant.hash,
        "training": _training(folder / ASSISTANT, card),
        "validation": card["metrics"]["validation"],
        "answers": [found.to_json() for found in ask(assistant.decoder, chat, Conversations(world))],
        "questions": [
            {
                "question": question.text,
                "group": question.group,
                "truth": question.answer,
                "base": _reply(base),
                "assistant": _reply(reply),
            }
            for question, base, reply in zip(asked, continued, replies, strict=True)
        ],
    }


def _training(run: Path, card: dict[str, Any]) -> dict[str, Any]:
    """How a model was trained. `seconds`: of all its steps."""
    facts = {name: card[name] for name in ("step", "tokens_seen", "recipe", "fixed", "seed")}
    return facts | {"seconds": sum(row.get("seconds", 0.0) for row in read_metrics(run))}


def _reply(found: Completion | BatchReply) -> dict[str, Any]:
    """A reply's text, and whether it ended by itself. Else it was cut at a number of tokens, which may be within a character:
    that character is left out."""
    ended = found.finish_reason == "stop"
    return {"text": found.text if ended else found.text.removesuffix("\N{REPLACEMENT CHARACTER}"), "ended": ended}


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
    return [WatchedBeginning(found[sort], *sort, _certain(world, found[sort], sort[0])) for sort in SHOWN]


def _certain(world: World, beginning: str, lang: str) -> str:
    """What follows the beginning of a document whichever value comes next: in Chinese the words before the value, in English
    also the words with which all possible values begin ("the" of "the roller coaster" and "the Ferris wheel"). Of a fact, which
    has one true value, all values of its kind count."""
    *_, (state, choice, _) = read(world.start, beginning)
    assert choice is not None
    values = choice.pieces if len(choice.pieces) > 1 else choice.values
    if lang == "zh":  # a tokenizer may join any characters of a value
        return state.lead
    columns = zip(*(state.lead + value for value in values), strict=False)
    common = "".join(characters[0] for characters in takewhile(lambda each: len(set(each)) == 1, columns))
    return common[: max(0, common.rfind(" "))]  # a space belongs to the token behind it
