"""A request: what to complete and how; and its state while it waits and runs: its tokens, its text, its constraint."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import index
from reprlib import repr as shortened
from typing import Any

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import check, is_size, is_whole, plain
from liuli.generate.constraints.constraint import Constraint
from liuli.generate.record import FinishReason
from liuli.generate.sampling import Sampling
from liuli.generate.stop import StopStrings
from liuli.tokens import TextStream, Tokenizer
from liuli.units import counted


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
    constraint: Constraint | None = None

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
        if self.stop and not has_tokenizer:
            raise LiuliError("stop strings need a tokenizer, and this model has none: give stop_ids instead")
        for what, ids in (("prompt", self.ids), ("logit bias", self.sampling.logit_bias), ("list of stop ids", self.stop_ids)):
            wrong = [token_id for token_id in ids if not 0 <= token_id < vocab_size]
            if wrong:
                raise LiuliError(
                    f"the {what} contains the id {wrong[0]}, but the model's ids are 0 to {vocab_size - 1}: remove it"
                )


class RequestState:
    """A request that waits or runs.

    Attributes:
        slot: its place in the KV cache, while it runs.
        pending: ids that the cache does not hold yet: the prompt, later the last token.
        index: how many tokens were generated. counts: how often each id is among them.
        generator: of uniform numbers, one per token.
    """

    def __init__(self, name: str, request: Request, tokenizer: Tokenizer | None):
        self.name = name
        self.request = request
        self.slot: int | None = None
        self.pending = list(request.ids)
        self.index = 0
        self.counts: dict[int, int] = {}
        self.generator = random.Random(request.seed)
        self._text = TextStream(tokenizer, after=request.ids) if tokenizer else None
        self._stop = StopStrings(request.stop)

    @property
    def position(self) -> int:
        """Tokens of the prompt and those generated so far: what the cache must hold for the next token."""
        return len(self.request.ids) + self.index

    def allowed(self, vocab_size: int) -> tuple[Tensor | None, bool]:
        """What may come next: bool (V), or None for anything; and whether the constraint leaves no choice.

        Raises:
            LiuliError: the constraint fails, or returns something else.
        """
        constraint = self.request.constraint
        if constraint is None:
            return None, False
        with _errors_of("forced"):
            forced = [index(token_id) for token_id in constraint.forced()]
            if forced:
                if not 0 <= forced[0] < vocab_size:
                    raise IndexError(f"token {forced[0]} is not one of {vocab_size}")
                allowed_V = torch.zeros(vocab_size, dtype=torch.bool)
                allowed_V[forced[0]] = True
                return allowed_V, True
        with _errors_of("mask"):
            allowed_V = constraint.mask(self.request.max_tokens - self.index)
            if allowed_V.dtype != torch.bool or allowed_V.shape != (vocab_size,):
                raise TypeError(f"{allowed_V.dtype} {tuple(allowed_V.shape)} is not torch.bool ({vocab_size},)")
            return allowed_V.cpu(), False

    def take(self, token_id: int) -> tuple[str, FinishReason | None]:
        """Adds a token. Returns the text that may be shown now, and why the request finishes with it, if it does.

        Raises:
            LiuliError: the constraint fails; then the token was not added.
        """
        request = self.request
        complete = self._accepted(token_id)
        self.index += 1
        self.counts[token_id] = self.counts.get(token_id, 0) + 1
        self.pending = [token_id]
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

    def _accepted(self, token_id: int) -> bool:
        """Whether the constraint says that the text is complete with this token."""
        constraint = self.request.constraint
        if constraint is None:
            return False
        with _errors_of("accept"):
            constraint.accept(token_id)
        with _errors_of("done"):
            return bool(constraint.done())


@contextmanager
def _errors_of(method: str) -> Iterator[None]:
    """A constraint is foreign code: whatever it raises ends its own request and no other."""
    try:
        yield
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
