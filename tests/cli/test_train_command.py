"""`liuli train` as a person uses it: quiet lines, Ctrl-C, going on, a panel on a terminal."""

import io
import json
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from helpers.trainings import job_in

from liuli.cli.output import Screen
from liuli.cli.progress import LATE, MIXED, Progress
from liuli.cli.training import ENDING, STOPPING, Interrupt
from liuli.evaluate.loss import Evaluation
from liuli.learn.run.events import Doing, Finished, Note, Ready, Sampled, Stopped, Update, Validated
from liuli.learn.run.folder import checkpoints
from liuli.learn.run_stage import pretrain

FOUND = Evaluation(nats=300.0, tokens=100, bytes=400, windows=4, length=32)
RECIPE = {"rows": 2, "length": 32, "rate": 0.02}
FIXED = {"device": "cpu", "dtype": "fp32", "threads": 1, "compile": False}


@pytest.fixture
def words(tmp_path):
    job_in(tmp_path)
    small = ["--config", tmp_path / "shape.json", "--tokenizer", "char", "--length", 32, "--rows", 2]
    return ["train", tmp_path / "texts.jsonl", "--out", tmp_path / "run", *small, "--dtype", "fp32", "--threads", 1]


def test_lines_for_a_log(liuli, words, tmp_path):
    result = liuli(*words, "--tokens", 40 * 64)
    assert (result.code, result.err) == (0, "")
    assert re.search(
        r"^40 steps, [\d,]+ parameters, 2 sequences of 32 tokens per step, learning rate 0.018; cpu, fp32", result.out, re.M
    )
    assert len(re.findall(r"^step \d+ of 40, ", result.out, re.M)) == 21
    assert "peak memory " in result.out
    card = json.loads((tmp_path / "run" / "model" / "liuli.json").read_text())
    assert card["step"] == 40
    assert card["fixed"]["threads"] == 1
    again = liuli("train", "--out", tmp_path / "run", "--resume")
    assert again.code == 0
    assert re.search(r"done: 40 steps, [\d,]+ tokens in all\n", again.out)
    assert re.search(r"since the resume after step 40: 0 steps, 0 tokens, (<1|\d+) s, peak memory ", again.out)
    assert liuli("tokenize", tmp_path / "run", "a").code == 0  # a run stands for its model


def test_ctrl_c_saves_and_says_how_to_go_on(words, tmp_path):
    command = [sys.executable, "-c", "from liuli.cli.app import main; main()", *map(str, words), "--tokens", "64e4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "stopping after this step, and saving; press Ctrl-C again to stop at once" in err
    found = re.search(r"stopped after step ([\d,]+) of 10,000, saved\. Resume with:\n  (.*)\n", out)
    assert found
    assert found[2] == f"liuli train --out {tmp_path / 'run'} --resume"
    assert checkpoints(tmp_path / "run")[-1] == int(found[1].replace(",", ""))


def shown(events, began=0.0, terminal=False, unit="tokens"):
    screen = Screen(file=io.StringIO(), force_terminal=terminal, width=100)
    code = Progress(Path("run"), began, "liuli train --out run --resume", screen, unit).follow(events)
    return code, screen.file.getvalue()


def updates(count, seconds=1.0):
    return [Update(i, 3.0, 1.0, 1.0, 64 * i, seconds) for i in range(1, count + 1)]


def test_a_late_run_says_so_once(monkeypatch):
    monkeypatch.setattr("liuli.cli.progress.time.perf_counter", lambda: 0.0)
    ready = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e4, 1e9, 50.0, 1e9, None)
    code, text = shown([ready, *updates(40)])
    assert code == 0
    assert text.count("slower than measured; expected total") == 1
    in_time = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e4, 1e9, 100.0 / LATE + 10, 1e9, None)
    assert "late" not in shown([in_time, *updates(40)])[1]


