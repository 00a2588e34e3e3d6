"""`liuli evaluate`: numbers over all of a text, and a world's truth."""

import json
import shutil

import pytest
from helpers import tiny

from liuli.data.text.sources import Sources
from liuli.evaluate.loss import evaluate
from liuli.generate.model import load


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.save(folder)
    return folder


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("小明今天去游乐园玩。The cat sat on the mat.\n" * 20, encoding="utf-8")
    return path


def test_numbers_of_a_text(liuli, model, text):
    result = liuli("evaluate", model, text, "--length", 64, "--json")
    assert result.code == 0
    body = json.loads(result.out)
    opened = load(model)
    found = evaluate(opened.decoder, opened.tokenizer, Sources([str(text)]).documents(), 64)
    assert body == {"model": {"path": str(model), "hash": opened.hash}, "evaluation": found.to_json()}
    assert body["evaluation"]["bytes"] == text.stat().st_size
    spoken = liuli("evaluate", model, text, "--length", 64).out
    assert f"{found.nats_per_token:.4f} nats/token" in spoken
    assert f"{found.bytes:,} bytes" in spoken


def test_only_what_is_held_out(liuli, model, text):
    body = json.loads(liuli("evaluate", model, text, "--valid", "tail:0.1", "--json").out)
    assert body["evaluation"]["bytes"] < text.stat().st_size / 8


def test_a_world_is_compared_with_its_truth(liuli, model, tmp_path):
    liuli("world", "--documents", 30, "--out", tmp_path / "place")
    assert "does not fit the model's context of 128" in liuli("evaluate", model, tmp_path / "place", "--points", 2).err
    model = shutil.copytree(model, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
    body = json.loads(liuli("evaluate", model, tmp_path / "place", "--points", 2, "--json").out)
    assert body["evaluation"]["windows"] >= 30
    assert set(body["world"]["gaps"]) == {"wording", "entity", "fact", "habit"}
    assert body["world"]["gaps"]["fact"]["nats"] > 1  # it knows nothing
    assert "facts right: " in liuli("evaluate", model, tmp_path / "place", "--points", 2).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--length", 0], "--length must be from 1 to the model's context of 128, not 0"),
        (["--length", 129], "--length must be from 1 to the model's context of 128, not 129"),
        (["--threads", 10_000], "--threads must be from 1 to "),
        (["--valid", "tail:2"], "the share to hold out must be a number between 0 and 1"),
    ],
)
def test_bad_options(liuli, model, text, words, said):
    result = liuli("evaluate", model, text, *words)
    assert result.code == 2
    assert said in result.err
    assert result.err.count("\n") == 1


def test_a_folder_without_a_tokenizer(liuli, model, text, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    assert "contains no tokenizer" in liuli("evaluate", tmp_path, text).err
