"""`hub:owner/dataset` through huggingface_hub, against a small server on this machine."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import Hub, python

from liuli.data.sources import Sources
from liuli.errors import LiuliError

STREAM = """
from liuli.data.sources import Sources
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
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["one", "two"], "id": [1, 2]}), folder / "data" / "train.parquet")
    (folder / "more.jsonl").write_text(json.dumps({"text": "three"}))
    (folder / "novel.txt").write_text("four")
    (folder / "README.md").write_text("a card, no text of the dataset")
    (folder / "script.py").write_text("raise SystemExit('run')")
    hub = Hub(folder, "datasets", "somebody/texts")
    yield hub
    hub.close()


def test_a_dataset_is_fetched_once_and_then_found_offline(hub, tmp_path):
    first = python(STREAM, tmp_path, hub.endpoint)
    assert first.stdout.splitlines() == [
        "0 hub:somebody/texts/data/train.parquet:1 one",
        "1 hub:somebody/texts/data/train.parquet:2 two",
        "2 hub:somebody/texts/more.jsonl:1 three",
        "3 hub:somebody/texts/novel.txt four",
    ], first.stdout + first.stderr
    assert not any("README" in path or "script.py" in path for path in hub.asked)
    offline = python(STREAM, tmp_path, "http://127.0.0.1:9", offline=True)
    assert offline.stdout == first.stdout, offline.stderr


@pytest.mark.parametrize("offline", [True, False], ids=["told to be offline", "no network"])
def test_offline_is_one_clear_error(tmp_path, offline):
    found = python(STREAM, tmp_path, "http://127.0.0.1:9", offline=offline)
    assert found.stdout.startswith("error: hub:somebody/texts: the hub could not give the dataset of that name"), found.stderr
    assert "give that folder" in found.stdout and found.stdout.count("\n") == 1


def test_a_dataset_that_the_hub_does_not_have(hub, tmp_path):
    found = python(STREAM.replace("somebody/texts", "nobody/nothing"), tmp_path, hub.endpoint)
    assert found.stdout.startswith("error: hub:nobody/nothing: the hub has no dataset of that name"), found.stderr


@pytest.mark.parametrize("name", ["hub:", "hub:alone", "hub:a/b/c", "hub:../x", "hub:a b/c", "hub:/x", "hub:owner/.."])
def test_malformed_names(name):
    with pytest.raises(LiuliError, match="names no dataset of the hub; write hub:owner/dataset"):
        Sources([name])
