"""The scheduler: which requests wait, which run, and in which slot of the KV cache.

A request waits until a slot is free and the memory allows it to run to its last token; then it runs until it is finished.
The request that came first starts first. A large request is not overtaken by smaller ones, so it cannot wait forever.
"""

from collections import deque

from liuli.errors import LiuliError
from liuli.generate.request import RequestState
from liuli.units import byte_size, counted

FIRST_CAPACITY = 256  # tokens per slot that the cache has room for at first


class Scheduler:
    """Waiting and running requests.

    Attributes:
        waiting: in the order in which they came. running: by slot; None if the slot is free.

    Args:
        slots: the most requests that run together.
        budget: the memory that the cache may take, in bytes. token_bytes: of one token's keys and values.
    """

    def __init__(self, slots: int, budget: int, token_bytes: int):
        self.waiting: deque[RequestState] = deque()
        self.running: list[RequestState | None] = [None] * slots
        self._budget = budget
        self._token_bytes = token_bytes

    @property
    def busy(self) -> bool:
        """Whether any request waits or runs."""
        return bool(self.waiting) or any(self.running)

    def add(self, state: RequestState) -> None:
        """Puts a request at the end of the waiting queue.

        Raises:
            LiuliError: it could not run even alone.
        """
        if not self._fits(1, state.request.length):
            raise LiuliError(self._too_large(state))
        self.waiting.append(state)

    def schedule(self) -> list[RequestState]:
        """Starts waiting requests as long as there is a free slot and enough memory. Returns all that run, by slot."""
        while self.waiting and self._can_start(self.waiting[0]):
            state = self.waiting.popleft()
            state.slot = self.running.index(None)
            self.running[state.slot] = state
        return [state for state in self.running if state is not None]

    def finish(self, state: RequestState) -> None:
        """Removes a request, whether it waits or runs. Its slot is free for another."""
        if state.slot is None:
            self.waiting.remove(state)
        else:
            self.running[state.slot] = None

    def find(self, name: str) -> RequestState | None:
        """The request of that name, or None if there is none or it has finished."""
        return next((state for state in [*self.waiting, *self.running] if state is not None and state.name == name), None)

    def cache_size(self, slots: int, capacity: int) -> tuple[int, int]:
        """How many slots of how many tokens the cache must have for the next step, if it has `slots` of `capacity` now.

        If it must grow, it doubles, so that it is rarely copied. It never exceeds the budget, or what the running requests
        can need. That is always enough: `schedule` starts a request only if all could run to their last token.
        """
        used = self._used_slots()
        needed = max(state.reach for state in self.running if state is not None)
        if used <= slots and needed <= capacity:
            return slots, capacity
        most = self._longest()
        if used > slots:
            slots = max(used, min(2 * slots, len(self.running)))
        if needed > capacity:
            capacity = max(needed, 2 * capacity, FIRST_CAPACITY)
        capacity = min(capacity, most)
        return (slots, capacity) if self._fits(slots, capacity) else (used, most)

    def _can_start(self, state: RequestState) -> bool:
        if None not in self.running:
            return False
        slots = max(self._used_slots(), self.running.index(None) + 1)
        return self._fits(slots, max(self._longest(), state.request.length))

    def _longest(self) -> int:
        return max((state.request.length for state in self.running if state is not None), default=0)

    def _used_slots(self) -> int:
        """How many slots there are up to the last that is in use."""
        return max((slot for slot, state in enumerate(self.running, 1) if state is not None), default=0)

    def _fits(self, slots: int, capacity: int) -> bool:
        return slots * (capacity + 1) * self._token_bytes <= self._budget  # a slot has one place more, see `KVCache`

    def _too_large(self, state: RequestState) -> str:
        request, prompt = state.request, len(state.request.ids)
        possible = self._budget // self._token_bytes - 1 - prompt
        what = f"set max_tokens to {possible} or less" if possible > 0 else "shorten the prompt"
        return (
            f"the prompt has {counted(prompt, 'token')} and max_tokens is {request.max_tokens}: their KV cache takes "
            f"{_size((request.length + 1) * self._token_bytes)}, but only {_size(self._budget)} may be used: {what}"
        )


def _size(number: int) -> str:
    return byte_size(number) if number < 10**15 else "more than 1,000 TB"
