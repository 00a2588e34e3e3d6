"""Adds ChatML's special tokens and a chat template to the tokenizer of a base model, so that it can become an assistant."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.chat.chat import Chat, has_template
from liuli.tokens.chat.templates import CHATML_TOKENS, OWN, built_in_template
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.detect import open_tokenizer
from liuli.tokens.tokenizer import Added, Tokenizer


def make_conversational(folder: Path, rows: int, today: str | None = None) -> tuple[Tokenizer, Chat, int]:
    """Adds the chat template and special tokens that the tokenizer files in a folder do not have. The files are changed.

    Args:
        rows: the number of rows of the model's embedding. Tokens that are added here get new rows.

    Returns:
        The tokenizer, its chat, and the number of added special tokens. It is 0 if the folder has a template, or if the
        vocabulary has the tokens already.

    Raises:
        LiuliError: tokens cannot be added to this layout of tokenizer files; see also `Chat.open`.
    """
    tokenizer, added = open_tokenizer(folder), 0
    if not has_template(folder) and built_in_template(tokenizer) is None:
        lacking = [token for token in CHATML_TOKENS if token not in tokenizer.added]
        _add(folder, tokenizer, lacking)
        tokenizer, added = open_tokenizer(folder), len(lacking)
        rows = max(rows, tokenizer.vocab_size)
    tokenizer.fit(rows, str(folder))
    chat = Chat.open(folder, tokenizer, today)
    if chat.template in OWN:
        _change(folder / "tokenizer_config.json", chat_template=chat.template)
    ends = [chat.stop, *read_end_ids(folder, rows), *tokenizer.end]
    _change(folder / "generation_config.json", eos_token_id=list(dict.fromkeys(ends)))
    return tokenizer, chat, added


def _add(folder: Path, tokenizer: Tokenizer, tokens: Sequence[str]) -> None:
    """Adds special tokens with the next free ids."""
    entries = {tokenizer.vocab_size + i: _entry(Added(tokenizer.vocab_size + i, token)) for i, token in enumerate(tokens)}
    path = folder / "tokenizer.json"
    if path.is_file():
        before = read_json(path).get("added_tokens") or []
        _change(path, added_tokens=[*before, *({"id": id, **entry} for id, entry in entries.items())])
        return
    if tokenizer.kind == "WordPiece":
        raise LiuliError(f"{folder}: dialogues need the token [SEP], which is not in vocab.txt: add a line [SEP] to the file")
    path = folder / "tokenizer_config.json"
    # If this field exists, `special_tokens_map.json` and `added_tokens.json` are not read, so it must describe all tokens.
    described = {token.id: _entry(token) for token in tokenizer.added.values()} | entries
    _change(path, added_tokens_decoder={str(id): entry for id, entry in described.items()}, **tokenizer.names)


def _entry(token: Added) -> dict[str, Any]:
    """Returns the description of a token in `tokenizer.json` and `tokenizer_config.json`."""
    return {
        "content": token.text,
        "lstrip": token.strip_left,
        "normalized": token.normalized,
        "rstrip": token.strip_right,
        "single_word": token.single_word,
        "special": token.special,
    }


def _change(path: Path, **fields: Any) -> None:
    """Sets fields of the JSON object in a file, which is created if it is missing."""
    path.write_text(json.dumps(read_json(path) | fields, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
