"""What a user of `liuli train` may get wrong: one line that says what, where and what to do; nothing is lost by it."""

import json
import os

import pytest
import torch
from helpers.trainings import assert_same, job_in, kept, run, sentences, write_corpus

from liuli.errors import LiuliError
from liuli.learn.prepare import budget
from liuli.learn.prepare.budget import Pace
from liuli.learn.run.events import Note
from liuli.learn.run.folder import Run, checkpoints, read_metrics
from liuli.learn.run.state import _digest, file_hash
from liuli.learn.stages import pretrain as pretrain_stage
from liuli.learn.step.loop import Training

SHORT = ("--tokens", 20 * 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    job_in(folder)
    return folder


@pytest.fixture
def train(liuli, folder, tmp_path):
    """The command with a small job; what is given again counts."""

    def train(*words, corpus=folder / "texts.jsonl", out=tmp_path / "run"):
        small = ("--config", folder / "shape.json", "--tokenizer", "char", *SHORT, "--length", 32, "--rows", 2)
        machine = ("--device", "cpu", "--dtype", "fp32", "--threads", 1)
        return liuli("train", corpus, "--out", out, *small, *machine, *words)

    return train


@pytest.fixture
def stopped(folder, tmp_path):
    """A run that was stopped after step 7 of 20."""
    run(job_in(folder, 20), tmp_path / "run", at=[7])
    return tmp_path / "run"


@pytest.fixture
def resume(liuli, stopped):
    return lambda *words: liuli("train", "--out", stopped, "--resume", *words)


def assert_one_line(result, *parts):
    assert result.code == 2
    assert result.err.startswith("liuli: ")
    assert result.err.count("\n") == 1
    for part in parts:
        assert str(part) in result.err


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def rewrite_facts(out, **change):
    """A state as another machine would have written it."""
    path = out / "latest/state/state.json"
    facts = json.loads(path.read_text())
    facts.pop("sha256")
    facts["fixed"] |= change
    path.write_text(json.dumps(facts | {"sha256": _digest(facts)}))


def test_it_can_be_done_right(train, resume, folder, stopped):
    result = train("--resume")
    assert (result.code, result.err) == (0, "")
    assert "done: 20 steps" in result.out
    wanted = stopped.with_name("whole")
    assert train(out=wanted).code == 0
    assert_same(kept(stopped), kept(wanted))
    assert resume().code == 0  # a finished run says so again
    assert_same(kept(stopped), kept(wanted))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tokens", "nan"), "--tokens must be a number above 0"),
        (("--tokens", -5), "--tokens must be a number above 0"),
        (("--minutes", 5), "--minutes and --tokens cannot both be given: choose one"),
        (("--size", "nano"), "--size and --config cannot both be given"),
        (("--from", "x"), "cannot both be given"),
        (("--config", "nowhere.json"), "there is no file"),
        (("--tokenizer", "nowhere"), "there is no folder nowhere"),
        (("--vocab-size", 3), "3"),
        (("--threads", 4096), "this process may use"),
        (("--threads", 0), "--threads must be a whole number above 0"),
        (("--dtype", "fp8"), "there is no dtype 'fp8' to train in; dtypes: fp32, bf16"),
        (("--device", "abacus"), "abacus"),
        (("--length", 0), "--length must be a whole number above 0"),
        (("--length", -3), "--length must be a whole number above 0"),
        (("--rows", 0), "--rows must be a whole number above 0"),
        (("--lr", 0), "the learning rate must be above 0 and below 1e+30, not 0"),
        (("--lr", "nan"), "the learning rate must be above 0 and below 1e+30, not nan"),
        (("--lr", 1e39), "the learning rate must be above 0 and below 1e+30"),
        (("--decay", 2), "weight decay must be at least 0 and below 1"),
        (("--warm-up", 0.7, "--warm-down", 0.7), "--warm-up and --warm-down together must be at most 1, not 1"),
        (("--warm-up", -1), "--warm-up must be a share of the steps between 0 and 1, not -1"),
        (("--seed", -1), "--seed must be a whole number of at least 0"),
        (("--keep", -1), "--keep must be a whole number of at least 0"),
        (("--valid", "tail:0"), "the share to hold out must be a number between 0 and 1"),
        (("--valid", "tail:1"), "the share to hold out must be a number between 0 and 1"),
        (("--valid", "nowhere.txt"), "there is no file 'nowhere.txt' to validate on"),
        (("--length", 100_000), "the data is too short: it has"),
        (("--resume",), "there is no run in"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_job_that_cannot_be_done(train, tmp_path, words, message):
    assert_one_line(train(*words), message)
    out = tmp_path / "run"
    assert not out.exists() or not checkpoints(out)


def test_a_folder_whose_job_could_not_be_done_may_be_used_again(train, folder, tmp_path):
    """Nothing was trained there: neither another folder nor --resume is needed, and the job may be another."""
    out = tmp_path / "run"
    assert_one_line(train("--tokenizer", "bpe", "--vocab-size", 300, "--length", 100_000), "too short")
    assert train().code == 0
    assert json.loads((out / "run.json").read_text())["job"]["tokenizer"] == "char"
    run(job_in(folder, 20), tmp_path / "whole")
    assert_same(kept(out), kept(tmp_path / "whole"))


def test_too_little_time_or_text(train, liuli, folder, tmp_path):
    small = ("--config", folder / "shape.json", "--tokenizer", "char", "--length", 32, "--rows", 2, "--threads", 1)
    result = liuli("train", folder / "texts.jsonl", "--out", tmp_path / "a", *small, "--minutes", 0.0001)
    assert_one_line(result, "a budget of 0.0001 minutes is too little for one step: ", " s are needed in all; give --minutes ")
    write_corpus(tmp_path / "one", ["x"])
    assert_one_line(train(corpus=tmp_path / "one"), "has only one character, so nothing can be held out")
    write_corpus(tmp_path / "few", ["小明 has one cat."])
    assert_one_line(train(corpus=tmp_path / "few"), "the data is too short: it has", "a sequence has 32; give more data")
    (tmp_path / "empty.txt").write_text("")
    assert_one_line(train("--valid", tmp_path / "empty.txt"), "empty.txt")
    assert_one_line(train(corpus=tmp_path / "empty.txt"), "empty.txt")
    assert_one_line(liuli("train", "--out", tmp_path / "c"), "there is nothing to train on")
    assert_one_line(train("--valid", folder / "texts.jsonl"), "is in the training data and in the validation data")


def test_a_run_that_is_refused_for_too_little_time_keeps_its_tokenizer(folder, tmp_path, monkeypatch):
    """The same command, or one with more time, starts from it; another tokenizer is trained for other settings."""
    trained = []

    def train_tokenizer(*words, **settings):
        trained.append(settings["sample_bytes"])
        return train_as_usual(*words, **settings)

    train_as_usual = pretrain_stage.train_tokenizer
    monkeypatch.setattr(pretrain_stage, "train_tokenizer", train_tokenizer)
    out = tmp_path / "run"
    short = job_in(folder, tokens=None, minutes=0.0001)
    for _ in range(2):
        with pytest.raises(LiuliError, match=r"is too little for one step: .* or more\. .*run keeps the tokenizer, so that"):
            run(short, out)
    assert trained == [500_000]
    assert not checkpoints(out)
    monkeypatch.setattr(pretrain_stage, "LEAST_SAMPLE", 1)  # more minutes mean more text, but the tokenizer is there
    events = run(short.but(minutes=0.1), out)
    assert Note("tokenizer: trained by an earlier attempt") in events
    assert trained == [500_000]
    assert not (out / "prepared.json").exists()
    assert kept(out)["facts"]["steps"] > 0
    with pytest.raises(LiuliError, match="is too little for one step"):
        run(short, tmp_path / "other")
    run(short.but(minutes=None, tokens=640.0), tmp_path / "other")
    assert trained == [500_000, 160, 8_000_000]


def test_numbers_that_overflow_while_the_speed_is_measured(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "_backward", lambda *_: {"loss": float("inf")})
    with pytest.raises(LiuliError, match="cannot be trained: while the speed was measured, the loss of step 1 is inf"):
        run(job_in(folder, tokens=None, minutes=0.3), tmp_path / "away")
    assert not (tmp_path / "away").exists()


def test_epochs_and_minutes_are_turned_into_steps(folder, tmp_path):
    run(job_in(folder, tokens=None, epochs=1), tmp_path / "epoch")
    rows = [row["tokens"] for row in read_metrics(tmp_path / "epoch") if "loss" in row]
    held_back = kept(tmp_path / "epoch")["facts"]["steps"]
    assert held_back == len(rows)
    assert 0.9 * held_back * 64 < rows[-1] <= held_back * 64
    run(job_in(folder, tokens=None, minutes=0.3), tmp_path / "time", at=[11])
    steps = kept(tmp_path / "time")["facts"]["steps"]
    run(job_in(folder, tokens=None, minutes=0.3), tmp_path / "time", resume=True, at=[15])
    assert kept(tmp_path / "time")["facts"]["steps"] == steps  # not measured again
    assert not (tmp_path / "time" / "rehearsal").exists()


def test_measuring_the_speed_leaves_no_trace(folder, tmp_path, monkeypatch):
    """A run by minutes is the same as one by the tokens that they are turned into."""
    run(job_in(folder), tmp_path / "tokens")
    facts = kept(tmp_path / "tokens")["facts"]
    pace = Pace(*(facts[name] for name in ("steps", "validations", "looks", "validated_tokens")))
    monkeypatch.setattr(budget, "pace_within", lambda *_: pace)
    run(job_in(folder, tokens=None, minutes=0.2), tmp_path / "time")
    assert_same(kept(tmp_path / "time"), kept(tmp_path / "tokens"))
    ours, theirs = ([without_seconds(row) for row in read_metrics(tmp_path / name)] for name in ("time", "tokens"))
    assert ours == theirs


def without_seconds(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def test_a_folder_in_use(train, tmp_path, stopped):
    before = everything(stopped)
    assert_one_line(train(), "already contains a run: give --resume to continue it, or give another folder")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("")
    assert_one_line(train(out=tmp_path / "photos"), "contains other files (cat.png): give a new or empty folder")
    (tmp_path / "file").write_text("")
    assert_one_line(train(out=tmp_path / "file"), "file is a file: give a new or empty folder")
    assert_one_line(train("--resume", out=tmp_path / "file"), "there is no run in")
    held = Run(stopped)
    assert_one_line(train("--resume"), "is in use: another process trains there")
    held.close()
    assert everything(stopped) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tokenizer", "bpe"), "the run was started with --tokenizer char, but --tokenizer bpe is given now: leave it out"),
        (("--size", "micro"), "the run was started without --size, but --size micro is given now"),
        (("--tokens", 3000), "the run was started with --tokens 1280, but --tokens 3000.0 is given now"),
        (("--seed", 3), "the run was started without --seed, but --seed 3 is given now"),
        (("--lr", 0.5), "the run was started without --lr, but --lr 0.5 is given now"),
        (("--valid", "tail:0.2"), "the run was started without --valid, but --valid tail:0.2 is given now"),
        (("--probe", "小"), "the run was started without --probe"),
        (
            ("--device", "cuda"),
            "exactly: its settings (device cuda, dtype fp32, threads 1, compile False) are not possible here (",
        ),
        (
            ("--threads", 4096),
            "exactly: its settings (device cpu, dtype fp32, threads 4096, compile False) are not possible here (",
        ),
        (
            ("--threads", 2),
            "exactly: threads was 1 and is 2 now; use the earlier settings, or resume with --inexact",
        ),
        (
            ("--dtype", "bf16"),
            "exactly: dtype was fp32 and is bf16 now; use the earlier settings, or resume with",
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_resumed_otherwise(resume, stopped, monkeypatch, words, message):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = everything(stopped)
    assert_one_line(resume(*words), message)
    assert everything(stopped) == before


def test_resumed_with_another_text(resume, stopped, folder, tmp_path):
    texts = sentences()
    texts[100] = texts[100].replace("has", "had")
    other = write_corpus(tmp_path / "edited", texts)
    before = everything(stopped)
    line = f"{other} ({other.stat().st_size:,} bytes) differs from "
    assert_one_line(resume(other), "cannot be resumed exactly: ", line, "restore the data, or resume with --inexact")
    write_corpus(tmp_path / "two", texts)
    (tmp_path / "two" / "more.txt").write_text("more")
    assert_one_line(resume(tmp_path / "two"), "the data was in 1 file and is in 2 now", "--inexact")
    assert_one_line(resume(tmp_path / "nowhere"), "there is no file or folder")
    assert everything(stopped) == before
    result = resume(other, "--inexact")
    assert (result.code, result.err) == (0, "")
    assert f"resuming inexactly: {line}" in result.out
    card = json.loads((stopped / "model/liuli.json").read_text())
    assert card["step"] == 20
    (noted,) = card["inexact"]
    assert noted["step"] == 7
    assert line in noted["what"][0]
    assert card["data"][0]["sha256"] == file_hash(other)
    assert resume().code == 0  # the text that it has now is the one that it goes on with


@pytest.mark.parametrize(
    ("words", "change"),
    [(("--dtype", "bf16"), "dtype was fp32 and is bf16 now"), (("--threads", 1), "threads was 2 and is 1 now")],
)
def test_inexact_is_said_and_kept(resume, stopped, monkeypatch, words, change):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    rewrite_facts(stopped, threads=2 if "threads" in change else 1)
    result = resume(*words, "--inexact")
    assert (result.code, result.err) == (0, "")
    assert f"resuming inexactly: {change}" in result.out
    card = json.loads((stopped / "model/liuli.json").read_text())
    assert card["inexact"] == [{"step": 7, "what": [change]}]
    assert str(card["fixed"][words[0].removeprefix("--")]) == str(words[1])


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"threads": 64}, {"device": "cuda", "dtype": "bf16", "threads": 64}])
def test_a_machine_that_lacks_what_was_fixed(resume, stopped, monkeypatch, change):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rewrite_facts(stopped, **change)
    before = everything(stopped)
    assert_one_line(resume(), "cannot be resumed exactly: its settings (", *change.values(), "resume with --inexact")
    assert everything(stopped) == before
    result = resume("--inexact")
    assert (result.code, result.err) == (0, "")
    for name, value in change.items():
        if name != "dtype":
            assert f"{name} was {value} and is " in result.out
    assert json.loads((stopped / "model/liuli.json").read_text())["inexact"]


def test_another_processor_or_pytorch_is_noted(resume, stopped):
    """It may round otherwise; the run goes on and says so."""
    rewrite_facts(stopped, processor="Analytical Engine", pytorch="0.1")
    result = resume()
    assert result.code == 0
    assert "processor was Analytical Engine and is " in result.out
    assert "pytorch was 0.1 and is " in result.out
    assert len(json.loads((stopped / "model/liuli.json").read_text())["inexact"][0]["what"]) == 2


@pytest.mark.parametrize("damage", ["edited", "removed"])
def test_the_runs_own_tokenizer_is_another(resume, stopped, damage):
    path = stopped / "tokenizer/tokenizer.json"
    if damage == "edited":
        path.write_text(path.read_text().replace('"content": "<|im_start|>"', '"content": "<|im_begin|>"'))
    else:
        path.unlink()
    copy = f"copy it from {stopped / 'checkpoints/7/model'}"
    assert_one_line(resume(), path, "differs from the file that the run was trained with", copy)
    path.write_bytes((stopped / "latest/model/tokenizer.json").read_bytes())
    assert resume().code == 0


@pytest.mark.parametrize(
    ("name", "how"), [("state/tensors.safetensors", "cut"), ("state/state.json", "cut"), ("model/config.json", "edit")]
)
def test_a_damaged_checkpoint(resume, stopped, name, how):
    path = stopped / "checkpoints/7" / name
    data = path.read_bytes()
    path.write_bytes(data[:-20] if how == "cut" else data.replace(b"2", b"3", 1))
    assert_one_line(resume(), path, "to continue from step 6 instead, delete", stopped / "checkpoints/7")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda settings: settings["job"].update(optimizer="lion"), "another version of Liuli (unknown setting optimizer)"),
        (lambda settings: settings.pop("stage"), "does not contain the settings of a run"),
        (lambda settings: settings.pop("job"), "does not contain the settings of a run"),
    ],
)
def test_settings_that_cannot_be_resumed(resume, stopped, damage, message):
    settings = json.loads((stopped / "run.json").read_text(encoding="utf-8"))
    damage(settings)
    (stopped / "run.json").write_text(json.dumps(settings), encoding="utf-8")
    before = everything(stopped)
    assert_one_line(resume(), message)
    assert everything(stopped) == before


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', None])
def test_a_damaged_playback_begins_anew(resume, stopped, text):
    path = stopped / "trace.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    result = resume()
    assert result.code == 0
    assert f"{path} is missing or damaged" in result.err + result.out
    assert "recording of the predictions starts again at step 7" in result.err + result.out
    body = json.loads(path.read_text())["body"]
    assert body["steps"][0] == 7
    assert body["steps"][-1] == 20
    assert len(body["probes"][0]["top"]) == len(body["steps"])
    assert (stopped / "broken-trace.json").exists() == (text is not None)


