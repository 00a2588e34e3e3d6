"""`liuli evaluate`: numbers over all of a text, and a world's truth."""

import json
import shutil

import pytest
from helpers import talking, tiny

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.packing.dialogue_pieces import Cuts
from liuli.data.text.sources import Sources
from liuli.evaluate.dialogues import evaluate_dialogues, exact_replies
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


def test_a_folder_around_a_world_is_refused(liuli, model, tmp_path):
    """Its other files are not one text with the world's documents."""
    place = tmp_path / "begun" / "world"
    liuli("world", "--documents", 3, "--out", place)
    (place.parent / "dialogues.jsonl").write_text('{"text": "a"}')
    result = liuli("evaluate", model, place.parent)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"liuli: {place.parent} contains the world {place}: give {place} to compare the model with that world, or name the "
        "files to evaluate\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--length", 0], "--length must be from 1 to the model's context of 128, not 0"),
        (["--length", 129], "--length must be from 1 to the model's context of 128, not 129"),
        (["--threads", 10_000], "--threads must be from 1 to "),
        (["--valid", "tail:2"], "the share to hold out must be a number between 0 and 1"),
        (["--points", 3], "--points applies only to a folder made by liuli world: leave out --points"),
        (["--exact"], "--exact applies only to dialogues, and the sources are text: leave out --exact, or add --dialogues"),
        (["--dialogues", "--text-field", "a"], "--text-field applies only to text, and --dialogues to dialogues"),
        (["--dialogues"], "contains no chat template, and its tokenizer has no <|im_start|>"),
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


@pytest.fixture(scope="module")
def assistant(tmp_path_factory):
    return talking.save(tmp_path_factory.mktemp("models") / "assistant", replies=("好的。",))


@pytest.fixture
def talks(tmp_path):
    def dialogue(number, reply):
        return {"messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": reply}]}

    path = tmp_path / "talks.jsonl"
    lines = [json.dumps(dialogue(i, "好的。" if i % 4 else "no")) for i in range(40)]
    path.write_text("\n".join([*lines, json.dumps({"chosen": "a", "rejected": "b"})]))
    return path


def test_dialogues(liuli, assistant, talks):
    opened = load(assistant)
    found = evaluate_dialogues(opened.decoder, opened.chat, Dialogues(talks), 128, Cuts())
    same = exact_replies(opened.decoder, opened.chat, Dialogues(talks))
    result = liuli("evaluate", assistant, talks, "--exact", "--json")
    body = json.loads(result.out)
    assert body == {
        "model": {"path": str(assistant), "hash": opened.hash},
        "dialogues": found.to_json() | {"exact": same.to_json()},
    }
    assert (found.dialogues, found.replies, same.asked, same.exact) == (40, 40, 40, 30)
    assert result.err.startswith("liuli: skipped 1 × a preference, not a dialogue: ")
    spoken = liuli("evaluate", assistant, talks, "--exact").out
    assert f"{found.loss.nats_per_token:.4f} nats per supervised token" in spoken
    assert "40 replies of 40 dialogues, in rows of at most 128 tokens" in spoken
    assert "last replies that are exactly the dialogue's own: 75.00% (30 of 40, generated greedily)" in spoken
    assert "\n  a reply that says the same in other words is not counted as exact\n" in spoken
    assert "exact" not in json.loads(liuli("evaluate", assistant, talks, "--json").out)["dialogues"]


def test_held_out_dialogues_alone(liuli, assistant, talks):
    body = json.loads(liuli("evaluate", assistant, talks, "--valid", "tail:0.1", "--json").out)
    assert body["dialogues"]["dialogues"] == 4


def test_replies_that_do_not_fit_are_named(liuli, assistant, talks):
    long = [{"role": "user", "content": "x" * 200}, {"role": "assistant", "content": "a"}]
    with talks.open("a") as file:
        file.write("\n" + json.dumps({"messages": long}))
    said = liuli("evaluate", assistant, talks).err
    assert "liuli: skipped 1 answer: too long for a sequence of 128 tokens; give a larger --length\n" in said
    exact = liuli("evaluate", assistant, talks, "--exact").out
    assert "  not generated: 1 × the reply and its prompt do not fit the model's context of 128 tokens\n" in exact


def test_the_text_of_another_field(liuli, model, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"title": "t", "lines": ["one line", "another"]}))
    body = json.loads(liuli("evaluate", model, path, "--text-field", "lines", "--json").out)
    assert body["evaluation"]["bytes"] == len("one line\nanother")
