"""The engine: many requests at once, joining and leaving between steps. Ids and settings in, step records out.

    engine = Engine(decoder, tokenizer)
    engine.submit(Request(ids, max_tokens=20))
    while engine.busy:
        for record in engine.step(): ...

One step gives every running request one token. A request's choices come from its own seed: token t uses the t-th
number of its generator, so neither its neighbours nor forced tokens shift the rest.
"""

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import check, is_size
from liuli.generate.constraints.constraint import Constraint
from liuli.generate.record import FinishReason, StepRecord, score
from liuli.generate.sampling import Choice, Draw, Sampling, choose_rows
from liuli.generate.stop import StopStrings
from liuli.model.cache import Slots, int_tensor
from liuli.model.decoder import Decoder
from liuli.tokens import TextStream, Token, Tokenizer


@dataclass(frozen=True, slots=True)
class Request:
    """What to complete, and how.

    Attributes:
        stop: strings that end the text and are not part of it. stop_ids: ids that end it; they are recorded.
        candidates: how many tokens to record at each step; 0 records the chosen one's scores, None no scores.
        prompt_logprobs: also say how likely each token of the prompt was (with the first record).
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


class _Run:
    """A request on its way: what it has said, and what the cache does not hold yet (`pending`)."""

    def __init__(self, name: str, request: Request, tokenizer: Tokenizer | None):
        self.name, self.request = name, request
        self.slot: int | None = None
        self.pending = list(request.ids)
        self.counts: dict[int, int] = {}
        self.index = 0
        self.generator = random.Random(request.seed)
        self.text = TextStream(tokenizer, after=request.ids) if tokenizer else None
        self.stop = StopStrings(request.stop)

    def allowed(self, vocab_size: int) -> tuple[Tensor | None, bool]:
        """What may come next, bool (V), or None for anything; and whether there is no choice."""
        if self.request.constraint is None:
            return None, False
        forced = self._ask("forced")
        if not forced:
            return self._ask("mask", self.request.max_tokens - self.index), False
        allowed_V = torch.zeros(vocab_size, dtype=torch.bool)
        allowed_V[forced[0]] = True
        return allowed_V, True

    def take(self, id: int) -> tuple[str, FinishReason | None]:
        """Adds a token. Returns the text that may be shown now, and why the request ends with it, if it does."""
        request, constrained = self.request, self.request.constraint is not None
        self.index += 1
        self.counts[id] = self.counts.get(id, 0) + 1
        self.pending = [id]
        if constrained:
            self._ask("accept", id)
        reason: FinishReason | None = "length" if self.index == request.max_tokens else None
        text = ""
        if id in request.stop_ids:
            reason = "stop"
        elif self.text is not None:
            text = self.stop.push(self.text.push(id))
        if self.stop.found is not None or (constrained and self._ask("done")):
            reason = "stop"
        return text + self.rest() if reason else text, reason

    def _ask(self, what: str, *given: int) -> Any:
        """Asks the constraint. It is somebody else's code: what it raises is this request's end, and no other's."""
        try:
            return getattr(self.request.constraint, what)(*given)
        except Exception as error:
            raise LiuliError(f"the constraint's {what} failed: {error!r}") from error

    def rest(self) -> str:
        """What is held back at the end: the bytes of a broken character, and what might have become a stop."""
        return self.stop.push(self.text.finish()) + self.stop.finish() if self.text else ""


