"""`liuli begin`: the world, the model and the report; and what a second start does."""

import io
import json
import math
from itertools import product

import pytest
from rich.cells import cell_len

from liuli.cli import begin as command
from liuli.cli.output import Screen
from liuli.files import read_json
from liuli.generate.replies import BatchReply
from liuli.learn.prepare import fixed
from liuli.learn.prepare.machine import Machine
from liuli.learn.run.events import Doing, Note
from liuli.learn.run.folder import checkpoints
from liuli.recipes import begin
from liuli.tokens import open_tokenizer
from liuli.tokens.train import train as train_tokenizer
from liuli.world import World, token_branch
from liuli.world.folder import write_folder
from liuli.world.grammar import read

STEPS = 40
TOKENS = STEPS * 2048


@pytest.fixture(scope="module")
def small():
    """Little of everything, and the same dtype and threads in every run."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("DOCUMENTS", 2_000), ("CONVERSATIONS", 400), ("LEAST", 1.0), ("POINTS", 3), ("SAMPLES", 6)):
            patch.setattr(begin, name, value)
        patch.setattr(fixed, "self_test", lambda *asked: Machine("fp32", 1, 1e11, {}))
        yield


def test_begin(liuli, small, tmp_path):
    out = tmp_path / "first"
    result = liuli("begin", "--out", out, "--tokens", TOKENS)
    assert (result.code, result.err) == (0, "")
    shown = ("Probability of each", "Predictions during training", "the entropy", "Difference from the true", "liuli world ask")
    for words in (*shown, "The same questions to the base", "(c) in no training data", "liuli chat"):
        assert words in result.out
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    for prompt in report["prompts"]:
        assert sum(piece["truth"] for piece in prompt["pieces"]) == pytest.approx(1)
        assert sum(piece["learned"] for piece in prompt["pieces"]) == pytest.approx(1)
        assert prompt["prompt"] in result.out
    assert {prompt["lang"] for prompt in report["prompts"]} == {"zh", "en"}
    assert report["validation"]["nats_per_token"] > report["floor"]["nats"]
    assert report["playback"][0]["steps"][0] == 0
    assert {(each["group"], each["lang"]) for each in report["assistant"]["answers"]} == set(product("abcde", ("zh", "en")))
    for each in report["assistant"]["answers"]:
        assert each["right"] + each["refused"] + each["wrong"] == pytest.approx(1)
    assert len(report["assistant"]["questions"]) == 3
    assert report["training"]["step"] == STEPS
    assert report["assistant"]["training"]["step"] == math.ceil(STEPS * begin.ASSISTANT_TOKENS / begin.BASE_TOKENS)
    for part in ("part 1 of 3: the base model", "part 2 of 3: the assistant", "part 3 of 3: comparing"):
        assert part in result.out
    assert "This command took " in result.out
    assert all(each["question"] in result.out for each in report["assistant"]["questions"])

    made = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "metrics.jsonl"}
    again = liuli("begin", "--out", out, "--tokens", TOKENS, "--seed", 0)  # what the folder was made with
    assert again.code == 0
    first, second = (each.out.split("comparing")[1].splitlines() for each in (result, again))
    end = next(i for i, line in enumerate(first) if line.startswith("This command took "))
    assert second[1:end] == first[1:end]
    assert again.out.startswith("part 3 of 3")
    assert "This command took" not in again.out
    assert "Nothing was trained now, because both models in this folder were finished." in again.out
    changed = [path for path, before in made.items() if path.stat().st_mtime_ns != before]
    assert not [path for path in changed if "checkpoints" in path.parts or "world" in path.parts or path.name == "report.json"]


def test_a_begin_that_was_stopped_goes_on(liuli, small, tmp_path, monkeypatch):
    out = tmp_path / "first"
    asked = iter([False] * 5 + [True])
    monkeypatch.setattr("liuli.cli.training.Interrupt.asked", lambda self: next(asked))
    stopped = liuli("begin", "--out", out, "--tokens", TOKENS)
    assert stopped.code == 130
    assert f"Resume with:\n  liuli begin --out {out}" in stopped.out
    assert checkpoints(out / "run")[-1] == 5
    monkeypatch.setattr("liuli.cli.training.Interrupt.asked", lambda self: False)
    assert "from step 5: " in liuli("begin", "--out", out).out

    whole = tmp_path / "whole"
    for _ in begin.read_of_it(whole, TOKENS, None, lambda: False):
        pass
    hashes = [read_json(folder / "run" / "model" / "liuli.json")["hash"] for folder in (out, whole)]
    assert hashes[0] == hashes[1]  # the same to the bit, however long it took


def test_ctrl_c_while_it_prepares_says_how_to_go_on(liuli, small, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(begin, "write_folder", interrupted)
    out = tmp_path / "a folder"
    result = liuli("begin", "--out", out)
    assert (result.code, result.err) == (130, f"liuli: stopped. Run liuli begin --out '{out}' again to resume\n")


def test_what_is_made_is_counted(small, tmp_path):
    counts = []
    events = begin.read_of_it(tmp_path / "first", TOKENS, None, lambda: False, lambda *each: counts.append(each))
    for event in events:
        if event == Doing("reading the data"):
            break
        assert isinstance(event, Note) or event.text.startswith(("computing", "generating the text"))
    events.close()
    assert counts == [("documents", done, 2_000) for done in range(2_000)]


def test_a_short_training_gets_a_small_corpus(monkeypatch):
    monkeypatch.setattr(begin, "LEAST", 0.05)
    made = [begin._in_proportion(100_000, share * begin.BASE_TOKENS) for share in (1, 3, 0.5, 1e-6)]
    assert made == [100_000, 100_000, 50_000, 5_000]


def test_a_corpus_for_another_number_of_tokens_is_refused(liuli, tmp_path, monkeypatch):
    """It is left of a `liuli begin` that was stopped before its first step."""
    monkeypatch.setattr(begin, "LEAST", 0.05)
    monkeypatch.setattr(begin, "DOCUMENTS", 100_000)
    out = tmp_path / "first"
    write_folder(World(), str(out / "world"), 7)
    result = liuli("begin", "--out", out, "--tokens", 2.1e6)
    assert result.code == 2
    assert result.err == (
        f"liuli: {out / 'world'} has 7 documents, but 50,000 are needed for --tokens 2.1e6: remove that folder, or give "
        f"--out a new folder\n"
    )


@pytest.mark.parametrize(
    ("option", "given", "made"),
    [("--seed", 1, "--seed 0"), ("--tokens", 2e6, "--tokens 81920"), ("--tokens", 1e5, "--tokens 81920")],
)
def test_other_settings_than_those_of_the_folder_are_refused(liuli, small, tmp_path, monkeypatch, option, given, made):
    out = tmp_path / "first"
    asked = iter([False, True])
    monkeypatch.setattr("liuli.cli.training.Interrupt.asked", lambda self: next(asked))
    assert liuli("begin", "--out", out, "--tokens", TOKENS).code == 130
    result = liuli("begin", "--out", out, option, given)
    assert (result.code, result.out) == (2, "")
    shown = {1: "1", 2e6: "2e6", 1e5: "1e5"}[given]
    assert result.err == (
        f"liuli: {out} was made with {made}, but {option} {shown} is given now: leave {option} out to use the folder as it is, "
        f"or give --out a new folder\n"
    )
    assert checkpoints(out / "run")[-1] == 1


def test_predictions_are_watched_where_the_next_token_has_a_choice(tmp_path):
    """After "rode", the next token is always "the": that would show nothing."""
    world = World()
    train_tokenizer(world.documents(2_000), vocab_size=1_000).write(tmp_path)
    watched = {(prompt.lang, prompt.attribute): prompt for prompt in begin.prompts_of(world)}
    assert watched["zh", "person ride"].prompt == "小明今天去游乐园玩"
    assert watched["en", "person ride"].prompt == "Ming went to the fair today and rode the"
    found = token_branch(world, open_tokenizer(tmp_path), watched["en", "person ride"].prompt).tokens
    assert found is not None
    assert -sum(share * math.log(share) for share in found.values()) > 0.5  # nats
    for prompt in watched.values():  # nothing that is certain is left before the choice
        *_, (state, choice, _) = read(world.start, prompt.text)
        values = choice.pieces if len(choice.pieces) > 1 else choice.values
        rest = [(state.lead + value).removeprefix(prompt.certain).lstrip() for value in values]
        assert len({text[0] for text in rest}) > 1


def test_a_reply_that_was_cut_within_a_character():
    assert begin._reply(BatchReply("没\N{REPLACEMENT CHARACTER}", 30, "length")) == {"text": "没", "ended": False}
    assert begin._reply(BatchReply("没有", 30, "stop")) == {"text": "没有", "ended": True}


def test_how_replies_and_tokens_are_shown():
    assert command._reply({"text": "", "ended": True}) == "(ends the document here)"
    assert command._reply({"text": "没", "ended": False}) == "没 …"
    shown = [command._token({"token": {"text": text, "bytes": list(data)}}) for text, data in (
        ("没", "没".encode()), ("没\ufffd", "没救".encode()[:5]), ("\ufffd", "救".encode()[:2]), (" the", b" the"),
    )]  # fmt: skip
    assert shown == ["没", "没…", "(part of a character)", "·the"]


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_screens_rows_fit(tmp_path, columns):
    """At a terminal no row is broken, and no word within it; a command stays in one piece to be copied."""
    tokens = [{"text": text, "bytes": list(text.encode())} for text in (" roller", "过山车", "x")]
    candidates = [{"token": token, "logprob": -0.5} for token in tokens]
    reply = {"text": "a word " * 30, "ended": False}
    report = {
        "prompts": [{"prompt": "Ming", "pieces": [{"text": "the roller coaster", "truth": 1.0, "learned": 1.0}]}],
        "playback": [{"prompt": "Ming", "steps": [0, 2051], "top": [candidates, candidates]}],
        "floor": {"nats": 1.0}, "validation": {"nats_per_token": 1.5}, "losses": [{}, {"loss": 3.0}],
        "training": {"seconds": 100.0}, "compared": "2026-11-30T13:25+00:00",
        "world": {"gaps": {}, "facts": {"zh": 1.0}, "habit_error": 1.0, "whole": 0.1},
        "assistant": {
            "training": {"seconds": 21.0},
            "questions": [{"question": "谁？", "truth": "小明", "group": "c", "base": reply, "assistant": reply}],
            "answers": [{"group": "a", "lang": lang, "right": 1.0, "refused": 1.0} for lang in ("zh", "en")],
        },
    }  # fmt: skip
    file = io.StringIO()
    command.print_report(report, tmp_path, Screen(file=file, width=columns, force_terminal=True, color_system=None), None)
    lines = file.getvalue().splitlines()
    rows = [line.rstrip() for line in lines if not line.startswith("  liuli ") and "folder" not in line]
    assert max(map(cell_len, rows)) <= columns
    assert sum(line.startswith("    step ") and "过山车 61%" in line for line in rows) == 2
    assert "were compared with the corpus on 2026-11-30 at 13:25, after 2 min 1 s of training" in " ".join(
        map(str.strip, lines)
    )


def test_a_folder_that_holds_something_else(liuli, small, tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "novel.txt").write_text("once", encoding="utf-8")
    result = liuli("begin", "--out", tmp_path)
    assert result.code == 2
    assert "contains other files (novel.txt): give a new or empty folder" in result.err


def test_another_run_stands_in_the_folder(liuli, tmp_path):
    """Its folders are not mixed with begin's."""
    (tmp_path / "checkpoints").mkdir()
    result = liuli("begin", "--out", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"liuli: {tmp_path} contains other files (checkpoints): give a new or empty folder\n"
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("option", [("--tokens", -1), ("--tokens", 0), ("--seed", -1)])
def test_wrong_numbers_make_nothing(liuli, tmp_path, option):
    result = liuli("begin", "--out", tmp_path / "new", *option)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1 and str(option[1]) in result.err
    assert not (tmp_path / "new").exists()
