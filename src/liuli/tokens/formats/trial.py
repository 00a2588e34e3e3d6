"""Tests a tokenizer of unknown origin: loads it and encodes texts on which bad regular expressions never end. This code runs in
the sandbox. A sandboxed process loads only this file, which imports the standard library and `tokenizers`.

The test finds tokenizers that fail, or take exponential time, on long runs of a few characters. It cannot find everything:
somebody can write a text for one pattern, and a pattern passes if its time grows with the square of the text's length
(DeepSeek LLM has one, `\\s+$`). A tokenizer that passes runs in Liuli's own process. There Oniguruma, the library for regular
expressions, stops with an error after 10 million steps within one match. A text that needs almost as many steps at each of its
characters is slow.
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
MOST_OF_PATTERN = 64  # the number of different characters from the patterns that are also tested as runs


def answer(task: dict[str, Any]) -> dict[str, str]:
    """Returns {}, or {"error": the library's message}.

    Args:
        task: `json` (the content of a `tokenizer.json`) and `patterns` (its unknown regular expressions).
    """
    try:
        backend = tokenizers.Tokenizer.from_str(task["json"])
        backend.encode_special_tokens = True
        for text in _texts(task["patterns"]):
            backend.encode(text, add_special_tokens=False)
    except BaseException as error:  # a panic of the library is not an Exception
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
