"""ReAct: a model thinks, calls a tool, reads the observation, and continues until its final answer.

    with load_tools(["calculator"]) as tools:
        run = Agent(GrammarWriter(model, tools), tools).run("What is 12 * 345?")
    run.answer

A step under a grammar always has the right form. The last step that is allowed has no call, so that it must answer.

Source: Yao et al. 2022, https://arxiv.org/abs/2210.03629.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from liuli.act.agent_run import AgentRun, AgentStep, Call
from liuli.act.observation import Observation
from liuli.act.tools import Tools
from liuli.act.writers import StepWriter
from liuli.errors import LiuliError
from liuli.fields import check, is_size
from liuli.generate.record import StepRecord

Event = StepRecord | AgentStep | Observation

MAX_STEPS = 8
SAME_CALLS = 2  # how often the same call is made


class Agent:
    """Answers questions with tools.

    Args:
        writer: writes the steps.
        max_steps: the most steps; the last one must answer.
        approve: asked before each call; None: every call is allowed.

    Raises:
        LiuliError: `max_steps` is not at least 1.
    """

    def __init__(
        self, writer: StepWriter, tools: Tools, max_steps: int = MAX_STEPS, approve: Callable[[Call], bool] | None = None
    ):
        self.writer, self.tools, self.max_steps, self._approve = writer, tools, max_steps, approve
        check(self, "max_steps", is_size, "a whole number of at least 1")

    def run(self, question: str) -> AgentRun:
        """Answers a question. Raises as `stream`."""
        run, events = self.stream(question)
        for _ in events:
            pass
        return run

    def stream(self, question: str) -> tuple[AgentRun, Iterator[Event]]:
        """A run, and the events that make it grow as they are taken from the iterator: each token, the step when it is written,
        and what came of its call.

        Raises:
            LiuliError: the question is empty or does not fit into the model's context; while events are taken: what the writer
                raises.
        """
        if not question.strip():
            raise LiuliError("the question is empty: ask something")
        self.writer.check(question)
        run = AgentRun(question, tools=self.tools.definitions(), max_steps=self.max_steps, **self.writer.facts())
        return run, self._events(run)

    def _events(self, run: AgentRun) -> Iterator[Event]:
        """The run is marked as stopped until it has ended otherwise, so that an interrupted one says so."""
        run.outcome, made, refused = "stopped", Counter[str](), False
        try:
            for number in range(1, self.max_steps + 1):
                may_act = number < self.max_steps and len(self.tools) > 0 and not refused
                step, problem = yield from self.writer.write(run.question, run.steps, may_act)
                run.steps.append(step)
                if step.answer is not None:
                    run.outcome = "answered"
                yield step
                if step.answer is not None:
                    return
                step.observation = self._observe(step.call, made) if step.call else Observation(problem, False, "form")
                step.read = step.observation.text
                refused = step.observation.failure == "repeated"
                yield step.observation
            run.outcome = "failed"
        except LiuliError:
            run.outcome = "failed"
            raise

    def _observe(self, call: Call, made: Counter[str]) -> Observation:
        """Makes the call, unless it was made too often or is not approved. After a call too many, the next step must answer: a
        small model would repeat it until the last step."""
        key = json.dumps([call.tool, call.arguments], sort_keys=True, ensure_ascii=False)
        made[key] += 1
        if made[key] > SAME_CALLS:
            text = f"The call was not made again, because it was made {SAME_CALLS} times already. Give the final answer."
            return Observation(text, False, "repeated")
        if self._approve is not None and not self._approve(call):
            return Observation("The user did not allow this call.", False, "not allowed")
        found = self.tools.call(call.tool, call.arguments)
        if made[key] > 1:
            found = replace(found, text=f"{found.text}\n(You have made this call before, with the same arguments.)")
        return found
