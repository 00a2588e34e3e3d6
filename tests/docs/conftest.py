"""Shared by the tests of the documentation: what stands in for the models and data that its examples name."""

from pathlib import Path

import pytest
from helpers import begun
from helpers.command import liuli  # noqa: F401 (a fixture)
from helpers.documented import ROOT

import liuli as package
from liuli.model.adapters import lora, peft_folder
from liuli.recipes.convert import to_gguf

GGUF = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"


@pytest.fixture(scope="session")
def begun_folder(tmp_path_factory) -> Path:
    """A small folder like that of `liuli begin`."""
    return begun.make(tmp_path_factory.mktemp("begun"))


@pytest.fixture(scope="session")
def stand_ins(begun_folder, tmp_path_factory) -> dict[str, Path]:
    """What an example may read although no example before it made it: the first part of its path -> a small file or folder."""
    folder = tmp_path_factory.mktemp("stand-ins")
    base, assistant = begun_folder / "run" / "model", begun_folder / "assistant" / "model"
    to_gguf(assistant, folder / GGUF, "f32", "stand-in")
    (folder / "my-text.txt").write_text("小明今天去游乐园玩过山车。\n" * 20, encoding="utf-8")
    model = package.load(base)
    lora.add(model.decoder, lora.LoRASettings(rank=2), seed=0)
    peft_folder.save(model.decoder, folder / "another", base=str(base), base_hash=model.hash)
    dialogues = begun_folder / "dialogues.jsonl"
    (folder / "poems").mkdir()
    poems = '[{"title": "静夜思", "paragraphs": ["床前明月光，", "疑是地上霜。"]}, {"content": "举头望明月，低头思故乡。"}]'
    (folder / "poems" / "tang.json").write_text(poems, encoding="utf-8")
    return {
        "README.md": ROOT / "README.md",
        "README.zh.md": ROOT / "README.zh.md",
        "liuli-begin": begun_folder,
        "my-run": begun_folder / "run",
        "my-assistant": begun_folder / "assistant",
        "base": base,
        "another": folder / "another",
        "dialogues.jsonl": dialogues,
        "my-dialogues.jsonl": dialogues,
        "capitals.jsonl": dialogues,
        "my-text.txt": folder / "my-text.txt",
        "play.txt": folder / "my-text.txt",
        "poems": folder / "poems",
        GGUF: folder / GGUF,
    }
