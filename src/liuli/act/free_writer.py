"""Writes the steps of an agent in free text, which a tolerant parser reads: for endpoints, on which no grammar can be forced,
and to see what a grammar is worth."""

import secrets
import time
from collections.abc import Generator, Sequence
from typing import Any, Protocol

from liuli.act.agent_run import AgentStep
from liuli.act.endpoint import Endpoint
from liuli.act.step_form import react_messages
from liuli.act.step_parser import STOP, parse_step
from liuli.act.tools import Tools
from liuli.act.writers import STEP_TOKENS, Writing
from liuli.errors import LiuliError
from liuli.generate.engine import Engine
from liuli.generate.model import Model
from liuli.generate.record import StepRecord
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling
from liuli.tokens.chat.marks import Messages

LAST = "\n\nThis is the last step. Do not write an Action. Write the Final Answer."


class Replier(Protocol):
    """Something that replies to messages in free text. `identity`: for the record."""

    identity: dict[str, Any]

    def reply(self, messages: Messages, max_tokens: int, seed: int) -> Generator[StepRecord, None, tuple[list[int], str]]:
        """Yields a record of each token, if there are any. Returns the ids of the prompt, or [], and the text.

        Raises:
            LiuliError: there is no reply.
        """
        ...


class ModelReplier:
    """A model with a chat template. `sampling`: fields of `Sampling`, whose temperature is 0 by default."""

    def __init__(self, model: Model, **sampling: Any):
        self.identity = model.identity()
        self._model, self._sampling = model, Sampling(**{"temperature": 0.0, **sampling})
        self._engine = Engine(model.decoder, model.tokenizer, slots=1, keep=True)

    def reply(self, messages: Messages, max_tokens: int, seed: int) -> Generator[StepRecord, None, tuple[list[int], str]]:
        """See `Replier`."""
        model = self._model
        ids = model.chat.prompt(messages)
        room = model.config.context - len(ids)
        if room < 1:
            raise LiuliError(
                f"the conversation has {len(ids):,} tokens, but the context has only {model.config.context:,}: name fewer "
                f"tools, or take fewer steps"
            )
        ends = tuple(dict.fromkeys((*model.stop_ids, *model.chat.stops)))
        engine = self._engine
        engine.submit(Request(ids, self._sampling, min(max_tokens, room), seed, STOP, ends))
        text = ""
        while engine.busy:
            for record in engine.step():
                if record.error is not None:
                    raise LiuliError(f"token {record.index}: {record.error}")
                text += record.text
                yield record
        return ids, text


class EndpointReplier:
    """An OpenAI-compatible endpoint."""

    def __init__(self, endpoint: Endpoint, temperature: float = 0.0):
        self.identity = {"endpoint": endpoint.url, "name": endpoint.model}
        self._endpoint, self._temperature = endpoint, temperature

    def reply(self, messages: Messages, max_tokens: int, seed: int) -> Generator[StepRecord, None, tuple[list[int], str]]:
        """See `Replier`."""
        yield from ()
        return [], self._endpoint.reply(messages, max_tokens, STOP, seed, self._temperature)


class FreeWriter:
    """Writes steps of ReAct in free text. A step that cannot be read becomes an observation which says how to write it; the
    last step is then the answer as it stands."""

    def __init__(self, replier: Replier, tools: Tools, max_tokens: int = STEP_TOKENS, seed: int | None = None):
        self._replier, self._tools, self.max_tokens = replier, tools, max_tokens
        self.seed = secrets.randbits(32) if seed is None else seed

    def check(self, question: str) -> None:
        """See `StepWriter`: what does not fit is found when a step is written."""

    def facts(self) -> dict[str, Any]:
        """See `StepWriter`."""
        return {"model": self._replier.identity, "form": "ReAct", "grammar": False, "seed": self.seed, "sampling": {}}

    def write(self, question: str, steps: Sequence[AgentStep], may_act: bool) -> Writing:
        """See `StepWriter`."""
        begin = time.perf_counter()
        messages = list(react_messages(self._tools, question, steps))
        if not may_act and steps:
            messages[-1] = messages[-1] | {"content": messages[-1]["content"] + LAST}
        records: list[StepRecord] = []
        replying = self._replier.reply(messages, self.max_tokens, self.seed + len(steps))
        while True:
            try:
                records.append(next(replying))
            except StopIteration as end:
                ids, text = end.value
                break
            yield records[-1]
        found = parse_step(text, self._tools)
        call, answer = found.call, found.answer
        if not may_act and answer is None:
            call, answer = None, text.strip()
        seconds = time.perf_counter() - begin
        return AgentStep(ids, text.strip(), found.thought, call, answer, seconds=seconds, tokens=records), found.problem
