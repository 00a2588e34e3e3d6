"""A request: what to complete and how; and its state while it waits and runs: its tokens, its text, its constraint."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import index
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import check, is_size, is_whole, plain
from liuli.generate.constraints.constraint import Constraint
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.record import FinishReason
from liuli.generate.sampling import Sampling
from liuli.generate.stop import StopStrings
from liuli.tokens import TextStream, Tokenizer
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.constraints.grammar_constraint import GrammarConstraint


@dataclass(frozen=True, slots=True)
class Request:
    """What to complete, and how. Integers may be NumPy's or PyTorch's, the ids an array too; they are kept as Python's own.

    Attributes:
        ids: the prompt.
        max_tokens: the most tokens that are generated.
        seed: of the request's own generator of uniform numbers.
        stop: strings that end the text and are not part of it.
        stop_ids: ids that end the text; they are recorded.
        candidates: how many tokens to record at each step; 0 records only the scores of the chosen token, None no scores.
        prompt_logprobs: whether the first record also holds the log-probability of each token of the prompt.
        constraint: what the completion must look like: a grammar, which any number of requests may share, or a constraint of
            this request alone.

    Raises:
        LiuliError: `ids` or `stop_ids` have an element that is not an integer. Everything else is checked by `check`.
    """

    ids: Sequence[int]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = 64
    seed: int = 0
    stop: Sequence[str] = ()
    stop_ids: Sequence[int] = ()
    candidates: int | None = None
    prompt_logprobs: bool = False
    constraint: Constraint | Grammar | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", token_ids(self.ids, "the prompt"))  # the dataclass is frozen
        object.__setattr__(self, "stop_ids", token_ids(self.stop_ids, "the stop ids"))

    @property
    def length(self) -> int:
        """Tokens of the prompt and the longest completion."""
        return len(self.ids) + self.max_tokens

    def check(self, vocab_size: int, capacity: int, has_tokenizer: bool) -> None:
        """Checks that a model can run it.

        Args:
            capacity: the most tokens of prompt and completion together.

        Raises:
            LiuliError: no prompt, a number out of range, ids that do not exist, no room in the context.
        """
        prompt = len(self.ids)
        if not prompt:
            raise LiuliError("the prompt is empty and the tokenizer has no begin-of-text token: give at least one token")
        check(self, "max_tokens", is_size, "a whole number of at least 1")
        check(self, "seed", is_whole, "a whole number, 0 or more")
        check(self, "candidates", _is_none_or_whole, "0 or more (a whole number), or None")
        if prompt >= capacity:
            raise LiuliError(
                f"the prompt has {counted(prompt, 'token')}, but the context has {capacity} for prompt and completion: shorten "
                f"the prompt"
            )
        if self.length > capacity:
            raise LiuliError(
                f"the prompt has {counted(prompt, 'token')} and max_tokens is {self.max_tokens}, but the context has only "
                f"{counted(capacity, 'token')}: set max_tokens to {capacity - prompt} or less"
            )
        if isinstance(self.constraint, Grammar) and not has_tokenizer:
            raise LiuliError("a grammar needs a tokenizer, and this model has none: add its tokenizer files")
        if isinstance(self.constraint, Grammar) and self.stop:
            raise LiuliError("stop strings would cut off the text that the grammar completes: leave them out")
        if self.stop and not has_tokenizer:
            raise LiuliError("stop strings need a tokenizer, and this model has none: give stop_ids instead")
        for what, ids in (("prompt", self.ids), ("logit bias", self.sampling.logit_bias), ("list of stop ids", self.stop_ids)):
            wrong = [token_id for token_id in ids if not 0 <= token_id < vocab_size]
            if wrong:
                raise LiuliError(
                    f"the {what} contains the id {wrong[0]}, but the model's ids are 0 to {vocab_size - 1}: remove it"
                )


@dataclass(slots=True)
class NextTokens:
    """What a request knows about its next tokens before the model's pass.

    Attributes:
        forced: ids that its constraint leaves no choice about; it has accepted them.
        chooses: whether the model chooses one more token after them. allowed_V: among which, bool (V); None: among all.
        complete: whether the text is complete with the last forced id.
        error: what the constraint raised after the last forced id.
    """

    forced: list[int] = field(default_factory=list)
    chooses: bool = False
    allowed_V: Tensor | None = None
    complete: bool = False
    error: LiuliError | None = None

    @property
    def tokens(self) -> int:
        """How many tokens the pass gives."""
        return len(self.forced) + self.chooses


class RequestState:
    """A request that waits or runs.

    Attributes:
        slot: its place in the KV cache, while it runs.
        pending: ids that the cache does not hold yet: the prompt, later the last token.
        index: how many tokens were generated. ids: prompt and generated tokens. counts: how often each id is among the latter.
        generator: of uniform numbers, one per token.
        ahead: what it knows about its next tokens, since `look_ahead` was called.

    Raises:
        LiuliError: what `Grammar.start` raises.
    """

    def __init__(self, name: str, request: Request, tokenizer: Tokenizer | None, vocab_size: int):
        self.name = name
        self.request = request
        self.slot: int | None = None
        self.pending = list(request.ids)
        self.ids = list(request.ids)
        self.index = 0
        self.counts: dict[int, int] = {}
        self.generator = random.Random(request.seed)
        self._vocab_size = vocab_size
        self._text = TextStream(tokenizer, after=request.ids) if tokenizer else None
        self._stop = StopStrings(request.stop)
        self.ahead = NextTokens()
        self._grammar: GrammarConstraint | None = None
        if isinstance(request.constraint, Grammar):
            assert tokenizer is not None, "check refuses it"
            limit, ends = request.max_tokens, request.stop_ids
            self._grammar = request.constraint.start(tokenizer, vocab_size, limit, ends, request.ids)
            self._constraint: Constraint | None = self._grammar
        else:
            self._constraint = request.constraint

    @property
    def position(self) -> int:
        """Tokens of the prompt and those generated so far: what the cache must hold for the next token."""
        return len(self.request.ids) + self.index

    @property
    def reach(self) -> int:
        """What the cache must hold for all tokens of the next pass."""
        return self.position + max(0, self.ahead.tokens - 1)

    @property
    def left(self) -> int:
        """How many tokens may still come."""
        return self.request.max_tokens - self.index

    def look_ahead(self) -> None:
        """Finds out what may come next. The constraint accepts the tokens that it forces; each must then be taken."""
        self.ahead = ahead = NextTokens()
        try:
            while self._constraint is not None and len(ahead.forced) < self.left:
                forced = self._forced()[: self.left - len(ahead.forced)]
                for token_id in forced:
                    ahead.complete = self.accept(token_id)
                    ahead.forced.append(token_id)
                    if ahead.complete or token_id in self.request.stop_ids:
                        return
                if not forced:
                    ahead.allowed_V = self._mask(self.left - len(ahead.forced))
                    break
            ahead.chooses = len(ahead.forced) < self.left
        except LiuliError as error:
            ahead.error = error

    def allowed_instead(self, token_id: int) -> Tensor | None:
        """None if a token that was chosen fits; otherwise what may be chosen instead, bool (V).

        Raises:
            LiuliError: the constraint fails, or allows the token again.
        """
        if self._constraint is None:
            return None
        with _errors_of("fits"):
            if self._constraint.fits(token_id):
                return None
        allowed_V = self._mask(self.left)
        if allowed_V[token_id]:
            raise LiuliError(
                f"the constraint allows the token {token_id}, but says that it does not fit; correct the constraint"
            )
        return allowed_V

    def accept(self, token_id: int) -> bool:
        """Tells the constraint the next token. Returns whether the text is complete with it.

        Raises:
            LiuliError: the constraint fails; then the token is not part of the text.
        """
        if self._constraint is None:
            return False
        with _errors_of("accept"):
            self._constraint.accept(token_id)
        with _errors_of("done"):
            return bool(self._constraint.done())

    def take(self, token_id: int, complete: bool) -> tuple[str, FinishReason | None]:
        """Adds a token, which the constraint has accepted. Returns the text that may be shown now, and why the request finishes
        with it, if it does.

        Args:
            complete: whether the constraint says that the text is complete with it.
        """
        request = self.request
        self.index += 1
        self.counts[token_id] = self.counts.get(token_id, 0) + 1
        self.pending = [token_id]
        self.ids.append(token_id)
        text = ""
        reason: FinishReason | None = "length" if self.index == request.max_tokens else None
        if token_id in request.stop_ids:
            reason = "stop"
        elif self._text is not None:
            text = self._stop.push(self._text.push(token_id))
        if complete or self._stop.found is not None:
            reason = "stop"
        if reason is not None:
            text += self.rest()
        return text, reason

    def rest(self) -> str:
        """The text held back until the end: an incomplete character, and what could have become a stop string."""
        if self._text is None:
            return ""
        return self._stop.push(self._text.finish()) + self._stop.finish()

    def captures(self) -> dict[str, str] | None:
        """The captures of the grammar; None without a grammar, or if it has none."""
        return (self._grammar.captures() or None) if self._grammar else None

    def _forced(self) -> list[int]:
        assert self._constraint is not None
        with _errors_of("forced"):
            forced = [index(token_id) for token_id in self._constraint.forced()]
            for token_id in forced:
                if not 0 <= token_id < self._vocab_size:
                    raise IndexError(f"token {token_id} is not one of {self._vocab_size}")
            return forced

    def _mask(self, left: int) -> Tensor:
        assert self._constraint is not None
        with _errors_of("mask"):
            allowed_V = self._constraint.mask(left)
            if allowed_V.dtype != torch.bool or allowed_V.shape != (self._vocab_size,):
                raise TypeError(f"{allowed_V.dtype} {tuple(allowed_V.shape)} is not torch.bool ({self._vocab_size},)")
            return allowed_V.cpu()


@contextmanager
def _errors_of(method: str) -> Iterator[None]:
    """A constraint is foreign code: whatever it raises ends its own request and no other."""
    try:
        yield
    except LiuliError:
        raise  # a grammar says itself what is wrong
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
        raise LiuliError(f"the method {method} of the constraint raised {raised}; correct the constraint") from error


def token_ids(values: Any, what: str) -> tuple[int, ...]:
    """Token ids as Python's own integers, from a sequence, an array or a tensor.

    Raises:
        LiuliError: it is not a sequence, or has an element that is not an integer. A bool is not an integer here.
    """
    try:
        found = tuple(values.tolist() if hasattr(values, "tolist") else map(plain, values))
    except TypeError:
        raise LiuliError(f"{what} must be a list of token ids, not {shortened(values)}") from None
    for value in found:
        if type(value) is not int:
            raise LiuliError(f"{what} must be a list of token ids, but {shortened(value)} is not an integer")
    return found


def _is_none_or_whole(value: Any) -> bool:
    return value is None or is_whole(value)
