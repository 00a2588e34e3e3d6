"""A grammar at work on one request: which tokens may come next, so that the text follows the grammar and ends in time.

The constraint always knows a *way*: symbols that complete the text from here, with no more tokens than are left. A token is
allowed only if there is such a way after it too, so the limit is never reached with half a document. Most tokens need no search
for it: the way leads through them, or it is still right after them (as after one more character of a string).

Legend of shape suffixes: V ids of the model, F forms (`vocabulary.py`).
"""

from collections.abc import Iterator, Sequence

import llguidance
import numpy as np
import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.constraints.library_errors import library_error
from liuli.generate.constraints.prepared import Prepared
from liuli.generate.constraints.shortest import Way, shortest_way
from liuli.generate.constraints.vocabulary import Vocabulary

COMMA = ord(",")
MOST_REFUSED = 8  # tokens that did not fit at one place; then only the way is allowed


class GrammarConstraint:
    """See `Constraint`. `Grammar.start` creates it."""

    def __init__(self, vocabulary: Vocabulary, prepared: Prepared, limit: int, ends: Sequence[int], context: int):
        self._vocabulary = vocabulary
        self._tokens = prepared.tokens.deep_copy()
        self._symbols = prepared.symbols.deep_copy()
        self._is_json = prepared.is_json
        self._way = prepared.shortest
        self._spelled: list[int] | None = None  # the fewest tokens of the way, if they are known
        self._left = limit
        self._ends = list(ends)
        self._context = context
        self._ended = False
        self._refused: list[int] = []
        self._checked: tuple[int, Way] | None = None  # the last token that fits, and the way after it

    def mask(self, left: int) -> Tensor:
        """See `Constraint`."""
        self._left = left
        vocabulary = self._vocabulary
        bits = np.frombuffer(self._tokens.compute_bitmask(), np.uint8)
        allowed_F = np.unpackbits(bits, bitorder="little").view(np.bool_)
        self._check_library()
        allowed_V = vocabulary.by_id(allowed_F, self._context)
        if len(self._refused) >= MOST_REFUSED or self._is_tight():
            allowed_V = self._only_the_way()
        for token_id in self._ends:
            named = allowed_V[token_id] and vocabulary.is_special(token_id)
            allowed_V[token_id] = allowed_F[vocabulary.end_form] or named
        allowed_V[self._refused] = False
        return torch.from_numpy(allowed_V)

    def fits(self, token_id: int) -> bool:
        """See `Constraint`."""
        if self._is_end(token_id):
            return True
        context = self._vocabulary.next_context(self._context, token_id)
        way = self._way_after(self._vocabulary.symbols_of(token_id, self._context), context, self._left - 1)
        if way is None:
            self._refused.append(token_id)
            return False
        self._checked = token_id, way
        return True

    def accept(self, token_id: int) -> None:
        """See `Constraint`."""
        if self._is_end(token_id):
            self._ended = True
            return
        context = self._vocabulary.next_context(self._context, token_id)
        symbols = self._vocabulary.symbols_of(token_id, self._context)
        if self._checked is not None and self._checked[0] == token_id:
            way = self._checked[1]
        else:
            way = self._way_after(symbols, context, self._left - 1)
        if way is None or not self._tokens.consume_token(self._vocabulary.form(token_id, self._context)):
            raise LiuliError(
                f"the grammar does not allow the token {token_id} here; this is an error in Liuli, please report it"
            )
        self._symbols.consume_tokens(symbols)
        self._spelled = self._spelled[1:] if self._spelled and self._spelled[0] == token_id else None
        if way != self._way[len(symbols) :]:
            self._spelled = None
        self._way = way
        self._context = context
        self._left -= 1
        self._refused = []
        self._checked = None

    def forced(self) -> Sequence[int]:
        """See `Constraint`. The tokens are the tokenizer's own spelling of what must come next; a text that the model learned
        was spelled so."""
        if self._ended or not self._vocabulary.forces(self._context):
            return []
        ids = self._tokens.compute_ff_tokens()
        if not ids or len(ids) > self._left or max(ids) >= self._vocabulary.size:
            return []
        if any(token_id in self._ends and not self._vocabulary.is_special(token_id) for token_id in ids):
            return []  # a stop id of the request that is also text: it would cut the text off
        symbols: list[int] = []
        context = self._context
        for token_id in ids:
            symbols += self._vocabulary.symbols_of(token_id, context)
            context = self._vocabulary.next_context(context, token_id)
        return ids if self._way_after(symbols, context, self._left - len(ids)) is not None else []

    def done(self) -> bool:
        """See `Constraint`: whether nothing can follow, or the end was chosen."""
        self._check_library()
        return self._ended or self._tokens.is_stopped()

    def captures(self) -> dict[str, str]:
        """The text of each rule of the grammar that is marked with `[capture]`, by name; of several, the last. Rules that the
        text has not completed are not among them."""
        matcher = self._tokens.deep_copy()
        if matcher.is_accepting():
            matcher.consume_token(self._vocabulary.end_form)  # a rule at the end of the text is then complete
        return {name: data.decode(errors="replace") for name, data in matcher.get_captures()}

    def _is_end(self, token_id: int) -> bool:
        return token_id in self._ends and self._tokens.is_accepting()

    def _is_tight(self) -> bool:
        """Whether the way takes all tokens that are left."""
        return bool(self._way) and len(self._way) >= self._left and len(self._spelling()) >= self._left

    def _spelling(self) -> list[int]:
        """The fewest tokens of the way."""
        if self._spelled is None:
            self._spelled = self._vocabulary.fewest_tokens(self._way, self._context)
            assert self._spelled is not None, "a way is kept only if it can be spelled"
        return self._spelled

    def _only_the_way(self) -> np.ndarray:
        """Bool (V): the next token on the way."""
        allowed_V = np.zeros(self._vocabulary.size, np.bool_)
        allowed_V[self._spelling()[:1]] = True
        return allowed_V

    def _way_after(self, symbols: list[int], context: int, left: int) -> Way | None:
        """A way with at most `left` tokens after some symbols; None if none was found."""
        if self._way[: len(symbols)] == tuple(symbols):
            way = self._way[len(symbols) :]
            if self._is_within(way, context, left):
                return way
        after = self._symbols.deep_copy()
        if not after.consume_tokens(symbols):
            raise LiuliError(f"the grammar cannot be followed further: {library_error(after)}")
        known = False
        for way in self._rests_of_the_way(after):
            known = True
            if self._is_within(way, context, left):
                return way
        if known and self._refused:  # one search at each place is enough: most that do not fit, do not fit by far
            return None
        way = shortest_way(after, self._vocabulary.end_symbol, self._is_json, improve=False)
        return way if way is not None and self._is_within(way, context, left) else None

    def _rests_of_the_way(self, after: llguidance.LLMatcher) -> Iterator[Way]:
        """The way, and ends of it, if they complete the text from where the matcher is; perhaps after a comma, which a list of
        another length needs."""
        end = self._vocabulary.end_symbol
        if after.validate_tokens([*self._way, end]) > len(self._way):
            yield self._way
        bits = np.unpackbits(np.frombuffer(after.compute_bitmask(), np.uint8), bitorder="little")
        for begin in range(1, len(self._way) + 1):
            rest = [*self._way[begin:], end]
            if bits[rest[0]] and after.validate_tokens(rest) == len(rest):
                yield self._way[begin:]
        if not bits[COMMA]:
            return
        for begin in range(len(self._way)):
            rest = [COMMA, *self._way[begin:], end]
            if after.validate_tokens(rest) == len(rest):
                yield (COMMA, *self._way[begin:])

    def _is_within(self, way: Way, context: int, left: int) -> bool:
        """Whether a way has at most `left` tokens."""
        if left < 0:
            return False
        if self._vocabulary.spells_every_byte and len(way) <= left:
            return True
        ids = self._vocabulary.fewest_tokens(way, context)
        return ids is not None and len(ids) <= left

    def _check_library(self) -> None:
        if self._tokens.is_error():
            raise LiuliError(f"the grammar cannot be followed further: {library_error(self._tokens)}")
