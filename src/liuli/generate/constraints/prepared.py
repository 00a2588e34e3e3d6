"""A grammar made ready for one vocabulary: what all requests with it share."""

from dataclasses import dataclass

import llguidance

from liuli.errors import LiuliError
from liuli.generate.constraints.library_errors import library_error
from liuli.generate.constraints.shortest import Way, shortest_way
from liuli.generate.constraints.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Prepared:
    """A grammar for one vocabulary: two matchers at the beginning of the text, which are copied for each request, and the
    symbols of a shortest text. `is_json`: whether white space means nothing in it."""

    tokens: llguidance.LLMatcher
    symbols: llguidance.LLMatcher
    shortest: Way
    is_json: bool


def prepare(text: str, kind: str, vocabulary: Vocabulary) -> Prepared:
    """A grammar for a vocabulary.

    Args:
        text: the grammar in the library's form. kind: what it was created from, for messages.

    Raises:
        LiuliError: the grammar names a special token that the vocabulary does not have; it allows no finite text.
    """
    tokens = llguidance.LLMatcher(vocabulary.tokens, text)
    symbols = llguidance.LLMatcher(vocabulary.symbols, text)
    for matcher in (tokens, symbols):
        if matcher.is_error():
            raise LiuliError(f"the {kind} cannot be used with this model: {library_error(matcher)}")
    is_json = kind == "schema"
    way = shortest_way(symbols, vocabulary.end_symbol, is_json, improve=True)
    if way is None:
        raise LiuliError(
            f"no text was found that the {kind} allows: every text is endless or very long; check for a rule that always "
            f"contains itself, and for large minimum lengths"
        )
    return Prepared(tokens, symbols, way, is_json)
