"""Where commands write: every output of every command is refused alike where something exists already."""

import json
import os
import stat
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.commands import COMMANDS

from liuli.cli.dialogue_file import write_dialogue
from liuli.errors import LiuliError


class Output(NamedTuple):
    """An output of a command. `words`: the command and its inputs, which exist and are never opened. `suffix`: what the name of
    a file ends with; None for a folder."""

    words: tuple[str, ...]
    option: str
    suffix: str | None = None


OUTPUTS = [
    Output(("begin",), "--out"),
    Output(("train", "INPUT/text.txt"), "--out"),
    Output(("finetune", "INPUT/model", "INPUT/talks.jsonl"), "--out"),
    Output(("join", "INPUT/model", "INPUT/question", "INPUT/talks.jsonl", "INPUT/talks.jsonl"), "--out", ".csv"),
    Output(("agent", "INPUT/model", "INPUT/question"), "--out", ".json"),
    Output(("merge", "INPUT/model", "INPUT/model"), "--out"),
    Output(("convert", "INPUT/model"), "--out"),
    Output(("convert", "INPUT/model"), "--gguf", ".gguf"),
    Output(("data", "convert", "INPUT/talks.jsonl"), "--out", ".jsonl"),
    Output(("look", "INPUT/model", "INPUT/text.txt"), "--html", ".html"),
    Output(("tokenizer", "train", "INPUT/text.txt"), "--out"),
    Output(("world",), "--out"),
    Output(("world", "dialogues"), "--out", ".jsonl"),
]


def command_of(output: Output) -> str:
    return " ".join(word for word in ("liuli", *output.words) if not word.startswith("INPUT"))


def shown(output: Output) -> str:
    return f"{command_of(output)} {output.option}"


def test_every_output_of_every_command_is_listed_here():
    found = {
        f"{name} {param.opts[0]}"
        for name, command in COMMANDS.items()
        for param in command.params
        if param.param_type_name == "option" and param.help.startswith("Write ")  # "Write this many documents." is no output
        if param.metavar in ("FILE", "FOLDER", "RUN")
    }
    assert found == {shown(output) for output in OUTPUTS}


class Place(NamedTuple):
    """A path that a user may give. `folder`, `file`: what is said about it as a new folder and as a new file."""

    name: str
    folder: str
    file: str

    def make(self, root: Path, suffix: str) -> str:
        """Makes what is there, in an empty folder. Returns the path."""
        held = root / "held"
        match self.name:
            case "a file":
                (root / f"held{suffix}").write_text("mine")
                return str(root / f"held{suffix}")
            case "a folder":
                held.mkdir()
                (held / "thesis.txt").write_text("mine")
                return str(held)
            case "a link to a file":
                held.write_text("mine")
                (root / f"link{suffix}").symlink_to(held)
                return str(root / f"link{suffix}")
            case "a link to a folder":
                held.mkdir()
                (held / "thesis.txt").write_text("mine")
                (root / f"link{suffix}").symlink_to(held)
                return str(root / f"link{suffix}")
            case "a link to nothing":
                (root / f"link{suffix}").symlink_to(root / "gone")
                return str(root / f"link{suffix}")
            case "a loop of links":
                (root / f"link{suffix}").symlink_to(root / f"link{suffix}")
                return str(root / f"link{suffix}")
            case "below a link to nothing":
                (root / "link").symlink_to(root / "gone")
                return str(root / "link" / f"new{suffix}")
            case "a pipe":
                os.mkfifo(root / f"pipe{suffix}")
                return str(root / f"pipe{suffix}")
            case "below a file":
                held.write_text("mine")
                return str(held / f"new{suffix}")
            case "far below a file":
                held.write_text("mine")
                return str(held / "new" / f"new{suffix}")
            case "a name that is too long":
                return str(root / ("x" * 300 + suffix))
            case "a name that is too long, in a new folder":
                return str(root / "new" / ("x" * 300 + suffix))
            case "a name too long for the temporary file":
                return str(root / ("x" * (252 - len(suffix)) + suffix))
            case "a folder without permission":
                held.mkdir()
                held.chmod(0o555)
                return str(held / f"new{suffix}")
            case "no name":
                return ""
            case _:
                return self.name  # a device


