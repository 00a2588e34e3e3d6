"""Every command that takes a model's folder takes a GGUF file: what it says is what it says of the folder."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from gguf import TokenType
from helpers import gguf_files, talking

import liuli as package
from liuli.model.formats.detect import hash_model
from liuli.tokens.chat.templates import CHATML

transformers.utils.logging.disable_progress_bar()

IDS = torch.arange(60)[None]


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """A model whose replies are known, as a folder and as a file."""
    place = tmp_path_factory.mktemp("models")
    folder = talking.save(place / "folder", template=CHATML)
    gguf_files.save_talking(folder, place / "m.gguf", CHATML)
    return folder, place / "m.gguf"


@pytest.mark.parametrize(
    "words",
    [
        ("complete", "MODEL", "the 你", "--seed", 3, "--max-tokens", 5, "--steps"),
        ("chat", "MODEL", "--temperature", 0),
        ("tokenize", "MODEL", "the 12 你<|im_end|>"),
        ("plan", "MODEL"),
    ],
)
def test_a_file_and_a_folder_say_the_same(liuli, pair, words):
    said = "你好\n".encode() if words[0] == "chat" else b""
    of_folder, of_file = (liuli(*[model if word == "MODEL" else word for word in words], stdin=said) for model in pair)
    assert of_folder.code == of_file.code == 0
    out, of_folder_out = (re.sub(r"about .*", "", each.out) for each in (of_file, of_folder))  # plan measures the time
    assert out == of_folder_out != ""


@pytest.mark.parametrize("kind", [TokenType.NORMAL, TokenType.USER_DEFINED], ids=lambda kind: kind.name)
def test_a_reply_ends_although_the_file_calls_its_end_an_ordinary_token(liuli, pair, tmp_path, kind):
    """Old conversions do. llama.cpp recognises such a token by its text."""
    gguf_files.save_talking(pair[0], tmp_path / "m.gguf", CHATML, kind)
    expected, found = (
        liuli("chat", model, "--temperature", 0, stdin="你好\n".encode()) for model in (pair[1], tmp_path / "m.gguf")
    )
    assert found.code == 0
    assert found.out == expected.out != ""
    assert "<|im_end|>" not in found.out


def test_evaluate_and_compare(liuli, pair, tmp_path):
    (tmp_path / "text.txt").write_text("the cat " * 50)
    losses = [json.loads(liuli("evaluate", model, tmp_path / "text.txt", "--json").out) for model in pair]
    assert losses[0]["evaluation"] == losses[1]["evaluation"]
    compared = liuli("compare", *pair, "--prompt", "你好", "--max-tokens", 8, "--json")
    assert compared.code == 0, compared.err
    models = json.loads(compared.out)["models"]
    assert [model["hash"] for model in models] == [hash_model(path) for path in pair]


def test_an_adapter_is_learned_on_a_file_and_merged_into_it(liuli, pair, tmp_path):
    _, file = pair
    before = file.read_bytes()
    dialogues = [{"messages": [{"role": "user", "content": f"{i}"}, {"role": "assistant", "content": "ok"}]} for i in range(60)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, dialogues)))
    few = ("--lora", 2, "--epochs", 3, "--length", 64, "--rows", 8, "--threads", 1, "--dtype", "fp32")
    run = liuli("finetune", file, tmp_path / "d.jsonl", *few, "--out", tmp_path / "run")
    assert run.code == 0, run.err
    adapter = tmp_path / "run" / "model"
    assert json.loads((adapter / "liuli.json").read_text())["parent"] == hash_model(file)
    assert json.loads((adapter / "tokenizer_config.json").read_text())["chat_template"] == CHATML
    merged = liuli("merge", file, adapter, "--out", tmp_path / "merged")
    assert merged.code == 0, merged.err
    with torch.no_grad():
        expected = package.load(file, adapter=adapter).decoder(IDS)
        plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        assert (plain(IDS).logits - expected).abs().max() < 5e-5 * expected.std()
    assert package.load(tmp_path / "merged").tokenizer.encode("the 你", prompt=True) == package.load(file).tokenizer.encode(
        "the 你", prompt=True
    )
    other = shutil.copy(file, tmp_path / "other.gguf")
    data = bytearray(before)
    data[-8] ^= 1
    Path(other).write_bytes(data)
    refused = liuli("complete", other, "the", "--adapter", adapter)
    assert (refused.code, "it was trained on the model with the hash" in refused.err) == (2, True)
    assert file.read_bytes() == before


def test_bad_files_are_refused_in_one_line(liuli, pair, tmp_path):
    (tmp_path / "no.gguf").write_bytes(b"what is no GGUF file")
    (tmp_path / "short.gguf").write_bytes(pair[1].read_bytes()[:5000])
    (tmp_path / "lfs.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    messages = {
        "no": "is not a GGUF file", "short": "is broken", "none": "there is no folder", "lfs": "is a Git LFS pointer",
    }  # fmt: skip
    for name, message in messages.items():
        for command in (("complete", "x"), ("tokenize", "x"), ("plan",)):
            result = liuli(command[0], tmp_path / f"{name}.gguf", *command[1:])
            assert result.code == 2
            assert message in result.err
            assert len(result.err.strip().split("\n")) == 1
