"""Whatever a model, a file or the command line holds: it is shown as text, and never drives the terminal."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import hostile
from helpers.chat_terminal import PROMPT
from helpers.hostile import SAID, SPECIAL
from helpers.terminal import DRIVES, FILE_NAME, HOSTILE
from helpers.terminal import screen as screen  # a fixture

ENDINGS = ("", "--json")
PRINTS = r"(?<![\w.\"])print\((?!STOPPING)|\bConsole\(|sys\.std(?:out|err)\.write|\becho\("


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder of a hostile name that holds everything hostile."""
    folder = tmp_path_factory.mktemp("place") / f"here {FILE_NAME}"
    folder.mkdir()
    hostile.save_dialogues(folder / "dialogues.jsonl")
    hostile.save_texts(folder / f"texts {FILE_NAME}.jsonl")
    return folder


@pytest.fixture(scope="module")
def model(place) -> Path:
    return hostile.save_model(place / "model")


@pytest.fixture(scope="module")
def refusing(place) -> Path:
    """A model whose chat template refuses everything, with a hostile message."""
    return hostile.save_model(place / "refusing", hostile.REFUSES)


@pytest.fixture
def shows(screen):
    """Runs a command and checks that nothing drives the terminal. Returns what was shown."""

    def run(*words: object, code: int | None = None, stdin: bytes = b"") -> str:
        ended, shown = screen(*(word for word in words if word != ""), stdin=stdin)
        assert not DRIVES.findall(shown), shown
        assert "Traceback" not in shown, shown
        assert code is None or ended == code, shown
        return shown

    return run


@pytest.mark.parametrize("ending", ["", "--json", "--steps"])
def test_tokenize(shows, model, ending):
    shown = shows("tokenize", model, f"the {SAID} a<|x", ending, code=0)
    assert "U+001B" in shown or ending == "--json"


@pytest.mark.parametrize("ending", ENDINGS)
def test_special_tokens_and_json(shows, model, ending):
    """The name of a special token is text of the folder too; JSON says exactly what it is."""
    from liuli.tokens import open_tokenizer

    shown = shows("tokenize", model, "-", ending, code=0, stdin=f"a{SPECIAL}".encode())
    if ending:
        assert [token["text"] for token in json.loads(shown)["tokens"]][-1] == SPECIAL
        assert open_tokenizer(model).specials[SPECIAL] == json.loads(shown)["ids"][-1]
    else:
        assert "<|<U+001B>]0;t<U+0007><U+001B>[2J<U+009B>2J" in shown


@pytest.mark.parametrize("ending", ENDINGS)
def test_tokenize_chat(shows, model, refusing, place, ending):
    shows("tokenize", model, "--chat", place / "dialogues.jsonl", ending)
    shown = shows("tokenize", refusing, "--chat", place / "dialogues.jsonl", ending, code=2)
    assert "say " in shown
    shows("tokenize", model, "--chat", place / FILE_NAME, ending, code=2)


@pytest.mark.parametrize("options", [[], ["--steps"], ["--json"], ["--steps", "--json"]], ids=" ".join)
def test_complete(shows, model, options):
    words = ["--max-tokens", 12, "--seed", 1, "--stop", f"zzz{HOSTILE}"]
    shows("complete", model, "-", *words, *options, code=0, stdin=f"{SAID}\n".encode())


def test_a_pipe_of_complete_gets_exactly_the_text(model):
    """Documented: what is no terminal gets the text to the byte."""
    command = [sys.executable, "-c", "from liuli.cli.app import main; main()", "complete", str(model), "\n"]
    ended = subprocess.run([*command, "--max-tokens", "5", "--temperature", "0"], capture_output=True)
    assert ended.stdout == b"a\x1ba\x1b"
    assert not DRIVES.findall(ended.stderr.decode())


