"""Grammars: what may be created, and what each kind allows."""

import json
import re

import pytest
from helpers.uniform_model import ChoosyDecoder, UniformDecoder, run_all, text_of

from liuli.errors import LiuliError
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling

SIZE = 270
STEP = """
start: "Thought: " thought "\\n" (action | final)
thought[capture]: /[^\\n]{1,20}/
action: "Action: add\\nAction Input: " arguments "\\n"
arguments[capture]: %json {
  "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": false
}
final: "Final Answer: " answer
answer[capture]: /[^\\n]{1,20}/
"""


def texts(tokenizer, grammar: Grammar, count: int = 8, max_tokens: int = 120, **settings) -> list[str]:
    requests = [Request([5], max_tokens=max_tokens, seed=i, stop_ids=[0], constraint=grammar, **settings) for i in range(count)]
    return [text_of(records) for records in run_all(UniformDecoder(SIZE), tokenizer, requests)]


@pytest.mark.parametrize("pattern", ["[a-z]{2,5}", "(foo|bar)-[0-9]+", "天[地人]{3}", "a?", "[0-9]{4}-[0-9]{2}", "x*y"])
def test_a_regular_expression(tiny, pattern):
    for text in texts(tiny.tokenizer, Grammar.of_regex(pattern), max_tokens=40):
        assert re.fullmatch(pattern, text), text


def test_choices(tiny):
    choices = ["正面", "负面", "a+b", "a", 'with "quotes"\n']
    found = set(texts(tiny.tokenizer, Grammar.of_choices(choices), count=60))
    assert found == set(choices)


def test_a_step_of_an_agent_needs_no_parser(tiny):
    grammar = Grammar.of_lark(STEP)
    requests = [Request([5], max_tokens=120, seed=i, stop_ids=[0], constraint=grammar) for i in range(20)]
    ends = set()
    for records in run_all(UniformDecoder(SIZE), tiny.tokenizer, requests):
        captures = records[-1].captures
        assert captures is not None
        text = text_of(records)
        end = (
            f"Action: add\nAction Input: {captures['arguments']}\n"
            if "arguments" in captures
            else f"Final Answer: {captures['answer']}"
        )
        assert text == f"Thought: {captures['thought']}\n{end}"
        if "arguments" in captures:
            assert isinstance(json.loads(captures["arguments"])["x"], int)
        ends.add("arguments" in captures)
    assert ends == {True, False}


def test_captures_reach_the_completion(tiny):
    completion = tiny.complete("x", max_tokens=120, seed=1, grammar=Grammar.of_lark(STEP))
    assert completion.captures.keys() >= {"thought"}
    assert completion.to_json()["completion"]["captures"] == completion.captures


def test_white_space_in_an_inline_schema_is_bounded(tiny):
    grammar = Grammar.of_lark(
        'start: "Go " %json {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}'
    )
    decoder = ChoosyDecoder(SIZE, tiny.tokenizer.encode(" "))
    (records,) = run_all(decoder, tiny.tokenizer, [Request([5], max_tokens=400, constraint=grammar)])
    assert re.fullmatch(r"Go \[ ?-?[\d]+ ?, ?-?\d+ ?\]", text_of(records))


def test_a_special_token_comes_only_if_the_grammar_names_it(tiny):
    (records,) = run_all(
        UniformDecoder(SIZE),
        tiny.tokenizer,
        [Request([5], max_tokens=9, constraint=Grammar.of_lark('start: "a" <|endoftext|> "b"'))],
    )
    assert [record.token.text for record in records] == ["a", "<|endoftext|>", "b"]
    wanting = ChoosyDecoder(SIZE, [0, 265, 269])  # special, and ids that only the embedding has
    for records in run_all(
        wanting,
        tiny.tokenizer,
        [Request([5], max_tokens=60, seed=i, constraint=Grammar.of_regex("[a-z ]{9,}x")) for i in range(4)],
    ):
        assert all(0 < record.token.id < 263 for record in records)


def test_any_of_several_end_tokens(tiny):
    """They come from the model, only when the text is complete, and are no part of it."""
    ends = [0, 266, 268]
    grammar = Grammar.of_regex("ab*")
    requests = [Request([5], max_tokens=90, seed=i, stop_ids=ends, constraint=grammar) for i in range(30)]
    found = [records[-1].token.id for records in run_all(UniformDecoder(SIZE), tiny.tokenizer, requests)]
    assert set(found) == set(ends)
    (first,) = run_all(
        ChoosyDecoder(SIZE, ends), tiny.tokenizer, [Request([5], max_tokens=9, stop_ids=ends, constraint=grammar)]
    )
    assert (text_of(first), first[-1].finish_reason) == ("a", "stop")


def test_one_grammar_for_many_requests(tiny):
    """Together with others that have none: each gets what it gets alone, and nothing is left from one to the next."""
    grammar = Grammar.of_schema({"type": "array", "items": {"type": "integer"}, "maxItems": 5})
    model = tiny.decoder
    requests = [
        Request([5, i + 1], Sampling(1.0), 30, seed=i, stop_ids=[0], constraint=grammar if i % 2 else None) for i in range(8)
    ]
    together = run_all(model, tiny.tokenizer, requests)
    for request, records in zip(requests, together, strict=True):
        (alone,) = run_all(model, tiny.tokenizer, [request])
        assert [record.token for record in records] == [record.token for record in alone]
        assert (records[0].removed is None) == (request.constraint is None)


