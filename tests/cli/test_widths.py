"""Every screen at 60, 80 and 160 columns, in Chinese and English: no line is wider than the terminal, and no number is broken.

Exempt are commands, which stay on one line, so that they can be copied.
"""

import io
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from helpers import pairs, tiny
from helpers.terminal import screen as screen  # a fixture
from helpers.trainings import write_config, write_corpus
from rich.cells import cell_len
from rich.live import Live

from liuli.cli.app import app
from liuli.cli.output import Screen
from liuli.cli.progress import MIXED, Progress
from liuli.evaluate.loss import Evaluation
from liuli.learn.run.events import Doing, Event, Finished, Note, Ready, Sampled, Stopped, Update, Validated
from liuli.model.adapters import lora, peft_folder
from liuli.model.formats.detect import hash_model, read_decoder

WIDTHS = (60, 80, 160)
COMMAND = re.compile(r"\s*(Resume with: )?liuli [a-z]")  # begins a line that is a command
ASKED = "小明今天去游乐园玩 the cat"
TEXT = "小明今天去游乐园玩，他坐了过山车。The cat sat on the mat, and nobody knows why it stayed there until Monday.\n\n"
MESSAGES = [
    {"role": "user", "content": "小明住在哪儿？ Where?"},
    {"role": "assistant", "content": "他住在月港，in the harbour town."},
]
COMMANDS = (
    ["begin"], ["tokenize"], ["complete"], ["chat"], ["plan"], ["train"], ["finetune"], ["compare"], ["evaluate"], ["merge"],
    ["convert"], ["runs"], ["data"], ["data", "look"], ["data", "convert"], ["tokenizer"], ["tokenizer", "train"], ["world"],
    ["world", "ask"], ["world", "dialogues"], ["look"], [],
)  # fmt: skip