def test_a_budget_that_preparation_has_used_says_so(monkeypatch):
    """`--minutes` is the time of the whole command."""
    monkeypatch.setattr("liuli.cli.progress.time.perf_counter", lambda: 20.0)
    for seconds, said in ((90.0, True), (200.0, False)):
        ready = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e4, 1e9, seconds, 1e9, None)
        text = shown([ready, Finished(100, 6400, 100, FOUND, 10**9)])[1]
        assert ("preparation took 20 s of the budget of 1 min 30 s: more --minutes leave a larger share" in text) == said


def test_an_adapter_is_not_called_a_model(tmp_path, monkeypatch):
    """And the command that uses it names the model that it belongs to."""
    monkeypatch.chdir(tmp_path)
    finished, out = Finished(100, 6400, 40, FOUND, 10**9), Path("my run")
    for lora, words in ((8, "adapter"), (None, "model")):
        out.mkdir(exist_ok=True)
        job = {"parent": str(tmp_path / "base"), "lora": lora}
        (out / "run.json").write_text(json.dumps({"stage": "assistant", "job": job, "command": []}))
        screen = Screen(file=io.StringIO(), width=100)
        Progress(out, 0.0, "", screen).follow([finished])
        text = screen.file.getvalue()
        assert f"the {words} is in my run/model; liuli runs my run shows" in text
        assert f"the {words} of that step is in my run/best/model" in text
        assert text.endswith("\n  liuli chat base --adapter 'my run'\n") == (lora is not None)


def test_what_is_finished_does_not_look_unfinished():
    text = shown([Doing("reading the data"), Note("tokenizer: trained by an earlier attempt")])[1]
    assert text == "reading the data …\ntokenizer: trained by an earlier attempt\n"


def test_the_panel_says_what_is_prepared(monkeypatch):
    monkeypatch.setattr("liuli.cli.progress.time.perf_counter", lambda: 90.0)
    for columns in (60, 80):
        screen = Screen(file=io.StringIO(), force_terminal=True, width=columns, color_system=None)
        progress = Progress(Path("run"), 0.0, "", screen)
        for event, amount in (
            (Doing("generating the text"), partial(progress.counting, "documents", 4_000, 100_000)),
            (Doing("encoding the data"), partial(progress.reading, "/a/long/way/talks.jsonl", 3_000_000, 12_000_000)),
        ):
            progress._take(event)
            amount()
            screen.print(progress._panel())
        lines = screen.file.getvalue().splitlines()
        assert "generating the text   1 min 30 s   4,000 of 100,000" in " ".join(lines)
        assert any("encoding the data   1 min 30 s   talks.jsonl, 3 MB" in line for line in lines)
        assert max(map(len, lines)) <= columns


def test_a_panel_on_a_terminal():
    ready = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9)
    events = [ready, *updates(40, 0.5), Validated(40, FOUND, True), Sampled(40, "", "小明\n去"), *updates(41)[-1:]]
    code, text = shown([*events, Finished(100, 6400, 40, FOUND, 10**9)], terminal=True)
    assert code == 0
    assert "128 tokens/s" in text
    assert "小明⏎去" in text
    assert "1.0820 bits/byte, over 100 held-out tokens; best at step 40" in text
    words = " ".join(text.split())
    assert "the validation loss has risen since step 40; the model of that step is in run/best/model" in words


def test_a_resume_does_not_mix_all_tokens_with_its_own_time(monkeypatch):
    monkeypatch.setattr("liuli.cli.progress.time.perf_counter", lambda: 54.0)
    ready = Ready(60, 100, 1000, 1000, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9, tokens=3840)
    _, text = shown([ready, Finished(100, 6400, 100, FOUND, 10**9)])
    assert "done: 100 steps, 6,400 tokens in all\n" in text
    assert "since the resume after step 60: 40 steps, 2,560 tokens, 54 s, peak memory 1.00 GB\n" in text