def test_removed_is_what_the_model_wanted_in_vain(tiny):
    grammar = Grammar.of_choices(["yes", "no"])
    completion = tiny.complete("x", max_tokens=9, seed=1, temperature=1, grammar=grammar, candidates=270)
    first = completion.steps[0]
    allowed = [each for each in first.scores.candidates if each.cut is None]
    assert {each.token.text for each in allowed} == {"y", "n"}
    import math

    assert first.removed == pytest.approx(1 - sum(math.exp(each.logprob) for each in allowed), abs=1e-5)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"properties": {"a": {"type": "array", "uniqueItems": True}}},
            'the schema has "uniqueItems" at #/properties/a, which cannot',
        ),
        ({"type": "strin"}, "this is not a valid JSON Schema: #/type"),
        ({"type": "object", "required": "a"}, "this is not a valid JSON Schema: #/required"),
        ({"items": {"minimun": 3}}, 'the schema has "minimun" at #/items, which is not a keyword of JSON Schema'),
        ({"$defs": {"a/b": {"not": {}}}, "$ref": "#/$defs/a~1b"}, 'the schema has "not" at #/$defs/a~1b'),
        ({"type": "integer", "minimum": 5, "maximum": 3}, "no document satisfies the schema: #: minimum"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "no document satisfies the schema: #: incompatible types"),
        (False, "no document satisfies the schema"),
        ({"type": "object", "minProperties": 3}, 'the keyword "minProperties" at # is not supported if'),
        ({"x-guidance": {}}, 'the schema has "x-guidance" at #: remove it'),
        ({"$ref": "https://example.org/x"}, "the schema cannot be used: #: Resource"),
        ({"type": "string", "format": "colour"}, "the schema cannot be used: #: Unknown format: colour"),
        ({"type": "string", "pattern": "(?=a)b"}, "the schema cannot be used: #"),
        ([1], "a JSON Schema must be an object, not list"),
        ({"const": float("nan")}, "the schema is not JSON"),
    ],
)
def test_schemas_that_are_refused(schema, message):
    with pytest.raises(LiuliError) as error:
        Grammar.of_schema(schema)
    assert str(error.value).startswith(message), error.value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grammar.of_regex("(a"), r"the regular expression '\(a' cannot be used: unclosed group"),
        (lambda: Grammar.of_choices([]), "the choices must be a list of at least one text"),
        (lambda: Grammar.of_choices("ab"), "the choices must be a list of at least one text"),
        (lambda: Grammar.of_choices(["a", ""]), "one of the choices is empty"),
        (lambda: Grammar.of_choices(["a", "b", "a"]), "the choice 'a' is there twice"),
        (lambda: Grammar.of_lark("start: foo"), 'the grammar cannot be used: line 1, column 8: unknown name: "foo"'),
        (lambda: Grammar.of_lark('start: "a" b\nb[max_tokens=5]: /x+/'), "line 2 of the grammar: the option max_tokens"),
        (lambda: Grammar.of_lark("start: <[5]>"), "line 1 of the grammar: a special token has a number here: give its text"),
        (lambda: Grammar.of_lark('start: "a"\n  %json {"not": {}}'), 'line 2 of the grammar: the schema has "not" at #'),
        (lambda: Grammar.of_lark("start: %json {a}"), "line 1 of the grammar: what follows %json is not JSON"),
    ],
)  # fmt: skip
def test_grammars_that_are_refused(make, message):
    with pytest.raises(LiuliError, match=message):
        make()


def test_what_only_looks_like_an_option(tiny):
    grammar = Grammar.of_lark('start: "max_tokens=5 <[1]> %json {" // temperature=0.7\n# stop="x"')
    assert texts(tiny.tokenizer, grammar, count=1) == ["max_tokens=5 <[1]> %json {"]


def test_a_special_token_that_the_tokenizer_does_not_have(tiny):
    with pytest.raises(LiuliError, match="the grammar cannot be used with this model: line 1, column 8: unknown special token"):
        Grammar.of_lark("start: <|nobody|>").start(tiny.tokenizer, SIZE, 9)


def test_stop_strings_would_cut_the_text(tiny):
    with pytest.raises(LiuliError, match="stop strings would cut off the text"):
        tiny.complete("x", stop=["a"], grammar=Grammar.of_regex("a+"))


def test_cancelling_a_constrained_request(tiny):
    from liuli.generate.engine import Engine

    engine = Engine(tiny.decoder, tiny.tokenizer)
    grammar = Grammar.of_schema({"type": "array", "minItems": 20})
    name = engine.submit(Request([5], max_tokens=90, constraint=grammar))
    engine.step()
    engine.cancel(name)
    assert [record.finish_reason for record in engine.step()] == ["cancelled"]
    assert not engine.busy
    completion, steps = tiny.stream("x", max_tokens=90, seed=1, grammar=grammar)
    next(steps)
    steps.close()
    assert completion.finish_reason is None
    assert len(json.loads(tiny.complete("x", max_tokens=90, seed=1, grammar=grammar).text)) >= 20


def test_an_adversary_cannot_write_a_listed_key_with_escapes(tiny):
    r"""`"\u0061"` is the key a: as another key it would escape the schema of a."""
    import llguidance
    from helpers.schema_suite import spellings

    from liuli.generate.constraints.vocabulary import Vocabulary

    grammar = Grammar.of_schema(
        {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}}
    )
    vocabulary = Vocabulary.of(tiny.tokenizer, SIZE)
    matcher = llguidance.LLMatcher(vocabulary.symbols, grammar.text)
    text = rb'{"b":"x","\u0061":"y"}'
    assert matcher.validate_tokens(list(text)) < len(text)
    assert next(spellings({"a": 1})) == '{"a": 1}'