Shows = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder of everything that the commands need; within it, names are short."""
    folder = tmp_path_factory.mktemp("place")
    pairs.save_base(folder / "base")
    pairs.save_assistant(folder / "assistant", folder / "base")
    (folder / "tiny").mkdir()
    tiny.save(folder / "tiny")
    wide = shutil.copytree(folder / "tiny", folder / "wide")
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
    decoder = read_decoder(folder / "base")
    lora.add(decoder, lora.LoRASettings(rank=2), seed=0)
    peft_folder.save(decoder, folder / "adapter", "base", hash_model(folder / "base"))
    write_corpus(folder)
    write_config(folder)
    (folder / "文本.txt").write_text(TEXT * 20, encoding="utf-8")
    for name, count in (("talks.jsonl", 1), ("lessons.jsonl", 60)):
        talks = ([{**MESSAGES[0], "content": f"{i} {MESSAGES[0]['content']}"}, MESSAGES[1]] for i in range(count))
        lines = [json.dumps({"messages": messages}) + "\n" for messages in talks]
        (folder / name).write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(params=WIDTHS)
def shows(request, screen, place, monkeypatch) -> Shows:
    """Runs a command at a terminal and checks its lines. Returns all words that it printed, with one space between them: a
    number that was broken is two words there."""
    threads = torch.get_num_threads()
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))

    def run(*words: object, stdin: bytes = b"", code: int = 0) -> str:
        ended, text = screen(*words, stdin=stdin, columns=request.param)
        torch.set_num_threads(threads)
        assert ended == code, text
        return checked(text, request.param)

    run.columns = request.param  # pyright: ignore[reportFunctionMemberAccess]
    return run


def checked(text: str, columns: int) -> str:
    for line in text.splitlines():
        assert cell_len(line.rstrip()) <= columns or COMMAND.match(line), f"{cell_len(line)} cells: {line}"
    return " ".join(text.split())


def out(shows: Shows, name: str) -> str:
    return f"{name}{shows.columns}"  # pyright: ignore[reportFunctionMemberAccess]


@pytest.mark.parametrize("sampling", [["--top-k", 6], ["--temperature", 0]], ids=["drawn", "greedy"])
def test_complete_steps(shows, liuli_json, sampling):
    words = ["complete", "base", ASKED, "--seed", 3, "--max-tokens", 4, "--candidates", 8, *sampling]
    shown = shows(*words, "--steps")
    for step in liuli_json(*words)["steps"]:
        assert f"(id {step['token']['id']})" in shown
        for candidate in step["candidates"]:
            if "--top-k" in sampling and candidate["interval"]:
                lower, upper = candidate["interval"]
                assert re.search(rf"\b{lower:.4f}\d*–{upper:.4f}".replace(".", r"\."), shown)
        if "--top-k" in sampling:
            assert f"random number {step['uniform']:.4f}" in shown and "removed by top-k" in shown


def test_chat(shows):
    said = "小明住在哪儿？\n/candidates\n/undo\n/help\n/system\n"
    shown = shows("chat", "assistant", "--seed", 3, "--max-tokens", 4, "--top-k", 6, stdin=said.encode())
    for words in (
        "a context of 128 tokens",
        "it reached 4 tokens (--max-tokens)",
        "random number 0.",
        "step 4, position",
        "/load FILE",
    ):
        assert words in shown


def test_compare(shows, liuli_json):
    words = ["compare", "base", "assistant", "tiny", "base", "--prompt", ASKED, "--seed", 3, "--max-tokens", 6]
    shown = shows(*words)
    for answer in liuli_json(*words)["body"]["prompts"][0]["answers"]:
        for score in answer["scores"]:
            assert f"{score['nats']:.2f} ({score['per_byte']:.3f})" in shown
    assert "did not all read the same token ids" in shown


def test_tokenize(shows):
    shown = shows("tokenize", "base", f"{ASKED}{' ' * 70}🙂", "--steps")
    assert re.search(r"\d+ tokens, 88 characters, \d+ bytes", shown)
    shown = shows("tokenize", "assistant", "--chat", "talks.jsonl")
    assert re.search(r"1 dialogue: \d+ tokens, \d+ supervised; chat template: ", shown)


def test_data(shows):
    shown = shows("data", "look", "文本.txt", "texts.jsonl")
    for words in ("documents ", "Han ", "held out ", "excerpts", "文本.txt"):
        assert words in shown
    assert "1 dialogue written to " in shows("data", "convert", "talks.jsonl", "--out", out(shows, "talks") + ".jsonl")


def test_evaluate(shows):
    assert re.search(r"^\d+\.\d{4} nats/token, \d+\.\d{4} bits/byte, perplexity ", shows("evaluate", "base", "文本.txt"))
    shows("world", "--documents", 5, "--out", out(shows, "world"))
    shown = shows("evaluate", "wide", out(shows, "world"), "--points", 2)
    assert re.search(
        r"habits: the largest frequency error of each habit, averaged: \d+\.\d percentage points; a single habit", shown
    )


def test_world(shows):
    shown = shows("world", "ask", "小明今天去游乐园玩")
    assert "60.00% 过山车 40.00% 大风车" in shown
    assert "60.00% ·the·roller·coaster" in shows("world", "ask", "--lang", "en", "Ming went to the fair today and rode")
    assert "(the beginning) → a choice of words" in shows("world", "ask", "")
    assert "12 dialogues written to " in shows("world", "dialogues", "--count", 12, "--out", out(shows, "asked") + ".jsonl")


@pytest.mark.parametrize("size", ["nano", "gpt3-175b", "tiny"])
def test_plan(shows, size):
    shown = shows("plan", size)
    assert re.search(r"[\d.]+ [kMGT]?B per token in bf16; [\d.]+ [kMGT]?B at [\d,]+ tokens", shown)
    here = r"about [\d.,]+ (s|min|h|d|years)( \d+ (s|min|h))? on this machine"
    assert re.search(rf"on one h100, at 40% of its peak FLOP/s {here}", shown)


def test_tokenizer_train(shows):
    shown = shows("tokenizer", "train", "文本.txt", "--out", out(shows, "tokenizer"), "--kind", "char")
    assert re.search(r"characters, \d+ tokens, trained on all of [\d,]+ bytes", shown)


def test_convert_and_merge(shows):
    shown = shows("convert", "base", "--out", out(shows, "converted"))
    assert re.search(r"base in fp32, hash \w{12} Try it with: liuli", shown)
    assert "base in f16, 0 MB; tensors: " in shows("convert", "base", "--gguf", out(shows, "converted") + ".gguf")
    shown = shows("merge", "base", "adapter", "--out", out(shows, "merged"))
    assert re.search(r"base with adapter merged into its weights, fp32, hash \w{60} ?\w{4}$", shown)


def test_train_and_runs(shows):
    small = ["--config", "shape.json", "--tokenizer", "char", "--length", 32, "--rows", 2, "--threads", 1, "--dtype", "fp32"]
    run = out(shows, "run")
    shown = shows("train", "texts.jsonl", "--out", run, *small, "--tokens", 40 * 64, "--probe", "小明")
    assert re.search(r"step 40 of 40, loss \d\.\d{3}, validation \d\.\d{3} nats/token, \d\.\d{3} bits/byte, ", shown)
    assert re.search(r"done: 40 steps, [\d,]+ tokens, (<1|\d+) s, peak memory \d\.\d\d GB", shown)
    shown = shows("runs", run)
    assert re.search(rf"{run}: finished at step 40 of 40; [\d,]+ tokens seen in (<1|\d+) s of training", shown)
    assert re.search(r"validation \d\.\d{4} nats/token, \d\.\d{4} bits/byte", shown)
    listed = shows("runs", ".")
    assert "40/40" in listed and re.search(r"\d\.\d{3}", listed) and "now" in listed
    tuned = out(shows, "tuned")
    shown = shows("finetune", "base", "lessons.jsonl", "--valid", "talks.jsonl", "--mix", "文本.txt", "--out", tuned,
                  "--epochs", 3, "--threads", 1, "--dtype", "fp32")  # fmt: skip
    assert MIXED in shown and re.search(r"[\d,]+ tokens/s \([\d,]+ supervised\), \d+% of the machine's peak", shown)
    assert MIXED in shows("runs", tuned)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(shows, command):
    shown = shows(*command, "--help")
    assert "Usage: liuli" in shown and "Example" in shown
    found: Any = typer.main.get_command(app)
    for name in command:
        found = found.commands[name]
    for option in (name for param in found.params if param.param_type_name == "option" for name in param.opts):
        assert f"{option} " in shown, option


def events() -> list[Event]:
    found = Evaluation(nats=123456.0, tokens=100_000, bytes=400_000, windows=4, length=32)
    recipe = {"rows": 32, "length": 256, "rate": 0.0212}
    fixed = {"device": "cpu", "dtype": "bf16", "threads": 12, "compile": True}
    ready = Ready(60, 12_345, 123_456_789, 50_000, recipe, fixed, 1e9, 1e12, 9.0, 3.1e9, 23 * 10**9, 3840, mixed=True)
    steps = [Update(60 + i, 3.0, 1.0, 1.0, 64 * (60 + i), 0.5) for i in range(1, 1300)]
    return [
        Doing("reading the data"), Note("tokenizer: trained by an earlier attempt"), ready, *steps,
        Validated(1359, found, True),
        Sampled(1359, "", "小明今天去游乐园玩，他坐了过山车。" * 6), steps[-1],
        Finished(12_345, 6_400_000, 40, found, 10**9),
    ]  # fmt: skip


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("soft", [False, True], ids=["wrapping", "soft wrapping"])
def test_the_panel_and_the_lines_of_a_run(columns, soft, monkeypatch):
    """Whatever the console's own way to wrap is."""
    monkeypatch.setattr("liuli.cli.progress.Live", partial(Live, auto_refresh=False))  # drawn only when an event comes
    terminal = io.StringIO()
    how = {"width": columns, "height": 50, "soft_wrap": soft, "color_system": None, "_environ": {"TERM": "xterm"}}
    screen = Screen(file=terminal, force_terminal=True, **how)
    code = Progress(Path("run"), 0.0, "liuli finetune --out run --resume", screen, "supervised tokens").follow(events())
    assert code == 0
    lines = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|\r", "", terminal.getvalue().replace("\x1b[2K", "\n"))
    shown = checked(re.sub(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] .*", "", lines), columns)  # the panel before the first step
    for words in (
        "60: 12,345 steps, 123,456,789 parameters (50,000 trainable), 32 sequences of 256 tokens per step, learning rate",
        "step 1,359 of 12,345 loss 3.000 1 h 31 min left",
        "16,384 tokens/s (128 supervised), 1638% of the machine's peak",
        "step 1,359 of 12,345, loss 3.000, validation 1.235 nats/token, 0.445 bits/byte, ",
        "since the resume after step 60: 12,285 steps, 6,396,160 supervised tokens, ",
        "over 100,000 held-out tokens; best at step 40",
    ):
        assert words in shown, words
    assert "小明今天去游乐园玩，他坐了过山车。" * 6 in shown.replace(" ", "")


def test_a_stopped_run_prints_its_command_on_one_line():
    screen = Screen(file=io.StringIO(), force_terminal=True, width=30, height=50, color_system=None)
    command = "liuli train --out a-folder-of-a-long-name/run --resume"
    assert Progress(Path("run"), 0.0, command, screen).follow([Stopped(5, 10)]) == 130
    assert f"  {command}\n" in screen.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("columns", WIDTHS)
def test_long_lines_are_wrapped_between_words_and_indented(columns):
    words = ["小明", "has", "1,234,567", "cats", "and", "one", "dog,"] * 8
    screen = Screen(file=io.StringIO(), force_terminal=True, width=columns, height=50, color_system=None)
    screen.print_text("  " + " ".join(words), before="name: ")
    lines = screen.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert len(lines) > 1 and max(map(cell_len, lines)) <= columns
    assert lines[0].startswith("name:   小明 has") and all(line.startswith(" " * 8) and line[8] != " " for line in lines[1:])
    assert " ".join(lines).replace("name:", "").split() == words


def test_a_pipe_gets_whole_lines():
    screen = Screen(file=io.StringIO(), width=30)
    screen.print_text("one two " * 10 + "\nthree", before="> ")
    assert screen.file.getvalue() == f"> {'one two ' * 10}\n> three\n"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def liuli_json(screen) -> Callable[..., dict]:
    """The JSON of a command, from the folder that `shows` uses."""

    def run(*words: object) -> dict:
        ended, text = screen(*words, "--json")
        assert ended == 0, text
        return json.loads(text)

    return run
