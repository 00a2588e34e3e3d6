"""Valid at any limit: whatever the model wants, a document is complete and valid, from the shortest possible limit up."""

import json
import random

import pytest
from helpers.schemas import SCHEMAS
from helpers.uniform_model import ChoosyDecoder, UniformDecoder, run_all, text_of

from liuli.errors import LiuliError
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.constraints.schema_check import validation_error
from liuli.generate.request import Request

SIZE = 270


def shortest(grammar: Grammar, tokenizer) -> int:
    """The tokens of the shortest text, as the error about a limit that is too low names them."""
    try:
        grammar.start(tokenizer, SIZE, 0)
    except LiuliError as error:
        return int(str(error).split(" has ")[1].split()[0].replace(",", ""))
    return 0


def check(schema, text: str) -> None:
    assert validation_error(json.loads(text), schema) is None, text


def documents(decoder, tokenizer, schema, extra: list[int], seed: int = 0) -> list[str]:
    """A document at each limit, the shortest and so many tokens more; all generated together."""
    grammar = Grammar.of_schema(schema)
    least = shortest(grammar, tokenizer)
    requests = [
        Request([5], max_tokens=least + more, seed=seed + i, stop_ids=[0], constraint=grammar) for i, more in enumerate(extra)
    ]
    return [text_of(records) for records in run_all(decoder, tokenizer, requests)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_model_that_writes_anything(tiny, name):
    for text in documents(UniformDecoder(SIZE), tiny.tokenizer, SCHEMAS[name], [0, 1, 2, 5, 30]):
        check(SCHEMAS[name], text)


@pytest.mark.slow
def test_a_thousand_documents(tiny):
    valid = 0
    for name, schema in SCHEMAS.items():
        rng = random.Random(name)
        extra = [0, 0, 1, 1, 2, 3, *(rng.randrange(100) for _ in range(14))]
        for text in documents(UniformDecoder(SIZE), tiny.tokenizer, schema, extra, seed=1000):
            check(schema, text)
            valid += 1
    assert valid == 1000


WANTED = [" ", "\n", " \n", '"', "[{", "0123456789", "\\", ",", "天"]
NAMES = ["person", "any array", "map", "tree", "others allowed", "anything", "number"]
PAIRS = [(name, wanted) for name in NAMES for wanted in WANTED]
OFTEN = {(NAMES[i % len(NAMES)], wanted) for i, wanted in enumerate(WANTED)}  # each of both at least once


@pytest.mark.parametrize(
    ("name", "wanted"),
    [pytest.param(*pair, id=f"{pair[0]}, {pair[1]!r}", marks=() if pair in OFTEN else pytest.mark.slow) for pair in PAIRS],
)
def test_a_model_that_always_wants_the_same(tiny, name, wanted):
    """White space for ever, brackets that are never closed, digits without end."""
    decoder = ChoosyDecoder(SIZE, tiny.tokenizer.encode(wanted))
    for text in documents(decoder, tiny.tokenizer, SCHEMAS[name], [0, 3, 40]):
        check(SCHEMAS[name], text)


def test_white_space_is_bounded_without_a_limit(tiny):
    """The text is short because the grammar bounds it, not because the limit is near."""
    grammar = Grammar.of_schema({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 3})
    decoder = ChoosyDecoder(SIZE, tiny.tokenizer.encode(" \n"))
    (records,) = run_all(decoder, tiny.tokenizer, [Request([5], max_tokens=5000, seed=1, constraint=grammar)])
    text = text_of(records)
    assert len(json.loads(text)) == 3
    assert len(text) - len("".join(text.split())) <= 8 * 17


def test_a_limit_below_the_shortest_document(tiny):
    grammar = Grammar.of_schema(SCHEMAS["person"])
    least = shortest(grammar, tiny.tokenizer)
    assert least == len('{"name":"","age":0,"tags":[]}')
    message = f"has {least} tokens, but max_tokens is only {least - 1}: set max_tokens to {least} or more$"
    with pytest.raises(LiuliError, match=f"^the shortest text that the schema allows {message}"):
        tiny.complete("x", max_tokens=least - 1, grammar=grammar)


def test_the_limit_counts_tokens_not_characters(tiny):
    """The tiny vocabulary has a token for `the`."""
    assert shortest(Grammar.of_regex("they+"), tiny.tokenizer) == 2


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    ],
)  # fmt: skip
def test_a_schema_without_a_finite_document(tiny, schema):
    with pytest.raises(LiuliError, match="no text was found that the schema allows"):
        Grammar.of_schema(schema).start(tiny.tokenizer, SIZE, 100)


def test_a_way_that_ends_only_after_a_detour(tiny):
    """The preferred branch never ends."""
    node = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"], "additionalProperties": False}
    leaf = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"], "additionalProperties": False}
    schema = {"anyOf": [node, leaf]}
    assert shortest(Grammar.of_schema(schema), tiny.tokenizer) == len('{"b":0}')
    for text in documents(UniformDecoder(SIZE), tiny.tokenizer, schema, [0, 4, 20]):
        check(schema, text)


@pytest.mark.slow
def test_a_large_schema(tiny):
    schema = {"type": "object", "properties": {f"name_{i}": {"type": "string"} for i in range(500)}, "required": ["name_499"]}
    for text in documents(UniformDecoder(SIZE), tiny.tokenizer, schema, [0, 50]):
        check(schema, text)
