"""The JSON-Schema-Test-Suite: a schema is either guaranteed, or refused with the reason."""

import pytest
from helpers.schema_suite import Group, groups, spellings
from helpers.uniform_model import UniformDecoder, run_all, text_of

from liuli.errors import LiuliError
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.constraints.schema_check import validation_error
from liuli.generate.constraints.vocabulary import Vocabulary
from liuli.generate.request import Request

SIZE = 270


@pytest.fixture(scope="module")
def suite(data) -> list[tuple[Group, Grammar | LiuliError]]:
    """Every schema with its grammar, or with why it was refused."""
    folder = data / "json" / "schema" / "tests"
    if not folder.is_dir():
        pytest.skip("needs the JSON-Schema-Test-Suite of ../shared/data/json/schema, which is not here")
    found: list[tuple[Group, Grammar | LiuliError]] = []
    for group in groups(folder):
        try:
            found.append((group, Grammar.of_schema(group.schema)))
        except LiuliError as error:
            found.append((group, error))
    return found


def accepts(grammar: Grammar, tokenizer, text: str) -> bool:
    import llguidance

    vocabulary = Vocabulary.of(tokenizer, SIZE)
    matcher = llguidance.LLMatcher(vocabulary.symbols, grammar.text)
    symbols = [*text.encode(), vocabulary.end_symbol]
    return matcher.validate_tokens(symbols) == len(symbols)


def test_how_many_are_accepted(suite):
    accepted = [group for group, found in suite if isinstance(found, Grammar)]
    assert len(suite) == 640
    assert len(accepted) >= 325


def test_a_refusal_names_its_reason(suite):
    """The keyword and its place, the format, the reference, or why no document is valid."""
    for group, found in suite:
        if isinstance(found, LiuliError):
            message = str(found)
            reasons = (
                "cannot be guaranteed",
                "ignores it",
                "not supported",
                "no document satisfies",
                "not a valid JSON Schema",
                "the schema cannot be used: #",
            )
            assert any(reason in message for reason in reasons), (group.name, message)
            assert "#" in message, message


def test_no_valid_instance_is_blocked(suite, tiny):
    """Except by `format`, which the suite's drafts only read as a remark, and which is enforced here."""
    blocked = [
        (group.name, instance)
        for group, found in suite
        if isinstance(found, Grammar) and "/format: " not in group.name
        for instance in group.valid
        if not any(accepts(found, tiny.tokenizer, text) for text in spellings(instance))
    ]
    assert blocked == []


def test_no_invalid_instance_is_accepted(suite, tiny):
    accepted = [
        (group.name, instance)
        for group, found in suite
        if isinstance(found, Grammar)
        for instance in group.invalid
        if any(accepts(found, tiny.tokenizer, text) for text in spellings(instance))
    ]
    assert accepted == []


def test_generated_instances_are_valid(suite, tiny):
    import json

    taken = [(group, found) for group, found in suite if isinstance(found, Grammar)]
    requests = [
        Request([5], max_tokens=80, seed=seed, stop_ids=[0], constraint=grammar) for _, grammar in taken for seed in range(2)
    ]
    groups_of = [group for group, _ in taken for _ in range(2)]
    for group, records in zip(groups_of, run_all(UniformDecoder(SIZE), tiny.tokenizer, requests), strict=True):
        text = text_of(records)
        assert validation_error(json.loads(text), group.schema) is None, (group.name, text)
