"""No command is silent at a terminal: each shows what it is doing.

The moment for which nothing is shown is set to 0, so that all that would be shown of longer work appears.
"""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from helpers import talking, tiny
from helpers.terminal import pseudo_terminal as pseudo_terminal  # a fixture
from helpers.trainings import job_in, run, write_config, write_corpus

from liuli.cli import work_progress
from liuli.cli.app import app
from liuli.model.adapters import lora, peft_folder
from liuli.model.formats.detect import hash_model, read_decoder
from liuli.world import World
from liuli.world.folder import write_folder

PARTS = "part {} of 9: "
SMALL = ("--length", 32, "--rows", 2, "--threads", 1, "--dtype", "fp32")
WORKING = {  # the words of a command, and what is shown while it works
    "evaluate": [
        (("evaluate", "model", "texts.jsonl"), ["loading model", "reading texts.jsonl", " kB of ", "evaluating", "0 of 300"]),
        (("evaluate", "wide", "place", "--points", 2), [PARTS.format(1) + "scoring", PARTS.format(5) + "sampling"]),
        (
            ("evaluate", "assistant", "talks.jsonl", "--exact"),
            ["reading talks.jsonl", "evaluating", "generating replies", "0 of 3"],
        ),
        (("evaluate", "model", "texts.jsonl", "--json"), ["hashing the model"]),
    ],
    "compare": [(("compare", "model", "model", "--prompt", "the"), ["loading models", "generating tokens", "0 of 128"])],
    "complete": [
        (("complete", "model", "the", "--max-tokens", 3), ["loading model", "reading the prompt of 2 tokens"]),
        (("complete", "model", "the", "--max-tokens", 3, "--json"), ["generating tokens", "hashing the model"]),
    ],
    "extract": [
        (("extract", "wide", "the", "--schema", "a bool", "--max-tokens", 20), ["loading wide", "generating tokens"]),
        (("extract", "wide", "the", "--schema", "a bool", "--max-tokens", 20, "--json"), ["hashing the model"]),
    ],
    "convert": [
        (("convert", "assistant", "--gguf", "model.gguf"), ["loading assistant", "writing tensors"]),
        (("convert", "model", "--out", "copy"), ["writing the weights", "hashing the models"]),
    ],
    "agent": [(("agent", "wide", "the", "--max-steps", 1, "--max-tokens", 40), ["opening wide", "step 1"])],
    "join": [
        (
            ("join", "long", "all", "left.csv", "right.csv", "--out", "joined.csv"),
            ["reading right", "loading long", "asking", "joining"],
        )
    ],
    "look": [(("look", "model", "the cat", "--view", "lens"), ["loading model", "reading the layers"])],
    "merge": [(("merge", "model", "adapter", "--out", "merged"), ["loading model", "writing the merged", "hashing the"])],
    "plan": [(("plan", "nano"), ["reading the configuration of nano"])],
    "tokenize": [
        (("tokenize", "model", "the text"), ["opening model", "encoding the text"]),
        (("tokenize", "assistant", "--chat", "talks.jsonl"), ["opening assistant", "reading talks.jsonl"]),
    ],
    "tokenizer train": [
        (("tokenizer", "train", "texts.jsonl", "--out", "new"), ["reading texts.jsonl", "training the tokenizer", "encoding"])
    ],
    "data look": [
        (("data", "look", "texts.jsonl"), ["reading texts.jsonl"]),
        (("data", "look", "talks.jsonl"), ["reading talks.jsonl"]),
    ],
    "data convert": [(("data", "convert", "talks.jsonl", "--out", "converted.jsonl"), ["converting talks.jsonl"])],
    "world": [(("world", "--out", "other", "--documents", 9), ["writing documents", "computing the entropy of the world"])],
    "world ask": [(("world", "ask", "小明今天去游乐园玩"), ["computing the probabilities"])],
    "world dialogues": [(("world", "dialogues", "--out", "asked.jsonl", "--count", 9), ["writing dialogues"])],
    "runs": [(("runs",), ["reading the runs"]), (("runs", "trained"), ["reading the run"])],
    "train": [
        (
            ("train", "texts.jsonl", "--config", "shape.json", "--tokenizer", "char", "--out", "run", *SMALL, "--tokens", 640),
            ["starting", "preparing   ", "reading the data   ", "texts.jsonl, "],
        )
    ],
    "finetune": [
        (
            ("finetune", "assistant", "many.jsonl", "--out", "tuned", *SMALL, "--epochs", 1),
            ["starting", "preparing   ", "encoding the data   "],
        )
    ],
}
OTHERS = {  # commands that are tested elsewhere
    "begin": "tests/cli/test_begin_command.py",
    "chat": "tests/cli/test_chat_command.py",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the models and the data that the commands above name."""
    folder = tmp_path_factory.mktemp("place")
    for name, context in (("model", None), ("wide", 512), ("long", 4096)):
        (folder / name).mkdir()
        tiny.save(folder / name)
        if context:
            config = json.loads((folder / name / "config.json").read_text())
            (folder / name / "config.json").write_text(json.dumps(config | {"max_position_embeddings": context}))
    talking.save(folder / "assistant")
    decoder = read_decoder(folder / "model")
    lora.add(decoder, lora.LoRASettings(rank=2), seed=0)
    peft_folder.save(decoder, folder / "adapter", str(folder / "model"), hash_model(folder / "model"))
    write_corpus(folder)
    write_config(folder)
    run(job_in(folder, 5), folder / "trained")
    write_folder(World(), str(folder / "place"), 9)
    talks = [{"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "Hi!"}]} for i in range(60)]
    for name in ("left", "right"):
        (folder / f"{name}.csv").write_text(f"id,{name}\n1,x\n")
    (folder / "talks.jsonl").write_text("\n".join(map(json.dumps, talks[:3])))
    (folder / "many.jsonl").write_text("\n".join(map(json.dumps, talks)))
    return folder


@pytest.fixture
def patient(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setattr(work_progress, "PATIENCE", 0)
    monkeypatch.setattr(work_progress, "INTERVAL", 0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def leaves(group: Any, before: str = "") -> set[str]:
    """The names of all commands that do something by themselves."""
    found = set()
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None or command.invoke_without_command:
            found.add(before + name)
        if inner is not None:
            found |= leaves(command, f"{before}{name} ")
    return found


def test_every_command_is_here():
    assert leaves(typer.main.get_command(app)) == WORKING.keys() | OTHERS.keys()


@pytest.mark.parametrize(
    ("words", "shown"), [each for some in WORKING.values() for each in some], ids=lambda each: " ".join(map(str, each))[:60]
)
def test_what_a_command_shows_while_it_works(pseudo_terminal, patient, words, shown):
    code, seen = pseudo_terminal(*words)
    assert code == 0, seen
    for text in shown:
        assert text in seen, text
    assert re.search(r"\d s\b", seen)  # the time left, or the time since the work began


@pytest.mark.parametrize(
    "words", [words for some in WORKING.values() for words, _ in some if words[0] not in ("train", "finetune")], ids=str
)
def test_nothing_of_it_reaches_a_file(liuli, patient, tmp_path, words):
    pairs = pairwise(("", *words))
    result = liuli(*(tmp_path / word if before in ("--out", "--gguf") else word for before, word in pairs))
    assert result.code == 0
    assert "\x1b" not in result.err
