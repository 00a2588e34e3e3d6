"""`liuli merge`, and `--adapter` wherever a model is opened."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

import liuli as package
from liuli.model.adapters import lora, peft_folder
from liuli.model.formats.detect import hash_model, read_decoder

transformers.utils.logging.disable_progress_bar()  # they would stand in what a command says

ids_BT = torch.arange(60)[None]


@pytest.fixture(scope="module")
def adapted(tiny_folder, tmp_path_factory) -> Path:
    """An adapter of the tiny model that changes what it says."""
    decoder, folder = read_decoder(tiny_folder), tmp_path_factory.mktemp("adapters") / "chat"
    lora.add(decoder, lora.LoRASettings(rank=4), seed=0)
    for slot in lora.adapted(decoder).values():
        slot.active.b.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    peft_folder.save(decoder, folder, str(tiny_folder), hash_model(tiny_folder))
    return folder


def test_a_merged_model_is_a_plain_one_that_says_the_same(liuli, tiny_folder, adapted, tmp_path):
    out = tmp_path / "new" / "merged"
    result = liuli("merge", tiny_folder, adapted, "--out", out)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{out}: {tiny_folder} with {adapted} merged into its weights, fp32, hash ")
    held = {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "liuli.json"}
    assert {path.name for path in out.iterdir()} == held
    assert [path.name for path in out.parent.iterdir()] == ["merged"]
    with torch.no_grad():
        expected = package.load(tiny_folder, adapter=adapted).decoder(ids_BT)
        assert (package.load(out).decoder(ids_BT) - expected).abs().max() < 5e-5 * expected.std()
        plain = transformers.AutoModelForCausalLM.from_pretrained(out)
        assert (plain(ids_BT).logits - expected).abs().max() < 5e-5 * expected.std()
        theirs = peft.PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(tiny_folder), adapted)
    merged, ours = theirs.merge_and_unload().state_dict(), load_file(out / "model.safetensors")
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, merged[name], atol=1e-6, rtol=1e-6)
    said = [liuli("complete", *words, "--seed", 3, "--max-tokens", 9).out for words in ([out, "the"], [tiny_folder, "the"])]
    assert said[0] == liuli("complete", tiny_folder, "the", "--adapter", adapted, "--seed", 3, "--max-tokens", 9).out != said[1]


def test_the_card_names_both_parents(liuli, tiny_folder, adapted, tmp_path):
    body = json.loads(liuli("merge", tiny_folder, adapted, "--out", tmp_path / "merged", "--json").out)
    card = json.loads((tmp_path / "merged" / "liuli.json").read_text())
    assert body == {"path": str(tmp_path / "merged"), **card}
    command = ["liuli", "merge", str(tiny_folder), str(adapted), "--out", str(tmp_path / "merged"), "--json"]
    assert card == {
        "stage": "merged",
        "parent": hash_model(tiny_folder),
        "adapter": peft_folder.hash_adapter(adapted),
        "hash": hash_model(tmp_path / "merged"),
        "command": command,
    }


def test_what_lies_beside_the_adapter_stands_for_the_models_own(liuli, tiny_folder, adapted, tmp_path):
    """Where an assistant's replies end and how it is asked were learned with the adapter."""
    chat = shutil.copytree(adapted, tmp_path / "chat")
    (chat / "generation_config.json").write_text('{"eos_token_id": 7, "temperature": 0.5}')
    tokenizer = json.loads((tiny_folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = None
    (chat / "tokenizer.json").write_text(json.dumps(tokenizer))
    liuli("merge", tiny_folder, chat, "--out", tmp_path / "merged")
    for model in (package.load(tiny_folder, adapter=chat), package.load(tmp_path / "merged")):
        assert (model.stop_ids, model.sampling.temperature) == ([7], 0.5)
        assert len(model.tokenizer.encode("the", prompt=True)) == 1
    assert not (tmp_path / "merged" / "adapter_config.json").exists()
    (chat / "generation_config.json").write_text("{}")
    assert package.load(tiny_folder, adapter=chat).stop_ids == [0]


def test_json_names_the_adapter_beside_the_model(liuli, tiny_folder, tiny, adapted, tmp_path):
    named = {"path": str(adapted), "hash": peft_folder.hash_adapter(adapted)}
    (tmp_path / "text.txt").write_text("the cat " * 50)
    without = json.loads(liuli("evaluate", tiny_folder, tmp_path / "text.txt", "--json").out)
    body = json.loads(liuli("evaluate", tiny_folder, tmp_path / "text.txt", "--adapter", adapted, "--json").out)
    assert (
        body["model"]
        == without["model"] | {"adapter": named}
        == {"path": str(tiny_folder), "hash": tiny.hash, "adapter": named}
    )
    assert body["evaluation"]["nats"] != without["evaluation"]["nats"]
    body = json.loads(liuli("complete", tiny_folder, "the", "--adapter", adapted, "--max-tokens", 2, "--json").out)
    assert body["model"]["adapter"] == named


def test_nothing_is_written_where_it_fails(liuli, tiny_folder, adapted, tmp_path, monkeypatch):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("")
    result = liuli("merge", tiny_folder, adapted, "--out", full)
    assert (result.code, result.err) == (2, f"liuli: {full} contains other files (mine): give a new or empty folder\n")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine"]
    (tmp_path / "empty").mkdir()

    def fail(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("liuli.learn.prepare.tokenizer_files.copy_tokenizer_files", fail)
    result = liuli("merge", tiny_folder, adapted, "--out", tmp_path / "empty")
    assert (result.code, result.err) == (2, "liuli: somewhere cannot be read or written: no space left on device\n")
    assert liuli("merge", tiny_folder, adapted, "--out", tmp_path / "new" / "deep").code == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "full", "mine"]
    monkeypatch.undo()
    assert liuli("merge", tiny_folder, adapted, "--out", tmp_path / "empty").code == 0


@pytest.mark.parametrize(
    "words", [["merge", "MODEL", "ADAPTER", "--out", "OUT"], ["complete", "MODEL", "a", "--adapter", "ADAPTER"]]
)
def test_an_adapter_of_another_model(liuli, tiny_folder, adapted, tmp_path, words):
    other = shutil.copytree(tiny_folder, tmp_path / "other")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(other)
    theirs.model.norm.weight.data.add_(1)
    theirs.save_pretrained(other)
    places = {"MODEL": other, "ADAPTER": adapted, "OUT": tmp_path / "merged"}
    result = liuli(*(places.get(word, word) for word in words))
    said = f"liuli.json says that it was trained on the model with the hash {hash_model(tiny_folder)}, but this model has "
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"liuli: {adapted} is not an adapter of {other}: {said}")
    assert not (tmp_path / "merged").exists()
