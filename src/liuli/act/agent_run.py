"""The record of what an agent did: each step with what the model read, thought, called and saw.

    run.answer                  # the final answer
    run.steps[0].call           # Call(tool="calculator", arguments={"expression": "12*3"})
    run.to_json()

Ids, model hash, seed and the observations determine the run, so it can be replayed.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from liuli.act.observation import Observation
from liuli.fields import Record
from liuli.generate.record import StepRecord

Outcome = Literal["answered", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Call(Record):
    """A call of a tool. `arguments`: by parameter; text if a model wrote what is not JSON, which only a parser lets pass."""

    tool: str
    arguments: dict[str, Any] | str


@dataclass(frozen=True, slots=True)
class ActionChance(Record):
    """How probable an action was when it was chosen.

    Attributes:
        actions: the name of a tool, or None for the final answer; several, if the model chose another before they differ.
        probability: the model's own, among what the grammar allows here.
    """

    actions: tuple[str | None, ...]
    probability: float


@dataclass(slots=True)
class AgentStep(Record):
    """One step: a thought, then a call and its observation, or the final answer.

    Attributes:
        prompt_ids: what the model read; empty if an endpoint read it, which does not say.
        text: what the model wrote. thought: "" if there is none.
        call: None if the step answers, or could not be read.
        observation: what came of the call, or of a step that could not be read. read: the part that the model reads.
        answer: None if the step calls a tool.
        chances: of the actions that were possible, the most probable first; empty if there was only one, or no grammar.
        removed: how much probability the grammar removed, as the mean over the tokens that it did not force; None without one.
        seconds: that the model took. tokens: a record of each token; empty for an endpoint.
    """

    prompt_ids: list[int]
    text: str
    thought: str
    call: Call | None
    answer: str | None
    observation: Observation | None = None
    read: str = ""
    chances: list[ActionChance] = field(default_factory=list)
    removed: float | None = None
    seconds: float = 0.0
    tokens: list[StepRecord] = field(default_factory=list)


@dataclass(slots=True)
class AgentRun(Record):
    """A question, and all steps to its answer.

    Attributes:
        model: path and hash, or the endpoint. form: how the steps are written: "ReAct", "ReAct in one text", or "tool calls of
            the chat template". grammar: whether it is forced.
        tools: as OpenAI's API describes them. seed: of the first step; each later step uses the next number.
        sampling: the sampler's settings. max_steps: the last of them must answer.
        outcome: None while the run grows; "stopped" by the user.
    """

    question: str
    model: dict[str, Any]
    form: str
    grammar: bool
    tools: list[dict[str, Any]]
    max_steps: int
    seed: int | None
    sampling: dict[str, Any]
    steps: list[AgentStep] = field(default_factory=list)
    outcome: Outcome | None = None

    @property
    def answer(self) -> str | None:
        """The final answer, or None."""
        return self.steps[-1].answer if self.steps else None