class Engine:
    """Runs requests on `slots` slots of `capacity` tokens (by default the model's context); more wait their turn."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer | None = None, slots: int = 32, capacity: int | None = None):
        self._decoder, self._tokenizer = decoder, tokenizer
        context = decoder.config.context
        self._capacity = context if capacity is None else min(capacity, context)
        self._device = next(decoder.parameters()).device
        self._seats: list[_Run | None] = [None] * slots  # which request holds each slot of the cache
        self._waiting: deque[_Run] = deque()
        self._ended: list[StepRecord] = []
        self._submitted = 0

    @cached_property
    def _slots(self) -> Slots:
        """The cache's memory, taken when the first request runs."""
        dtype = next(self._decoder.parameters()).dtype
        return Slots(self._decoder.config, len(self._seats), self._capacity, self._device, dtype)

    @property
    def busy(self) -> bool:
        """Whether any request runs or waits, or has an end to be reported."""
        return bool(self._waiting or self._ended or any(self._seats))

    def submit(self, request: Request) -> str:
        """Takes a request and returns its name, which its records carry.

        Raises:
            LiuliError: the request cannot be run as it is: no prompt, ids that do not exist, no room in the context.
        """
        self._check(request)
        self._submitted += 1
        run = _Run(f"r{self._submitted}", request, self._tokenizer)
        self._waiting.append(run)
        return run.name

    def cancel(self, name: str) -> None:
        """Ends a request; the next step reports it, with what its stop strings held back. Unknown names are ignored:
        a request may have ended by itself a moment before."""
        for run in [*self._waiting, *self._seats]:
            if run is not None and run.name == name:
                self._ended.append(self._close(run, "cancelled"))

    @torch.inference_mode()
    def step(self) -> list[StepRecord]:
        """One token for every request that runs; those that wait join first, where a slot is free."""
        started = time.perf_counter()
        records, self._ended = self._ended, []
        self._admit()
        seated = [run for run in self._seats if run is not None]
        for runs in [[run for run in seated if run.index], *([run] for run in seated if not run.index)]:
            if runs:
                records += self._forward_and_choose(runs, started)
        return records

    def _check(self, request: Request) -> None:
        vocabulary, capacity, prompt = self._decoder.config.vocab_size, self._capacity, len(request.ids)
        if not prompt:
            raise LiuliError("the prompt is empty and the tokenizer has no begin token to start from: give at least one token")
        check(request, "max_tokens", is_size, "a whole number of at least 1")
        check(request, "seed", lambda seed: type(seed) is int and seed >= 0, "a whole number, 0 or more")
        check(request, "candidates", lambda count: count is None or count >= 0, "0 or more")
        if prompt >= capacity:
            raise LiuliError(f"the prompt has {prompt} tokens, but the context holds {capacity} with completion: shorten it")
        if prompt + request.max_tokens > capacity:
            raise LiuliError(
                f"the prompt has {prompt} tokens and {request.max_tokens} more are asked for, but the context "
                f"holds {capacity}: ask for at most {capacity - prompt} (max_tokens)"
            )
        if request.stop and self._tokenizer is None:
            raise LiuliError("stop strings need a tokenizer, and this model has none: stop by ids")
        for what, ids in (("prompt", request.ids), ("logit bias", request.sampling.logit_bias), ("stop ids", request.stop_ids)):
            wrong = [id for id in ids if not 0 <= id < vocabulary]
            if wrong:
                raise LiuliError(f"the {what} names token {wrong[0]}, but the model's ids go from 0 to {vocabulary - 1}")

    def _admit(self) -> None:
        for slot, seated in enumerate(self._seats):
            if seated is None and self._waiting:
                run = self._seats[slot] = self._waiting.popleft()
                run.slot = slot

    def _forward_and_choose(self, runs: list[_Run], started: float) -> list[StepRecord]:
        """Feeds every run's pending ids, equally many of each, in one pass and takes one token for each."""
        records, allowed = [], {}
        for run in runs:  # before the pass: what it writes to the cache cannot be taken back
            try:
                allowed[run] = run.allowed(self._decoder.config.vocab_size)
            except LiuliError as error:
                records.append(self._close(run, "error", str(error)))
        if not allowed:
            return records
        runs = list(allowed)
        ids_BT = int_tensor([run.pending for run in runs], self._device)
        rows = self._slots.rows([run.slot for run in runs if run.slot is not None], [ids_BT.shape[1]] * len(runs))
        x_BTD = self._decoder.hidden(ids_BT, cache=rows)
        logits_BV = self._decoder.logits(x_BTD[:, -1]).float().cpu()
        # A forced token has its number drawn too, so that token t always has the generator's t-th.
        draws = [
            Draw(run.request.sampling, run.generator.random(), allowed_V, run.request.ids, run.counts)
            for run, (allowed_V, _) in allowed.items()
        ]
        for b, choice in enumerate(choose_rows(logits_BV, draws)):
            run, request = runs[b], runs[b].request
            try:
                record = self._take(run, choice, allowed[run][1])
            except LiuliError as error:
                record = self._close(run, "error", str(error))
            if isinstance(choice, Choice) and request.candidates is not None and record.token is not None:
                record.scores = score(logits_BV[b], choice, request.candidates, self._describe)
            if request.prompt_logprobs and record.index == 0 and record.token is not None:
                record.prompt_logprobs = self._prompt_logprobs(x_BTD[b], request.ids)
            record.ms = (time.perf_counter() - started) * 1000
            records.append(record)
        return records

    def _take(self, run: _Run, choice: Choice | LiuliError, forced: bool) -> StepRecord:
        """Adds the chosen token to its run. Raises LiuliError where none could be chosen, or the constraint fails."""
        if isinstance(choice, LiuliError):
            raise choice
        index, position = run.index, len(run.request.ids) + run.index
        token, (text, reason) = self._describe(choice.id), run.take(choice.id)
        if reason:
            self._release(run)
        return StepRecord(run.name, index, position, token, text, forced, choice.uniform, finish_reason=reason)

    def _prompt_logprobs(self, x_TD: Tensor, ids: Sequence[int]) -> list[float | None]:
        """How likely each token of the prompt was after those before it; the first follows nothing."""
        logprobs_TV = self._decoder.logits(x_TD[: len(ids) - 1]).float().log_softmax(-1)
        following = torch.tensor(ids[1:], device=self._device, dtype=torch.int64)
        return [None, *logprobs_TV.gather(-1, following[:, None])[:, 0].tolist()]

    def _close(self, run: _Run, reason: FinishReason, error: str | None = None) -> StepRecord:
        """Ends a run without a token."""
        slot = run.slot
        self._release(run)
        if error is not None and slot is not None:
            self._slots.clear(slot)
        position = len(run.request.ids) + run.index
        return StepRecord(run.name, run.index, position, None, run.rest(), finish_reason=reason, error=error)

    def _release(self, run: _Run) -> None:
        if run.slot is None:
            self._waiting.remove(run)
            return
        self._seats[run.slot] = None
        self._slots.truncate(run.slot, 0)

    def _describe(self, id: int) -> Token:
        return self._tokenizer.token(id) if self._tokenizer else Token(id, "", b"", special=True)