def test_speed_says_which_tokens_it_counts():
    """The share of the machine's peak is that of all tokens that are read, and so is the first number."""
    ready = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9)
    few = [Update(i, 3.0, 1.0, 1.0, 16 * i, 0.5) for i in range(1, 41)]
    _, text = shown([ready, *few, Validated(40, FOUND, True)], unit="supervised tokens")
    assert "128 tokens/s (32 supervised), 13% of the machine's peak" in text
    assert "supervised" not in shown([ready, *updates(40), Validated(40, FOUND, True)])[1]


def test_a_training_loss_over_more_than_the_validation_says_so():
    ready = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9)
    mixed = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9, mixed=True)
    assert MIXED in shown([mixed])[1] and MIXED not in shown([ready])[1]


def began(interrupt):
    """The first step has begun."""
    ready = Ready(0, 100, 1000, 1000, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9)
    assert list(interrupt.watching([ready])) == [ready]


def test_ctrl_c_says_nothing_while_something_else_is_written(capsys):
    """The handler runs wherever the process is, in the middle of drawing too: there a print can wait forever."""
    with Interrupt() as interrupt:
        began(interrupt)
        assert not interrupt.asked()
        signal.raise_signal(signal.SIGINT)
        assert capsys.readouterr().err == ""  # no descriptor that takes it at once
        assert interrupt.asked() and interrupt.asked()
        assert capsys.readouterr().err == STOPPING
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_answered_at_once_at_a_terminal(capfd):
    with Interrupt() as interrupt:
        began(interrupt)
        signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == STOPPING
        assert interrupt.asked()
        assert capfd.readouterr().err == ""  # once


def test_ctrl_c_before_the_first_step_ends_at_once(liuli, words, tmp_path, monkeypatch):
    """Reading, a tokenizer and the measuring of speed may take long, and there is nothing to save yet."""
    with Interrupt(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    monkeypatch.setattr("liuli.learn.prepare.fresh.choose", lambda *_: signal.raise_signal(signal.SIGINT))
    result = liuli(*words)
    assert (result.code, result.err) == (130, "liuli: interrupted\n")
    assert not (tmp_path / "run").exists()


def test_ctrl_c_before_the_first_step_is_answered_at_once(capfd):
    with Interrupt():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == ENDING
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == ""  # once


def test_finetune_takes_a_budget_of_tokens(liuli, tmp_path):
    result = liuli("finetune", "model", "data", "--out", tmp_path / "run", "--tokens", 1e4, "--minutes", 1)
    assert (result.code, result.err) == (2, "liuli: --minutes and --tokens cannot both be given: choose one\n")


def test_how_many_numbers_learn_where_not_all_do():
    ready = Ready(0, 100, 1000, 50, RECIPE, FIXED, 1e6, 1e9, None, 3.1e9, 23 * 10**9)
    assert "100 steps, 1,000 parameters (50 trainable), " in shown([ready])[1]


def test_a_run_that_was_stopped_has_the_exit_code_of_ctrl_c():
    assert shown([Stopped(7, 100)])[0] == 130


def test_from_another_model(liuli, words, tmp_path):
    liuli(*words, "--tokens", 20 * 64)
    result = liuli(
        *(
            "train",
            tmp_path / "texts.jsonl",
            "--from",
            tmp_path / "run" / "model",
            "--out",
            tmp_path / "more",
            "--tokens",
            20 * 64,
        ),
        *("--length", 32, "--rows", 2, "--threads", 1, "--dtype", "fp32"),
    )
    assert result.code == 0
    before, after = (json.loads((tmp_path / run / "model" / "liuli.json").read_text()) for run in ("run", "more"))
    assert after["parent"] == before["hash"]
    first = float(re.search(r"step 0 of 20, validation ([\d.]+)", result.out)[1])
    last = float(re.findall(r"validation +([\d.]+) nats/token", liuli("runs", tmp_path / "run").out)[-1])
    assert first == pytest.approx(last, abs=2e-3)


def test_the_job_of_a_program_needs_no_command(tmp_path):
    events = list(pretrain(job_in(tmp_path, 10), tmp_path / "run"))
    assert isinstance(events[-1], Finished)
