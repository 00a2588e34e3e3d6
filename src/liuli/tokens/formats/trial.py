"""Tries a foreign tokenizer: loads it and cuts texts on which bad regular expressions never end. This is the work that is done
in the sandbox; a sandboxed process loads this file alone, which imports the standard library and `tokenizers`.

The trial finds what fails or explodes on long runs of a few characters. It cannot find all: a text can be made for a
pattern, and a pattern whose time grows with the square of the text's length passes (DeepSeek LLM has one, `\\s+$`). What is
left runs in our own process when a text is encoded. There Oniguruma, the library of regular expressions, gives up after 10
million steps within one match, which is an error; but a text that takes it almost so far at each of its characters is slow.
"""

from collections.abc import Iterator
from typing import Any

import tokenizers

SEEDS = (
    "a", "A", "0", " ", "\n", "\t", "'", ".", "_", "-", "你", "é", "😀", "\u00a0",
    "e\u0301", "aA", "a ", "a0", " \n", "-a", "'s",
)  # fmt: skip
ENDINGS = ("", "!", " b")
LENGTH = 4_000  # characters of a run
MOST_OF_PATTERN = 64  # characters of the patterns themselves that are tried as runs


def answer(task: dict[str, Any]) -> dict[str, str]:
    """{}, or {"error": what the library says}.

    Args:
        task: `json` (a tokenizer as `tokenizer.json` has it) and `patterns` (its foreign regular expressions).
    """
    try:
        backend = tokenizers.Tokenizer.from_str(task["json"])
        backend.encode_special_tokens = True
        for text in _texts(task["patterns"]):
            backend.encode(text, add_special_tokens=False)
    except BaseException as error:  # a panic of the library is no Exception
        return {"error": str(error) or type(error).__name__}
    return {}


def _texts(patterns: list[str]) -> Iterator[str]:
    yield ""
    own = dict.fromkeys(character for pattern in patterns for character in pattern if character.isprintable())
    seeds = dict.fromkeys([*SEEDS, *list(own)[:MOST_OF_PATTERN]])
    yield "".join(seeds)
    for seed in seeds:
        for ending in ENDINGS:
            yield seed * (LENGTH // len(seed)) + ending
