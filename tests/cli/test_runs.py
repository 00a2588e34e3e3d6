"""`liuli runs`: what is said of a run agrees with its files, whenever it was stopped, and nothing of it is touched."""

import fcntl
import json
import math
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch
from helpers.terminal import screen as screen  # a fixture
from rich.cells import cell_len

from liuli import load
from liuli.cli.runs import _ago
from liuli.learn.run.folder import in_use

STEPS, EVERY = 20, 5
HOLD = """
import sys
from pathlib import Path
from liuli.learn.run.folder import Run
run = Run(Path(sys.argv[1]))
print(flush=True)
input()
"""
SHOW = """
import sys
from liuli.cli.app import app
app(["runs", sys.argv[1]], standalone_mode=False)
sys.exit("torch" in sys.modules)
"""


def loss_at(step: int) -> float:
    return 2 + 4 * math.exp(-step / 5)


def validation_at(step: int) -> dict:
    return {"nats_per_token": loss_at(step) + 0.1, "bits_per_byte": loss_at(step) / 2}


def logged(losses: list[float]) -> list[dict]:
    """The metrics of a run with these losses, validated every few steps, and at step 0."""
    rows = [{"step": 0, "validation": validation_at(0)}]
    for step, loss in enumerate(losses, 1):
        rows.append({"step": step, "loss": loss, "tokens": 64 * step, "seconds": 0.5, "strength": 1.0, "gradient_norm": 1.0})
        if step % EVERY == 0:
            rows.append({"step": step, "validation": validation_at(step)})
    return rows


