"""The engine: many requests at once, joining and leaving between steps. Ids and settings in, step records out.

    engine = Engine(decoder, tokenizer)
    engine.submit(Request(ids, max_tokens=20))
    while engine.busy:
        for record in engine.step(): ...

One step generates one token for every running request: schedule → forward → choose → record. If a constraint leaves no choice
about the next tokens, one pass reads them all, and the step records them and the token that is chosen after them. A request's
choices come from its own seed: token t uses the t-th number of its generator, so neither its neighbours nor forced tokens shift
the rest.

Legend of shape suffixes: B rows (requests in one forward pass), T tokens, K the last tokens of a row, D width, V vocabulary.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from torch import Tensor

from liuli.display import first_line
from liuli.errors import LiuliError
from liuli.generate.record import FinishReason, StepRecord, score
from liuli.generate.request import Request, RequestState
from liuli.generate.sampling import Draw, TokenChoice, choose
from liuli.generate.scheduler import Scheduler
from liuli.model.cache import KVCache, bytes_per_token, default_budget, int_tensor
from liuli.model.decoder import Decoder, Tap
from liuli.model.logprobs import token_logprobs
from liuli.tokens import Token, Tokenizer


class Engine:
    """Runs requests. Those without a free slot or enough memory wait.

    The KV cache grows with the running requests, and is freed when none runs. A pass over slots that are not adjacent copies
    them one layer at a time, in addition to the budget.

    Args:
        slots: the most requests that run together.
        capacity: the most tokens of a request, prompt and completion; by default the model's context.
        cache_budget: the most memory for the KV cache, in bytes; by default half of the memory of the device.
        keep: whether what a request leaves in its slot of the KV cache stays there. The next request in the slot does not read
            again what it begins with, if it begins the same.
        tap: a function that every pass calls at the decoder's points; see `BLOCK_POINTS`.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer | None = None,
        slots: int = 32,
        capacity: int | None = None,
        cache_budget: int | None = None,
        keep: bool = False,
        tap: Tap | None = None,
    ):
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._device = decoder.device
        self._dtype = decoder.dtype
        self._capacity = decoder.config.context if capacity is None else min(capacity, decoder.config.context)
        budget = default_budget(self._device) if cache_budget is None else cache_budget
        self._scheduler = Scheduler(slots, budget, bytes_per_token(decoder.config, self._dtype))
        self._cache: KVCache | None = None
        self._keep, self._tap = keep, tap
        self._kept: dict[int, list[int]] = {}  # the ids in the slots of requests that have ended
        self._ended: list[StepRecord] = []
        self._submitted = 0

    @property
    def busy(self) -> bool:
        """Whether a request runs or waits, or its end has not been reported."""
        return bool(self._ended) or self._scheduler.busy

    @property
    def cache_bytes(self) -> int:
        """The memory of the KV cache now, in bytes."""
        return self._cache.nbytes if self._cache else 0

    def submit(self, request: Request) -> str:
        """Accepts a request and returns its name, which its records carry.

        Raises:
            LiuliError: the request cannot be run as it is: no prompt, ids that do not exist, no room in the context or in
                the memory; what `Grammar.start` raises.
        """
        vocab_size = self._decoder.config.vocab_size
        request.check(vocab_size, self._capacity, self._tokenizer is not None)
        state = RequestState(f"r{self._submitted + 1}", request, self._tokenizer, vocab_size)
        self._scheduler.add(state)
        self._submitted += 1
        return state.name

    def cancel(self, name: str) -> None:
        """Ends a request; the next step reports it, with what its stop strings held back. Unknown names are ignored:
        a request may have ended by itself a moment before."""
        state = self._scheduler.find(name)
        if state is not None:
            self._ended.append(self._end(state, "cancelled"))

    @torch.inference_mode()
    def step(self) -> list[StepRecord]:
        """One token for every request that runs, and the tokens that are forced before it, after those that wait have started
        if they can.

        A request that starts has its prompt read in a pass of its own. The others go through one pass together; those with
        forced tokens only with others that have as many.
        """
        started = time.perf_counter()
        records, self._ended = self._ended, []
        running = []
        for state in self._scheduler.schedule():
            if not state.index:
                self._reuse(state)
            state.look_ahead()  # before any pass: what a pass writes to the cache cannot be undone
            if state.ahead.tokens:
                running.append(state)
            else:
                records.append(self._end(state, "error", str(state.ahead.error)))
        try:
            cache = self._fitting_cache() if running else None
        except LiuliError as error:
            self._cache = None
            self._kept = {}
            return records + [self._end(state, "error", str(error)) for state in running]
        if cache is not None:
            for together in _passes(running):
                records += self._advance(together, cache, started)
        if not self._scheduler.busy and not self._keep:
            self._cache = None
        return records

    def _reuse(self, state: RequestState) -> None:
        """Leaves out of a new request's pending ids those that its slot holds already. The last one stays, as a token comes
        after it; all stay if the log-probabilities of the prompt are wanted."""
        assert state.slot is not None
        kept = self._kept.pop(state.slot, [])
        if self._cache is None or not kept:
            return
        most = 0 if state.request.prompt_logprobs else len(state.pending) - 1
        pairs = zip(kept, state.pending[:most], strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        self._cache.truncate(state.slot, same)
        state.pending = state.pending[same:]

    def _fitting_cache(self) -> KVCache:
        """The cache, large enough for the next step.

        Raises:
            LiuliError: the device has too little memory for it, although the budget allows it. The cache is then unusable.
        """
        now = (self._cache.slots, self._cache.capacity) if self._cache else (0, 0)
        slots, capacity = self._scheduler.cache_size(*now)
        if self._cache is not None and slots < now[0]:
            for slot in [slot for slot in self._kept if slot >= slots]:
                self._cache.truncate(slot, 0)
                del self._kept[slot]
        try:
            if self._cache is None:
                self._cache = KVCache(self._decoder.config, slots, capacity, self._device, self._dtype)
            elif now != (slots, capacity):
                self._cache.resize(slots, capacity)
        except RuntimeError as error:  # what PyTorch raises if memory is short
            raise LiuliError(
                f"not enough memory for a KV cache of {slots} × {capacity} tokens: {first_line(error)}; run fewer requests at "
                f"once, or lower max_tokens"
            ) from error
        return self._cache

    def _advance(self, together: list[RequestState], cache: KVCache, started: float) -> list[StepRecord]:
        """One pass over the pending ids and the forced ids of some requests, equally many of each; the tokens that it gives."""
        records: list[StepRecord] = []
        x_BTD = self._forward(together, cache)
        logits_BKV = self._decoder.logits(x_BTD[:, -together[0].ahead.tokens :]).float().cpu()
        for b, state in enumerate(together):
            for record in self._tokens(state, logits_BKV[b], x_BTD[b]):
                record.ms = (time.perf_counter() - started) * 1000
                records.append(record)
        return records

    def _forward(self, states: list[RequestState], cache: KVCache) -> Tensor:
        """The hidden states (B, T, D) of the ids after which a token comes: all but the last token that the pass gives."""
        rows = [[*state.pending, *state.ahead.forced[: state.ahead.tokens - 1]] for state in states]
        ids_BT = int_tensor(rows, self._device)
        slots = [state.slot for state in states if state.slot is not None]
        return self._decoder.hidden(ids_BT, cache=cache.rows(slots, [ids_BT.shape[1]] * len(slots)), tap=self._tap)

    def _tokens(self, state: RequestState, logits_KV: Tensor, x_TD: Tensor) -> Iterator[StepRecord]:
        """Adds the forced tokens of a request and the chosen one, until it ends, and records them.

        Args:
            logits_KV: of the places before these tokens. x_TD: the hidden states of the whole pass.
        """
        request, ahead = state.request, state.ahead
        for k, logits_V in enumerate(logits_KV):
            forced = k < len(ahead.forced)
            try:
                choice = _forced(state, ahead.forced[k], logits_V) if forced else _chosen(state, ahead.allowed_V, logits_V)
                complete = ahead.complete and k + 1 == len(ahead.forced) if forced else state.accept(choice.id)
            except LiuliError as error:
                yield self._end(state, "error", str(error))
                return
            record = self._record(state, choice, forced, complete, logits_V)
            if request.prompt_logprobs and record.index == 0:
                record.prompt_logprobs = self._prompt_logprobs(x_TD[: len(request.ids)], request.ids)
            yield record
            if record.finish_reason:
                return
        if ahead.error is not None:
            yield self._end(state, "error", str(ahead.error))

    def _record(self, state: RequestState, choice: TokenChoice, forced: bool, complete: bool, logits_V: Tensor) -> StepRecord:
        """Adds the token to its request and records it."""
        request, index, position = state.request, state.index, state.position
        text, reason = state.take(choice.id, complete)
        captures = state.captures() if reason else None
        if reason:
            self._release(state)
        token = self._describe(choice.id)
        record = StepRecord(state.name, index, position, token, text, forced, choice.uniform, finish_reason=reason)
        record.captures = captures
        if request.constraint is not None:
            record.removed = choice.distribution.removed_by("grammar")
        if request.candidates is not None:
            record.scores = score(logits_V, choice, request.candidates, self._describe)
        return record

    def _prompt_logprobs(self, x_TD: Tensor, ids: Sequence[int]) -> list[float | None]:
        """The log-probability of each token of the prompt after those before it, in nats; None for the first."""
        if len(ids) == 1:
            return [None]
        following = torch.tensor(ids[1:], device=self._device, dtype=torch.int64)
        return [None, *token_logprobs(self._decoder.head, x_TD[:-1], following).tolist()]

    def _end(self, state: RequestState, reason: FinishReason, error: str | None = None) -> StepRecord:
        """Ends a request without a token."""
        self._release(state, broken=error is not None)
        return StepRecord(state.name, state.index, state.position, None, state.rest(), finish_reason=reason, error=error)

    def _release(self, state: RequestState, broken: bool = False) -> None:
        """Removes a request from the queues and from the cache."""
        self._scheduler.finish(state)
        if state.slot is None or self._cache is None:
            return
        if broken:
            self._cache.clear(state.slot)
        elif self._keep:
            self._kept[state.slot] = state.ids[: self._cache.fill[state.slot]]
        else:
            self._cache.truncate(state.slot, 0)

    def _describe(self, token_id: int) -> Token:
        return self._tokenizer.token(token_id) if self._tokenizer else Token(token_id, "", b"", special=True)


def _passes(running: list[RequestState]) -> list[list[RequestState]]:
    """The requests of each pass, equally many ids of each."""
    alone = [[state] for state in running if not state.index]
    by_length: dict[int, list[RequestState]] = {}
    for state in running:
        if state.index:
            by_length.setdefault(state.ahead.tokens, []).append(state)
    return [*by_length.values(), *alone]


def _forced(state: RequestState, token_id: int, logits_V: Tensor) -> TokenChoice:
    """The choice of a token among no others. Its number is drawn too, so that token t always has the generator's t-th."""
    allowed_V = torch.zeros(len(logits_V), dtype=torch.bool)
    allowed_V[token_id] = True
    return _choice(state, state.generator.random(), allowed_V, logits_V)


def _chosen(state: RequestState, allowed_V: Tensor | None, logits_V: Tensor) -> TokenChoice:
    """The choice of a token that fits, with one number.

    Raises:
        LiuliError: no token is left; the constraint fails.
    """
    uniform = state.generator.random()
    choice = _choice(state, uniform, allowed_V, logits_V)
    while (allowed_V := state.allowed_instead(choice.id)) is not None:
        choice = _choice(state, uniform, allowed_V, logits_V)
    return choice


def _choice(state: RequestState, uniform: float, allowed_V: Tensor | None, logits_V: Tensor) -> TokenChoice:
    return choose(logits_V, Draw(state.request.sampling, uniform, allowed_V, state.request.ids, state.counts))
