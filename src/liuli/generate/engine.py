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

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.generate.constrain import Constraint
from liuli.generate.record import FinishReason, Scores, StepRecord, score
from liuli.generate.sampling import Choice, Draw, Sampling, choose_rows
from liuli.generate.stop import StopStrings
from liuli.model.cache import Slots
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


class _Running:
    """A request on its way: what it has said, and what it still has to feed to the model."""

    def __init__(self, name: str, request: Request, tokenizer: Tokenizer | None):
        self.name, self.request = name, request
        self.slot: int | None = None
        self.pending = list(request.ids)  # ids that the cache does not hold yet
        self.index = 0
        self.counts: dict[int, int] = {}
        self.generator = random.Random(request.seed)
        self.text = TextStream(tokenizer, after=request.ids) if tokenizer else None
        self.stop = StopStrings(request.stop)


class Engine:
    """Runs requests on `slots` slots of `capacity` tokens (by default the model's context); more wait their turn.

    Attributes: busy: whether any request runs or waits, or has an end to be reported.
    """

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer | None = None, slots: int = 32, capacity: int | None = None):
        self._decoder, self._tokenizer = decoder, tokenizer
        context = decoder.config.context
        self._count, self._capacity = slots, context if capacity is None else min(capacity, context)
        self._device = next(decoder.parameters()).device
        self._free = list(range(slots))
        self._waiting: deque[_Running] = deque()
        self._running: dict[str, _Running] = {}
        self._ended: list[StepRecord] = []
        self._submitted = 0

    @cached_property
    def _slots(self) -> Slots:
        """The cache's memory, taken when the first request runs."""
        parameter = next(self._decoder.parameters())
        return Slots(self._decoder.config, self._count, self._capacity, parameter.device, parameter.dtype)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running or self._ended)

    def submit(self, request: Request) -> str:
        """Takes a request and returns its name, which its records carry.

        Raises:
            LiuliError: the request cannot be run as it is: no prompt, ids that do not exist, no room in the context.
        """
        self._check(request)
        run = _Running(f"r{self._submitted + 1}", request, self._tokenizer)
        self._submitted += 1
        self._waiting.append(run)
        return run.name

    def cancel(self, name: str) -> None:
        """Ends a request; the next step reports it, with what its stop strings held back. Unknown names are ignored:
        a request may have ended by itself a moment before."""
        for run in [*self._waiting, *self._running.values()]:
            if run.name == name:
                self._ended.append(self._close(run, "cancelled"))

    @torch.inference_mode()
    def step(self) -> list[StepRecord]:
        """One token for every request that runs; those that wait join first, where a slot is free."""
        started = time.perf_counter()
        records, self._ended = self._ended, []
        joining = self._admit()
        going_on = [run for run in self._running.values() if run not in joining]
        for runs in [going_on, *([run] for run in joining)]:
            if runs:
                records += self._forward_and_choose(runs, started)
        return records

    def _check(self, request: Request) -> None:
        vocabulary, capacity = self._decoder.config.vocab_size, self._capacity
        if not request.ids:
            raise LiuliError("the prompt is empty and the tokenizer has no begin token to start from: give at least one token")
        if type(request.max_tokens) is not int or request.max_tokens < 1:
            raise LiuliError(f"max_tokens must be a whole number of at least 1, not {request.max_tokens}")
        if request.seed < 0:
            raise LiuliError(f"a seed is a whole number, 0 or more, not {request.seed}")
        room = capacity - len(request.ids)
        if room < 1:
            raise LiuliError(
                f"the prompt has {len(request.ids)} tokens, but the context holds {capacity} with the completion: shorten it"
            )
        if request.max_tokens > room:
            raise LiuliError(
                f"the prompt has {len(request.ids)} tokens and {request.max_tokens} more are asked for, but the context "
                f"holds {capacity}: ask for at most {room} (max_tokens)"
            )
        for what, ids in (("prompt", request.ids), ("logit bias", request.sampling.logit_bias), ("stop ids", request.stop_ids)):
            wrong = [id for id in ids if not 0 <= id < vocabulary]
            if wrong:
                raise LiuliError(f"the {what} names token {wrong[0]}, but the model's ids go from 0 to {vocabulary - 1}")
        if request.candidates is not None and request.candidates < 0:
            raise LiuliError(f"candidates must be 0 or more, not {request.candidates}")
        if request.stop and self._tokenizer is None:
            raise LiuliError("stop strings need a tokenizer, and this model has none: stop by ids")

    def _admit(self) -> list[_Running]:
        joining = []
        while self._waiting and self._free:
            run = self._waiting.popleft()
            run.slot = self._free.pop(0)
            self._running[run.name] = run
            joining.append(run)
        return joining

    def _forward_and_choose(self, runs: list[_Running], started: float) -> list[StepRecord]:
        """Feeds every run's pending ids, equally many of each, in one pass and takes one token for each."""
        slots = {run.name: run.slot for run in runs if run.slot is not None}
        runs = sorted(runs, key=lambda run: slots[run.name])
        ids_BT = torch.tensor([run.pending for run in runs], device=self._device)
        rows = self._slots.rows(sorted(slots.values()), [ids_BT.shape[1]] * len(runs))
        x_BTD = self._decoder.hidden(ids_BT, cache=rows)
        logits_BV = self._decoder.logits(x_BTD[:, -1]).float().cpu()
        forced = [list(run.request.constraint.forced()) if run.request.constraint else [] for run in runs]
        draws = [self._draw(run, ids[:1]) for run, ids in zip(runs, forced, strict=True)]
        records = []
        for b, choice in enumerate(choose_rows(logits_BV, draws)):
            run = runs[b]
            if isinstance(choice, LiuliError):
                records.append(self._close(run, "error", str(choice)))
                continue
            wanted = run.request.prompt_logprobs and run.index == 0
            prompt_logprobs = self._prompt_logprobs(x_BTD[b], run.request.ids) if wanted else None
            scores = None
            if run.request.candidates is not None:
                scores = score(logits_BV[b], choice, run.request.candidates, self._describe)
            records.append(self._take(run, choice, bool(forced[b]), scores, started, prompt_logprobs))
        return records

    def _draw(self, run: _Running, forced: Sequence[int]) -> Draw:
        """What chooses the run's next token. A forced one is all that is allowed, and has its number drawn too."""
        request, allowed_V = run.request, None
        if forced:
            allowed_V = torch.zeros(self._decoder.config.vocab_size, dtype=torch.bool)
            allowed_V[forced] = True
        elif request.constraint is not None:
            allowed_V = request.constraint.mask(request.max_tokens - run.index)
        return Draw(request.sampling, run.generator.random(), allowed_V, request.ids, run.counts)

    def _prompt_logprobs(self, x_TD: Tensor, ids: Sequence[int]) -> list[float | None]:
        """How likely each token of the prompt was after those before it; the first follows nothing."""
        logprobs_TV = self._decoder.logits(x_TD[: len(ids) - 1]).float().log_softmax(-1)
        following = torch.tensor(ids[1:], device=self._device, dtype=torch.int64)
        return [None, *logprobs_TV.gather(-1, following[:, None])[:, 0].tolist()]

    def _take(
        self,
        run: _Running,
        choice: Choice,
        forced: bool,
        scores: Scores | None,
        started: float,
        prompt_logprobs: list[float | None] | None,
    ) -> StepRecord:
        """Adds the chosen token to its run."""
        token = self._describe(choice.id)
        index, position = run.index, len(run.request.ids) + run.index
        run.index += 1
        run.counts[choice.id] = run.counts.get(choice.id, 0) + 1
        run.pending = [choice.id]
        text, reason = self._advance(run, choice.id)
        if reason:
            self._release(run)
        ms = (time.perf_counter() - started) * 1000
        return StepRecord(
            run.name, index, position, token, text, forced, choice.uniform, scores, ms, reason, None, prompt_logprobs
        )

    def _advance(self, run: _Running, id: int) -> tuple[str, FinishReason | None]:
        """The text that may be shown now that `id` has come, and whether the request ends with it."""
        request, constraint = run.request, run.request.constraint
        if constraint is not None:
            constraint.accept(id)
        reason: FinishReason | None = None
        text = ""
        if id in request.stop_ids:
            reason = "stop"
        elif run.text is not None:
            text = run.stop.push(run.text.push(id))
        if run.stop.found is not None or (constraint is not None and constraint.done()):
            reason = "stop"
        if reason is None and run.index == request.max_tokens:
            reason = "length"
        return text + (self._rest(run) if reason else ""), reason

    def _rest(self, run: _Running) -> str:
        """What is still held back at the end: the bytes of a broken character, and what might have become a stop."""
        return run.stop.push(run.text.finish()) + run.stop.finish() if run.text else ""

    def _close(self, run: _Running, reason: FinishReason, error: str | None = None) -> StepRecord:
        slot = run.slot
        self._release(run)
        if error is not None and slot is not None:
            self._slots.clear(slot)
        position = len(run.request.ids) + run.index
        return StepRecord(run.name, run.index, position, None, self._rest(run), finish_reason=reason, error=error)

    def _release(self, run: _Running) -> None:
        if run.slot is None:
            self._waiting.remove(run)
            return
        del self._running[run.name]
        self._slots.truncate(run.slot, 0)
        self._free.append(run.slot)

    def _describe(self, id: int) -> Token:
        return self._tokenizer.token(id) if self._tokenizer else Token(id, "", b"", special=True)
