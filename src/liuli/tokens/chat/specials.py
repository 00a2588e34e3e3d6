"""What makes a base model's tokenizer one for an assistant: the special tokens of ChatML, and a chat template beside them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.tokens.chat.chat import Chat, has_template
from liuli.tokens.chat.templates import CHATML_TOKENS, OWN, template_for
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.detect import open_tokenizer
from liuli.tokens.tokenizer import Added, Tokenizer


def make_conversational(folder: Path, rows: int, today: str | None = None) -> tuple[Tokenizer, Chat, int]:
    """Gives the tokenizer files in a folder of one's own what they lack to hold conversations.

    Args:
        rows: of the model's embedding. Tokens that are added here get new ones.

    Returns:
        The tokenizer, its chat template, and how many special tokens were added: none where there was a template, or where
        the vocabulary had room for one.

    Raises:
        LiuliError: this layout of tokenizer files cannot take more tokens; what `Chat.open` raises.
    """
    tokenizer, added = open_tokenizer(folder), 0
    if not has_template(folder) and template_for(tokenizer) is None:
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
    """Behind all ids that there are."""
    entries = {tokenizer.vocab_size + i: _entry(Added(tokenizer.vocab_size + i, token)) for i, token in enumerate(tokens)}
    path = folder / "tokenizer.json"
    if path.is_file():
        before = read_json(path).get("added_tokens") or []
        _change(path, added_tokens=[*before, *({"id": id, **entry} for id, entry in entries.items())])
        return
    if tokenizer.kind == "WordPiece":
        raise LiuliError(f"{folder}: vocab.txt without [SEP] cannot take the tokens of a conversation; add [SEP] to it")
    path = folder / "tokenizer_config.json"
    # Once this field is there, no other file is asked which tokens there are.
    described = {token.id: _entry(token) for token in tokenizer.added.values()} | entries
    _change(path, added_tokens_decoder={str(id): entry for id, entry in described.items()}, **tokenizer.names)


def _entry(token: Added) -> dict[str, Any]:
    """A token as `tokenizer.json` and `tokenizer_config.json` describe it."""
    return {
        "content": token.text,
        "lstrip": token.strip_left,
        "normalized": token.normalized,
        "rstrip": token.strip_right,
        "single_word": token.single_word,
        "special": token.special,
    }


def _change(path: Path, **fields: Any) -> None:
    """Sets fields of a JSON object in a file, which may be new."""
    path.write_text(json.dumps(read_json(path) | fields, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