def test_a_real_terminal(model):
    """The same on a pseudo-terminal, where rich and Python find out by themselves where they are."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from liuli.cli.app import main; main()", "complete", str(model), "\n"]
    env = os.environ | {"TERM": "dumb"}
    process = subprocess.Popen([*command, "--max-tokens", "6", "--steps"], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "<U+001B>" in text
    assert not DRIVES.findall(text)


@pytest.mark.parametrize("kind", ["model", "refusing"])
def test_chat_through_a_pipe_to_a_terminal(shows, place, model, refusing, kind):
    lines = ["/help", f"/system {SAID}", "/system", "hello", "/candidates", f"/save {place / FILE_NAME}"]
    lines += [f"/load {place / 'dialogues.jsonl'}", "/undo", f"/{HOSTILE}"]
    shown = shows("chat", place / kind, "--max-tokens", 6, "--seed", 1, stdin="\n".join(lines).encode(), code=2)
    assert ("there is no command" in shown) == (kind == "model")


def test_editing_a_hostile_message_at_a_terminal_is_refused(place, model):
    """readline would print it as it is."""
    import pexpect

    code = "from liuli.cli.app import main; main()"
    child = pexpect.spawn(sys.executable, ["-c", code, "chat", str(model), "--max-tokens", "4"], encoding="utf-8", timeout=120)
    child.expect(PROMPT)
    child.sendline(f"/load {place.parent / 'again.jsonl'}")
    child.expect(PROMPT)
    assert "cannot be read" in child.before
    hostile.save_dialogues(place.parent / "again.jsonl")
    child.sendline(f"/load {place.parent / 'again.jsonl'}")
    child.expect(PROMPT)
    child.sendline("/edit")
    child.expect(PROMPT)
    assert "contains control characters: give the new text as /edit TEXT" in " ".join(child.before.split())
    child.sendline("/quit")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize("ending", ENDINGS)
def test_compare(shows, model, refusing, place, ending):
    shows("compare", model, model, "--prompt", SAID, "--max-tokens", 6, ending, code=0)
    shows("compare", model, "--prompt", SAID, "--file", place / "dialogues.jsonl", "--max-tokens", 6, ending, code=0)
    assert "say " in shows("compare", refusing, "--prompt", "a", "--max-tokens", 6, ending, code=2)


@pytest.mark.parametrize("ending", ENDINGS)
def test_evaluate_and_data(shows, model, place, ending):
    texts = next(place.glob("texts*"))
    shows("evaluate", model, texts, "--length", 32, ending, code=0)
    shows("data", "look", texts, ending, code=0)
    shows("data", "look", place, ending)
    shows("data", "look", place / "texts" / FILE_NAME, ending, code=2)
    shows("data", "convert", place / "dialogues.jsonl", "--out", place / f"converted{len(ending)}.jsonl", ending, code=0)


def test_training_a_tokenizer(shows, place):
    shown = shows("tokenizer", "train", next(place.glob("texts*")), "--out", place / "tokenizer", code=0)
    assert "skipped" in shown


def test_training_a_model(shows, place, refusing, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    shape = {
        "model_type": "llama",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    (place / "shape.json").write_text(json.dumps(shape | {"vocab_size": 300, "max_position_embeddings": 64}))
    small = ["--config", place / "shape.json", "--tokenizer", "char", "--length", 32, "--rows", 2, "--threads", 1]
    words = [next(place.glob("texts*")), "--out", place / "run", *small, "--tokens", 10 * 64, "--dtype", "fp32"]
    shown = shows("train", *words, "--probe", SAID, code=0)
    assert "done: 10 steps" in shown
    shows("runs", place, code=0)
    shows("runs", place / "run", code=0)
    shows("runs", place / "run", "--json", code=0)
    shows("finetune", refusing, place / "dialogues.jsonl", "--out", place / "tuned", "--epochs", 1, code=2)


def test_a_broken_run(shows, place):
    run = place / "broken" / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"stage": SAID, "job": {}, "command": ["liuli", SAID]}))
    (run / "metrics.jsonl").write_text(json.dumps({SAID: 1}) + "\n")
    (run / "lock").touch()
    shows("runs", place / "broken")
    shows("runs", run)


@pytest.mark.parametrize("ending", ENDINGS)
def test_world(shows, place, ending):
    shows("world", "--out", place / f"world{len(ending)}", "--documents", 10, ending, code=0)
    shows("world", "dialogues", "--out", place / f"asked{len(ending)}.jsonl", "--count", 10, ending, code=0)
    shows("world", "ask", SAID, ending, code=2)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": SAID},
        {"layer_types": [SAID] * 1},
        {"hidden_act": SAID},
        {"rope_parameters": {"rope_type": SAID, "rope_theta": 1e4}},
        {SAID: SAID, "hidden_size": SAID},
        {"torch_dtype": SAID, "num_hidden_layers": SAID},
    ],
    ids=str,
)
def test_what_config_json_says(shows, place, model, change):
    broken = hostile.with_config(place / f"config {abs(hash(str(change)))}", model, **change)
    for words in (["complete", broken, "a", "--max-tokens", 1], ["plan", broken], ["evaluate", broken, place / "shape.json"]):
        shown = shows(*words)
    assert shown.startswith("liuli: ")


def test_names_of_tensors(shows, place, model):
    broken = hostile.with_tensor(place / "tensor", model, f"model.{HOSTILE}.weight")
    shown = shows("complete", broken, "a", "--max-tokens", 1, code=2)
    assert shown.count("\n") == 1
    assert "[2J" in shown


def test_adapters(shows, place, model):
    adapter = hostile.save_adapter(place / "adapter")
    shown = shows("merge", model, adapter, "--out", place / "merged", code=2)
    assert shown.count("\n") == 1
    shows("complete", model, "a", "--adapter", adapter, code=2)
    shows("compare", adapter, "--prompt", "a", code=2)


@pytest.mark.parametrize(
    "file", ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json", "chat_template.jinja"]
)
def test_broken_files(shows, place, model, file):
    import shutil

    broken = place / f"broken {file}"
    shutil.copytree(model, broken)
    (broken / file).write_text(f"{{% {HOSTILE} {{", encoding="utf-8")
    shows("complete", broken, "a", "--max-tokens", 1)
    shows("chat", broken, "--max-tokens", 1, stdin=b"hello")


@pytest.mark.parametrize("name", [f"nowhere {HOSTILE}", f"./{HOSTILE}", FILE_NAME, f"owner/{HOSTILE}"])
def test_names_of_folders_that_do_not_exist(shows, name):
    for words in (
        ["complete", name, "a"], ["tokenize", name, "a"], ["chat", name], ["compare", name, "--prompt", "a"],
        ["evaluate", name, "x"], ["plan", name], ["merge", name, name, "--out", "/nowhere/x"], ["runs", name],
        ["data", "look", name], ["tokenizer", "train", name, "--out", "/nowhere/x"], [name],
        ["finetune", name, name, "--out", "/nowhere/x"], ["complete", name, "a", "--device", name],
        ["complete", name, "a", "--dtype", name], ["complete", name, "a", f"--{name}"], ["plan", "nano", "--gpu", name],
        ["plan", "nano", "--tokens", name], ["world", "--lang", name, "--out", "x"],
    ):  # fmt: skip
        shown = shows(*words, code=2).removeprefix("reading the data …\n").removeprefix("reading …\n")
        assert re.fullmatch(r"liuli: [^\n]+\n", shown), shown


def test_what_a_report_of_begin_may_hold(monkeypatch):
    """All texts of the report are the model's, and paths the user's; none is read as rich's markup."""
    import io

    from helpers.terminal import FakeTerminal

    from liuli.cli import begin
    from liuli.cli.output import Screen

    said = f"[/b] [red]{SAID}[/red] :smile:"
    token = {"token": {"id": 1, "text": said, "bytes": list(said.encode())}, "logprob": -1.0}
    reply = {"text": said, "ended": True}
    questions = [{"question": said, "truth": said, "group": "c", "base": reply, "assistant": reply}]
    shares = {"group": "a", "lang": said, "right": 0.5, "refused": 0.25, "wrong": 0.25}
    gaps = {"fact": {"nats": 0.1, "points": 3, "allowed": 0.5}}
    report = {
        "prompts": [{"prompt": said, "pieces": [{"text": said, "truth": 0.5, "learned": 0.25}]}],
        "playback": [{"prompt": said, "steps": [0], "top": [[token]]}],
        "floor": {"nats": 1.0}, "validation": {"nats_per_token": 1.5}, "losses": [{}, {"loss": 3.0}],
        "world": {"gaps": gaps, "facts": {said: 0.5}, "habit_error": 1.0, "whole": None},
        "training": {"seconds": 1.0},
        "assistant": {"questions": questions, "answers": [shares], "training": {"seconds": 1.0}},
    }  # fmt: skip
    terminal = FakeTerminal()
    monkeypatch.setenv("TERM", "dumb")
    screen = Screen(file=terminal, soft_wrap=True, width=100)
    begin.print_report(report, Path(f"a{said}"), screen, seconds=1.0)
    shown = terminal.seen()
    assert not DRIVES.findall(shown)
    assert shown.count("[/b] [red]say") >= 12
    assert shown.count("[/red] :smile:") >= 12
    assert isinstance(terminal, io.TextIOWrapper)


def test_nothing_is_printed_past_the_one_way_out():
    """`print`, `sys.stdout` and rich's own Console are for output.py alone; STOPPING is a constant."""
    import liuli.cli

    for path in sorted(Path(liuli.cli.__path__[0]).glob("*.py")):
        if path.name != "output.py":
            found = re.findall(PRINTS, path.read_text())
            assert not found, path.name
