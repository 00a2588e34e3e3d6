"""The engine: many requests at once, joining and leaving between steps. Ids and settings in, step records out.

    engine = Engine(decoder, tokenizer)
    engine.submit(Request(ids, max_tokens=20))
    while engine.busy:
        for record in engine.step(): ...

One step generates one token for every running request: schedule → forward → choose → record. A request's choices come from
its own seed: token t uses the t-th number of its generator, so neither its neighbours nor forced tokens shift the rest.

Legend of shape suffixes: B rows (requests in one forward pass), T tokens, D width, V vocabulary.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from liuli.display import first_line
from liuli.errors import LiuliError
from liuli.generate.record import FinishReason, StepRecord, score
from liuli.generate.request import Request, RequestState
from liuli.generate.sampling import Draw, TokenChoice, choose_rows
from liuli.generate.scheduler import Scheduler
from liuli.model.cache import KVCache, bytes_per_token, default_budget, int_tensor
from liuli.model.decoder import Decoder
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
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer | None = None,
        slots: int = 32,
        capacity: int | None = None,
        cache_budget: int | None = None,
    ):
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._device = decoder.device
        self._dtype = decoder.dtype
        self._capacity = decoder.config.context if capacity is None else min(capacity, decoder.config.context)
        budget = default_budget(self._device) if cache_budget is None else cache_budget
        self._scheduler = Scheduler(slots, budget, bytes_per_token(decoder.config, self._dtype))
        self._cache: KVCache | None = None
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
                the memory.
        """
        request.check(self._decoder.config.vocab_size, self._capacity, self._tokenizer is not None)
        state = RequestState(f"r{self._submitted + 1}", request, self._tokenizer)
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
        """One token for every request that runs, after those that wait have started if they can.

        A request that starts has its prompt read in a pass of its own; all others go through one pass together.
        """
        started = time.perf_counter()
        records, self._ended = self._ended, []
        running = self._scheduler.schedule()
        try:
            cache = self._fitting_cache() if running else None
        except LiuliError as error:
            self._cache = None
            return records + [self._end(state, "error", str(error)) for state in running]
        if cache is not None:
            decoding = [state for state in running if state.index]
            if decoding:
                records += self._advance(decoding, cache, started)
            for state in running:
                if not state.index:
                    records += self._advance([state], cache, started)
        if not self._scheduler.busy:
            self._cache = None
        return records

    def _fitting_cache(self) -> KVCache:
        """The cache, large enough for the next step.

        Raises:
            LiuliError: the device has too little memory for it, although the budget allows it. The cache is then unusable.
        """
        now = (self._cache.slots, self._cache.capacity) if self._cache else (0, 0)
        slots, capacity = self._scheduler.cache_size(*now)
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

    def _advance(self, states: list[RequestState], cache: KVCache, started: float) -> list[StepRecord]:
        """One pass over the pending ids of some requests, equally many of each; one token for each."""
        records: list[StepRecord] = []
        allowed: dict[RequestState, tuple[Tensor | None, bool]] = {}
        for state in states:  # before the pass: what it writes to the cache cannot be undone
            try:
                allowed[state] = state.allowed(self._decoder.config.vocab_size)
            except LiuliError as error:
                records.append(self._end(state, "error", str(error)))
        if not allowed:
            return records
        states = list(allowed)
        x_BTD = self._forward(states, cache)
        logits_BV = self._decoder.logits(x_BTD[:, -1]).float().cpu()
        # The number is drawn for a forced token too, so that token t always has the generator's t-th.
        draws = [
            Draw(state.request.sampling, state.generator.random(), allowed_V, state.request.ids, state.counts)
            for state, (allowed_V, _) in allowed.items()
        ]
        for b, choice in enumerate(choose_rows(logits_BV, draws)):
            _, forced = allowed[states[b]]
            record = self._record(states[b], choice, forced, logits_BV[b], x_BTD[b])
            record.ms = (time.perf_counter() - started) * 1000
            records.append(record)
        return records

    def _forward(self, states: list[RequestState], cache: KVCache) -> Tensor:
        """The hidden states (B, T, D) of the pending ids."""
        ids_BT = int_tensor([state.pending for state in states], self._device)
        slots = [state.slot for state in states if state.slot is not None]
        return self._decoder.hidden(ids_BT, cache=cache.rows(slots, [ids_BT.shape[1]] * len(slots)))

    def _record(
        self, state: RequestState, choice: TokenChoice | LiuliError, forced: bool, logits_V: Tensor, x_TD: Tensor
    ) -> StepRecord:
        """Adds the chosen token to its request and records it; or ends the request with the error, without a token."""
        request, index, position = state.request, state.index, state.position
        if isinstance(choice, LiuliError):
            return self._end(state, "error", str(choice))
        try:
            text, reason = state.take(choice.id)
        except LiuliError as error:
            return self._end(state, "error", str(error))
        if reason:
            self._release(state)
        token = self._describe(choice.id)
        record = StepRecord(state.name, index, position, token, text, forced, choice.uniform, finish_reason=reason)
        if request.candidates is not None:
            record.scores = score(logits_V, choice, request.candidates, self._describe)
        if request.prompt_logprobs and index == 0:
            record.prompt_logprobs = self._prompt_logprobs(x_TD, request.ids)
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
        else:
            self._cache.truncate(state.slot, 0)

    def _describe(self, token_id: int) -> Token:
        return self._tokenizer.token(token_id) if self._tokenizer else Token(token_id, "", b"", special=True)