BROKEN, TOO_LONG = "is a link to something that does not exist", "cannot be written: file name too long; give another path"
FULL = "contains other files (thesis.txt): give a new or empty folder"
TAKEN, NO_FILE = "already exists and will not be overwritten: give another name, or delete it", "give the name of a new file"
EMPTY = "the name of the output is empty: give the name of a file or folder"
PLACES = [
    Place("a file", "is a file: give a new or empty folder", TAKEN),
    Place("a folder", FULL, f"is a folder: {NO_FILE}"),
    Place("a link to a file", "is a file: give a new or empty folder", TAKEN),
    Place("a link to a folder", FULL, f"is a folder: {NO_FILE}"),
    Place("a link to nothing", f"{BROKEN}: give a new or empty folder", f"{BROKEN}: {NO_FILE}"),
    Place("a loop of links", "cannot be written: too many levels of symbolic links", "too many levels of symbolic links"),
    Place("below a link to nothing", f"{BROKEN}; give another path", f"{BROKEN}; give another path"),
    Place("a pipe", "is a pipe: give a new or empty folder", f"is a pipe: {NO_FILE}"),
    Place("/dev/null", "is a device: give a new or empty folder", f"is a device: {NO_FILE}"),
    Place("/dev/full", "is a device: give a new or empty folder", f"is a device: {NO_FILE}"),
    Place("below a file", "held is a file; give another path", "held is a file; give another path"),
    Place("far below a file", "held is a file; give another path", "held is a file; give another path"),
    Place("a name that is too long", TOO_LONG, TOO_LONG),
    Place("a name that is too long, in a new folder", TOO_LONG, TOO_LONG),
    Place("a name too long for the temporary file", TOO_LONG, TOO_LONG),
    Place("a folder without permission", "cannot be written: permission denied", "cannot be written: permission denied"),
    Place("no name", EMPTY, EMPTY),
]


def everything(folder: Path) -> dict[str, object]:
    """All that is in a folder: kinds, and the content of files and links."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        content: object = os.readlink(path) if path.is_symlink() else None
        if stat.S_ISREG(mode):
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = (mode, content)
    return found


def made(place: Place, root: Path, suffix: str) -> str:
    if place.name.startswith("/dev/") and not Path(place.name).exists():
        pytest.skip(f"needs {place.name}")
    if place.name == "a folder without permission" and os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    return place.make(root, suffix)


@pytest.fixture
def inputs(tmp_path) -> Path:
    folder = tmp_path / "inputs"
    (folder / "model").mkdir(parents=True)
    (folder / "text.txt").write_text("some text")
    (folder / "talks.jsonl").write_text("{}")
    return folder


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("output", OUTPUTS, ids=shown)
def test_nothing_that_exists_is_written_over(liuli, inputs, tmp_path, output, place):
    root = tmp_path / "root"
    root.mkdir()
    path = made(place, root, output.suffix or "")
    before = everything(tmp_path)
    words = [word.replace("INPUT", str(inputs)) for word in output.words]
    result = liuli(*words, output.option, path)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert result.err.startswith(f"liuli: {path}")
    assert (place.folder if output.suffix is None else place.file) in result.err
    assert everything(tmp_path) == before
    if place.name.startswith("/dev/"):
        assert stat.S_ISCHR(os.stat(place.name).st_mode)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_nothing_that_exists_is_written_over_by_a_chat(tmp_path, place):
    path = made(place, tmp_path, ".jsonl")
    before = everything(tmp_path)
    with pytest.raises(LiuliError) as error:
        write_dialogue(path, [{"role": "user", "content": "hello"}])
    assert place.file in str(error.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ("world", "--documents", 1, "--out", "new/deep/world"),
        ("world", "dialogues", "--count", 1, "--out", "new/deep/talks.jsonl"),
        ("data", "convert", "talks.json", "--out", "new/deep/talks.jsonl"),
        ("tokenizer", "train", "text.txt", "--kind", "char", "--out", "new/deep/tokenizer"),
    ],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_missing_folders_are_created(liuli, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talks.json").write_text(json.dumps([{"question": "a", "answer": "b"}]))
    (tmp_path / "text.txt").write_text("some text")
    result = liuli(*words)
    assert (result.code, result.err) == (0, "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "new" / "deep").iterdir()] == [Path(words[-1]).name]


@pytest.mark.parametrize(
    "words",
    [
        ("data", "convert", "none.json", "--out", "new/deep/talks.jsonl"),
        ("tokenizer", "train", "text.txt", "--vocab-size", 5000, "--out", "new/deep/tokenizer"),
        ("train", "short.txt", "--tokenizer", "char", "--out", "new/deep/run"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_fails_later_leaves_no_folder(liuli, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.json").write_text("[]")
    (tmp_path / "text.txt").write_text("some text")
    (tmp_path / "short.txt").write_text("x")
    result = liuli(*words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_and_a_link_to_one_are_filled(liuli, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert liuli("world", "--documents", 1, "--out", tmp_path / "link").code == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "empty" / "facts.json").is_file()
