"""Folders whose names and contents would drive a terminal if they were printed as they are."""

import json
import shutil
from pathlib import Path

import tokenizers
from helpers import talking, tiny
from helpers.terminal import HOSTILE, NUL
from safetensors.torch import load_file, save_file

from liuli.tokens import open_tokenizer

SPECIAL = f"<|{HOSTILE}{NUL}|>"
SAID = f"say {HOSTILE}"  # by a user, a file, a template
REFUSES = f"{{{{ raise_exception({json.dumps(SAID + NUL)}) }}}}"
MESSAGES = [{"role": "user", "content": SAID}, {"role": "assistant", "content": SAID}]


def save_model(folder: Path, template: str | None = None) -> Path:
    """A model that answers with a special token of a hostile name, and then a and ESC without end."""
    folder.mkdir()
    tiny.save_tokenizer(folder)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>", SPECIAL])
    backend.save(str(folder / "tokenizer.json"))
    if template:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    tokenizer = open_tokenizer(folder)
    start, a, escape = tokenizer.encode("\na\x1b")
    special = tokenizer.specials[SPECIAL]
    talking.save_decoder(folder, [[start, special, a, escape, a]], 160)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}))
    (folder / "liuli.json").write_text(json.dumps({"stage": SAID}))
    return folder


def with_config(folder: Path, model: Path, **change: object) -> Path:
    """A copy of a model whose config.json has other fields."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    return folder


def with_tensor(folder: Path, model: Path, name: str) -> Path:
    """A copy of a model with one tensor more, which no family has."""
    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {name: next(iter(tensors.values()))[:1].clone()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def save_dialogues(path: Path) -> Path:
    path.write_text(json.dumps({"messages": MESSAGES}) + "\n", encoding="utf-8")
    return path


def save_texts(path: Path) -> Path:
    """Documents that hold hostile characters, a field of a hostile name, and a broken line."""
    lines = [json.dumps({"text": f"{SAID} {number}", SAID: 1}, ensure_ascii=False) for number in range(40)]
    path.write_text("\n".join([*lines, json.dumps({SAID: 1}, ensure_ascii=False), f"{{{HOSTILE}"]) + "\n", encoding="utf-8")
    return path


def save_adapter(folder: Path, **change: object) -> Path:
    """An adapter's folder that no model can take."""
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": SAID, "target_modules": [SAID], "r": 2, "lora_alpha": 2}
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    return folder