def test_a_run_that_cannot_begin_leaves_nothing(train, tmp_path):
    out = tmp_path / "none"
    assert_one_line(train(corpus=tmp_path / "no such file", out=out), "no such file")
    assert not out.exists()
    out.mkdir()
    assert_one_line(train(corpus=tmp_path / "no such file", out=out), "no such file")
    assert out.exists()


@pytest.mark.parametrize(("rate", "steps"), [(9e29, 20), (9e29, 60), (1e20, 20), (1e10, 20)])
def test_a_learning_rate_that_leads_out_of_numbers(train, resume, folder, tmp_path, rate, steps):
    out = tmp_path / "away"
    result = train("--lr", rate, "--tokens", steps * 64, out=out)
    advice = f"The learning rate ({rate:g}) may be too high: start a new run with a smaller --lr. "
    assert_one_line(result, "step ", f"{advice}The last good checkpoint is ")
    assert "finite" in result.err or "the loss on held-out text is" in result.err
    for name in ("metrics.jsonl", "trace.json"):
        assert "NaN" not in (out / name).read_text()
        assert "Infinity" not in (out / name).read_text()
    last = checkpoints(out)[-1]
    assert result.err.strip().endswith(str(out / "checkpoints" / str(last)))
    from liuli.model.formats.detect import read_decoder

    read_decoder(out / "model")  # which refuses what is not finite
    assert_one_line(train("--lr", rate, "--tokens", steps * 64, "--resume", out=out), "step ", "The last good checkpoint is")
    assert checkpoints(out)[-1] == last
