"""`liuli convert`: a model as a folder and as a GGUF file, there and back."""

import json
import shutil

import pytest
import torch
import transformers
from helpers import talking

import liuli as package
from liuli.cli import convert, options
from liuli.devices import DTYPES
from liuli.model.formats import gguf_write
from liuli.model.formats.detect import hash_model
from liuli.tokens.chat.templates import CHATML

transformers.utils.logging.disable_progress_bar()

ids_BT = torch.arange(60)[None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose replies are known."""
    return talking.save(tmp_path_factory.mktemp("models") / "talking", template=CHATML)


def test_there_and_back(liuli, folder, tmp_path):
    file, again, third = tmp_path / "m.gguf", tmp_path / "again", tmp_path / "new" / "third.gguf"
    result = liuli("convert", folder, "--gguf", file, "--type", "f32")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{file}: {folder} in f32, ")
    assert result.out.endswith(f"\nTry it with:\n  liuli chat {file}\n")
    result = liuli("convert", file, "--out", again)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{again}: {file} in fp32, hash {hash_model(again)[:12]}\nTry it with:\n  liuli chat {again}\n"
    assert hash_model(again) == hash_model(folder)
    assert liuli("convert", again, "--gguf", third, "--type", "f32").code == 0
    assert hash_model(third) == hash_model(file)
    opened = [package.load(model) for model in (folder, file, again, third)]
    plain = transformers.AutoModelForCausalLM.from_pretrained(again)
    with torch.no_grad():
        expected = opened[0].decoder(ids_BT)
        assert all(torch.equal(model.decoder(ids_BT), expected) for model in opened)
        assert (plain(ids_BT).logits - expected).abs().max() < 5e-5 * expected.std()
    ids = [model.tokenizer.encode("<|im_start|>user\n你好<|im_end|> the 12", prompt=True) for model in opened]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    asked = [liuli("chat", model, "--seed", 1, stdin="你好\n".encode()).out for model in (folder, file, again, third)]
    assert asked[0] == asked[1] == asked[2] == asked[3]
    card = json.loads((again / "liuli.json").read_text())
    assert (card["stage"], card["parent"]) == ("converted", hash_model(file))
    assert {path.name for path in tmp_path.iterdir()} == {"m.gguf", "again", "new"}


def test_types_and_json(liuli, folder, tmp_path):
    for kind in ("q8_0", "q4_0"):
        body = json.loads(liuli("convert", folder, "--gguf", tmp_path / f"{kind}.gguf", "--type", kind, "--json").out)
        assert body["bytes"] == (tmp_path / f"{kind}.gguf").stat().st_size
        assert body["tensors"].keys() >= {"F32"}
    body = json.loads(liuli("convert", folder, "--out", tmp_path / "half", "--dtype", "bf16", "--json").out)
    assert body["stage"] == "converted"
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16"
    # From one file to another type: the tokenizer's metadata is taken over.
    assert liuli("convert", tmp_path / "q8_0.gguf", "--gguf", tmp_path / "f16.gguf").code == 0
    one, other = (package.load(tmp_path / f"{kind}.gguf") for kind in ("q8_0", "f16"))
    assert one.tokenizer.specials == other.tokenizer.specials
    assert one.tokenizer.encode("the 你好", prompt=True) == other.tokenizer.encode("the 你好", prompt=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --out FOLDER or --gguf FILE"),
        (["--out", "a", "--gguf", "b.gguf"], "give either --out FOLDER or --gguf FILE"),
        (["--out", "a", "--type", "f16"], "--type applies to --gguf only; use --dtype for a folder"),
        (["--gguf", "b.gguf", "--dtype", "bf16"], "--dtype applies to --out only; use --type for a GGUF file"),
        (["--gguf", "b.gguf", "--type", "q4_K"], "--type q4_K cannot be written; types: f32, f16, bf16, q8_0"),
        (["--out", "a", "--dtype", "int8"], "there is no dtype 'int8'; dtypes: fp32, bf16, fp16"),
        (["--gguf", "b.bin"], "b.bin: the name of the output file must end with .gguf"),
        (["--gguf", "there.gguf"], "there.gguf already exists and will not be overwritten: give another name"),
        (["--out", "full"], "full contains other files (mine): give a new or empty folder"),
    ],
)
def test_what_cannot_be_written(liuli, folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.gguf").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    result = liuli("convert", folder, *arguments)
    assert result.code == 2
    assert message in result.err
    assert {path.name for path in tmp_path.iterdir()} == {"there.gguf", "full"}
    assert (tmp_path / "there.gguf").read_text() == "mine"


def test_a_model_without_a_tokenizer_and_one_that_fails_half_way(liuli, folder, tmp_path, monkeypatch):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(folder / name, bare)
    result = liuli("convert", bare, "--gguf", tmp_path / "m.gguf")
    said = "contains no tokenizer, and llama.cpp cannot use a model without one: add its tokenizer files"
    assert (result.code, result.err) == (2, f"liuli: {bare} {said}\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gguf.GGUFWriter.write_tensor_data", full)
    result = liuli("convert", folder, "--gguf", tmp_path / "new" / "m.gguf")
    assert result.code == 2
    assert f"{tmp_path / 'new' / 'm.gguf'} cannot be written: no space left on device" in result.err
    assert {path.name for path in tmp_path.iterdir()} == {"bare"}


def test_the_help_lists_every_type_that_can_be_written():
    assert convert.TYPES.split(", ") == [*gguf_write.TYPES]
    assert tuple(DTYPES) == options.DTYPES
