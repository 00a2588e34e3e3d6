"""`liuli tokenizer train` as a person types it."""

import json
import os
import pty
import random
import signal
import string
import subprocess
import sys
import time

import pytest

from liuli.cli.tokenizer import _table
from liuli.display import visible
from liuli.tokens import open_tokenizer
from liuli.tokens.report import ScriptRow, TokenizerReport
from liuli.tokens.train import LEAST

TEXT = "今天天气真好，我们去公园。今天我们看书。The weather is good today, and they don't read in the park.\n" * 40


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_tokenizer_is_trained_and_told_of(liuli, corpus, tmp_path):
    out = tmp_path / "out"
    result = liuli("tokenizer", "train", corpus, "--out", out, "--vocab-size", 330)
    assert (result.code, result.err) == (0, "")
    first, *_ = result.out.splitlines()
    assert first == f"{out}: byte-level BPE, 330 tokens, trained on all of {len(TEXT.encode()):,} bytes"
    assert "longest tokens, Han: 今天天气  " in result.out
    assert not set("Ġäå½") & set(result.out)
    tokenizer = open_tokenizer(out)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    written = (out / "tokenizer.json").read_bytes()
    refused = liuli("tokenizer", "train", corpus, "--out", out, "--kind", "char")
    said = f"{out} already contains a tokenizer: give a new or empty folder, or --force to replace it"
    assert (refused.code, refused.out, refused.err) == (2, "", f"liuli: {said}\n")
    assert (out / "tokenizer.json").read_bytes() == written
    again = liuli("tokenizer", "train", corpus, "--out", out, "--vocab-size", 330, "--force")
    assert (again.code, again.out, again.err) == (0, result.out, f"liuli: replaced the tokenizer that was in {out}\n")
    assert (out / "tokenizer.json").read_bytes() == written


def test_what_is_whole_in_a_broken_piece_is_shown_whole():
    assert visible("\ufffd天 ", b"\x8a" + "天 ".encode()) == "<8A>天·"
    assert visible("\ufffd", "\ufffd".encode()) == "\ufffd"


def test_characters_as_json(liuli, corpus, tmp_path):
    result = liuli("tokenizer", "train", corpus, "--out", tmp_path / "out", "--kind", "char", "--json")
    body = json.loads(result.out)
    assert body["path"] == str(tmp_path / "out")
    assert body["sample"] == {"bytes": len(TEXT.encode()), "of_bytes": len(TEXT.encode()), "blocks": 1}
    assert body["report"]["vocab_size"] == LEAST + len(set(TEXT))
    assert body["report"]["tokens"] == body["report"]["characters"] == len(TEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vocab-size", "262"], "need at least 263"),
        (["--vocab-size", "50000"], "give --vocab-size "),
        (["--kind", "word"], "choose bpe or char"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(liuli, corpus, tmp_path, options, message):
    result = liuli("tokenizer", "train", corpus, "--out", tmp_path / "out", *options)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_left_alone(liuli, corpus, tmp_path):
    result = liuli("tokenizer", "train", corpus, "--out", tmp_path)
    assert result.code == 2
    assert result.err == f"liuli: {tmp_path} contains other files (corpus.txt): give a new or empty folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.txt"]


MAIN = "from liuli.cli.app import main; main()"
# Says when the trainer has all of its text and is at work on it, out of Python's reach.
MAIN_THAT_SAYS_WHEN_IT_HAS_READ = f"""
import sys
from liuli.tokens.sample import TextSample
texts = TextSample.texts
def told(sample):
    yield from texts(sample)
    print("all is read", file=sys.stderr, flush=True)
TextSample.texts = told
{MAIN}
"""


class Terminal:
    """A command whose standard error is a terminal."""

    def __init__(self, code: str, *words: object):
        self._seen, terminal = pty.openpty()
        command = [sys.executable, "-c", code, *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal)
        os.close(terminal)

    def read(self, until: str = "") -> str:
        """What it says there, to the end or until it has said `until`."""
        data = b""
        while not until or until.encode() not in data:
            try:
                data += os.read(self._seen, 1024)
            except OSError:  # the process has ended
                break
        return data.decode()


@pytest.fixture
def slow_corpus(tmp_path):
    """Long words of which none comes twice: the trainer is at work on them for many seconds."""
    draw, path = random.Random(1), tmp_path / "slow.txt"
    lines = ("".join(draw.choices(string.ascii_letters, k=4096)) for _ in range(2000))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_ctrl_c_ends_training_at_once_and_writes_nothing(slow_corpus, tmp_path):
    terminal = Terminal(MAIN_THAT_SAYS_WHEN_IT_HAS_READ, "tokenizer", "train", slow_corpus, "--out", tmp_path / "out")
    assert terminal.read(until="all is read\r\n").endswith("all is read\r\n")
    start = time.monotonic()
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read().endswith("liuli: interrupted: nothing was written\r\n")
    assert terminal.process.wait() == 130
    assert time.monotonic() - start < 3  # training takes longer
    assert not (tmp_path / "out").exists()


def test_an_interrupted_report_says_that_the_tokenizer_is_there(corpus, tmp_path):
    code = "import liuli.tokens.report as r\ndef stop(*_): raise KeyboardInterrupt\nr.report = stop\n" + MAIN
    words = ["tokenizer", "train", str(corpus), "--out", str(tmp_path / "out")]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == f"liuli: interrupted: {tmp_path / 'out'} is complete, but there is no report on it\n"
    assert open_tokenizer(tmp_path / "out").decode([7]) == "!"


@pytest.mark.parametrize("columns", [50, 80])
def test_the_table_can_be_read_in_a_narrow_window(columns):
    from rich.console import Console

    rows = [ScriptRow(script, 7_999_999, 8_000_000, 8_000_000, 20_992, 1.0, 1.0, []) for script in ("Han", "digits")]
    found = TokenizerReport("characters", 6_400, 7_999_999, 8_000_000, 8_000_000, 0, [], [], rows)
    console = Console(width=columns, highlight=False)
    with console.capture() as shown:
        console.print(_table(found, columns))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= columns
    words = ["digits", "7,999,999", "1.000", "1.000", "20,992", "100.0%", "100.00%"]
    assert words in [line.split() for line in lines]
    assert len({line.index(words[1]) for line in lines if words[1] in line}) == 1
    headings = sorted(word for line in lines[:3] for word in line.split())
    assert " ".join(headings) == "by bytes chars chars per per script single single token token token token tokens unique use"


def test_a_report_on_characters_has_no_line_on_tokens_of_several_bytes(liuli, corpus, tmp_path):
    assert "several bytes" not in liuli("tokenizer", "train", corpus, "--out", tmp_path / "out", "--kind", "char").out