def write_run(folder: Path, rows: list[dict], saved: tuple[int, ...] = (), probes: tuple[str, ...] = ()) -> Path:
    """The files that a run writes, as far as they tell of it."""
    folder.mkdir(parents=True)
    command = ["liuli", "train", "my text.txt", "--out", str(folder)]
    (folder / "run.json").write_text(json.dumps({"stage": "base", "job": {}, "command": command}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "lock").touch()
    body = {"steps": [0, 1, 2, 4, 8, 16], "probes": [probe_of(text) for text in probes]}
    about = {"model": {"size": "nano", "parameters": 780_672}, "tokenizer": {"kind": "characters", "vocab_size": 328}}
    (folder / "trace.json").write_text(json.dumps({"schema": "train@1", **about, "body": body}))
    for step in saved:
        model = folder / "checkpoints" / str(step) / "model"
        model.mkdir(parents=True)
        card = {"stage": "base", "steps": STEPS, "validation": "the last tenth", "inexact": []}
        card |= {"data": [{"name": "/home/me/文本.txt", "bytes": 1_115_394, "sha256": "00"}], "parent": None}
        card |= {"recipe": {"length": 32, "rate": 0.014}, "fixed": {"device": "cpu", "threads": 1}}
        (model / "liuli.json").write_text(json.dumps(card))
    return folder


def probe_of(text: str) -> dict:
    def candidate(text: str, share: float) -> dict:
        return {"token": {"id": 1, "text": text, "bytes": list(text.encode())}, "logprob": math.log(share)}

    looks = [
        [candidate("园", 0.5 + i / 100), candidate(" a", 0.25), candidate("longer", 0.125), candidate("x", 0.01)]
        for i in range(6)
    ]
    return {"input": {"text": text}, "top": looks}


@pytest.fixture
def finished(tmp_path) -> Path:
    rows = logged([loss_at(step) for step in range(1, STEPS + 1)])
    return write_run(tmp_path / "runs" / "finished", rows, (15, 20), ("小明今天去", "Ada\nkeeps"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run as `liuli train` writes it, of a model of twelve thousand parameters."""
    from liuli.learn.prepare.job import Job
    from liuli.learn.run_stage import pretrain

    folder, threads = tmp_path_factory.mktemp("trained"), torch.get_num_threads()
    (folder / "text.txt").write_text("".join(f"小明今天去游乐园玩 {i}, and Ada keeps a cat.\n\n" for i in range(300)))
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape["max_position_embeddings"] = 64
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 300, **shape}))
    job = Job.of(
        sources=(str(folder / "text.txt"),), config=str(folder / "config.json"), tokenizer="char", tokens=12 * 64, rows=2,
        length=32, threads=1, dtype="fp32", device="cpu", probes=("小明今天去",),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        list(pretrain(job, folder / "run"))
    torch.set_num_threads(threads)
    return folder / "run"


def test_a_run_that_was_trained(liuli, trained):
    shown = liuli("runs", trained)
    assert (shown.code, shown.err) == (0, "")
    assert f"{trained}: finished at step 12 of 12; 768 tokens seen in " in shown.out
    parameters = sum(parameter.numel() for parameter in load(trained / "model").decoder.parameters())
    for said in (
        "characters, ",
        f"base, {parameters:,} parameters",
        "length 32, rows 2",
        "dtype fp32, threads 1",
        "● validation",
    ):
        assert said in shown.out
    assert "after 小明今天去\n   step 0 " in shown.out and "  step 12 " in shown.out


def test_json_of_a_run_has_every_point(liuli, trained):
    body = json.loads(liuli("runs", trained, "--json").out)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert body["training"] == [[row["step"], row["loss"]] for row in rows if "loss" in row]
    validations = [{"step": row["step"]} | row["validation"] for row in rows if "validation" in row]
    names = ("step", "nats_per_token", "bits_per_byte")
    assert body["validation"] == [{name: row[name] for name in names} for row in validations]
    assert body["best"] == min(body["validation"], key=lambda row: row["nats_per_token"])
    card = json.loads((trained / "model" / "liuli.json").read_text())
    assert (body["step"], body["steps"], body["tokens"]) == (card["step"], card["steps"], card["tokens_seen"])
    assert (body["recipe"], body["machine"]) == (card["recipe"], card["fixed"])
    assert (body["state"], body["checkpoints"][-1]) == ("finished", 12)


def test_one_run(liuli, finished):
    lines = liuli("runs", finished).out.splitlines()
    assert lines[0] == f"{finished}: finished at step 20 of 20; 1,280 tokens seen in 10 s of training"
    assert lines[1] == f"  liuli train 'my text.txt' --out {finished}"
    facts = dict(line.strip().split("  ", 1) for line in lines[2 : lines.index("")])
    assert {heading: said.strip() for heading, said in facts.items()} == {
        "data": "/home/me/文本.txt: 1.12 MB",
        "held out": "the last tenth",
        "tokenizer": "characters, 328 tokens",
        "model": "base, nano, 780,672 parameters",
        "recipe": "length 32, lr 0.014",
        "machine": "device cpu, threads 1",
        "saved": "steps 15, 20",
        "validation": "2.1733 nats/token, 1.0366 bits/byte: the last (step 20) is the best",
    }
    chart = lines.index("loss in nats per token, by step")
    assert lines[chart + 1] == "⠒⠒ training, not smoothed   ● validation"
    assert sum(line.count("●") for line in lines[chart + 2 : chart + 18]) == 5
    assert lines[chart + 19].split() == ["0", "5", "10", "15", "20"]


def test_guesses_are_played_back_in_columns(liuli, finished):
    lines = liuli("runs", finished).out.splitlines()
    start = lines.index("after 小明今天去")
    assert "after Ada⏎keeps" in lines
    rows = lines[start + 1 : start + 5]
    assert rows[0].split() == ["step", "0", "园", "50.00%", "·a", "25.00%", "longer", "12.50%"]
    assert [row.split()[1] for row in rows] == ["0", "1", "4", "16"] and rows[3].split()[3] == "55.00%"
    assert len({cell_len(row.split("%")[0]) for row in rows}) == 1
    assert len({cell_len(row) for row in rows}) == 1


def test_a_long_run_is_smoothed(liuli, tmp_path):
    run = write_run(tmp_path / "run", logged([loss_at(step) for step in range(1, 601)]))
    assert "⠒⠒ training, smoothed: means of 10 steps   ● validation" in liuli("runs", run).out


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_a_list_loses_nothing_on_a_narrow_terminal(screen, finished, columns):
    """A table if there is room for it, otherwise the same facts below the name of each run."""
    name = "小明的第一次训练 of many more to come"
    write_run(finished.parent / name, logged([2.0] * 10), (10,))
    code, shown = screen("runs", finished.parent, columns=columns)
    assert code == 0 and max(map(cell_len, shown.splitlines())) <= columns
    assert name in shown and "…" not in shown
    assert (shown.splitlines()[1].split()[0] == "run") == (columns == 100)
    for fact in ("nano 781 k", "finished", "20/20", "1.037", "1.28 k", "now", "stopped", "10/20", "1.271", "640"):
        assert fact in shown


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_long_tokens_do_not_hide_their_shares(screen, tmp_path, columns):
    run = write_run(tmp_path / "run", logged([2.0]), (), ("a",))
    trace = json.loads((run / "trace.json").read_text())
    for look in trace["body"]["probes"][0]["top"]:
        look[1]["token"]["text"] = "游乐园" * 7
        look[1]["token"]["bytes"] = list(("游乐园" * 7).encode())
    (run / "trace.json").write_text(json.dumps(trace))
    code, shown = screen("runs", run, columns=columns)
    assert code == 0 and "…" not in shown
    rows = [line for line in shown.splitlines() if re.match(r" +step \d", line)]
    shown = 2 if columns == 60 else 3  # tokens
    assert len(rows) == 4 and all(line.count("%") == shown and "25.00%" in line for line in rows)


def test_no_token_of_usual_length_is_broken(screen, tmp_path):
    """Rather fewer candidates than a name that is folded."""
    run = write_run(tmp_path / "run", logged([2.0]), (), ("a",))
    trace = json.loads((run / "trace.json").read_text())
    names = ("<|endoftext|>", "</tool_response>", "<|im_start|>")
    for look in trace["body"]["probes"][0]["top"]:
        for candidate, name in zip(look, names, strict=False):
            candidate["token"] |= {"text": name, "bytes": list(name.encode())}
    (run / "trace.json").write_text(json.dumps(trace))
    for columns, count in ((40, 1), (60, 2), (80, 3)):
        rows = [line for line in screen("runs", run, columns=columns)[1].splitlines() if re.match(r" +step \d", line)]
        assert len(rows) == 4 and max(map(cell_len, rows)) <= columns
        assert all(name in row for row in rows for name in names[:count]) and rows[0].count("%") == count


def test_an_assistant_trained_on_text_too_says_what_its_losses_are_over(liuli, finished):
    settings = json.loads((finished / "run.json").read_text())
    assert "the training loss is over dialogues and text" not in liuli("runs", finished).out
    (finished / "run.json").write_text(json.dumps(settings | {"stage": "assistant", "job": {"mix": "world/documents.jsonl"}}))
    shown = liuli("runs", finished).out
    assert "\nthe training loss is over dialogues and text; the validation loss is over held-out dialogues alone\n" in shown
    assert json.loads(liuli("runs", finished, "--json").out)["mixed"] is True


def show(path: Path, **env: str) -> str:
    """What a process of its own prints."""
    others = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    result = subprocess.run([sys.executable, "-c", SHOW, path], capture_output=True, env=others | env | {"PYTHONUTF8": "1"})
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def test_a_pipe_gets_80_columns_and_no_pytorch(finished):
    lines = show(finished).splitlines()[2:]  # but for the command, which is to be copied
    assert max(map(cell_len, lines)) == 80


def test_a_list_of_runs(liuli, finished):
    folder = finished.parent
    losses = [loss_at(step) for step in range(1, 13)]
    write_run(folder / "b" / "stopped", logged(losses), (5, 10))
    write_run(folder / "new", [], ())
    (folder / "b" / "other").mkdir()
    body = json.loads(liuli("runs", folder, "--json").out)["runs"]
    assert [(Path(row["path"]).name, row["state"], row["step"], row["steps"]) for row in body] == [
        ("stopped", "stopped", 12, 20),
        ("finished", "finished", 20, 20),
        ("new", "no checkpoint", 0, None),
    ]
    assert body[0]["last"] == body[0]["best"] == {"step": 10} | validation_at(10)
    assert "training" not in body[0]
    os.utime(folder / "new" / "run.json", (0, 0))
    os.utime(folder / "new" / "metrics.jsonl", (0, 0))
    os.utime(folder / "new" / "trace.json", (86_400 * 10, 86_400 * 10))
    rows = [line.split() for line in liuli("runs", folder).out.splitlines()]
    assert rows[1] == ["run", "size", "state", "step", "last", "best", "seen", "written"]
    assert rows[2] == ["b/stopped", "nano", "781", "k", "stopped", "12/20", "1.271", "1.271", "768", "now"]
    assert rows[3] == ["finished", "nano", "781", "k", "finished", "20/20", "1.037", "1.037", "1.28", "k", "now"]
    assert rows[4] == ["new", "nano", "781", "k", "no", "checkpoint", "0", "0", f"{datetime.fromtimestamp(864_000):%Y-%m-%d}"]


def test_the_best_is_not_always_the_last(liuli, tmp_path):
    rows = [*logged([2.0] * 10), {"step": 10, "validation": {"nats_per_token": 9.0, "bits_per_byte": 6.0}}]
    run = write_run(tmp_path / "run", rows, (10,))
    body = json.loads(liuli("runs", run, "--json").out)
    assert (body["last"]["nats_per_token"], body["best"]) == (9.0, {"step": 10} | validation_at(10))
    assert "last 9.0000 nats/token, 6.0000 bits/byte (step 10); best 2.6413 nats/token" in liuli("runs", run).out


def test_what_is_not_saved_is_said_and_how_to_go_on(liuli, tmp_path):
    run = write_run(tmp_path / "run", logged([2.0] * 13), (5, 10))
    shown = liuli("runs", run).out
    assert f"{run}: stopped at step 13 of 20" in shown
    assert "steps 5, 10; the last 3 steps are not saved" in shown
    assert f"  Resume with: liuli train --out {run} --resume\n" in shown


def test_a_run_without_a_checkpoint(liuli, tmp_path):
    run = write_run(tmp_path / "run", [])
    (run / "trace.json").unlink()
    (run / "metrics.jsonl").unlink()
    shown = liuli("runs", run)
    assert shown.code == 0
    assert f"{run}: no checkpoint at step 0; 0 tokens seen" in shown.out
    assert "saved  nothing yet" in shown.out and "no loss has been logged yet" in shown.out
    assert f"Resume with: liuli train --out {run} --resume" in shown.out


def test_running_is_known_by_the_lock_of_another_process(liuli, finished):
    """Which keeps it: it can be asked about any number of times, and another run is refused there all the while."""
    words = [sys.executable, "-c", HOLD, finished]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin and process.stdout.readline()
        for _ in range(2):
            assert json.loads(liuli("runs", finished, "--json").out)["state"] == "running"
        assert "is in use" in subprocess.run(words, capture_output=True, text=True, input="\n").stderr
        assert f"{finished}: running at step 20 of 20" in liuli("runs", finished).out
        process.stdin.write(b"\n")
        process.stdin.close()
        process.wait(timeout=60)
    assert json.loads(liuli("runs", finished, "--json").out)["state"] == "finished"


def test_two_that_ask_at_once_do_not_take_each_other_for_a_run(finished):
    number = os.open(finished / "lock", os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_SH)
    assert not in_use(finished)
    os.close(number)


def test_nothing_is_touched(liuli, finished):
    (finished / "lock").unlink()
    folder = finished.parent
    before = {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}
    for words in ([folder], [finished], [folder, "--json"], [finished, "--json"]):
        assert liuli("runs", *words).code == 0
    assert {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))} == before


def test_the_current_folder(liuli, finished, monkeypatch):
    monkeypatch.chdir(finished.parent)
    assert [row["path"] for row in json.loads(liuli("runs", "--json").out)["runs"]] == ["finished"]
    monkeypatch.chdir(finished)
    assert json.loads(liuli("runs", "--json").out)["path"] == "."


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("none", "does not exist: give a run's folder, or a folder of runs"),
        ("file", "is a file: give a run's folder, or a folder of runs"),
        ("folder", "or in its subfolders: start one with liuli train SOURCE --out RUN"),
    ],
)
def test_a_path_without_runs(liuli, tmp_path, made, message):
    path = tmp_path / "here"
    if made == "file":
        path.write_text("a text")
    elif made == "folder":
        (path / "a" / "b").mkdir(parents=True)
    result = liuli("runs", path)
    assert (result.code, result.out) == (2, "")
    assert str(path) in result.err and message in result.err and result.err.count("\n") == 1


BROKEN = {
    "no JSON": ("metrics.jsonl", '{"step": 1}\nnonsense\n{"step": 2}\n', "line 2 is not a row of metrics: delete that line"),
    "no text": ("metrics.jsonl", b"\xff\xfe\n", "line 1 is not a row of metrics"),
    "a loss in words": ("metrics.jsonl", '{"step": 1, "loss": "low"}\n', "metrics.jsonl has unexpected content"),
    "a bare validation": ("metrics.jsonl", '{"step": 1, "validation": 3}\n', "metrics.jsonl has unexpected content"),
    "a giant": ("metrics.jsonl", '{"step": 1, "loss": 1' + "0" * 400 + "}\n", "metrics.jsonl has unexpected content"),
    "a list": ("run.json", "[]", "run.json does not contain the settings"),
    "no command": ("run.json", "{}", "run.json does not contain the settings"),
    "a cut trace": ("trace.json", '{"body": ', "trace.json is broken: it is not valid JSON"),
    "another trace": ("trace.json", '{"body": {"probes": [{}]}}', "trace.json has unexpected content"),
    "a model of words": ("trace.json", '{"model": "nano"}', "trace.json has unexpected content"),
    "a card": ("checkpoints/20/model/liuli.json", '{"data": [1]}', "liuli.json has unexpected content"),
}


@pytest.mark.parametrize(("file", "content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(liuli, finished, file, content, message):
    (finished / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    result = liuli("runs", finished)
    assert (result.code, result.out) == (2, "")
    assert str(finished) in result.err and message in result.err and result.err.count("\n") == 1


def test_a_broken_run_does_not_hide_the_others(liuli, finished):
    write_run(finished.parent / "a", [{"step": "one"}])
    shown = liuli("runs", finished.parent)
    assert shown.code == 0 and shown.err.count("\n") == 1 and "line 1 is not a row of metrics" in shown.err
    assert [line.split()[:2] for line in shown.out.splitlines()[2:]] == [["a", "broken"], ["finished", "nano"]]
    broken, whole = json.loads(liuli("runs", finished.parent, "--json").out)["runs"]
    assert broken["state"] == "broken" and "line 1 is not a row" in broken["problem"] and whole["state"] == "finished"


def test_a_last_line_that_was_cut_short(liuli, tmp_path):
    run = write_run(tmp_path / "run", logged([3.0, 2.0]))
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert json.loads(liuli("runs", run, "--json").out)["training"] == [[1, 3.0], [2, 2.0]]


@pytest.mark.parametrize("losses", [[2.5], [2.5] * 40, [1e30, 1e25, *([2.5, 2.4] * 30)], [math.nan, 2.0], [5e-324, 1e308]])
def test_odd_losses_are_drawn(liuli, tmp_path, losses):
    run = write_run(tmp_path / "run", logged(losses)[1:])
    shown = liuli("runs", run)
    assert (shown.code, shown.err) == (0, "")
    assert ("cut off at the top" in shown.out) == (losses[0] == 1e30)
    assert ("left out: 1 point whose value is not finite" in shown.out) == math.isnan(losses[0])
    points = json.loads(liuli("runs", run, "--json").out)["training"]
    assert [point[1] for point in points] == [None if math.isnan(loss) else loss for loss in losses]


def test_a_validation_without_bytes(liuli, tmp_path):
    """Bits per byte are then infinite, which JSON does not know."""
    rows = [{"step": 0, "validation": {"nats_per_token": 3.0, "bits_per_byte": math.inf}}]
    run = write_run(tmp_path / "run", rows)
    assert json.loads(liuli("runs", run, "--json").out)["best"]["bits_per_byte"] is None
    assert "inf bits/byte" in liuli("runs", run).out


def test_how_long_ago():
    day = 86_400.0
    said = [_ago(100 * day - seconds, 100 * day) for seconds in (-5, 59, 60, 3599, 3600, 47 * 3600)]
    assert said == ["now", "now", "1 min ago", "59 min ago", "1 h ago", "47 h ago"]
    assert _ago(98 * day, 100 * day) == f"{datetime.fromtimestamp(98 * day):%Y-%m-%d}"
