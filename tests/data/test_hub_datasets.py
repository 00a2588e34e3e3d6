"""`hub:owner/dataset` through huggingface_hub, against a small server on this machine."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.corpora import write
from helpers.hub_server import Hub, python

from liuli.data.text.sources import Sources
from liuli.errors import LiuliError

STREAM = """
from liuli.data.text.sources import Sources
from liuli.errors import LiuliError
try:
    for document in Sources(["hub:somebody/texts"]).documents():
        print(document.number, document.source, document.text)
except LiuliError as error:
    print("error:", error)
"""


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / "published"
    write(folder / "[a].json", json.dumps([{"text": "zero"}]))
    (folder / "data").mkdir()
    pq.write_table(pa.table({"text": ["one", "two"], "id": [1, 2]}), folder / "data" / "train.parquet")
    write(folder / "more.jsonl.zst", json.dumps({"text": "three"}))
    write(folder / "notes" / "test.md", "five")
    write(folder / "novel.txt", "four")
    write(folder / "README.md", "a card, no text of the dataset")
    write(folder / "script.py", "raise SystemExit('run')")
    hub = Hub(folder, "datasets", "somebody/texts")
    yield hub
    hub.close()


def test_a_dataset_is_fetched_once_and_then_found_offline(hub, tmp_path):
    first = python(STREAM, tmp_path, hub.endpoint)
    assert first.stdout.splitlines() == [
        "0 hub:somebody/texts/[a].json:1 zero",
        "1 hub:somebody/texts/data/train.parquet:1 one",
        "2 hub:somebody/texts/data/train.parquet:2 two",
        "3 hub:somebody/texts/more.jsonl.zst:1 three",
        "4 hub:somebody/texts/notes/test.md five",
        "5 hub:somebody/texts/novel.txt four",
    ], first.stdout + first.stderr
    assert not any("README" in path or "script.py" in path for path in hub.asked)
    offline = python(STREAM, tmp_path, "http://127.0.0.1:9", offline=True)
    assert offline.stdout == first.stdout, offline.stderr


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("data", ["0 hub:somebody/texts/data/train.parquet:1 one", "1 hub:somebody/texts/data/train.parquet:2 two"]),
        ("notes/", ["0 hub:somebody/texts/notes/test.md five"]),
        ("notes/test.md", ["0 hub:somebody/texts/notes/test.md five"]),
        ("[a].json", ["0 hub:somebody/texts/[a].json:1 zero"]),
        ("script.py", ["error: hub:somebody/texts/script.py contains no files from which Liuli reads text; it reads .txt,"]),
        ("nowhere", ["error: hub:somebody/texts/nowhere contains no files from which Liuli reads text; it reads .txt,"]),
    ],
)
def test_a_folder_or_file_of_a_dataset(hub, tmp_path, path, lines):
    found = python(STREAM.replace("somebody/texts", f"somebody/texts/{path}"), tmp_path, hub.endpoint)
    said = found.stdout.splitlines()
    assert len(said) == len(lines), found.stdout + found.stderr
    assert all(line.startswith(wanted) for line, wanted in zip(said, lines, strict=True)), said
    assert path == "nowhere" or not any("/resolve/" in asked and "novel.txt" in asked for asked in hub.asked)


def test_a_dataset_without_text(tmp_path):
    write(tmp_path / "published" / "README.md", "a card")
    hub = Hub(tmp_path / "published", "datasets", "somebody/texts")
    found = python(STREAM, tmp_path, hub.endpoint)
    hub.close()
    assert found.stdout.startswith("error: hub:somebody/texts contains no files from which Liuli reads text"), (
        found.stdout + found.stderr
    )


def test_files_that_others_fetched_are_not_read(hub, tmp_path):
    python("import huggingface_hub as h; h.snapshot_download('somebody/texts', repo_type='dataset')", tmp_path, hub.endpoint)
    found = python(STREAM, tmp_path, hub.endpoint)
    assert len(found.stdout.splitlines()) == 6 and "card" not in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize("offline", [True, False], ids=["told to be offline", "no network"])
def test_offline_is_one_clear_error(tmp_path, offline):
    found = python(STREAM, tmp_path, "http://127.0.0.1:9", offline=offline)
    assert found.stdout.startswith("error: hub:somebody/texts: the dataset of that name could not be"), found.stderr
    assert "give that folder" in found.stdout and found.stdout.count("\n") == 1


def test_a_dataset_that_the_hub_does_not_have(hub, tmp_path):
    found = python(STREAM.replace("somebody/texts", "nobody/nothing"), tmp_path, hub.endpoint)
    assert found.stdout.startswith("error: hub:nobody/nothing: the Hugging Face Hub has no dataset of that name"), found.stderr


@pytest.mark.parametrize(
    "name", ["hub:", "hub:alone", "hub:a/b/../c", "hub:a/b//c", "hub:../x", "hub:a b/c", "hub:/x", "hub:owner/.."]
)
def test_malformed_names(name):
    with pytest.raises(LiuliError, match="is not the name of a dataset on the Hugging Face Hub; write hub:owner/dataset"):
        Sources([name])
