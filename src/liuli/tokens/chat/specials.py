"""What makes a base model's tokenizer one for an assistant: the special tokens of ChatML, and a chat template beside them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.chat.chat import CHATML_TOKENS, Chat, has_template
from liuli.tokens.chat.templates import OWN
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.detect import open_tokenizer
from liuli.tokens.tokenizer import Tokenizer


def make_conversational(folder: Path, today: str | None = None) -> tuple[Tokenizer, Chat, int]:
    """Gives the tokenizer files in a folder of one's own what they lack to hold conversations.

    Returns:
        The tokenizer, its chat template, and how many special tokens were added: none where there was a template, or where
        the vocabulary had room for one.

    Raises:
        LiuliError: this layout of tokenizer files cannot take more tokens; what `Chat.open` raises.
    """
    tokenizer, added = open_tokenizer(folder), 0
    lacking = [token for token in CHATML_TOKENS if token not in tokenizer.specials]
    if lacking and not _can_converse(folder, tokenizer):
        _add(folder, tokenizer, lacking)
        tokenizer, added = open_tokenizer(folder), len(lacking)
    chat = Chat.open(folder, tokenizer, today)
    if chat.template in OWN:
        _change(folder / "tokenizer_config.json", chat_template=chat.template)
    ends = [chat.stop, *read_end_ids(folder), *tokenizer.end]
    _change(folder / "generation_config.json", eos_token_id=list(dict.fromkeys(ends)))
    return tokenizer, chat, added


def _can_converse(folder: Path, tokenizer: Tokenizer) -> bool:
    return has_template(folder) or (tokenizer.kind == "WordPiece" and "[SEP]" in tokenizer.specials)


def _add(folder: Path, tokenizer: Tokenizer, tokens: Sequence[str]) -> None:
    """Behind all ids that there are."""
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    entries = {tokenizer.vocab_size + i: {"content": token, **plain} for i, token in enumerate(tokens)}
    path = folder / "tokenizer.json"
    if path.is_file():
        before = read_json(path).get("added_tokens") or []
        _change(path, added_tokens=[*before, *({"id": id, **entry} for id, entry in entries.items())])
        return
    if tokenizer.kind == "WordPiece":
        raise LiuliError(f"{folder}: vocab.txt without [SEP] cannot take the tokens of a conversation; add [SEP] to it")
    path = folder / "tokenizer_config.json"
    described = read_json(path).get("added_tokens_decoder", {}) | {str(id): entry for id, entry in entries.items()}
    _change(path, added_tokens_decoder=described)


def _change(path: Path, **fields: Any) -> None:
    """Sets fields of a JSON object in a file, which may be new."""
    path.write_text(json.dumps(read_json(path) | fields, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
