"""Reads the settings that belong to a model: special tokens, chat template, sampling.

In: a model folder or a GGUF file, and the name of one of the JSON files in a folder. Out: the object in that file. For a GGUF
file, the object is created from the metadata.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from liuli.files import read_json
from liuli.gguf_file import GGUFFile, open_gguf, shown
from liuli.hub import is_gguf
from liuli.tokens.formats.gguf_vocabulary import GGUFVocabulary, read_vocabulary

TOKENIZER, GENERATION = "tokenizer_config.json", "generation_config.json"
TOKEN_NAMES = {  # the name in the metadata -> the name in tokenizer_config.json
    "bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token", "seperator": "sep_token",
    "cls": "cls_token", "mask": "mask_token",
}  # fmt: skip
SAMPLING_NAMES = {  # the name in the metadata, after general.sampling -> the name in generation_config.json
    "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "penalty_repeat": "repetition_penalty",
}  # fmt: skip
TEMPLATE = "tokenizer.chat_template"


def read_settings(model: Path, name: str) -> dict[str, Any]:
    """Returns the object in the folder's file with this name, or the same object created from a GGUF file's metadata; {} if
    there is none.

    Raises:
        LiuliError: the file is broken.
    """
    if not is_gguf(model):
        return read_json(model / name)
    return _settings_of(open_gguf(model)).get(name, {})


@lru_cache(4)
def _settings_of(file: GGUFFile) -> dict[str, dict[str, Any]]:
    """Returns all settings in a GGUF file, by the name of the JSON file."""
    if "tokenizer.ggml.model" not in file.metadata:
        return {GENERATION: _sampling(file)}
    vocabulary = read_vocabulary(file)
    return {TOKENIZER: _tokenizer(file, vocabulary), GENERATION: _sampling(file) | _ends(vocabulary)}


def _tokenizer(file: GGUFFile, vocabulary: GGUFVocabulary) -> dict[str, Any]:
    found: dict[str, Any] = {
        theirs: vocabulary.texts[vocabulary.ids[name]] for name, theirs in TOKEN_NAMES.items() if name in vocabulary.ids
    }
    if "tokenizer.ggml.add_bos_token" in file.metadata:
        found["add_bos_token"] = file.flag("tokenizer.ggml.add_bos_token", False)
    template = file.text(TEMPLATE)
    named = file.texts("tokenizer.chat_templates") or []
    others = {name: file.text(f"{TEMPLATE}.{name}") for name in named}
    if any(other is None for other in others.values()):
        raise file.broken(f"tokenizer.chat_templates names {shown(named)}, but not all of these templates are in the file")
    if others:
        templates = ({} if template is None else {"default": template}) | others
        found["chat_template"] = [{"name": name, "template": text} for name, text in templates.items()]
    elif template is not None:
        found["chat_template"] = template
    return found


def _ends(vocabulary: GGUFVocabulary) -> dict[str, Any]:
    ends = vocabulary.ends()
    begin = {"bos_token_id": vocabulary.ids["bos"]} if "bos" in vocabulary.ids else {}
    return begin | ({"eos_token_id": ends} if ends else {})


def _sampling(file: GGUFFile) -> dict[str, Any]:
    given = {theirs: file.number(f"general.sampling.{name}") for name, theirs in SAMPLING_NAMES.items()}
    return {name: value for name, value in given.items() if value is not None}
