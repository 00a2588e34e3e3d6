"""Creates the settings that belong to a model from a GGUF file's metadata.

In: a GGUF file. Out: the same objects that a model folder has in `tokenizer_config.json` and `generation_config.json`.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from liuli.gguf_file import GGUFFile, open_gguf, shown
from liuli.tokens.formats.gguf_vocabulary import GGUFVocabulary, read_vocabulary
from liuli.tokens.formats.settings import GENERATION, TOKENIZER

TOKEN_NAMES = {  # the name in the metadata -> the name in tokenizer_config.json
    "bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token", "seperator": "sep_token",
    "cls": "cls_token", "mask": "mask_token",
}  # fmt: skip
SAMPLING_NAMES = {  # the name in the metadata, after general.sampling -> the name in generation_config.json
    "temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "penalty_repeat": "repetition_penalty",
}  # fmt: skip
TEMPLATE = "tokenizer.chat_template"


def settings_of(path: Path) -> dict[str, dict[str, Any]]:
    """Returns all settings in a GGUF file, by the name of the JSON file.

    Raises:
        LiuliError: the file is broken.
    """
    return _settings_of(open_gguf(path))


@lru_cache(4)
def _settings_of(file: GGUFFile) -> dict[str, dict[str, Any]]:
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
