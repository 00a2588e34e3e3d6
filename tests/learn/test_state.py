"""A checkpoint's state: read as written, and any damage is named with what to do about it."""

import json
import shutil

import pytest
import torch
from helpers.trainings import assert_same, job_in, kept, run

from liuli.errors import LiuliError
from liuli.learn.run.folder import checkpoints
from liuli.learn.run.state import (
    State,
    file_hash,
    random_states,
    read_state,
    restore_random_states,
    under,
    write_state,
)  # fmt: skip

FACTS = {"step": 7, "tokens": 12, "best": {"nats_per_token": 0.1 + 0.2, "step": 3}, "名": ["小"], "nothing": None}
TENSORS = {
    "optimizer.a": torch.randn(3, 4), "batches.ids": torch.arange(5, dtype=torch.int32), "batches.none": torch.zeros(0, 3),
    "optimizer.turned": torch.randn(3, 4).t(), "random.cpu": torch.get_rng_state(),
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    """A checkpoint whose model is two files."""

    def write_model(folder):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes(100))

    place = tmp_path / "checkpoints" / "7"
    place.mkdir(parents=True)
    write_state(place, State(FACTS, TENSORS), write_model)
    return place


def test_read_as_written(place):
    state = read_state(place, None)
    assert {name: state.facts[name] for name in FACTS} == FACTS
    assert state.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(state.tensors[name], tensor)
        assert state.tensors[name].dtype == tensor.dtype
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert set(state.facts["files"]) == files - {"state/state.json"}


def edit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "removed": (lambda path: path.unlink(), "is missing"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-1]), "was changed or cut short after it was written"),
    "emptied": (lambda path: path.write_bytes(b""), "was changed or cut short after it was written"),
    "one bit": (edit, "was changed or cut short after it was written"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is missing"),
}


@pytest.mark.parametrize("name", ["state/tensors.safetensors", "model/model.safetensors", "model/config.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(place, name, damage):
    harm, message = DAMAGES[damage]
    harm(place / name)
    offer = f"; to continue from step 5 instead, delete {place} and resume again"
    with pytest.raises(LiuliError, match=f"{place / name} {message}.*{offer}$"):
        read_state(place, 5)
    with pytest.raises(LiuliError, match=r"; there is no other checkpoint: start a new run in another folder$"):
        read_state(place, None)


@pytest.mark.parametrize("cut", [0, 1, 40, -1, -3])
def test_facts_that_were_cut_short(place, cut):
    path = place / "state/state.json"
    path.write_bytes(path.read_bytes()[:cut])
    if cut == -1:  # nothing but the line break is gone
        assert read_state(place, 5).facts["step"] == 7
        return
    with pytest.raises(LiuliError, match=r"state/state\.json is missing or was cut short; to continue from step 5 instead"):
        read_state(place, 5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"step": 7', '"step": 8'), ("0.30000000000000004", "0.3"), ('"model/config.json"', '"model/config"'),
        ('"nothing": null', '"nothing": 0'), ('"sha256": "', '"sha256": "0'), ('"tokens": 12,', ""),
    ],
)  # fmt: skip
def test_facts_that_were_edited(place, old, new):
    path = place / "state/state.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(LiuliError, match=r"state/state.json (was changed after it was written|is missing or was cut short)"):
        read_state(place, 5)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"a"', "{}", '{"sha256": null}'])
def test_facts_of_another_kind(place, text):
    (place / "state/state.json").write_text(text)
    with pytest.raises(LiuliError, match=r"state/state\.json (is|was) .*; to continue from step 5"):
        read_state(place, 5)


def test_random_states_come_back():
    held = random_states(torch.device("cpu"))
    wanted = torch.rand(3)
    restore_random_states(held, torch.device("cpu"))
    assert torch.equal(torch.rand(3), wanted)


def test_under():
    assert under("a", {"a.b": torch.ones(1), "ab.c": torch.ones(1), "a.b.c": torch.ones(1)}).keys() == {"b", "b.c"}


def test_the_offer_holds(tmp_path):
    """A run whose last checkpoint is damaged goes on from the one before it, exactly, as the message says."""
    job, out = job_in(tmp_path, 20), tmp_path / "run"
    run(job, tmp_path / "whole")
    run(job, out, at=[12])
    for name, harm in (("state/tensors.safetensors", edit), ("model/model.safetensors", DAMAGES["cut short"][0])):
        last, before = checkpoints(out)[::-1][:2]
        harm(out / "checkpoints" / str(last) / name)
        with pytest.raises(LiuliError, match=f"{name} was changed or cut short .* step {before} instead, delete ") as error:
            run(job, out, resume=True)
        assert checkpoints(out)[-2:] == [before, last]
        shutil.rmtree(str(error.value).split("delete ")[1].split(" and resume")[0])
        run(job, out, resume=True, at=[15])
    run(job, out, resume=True)
    assert_same(kept(out), kept(tmp_path / "whole"))


def test_the_state_is_data_and_no_pickle(tmp_path):
    run(job_in(tmp_path, 10), tmp_path / "run")
    files = sorted(path.name for path in (tmp_path / "run/state/").iterdir())
    assert files == ["state.json", "tensors.safetensors"]
    facts = json.loads((tmp_path / "run/state/state.json").read_text())
    assert facts["files"]["model/model.safetensors"] == file_hash(tmp_path / "run/model/model.safetensors")
