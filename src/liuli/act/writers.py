"""Who writes the steps of an agent: a model under a grammar, whose steps always have the right form; or, in free text, a model
or an endpoint, whose steps a tolerant parser reads.
"""

import secrets
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from liuli.act.action_chances import action_chances
from liuli.act.agent_run import AgentStep
from liuli.act.step_form import ReActText, ReActTurns, StepForm, TemplateCalls
from liuli.act.tools import Tools
from liuli.errors import LiuliError
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.engine import Engine
from liuli.generate.model import Model
from liuli.generate.record import StepRecord
from liuli.generate.request import Request
from liuli.generate.sampling import Sampling
from liuli.tokens.chat.call_form import call_form
from liuli.tokens.chat.templates import OWN
from liuli.units import counted

STEP_TOKENS = 384  # of one step at most
LAST_STEP = 64  # tokens of the context that are kept for the final answer
CANDIDATES = 50  # per token, to find the probabilities of the actions

Writing = Generator[StepRecord, None, tuple[AgentStep, str]]


class StepWriter(Protocol):
    """Writes the steps of an agent."""

    def check(self, question: str) -> None:
        """Raises LiuliError: a run with this question cannot begin."""
        ...

    def facts(self) -> dict[str, Any]:
        """What a run records about who writes it: fields of `AgentRun`."""
        ...

    def write(self, question: str, steps: Sequence[AgentStep], may_act: bool) -> Writing:
        """Writes the next step: yields the record of each token, and returns the step, and why it could not be read, or "".

        Args:
            may_act: whether the step may call a tool, or must answer.

        Raises:
            LiuliError: the model or the endpoint cannot write it.
        """
        ...


class GrammarWriter:
    """A model whose steps follow a grammar, one per step.

    The settings of the sampler are `Sampling`'s own with temperature 0, and not the model's: its repetition penalty would keep
    it from copying numbers out of the question.

    Args:
        form: how steps are written; None: the one that suits the model (`suitable_form`).
        max_tokens: the most tokens of a step.
        seed: of the first step; each later step uses the next number. None: one is chosen at random.
        sampling: fields of `Sampling`.

    Raises:
        LiuliError: the model has no tokenizer; a setting is out of range.
    """

    def __init__(
        self,
        model: Model,
        tools: Tools,
        form: StepForm | None = None,
        max_tokens: int = STEP_TOKENS,
        seed: int | None = None,
        **sampling: Any,
    ):
        self.model, self.form = model, form or suitable_form(model, tools)
        self.max_tokens = max_tokens
        self.seed = secrets.randbits(32) if seed is None else seed
        self.sampling = Sampling(**{"temperature": 0.0, **sampling})
        self._engine = Engine(model.decoder, model.tokenizer, slots=1, keep=True)  # a step begins with the one before
        self._grammars: dict[bool, Grammar] = {}

    def check(self, question: str) -> None:
        length, context = len(self.form.prompt(question, ())), self.model.config.context
        if length + LAST_STEP > context:
            raise LiuliError(
                f"the question with the description of the tools has {counted(length, 'token')}, and an answer needs "
                f"{LAST_STEP}, but the model's context has only {context}: ask a shorter question, or name fewer tools"
            )

    def facts(self) -> dict[str, Any]:
        return {
            "model": self.model.identity(),
            "form": self.form.name,
            "grammar": True,
            "seed": self.seed,
            "sampling": self.sampling.to_json(),
        }

    def write(self, question: str, steps: Sequence[AgentStep], may_act: bool) -> Writing:
        begin = time.perf_counter()
        ids = self._prompt(question, steps)
        room = self.model.config.context - len(ids)
        may_act = may_act and room > 4 * LAST_STEP  # a call, its result, and an answer
        limit = min(self.max_tokens, room - 2 * LAST_STEP if may_act else room)
        request = Request(
            ids,
            self.sampling,
            limit,
            self.seed + len(steps),
            stop_ids=self._stop_ids,
            candidates=CANDIDATES,
            constraint=self._grammar(may_act),
        )
        self._engine.submit(request)
        records: list[StepRecord] = []
        while self._engine.busy:
            for record in self._engine.step():
                if record.error is not None:
                    raise LiuliError(f"token {record.index}: {record.error}")
                records.append(record)
                yield record
        found = self.form.read(records[-1].captures or {})
        free = [record.removed for record in records if not record.forced and record.removed is not None]
        text = "".join(record.text for record in records)
        step = AgentStep(
            prompt_ids=ids,
            text=text,
            thought=found.thought,
            call=found.call,
            answer=found.answer,
            chances=action_chances(records, found.begin, self.form.actions(may_act)),
            removed=sum(free) / len(free) if free else None,
            seconds=time.perf_counter() - begin,
            tokens=records,
        )
        return step, ""

    @property
    def _stop_ids(self) -> tuple[int, ...]:
        chatting = self.model.chat.stops if not isinstance(self.form, ReActText) else ()
        return tuple(dict.fromkeys((*self.model.stop_ids, *chatting)))

    def _grammar(self, may_act: bool) -> Grammar:
        if may_act not in self._grammars:
            self._grammars[may_act] = Grammar.of_lark(self.form.grammar(may_act))
        return self._grammars[may_act]

    def _prompt(self, question: str, steps: Sequence[AgentStep]) -> list[int]:
        """The ids before the step. If they leave too little of the context, the last observation is cut, and says so."""
        ids = self.form.prompt(question, steps)
        while steps and len(ids) + LAST_STEP > self.model.config.context and steps[-1].read:
            last, over = steps[-1], len(ids) + LAST_STEP - self.model.config.context
            kept = len(last.read.removesuffix(CUT)) - max(1, over)
            last.read = last.read[: max(0, kept)] + CUT if kept > 0 else ""
            ids = self.form.prompt(question, steps)
        return ids


CUT = " … (cut: the context is full)"


def suitable_form(model: Model, tools: Tools) -> StepForm:
    """The form of steps for a model: the tool calls of its own chat template, if that has them; else ReAct. The tools are only
    named, not explained, to a model that was fine-tuned by Liuli (it has Liuli's template), because its traces are so; and to a
    model of which the explanation would take more than half of the context.

    Raises:
        LiuliError: the model has no tokenizer.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise LiuliError(f"{model.path} contains no tokenizer, so it cannot be an agent: add its tokenizer files")
    try:
        chat = model.chat
    except LiuliError:
        return _fitting(model, lambda instructed: ReActText(tokenizer, tools, instructed))
    if chat.template in OWN:
        return ReActTurns(chat, tools, instructed=False)
    own = call_form(chat) if len(tools) else None
    if own:
        return TemplateCalls(chat, own, tools)
    return _fitting(model, lambda instructed: ReActTurns(chat, tools, instructed))


def _fitting(model: Model, form: Callable[[bool], StepForm]) -> StepForm:
    """A form with the explanation of the tools, if that takes at most half of the context."""
    explained = form(True)
    return explained if len(explained.prompt("", ())) <= model.config.context // 2 else form(False)
