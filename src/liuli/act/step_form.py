"""How the steps of an agent are written: what the model reads, which grammar its next step has, what the step says.

Three forms: ReAct in the turns of a chat (`ReActTurns`); the same in one text, for a model without a chat template
(`ReActText`); and the tool calls of a model's own chat template (`TemplateCalls`).

Source of ReAct: Yao et al. 2022, https://arxiv.org/abs/2210.03629; of its form with Action Input: LangChain's MRKL agent.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from liuli.act.agent_run import AgentStep, Call
from liuli.act.arguments import parameters_in_words
from liuli.act.tools import Tools
from liuli.tokens import Tokenizer
from liuli.tokens.chat.call_form import CallForm
from liuli.tokens.chat.chat import Chat
from liuli.tokens.chat.marks import Messages

THOUGHT_LENGTH = 240  # characters
ANYTHING = r"/[^\s](.|\n)*/"  # an answer, which the tokens of a step limit
SPECIAL = re.compile(r"<[^<>\s]+>")  # as a grammar names a special token
QUESTION, THOUGHT, ACTION, INPUT, OBSERVATION, FINAL = (
    "Question: ", "Thought: ", "Action: ", "Action Input: ", "Observation: ", "Final Answer: ",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What a step says: a thought, and a call or an answer. `begin`: the byte at which the text of the action begins."""

    thought: str
    begin: int
    call: Call | None = None
    answer: str | None = None


class StepForm(Protocol):
    """A form of steps. `name`: for people."""

    name: str

    def prompt(self, question: str, steps: Sequence[AgentStep]) -> list[int]:
        """The ids that the model reads before its next step."""
        ...

    def grammar(self, may_act: bool) -> str:
        """The Lark grammar of the next step. `may_act`: whether it may call a tool, or must answer."""
        ...

    def actions(self, may_act: bool) -> dict[str | None, str]:
        """The text with which each action begins, after the thought. The key is the tool's name; None: the final answer, whose
        text is "" if it can be anything else."""
        ...

    def read(self, captures: Mapping[str, str]) -> Reading:
        """What a step says. `captures`: the named parts of the grammar."""
        ...


class ReActTurns:
    """ReAct as a conversation: each step is a reply, and each observation is a message of the user. So the control tokens of
    the chat template separate them, which no text can contain: an observation that pretends to be a question, an answer or a
    role stays an observation.

    Args:
        instructed: whether the first message explains the tools and the form. A model that was trained on such steps needs only
            the names of the tools.
    """

    name = "ReAct"

    def __init__(self, chat: Chat, tools: Tools, instructed: bool = True):
        self._chat, self._tools, self._instructed = chat, tools, instructed

    def messages(self, question: str, steps: Sequence[AgentStep]) -> Messages:
        """The conversation so far."""
        return react_messages(self._tools, question, steps, self._instructed)

    def prompt(self, question: str, steps: Sequence[AgentStep]) -> list[int]:
        return self._chat.prompt(self.messages(question, steps))

    def grammar(self, may_act: bool) -> str:
        return react_grammar(self._tools, may_act)

    def actions(self, may_act: bool) -> dict[str | None, str]:
        return react_actions(self._tools, may_act)

    def read(self, captures: Mapping[str, str]) -> Reading:
        return react_reading(self._tools, captures)


class ReActText:
    """ReAct as one text, for a model without a chat template. An observation is a string of JSON on one line, so that it cannot
    contain the beginning of another line."""

    name = "ReAct in one text"

    def __init__(self, tokenizer: Tokenizer, tools: Tools, instructed: bool = True):
        self._tokenizer, self._tools, self._instructed = tokenizer, tools, instructed

    def prompt(self, question: str, steps: Sequence[AgentStep]) -> list[int]:
        text = f"{introduction(self._tools, self._instructed)}{QUESTION}{question}\n"
        for step in steps:
            text += f"{step.text}\n{OBSERVATION}{json.dumps(step.read, ensure_ascii=False)}\n"
        return [*self._tokenizer.begin, *self._tokenizer.encode(text)]

    def grammar(self, may_act: bool) -> str:
        return react_grammar(self._tools, may_act)

    def actions(self, may_act: bool) -> dict[str | None, str]:
        return react_actions(self._tools, may_act)

    def read(self, captures: Mapping[str, str]) -> Reading:
        return react_reading(self._tools, captures)


class TemplateCalls:
    """The tool calls of a model's own chat template, such as `<tool_call>`. A reply is a call, perhaps with a text before it,
    which is the thought; or it is the final answer."""

    name = "tool calls of the chat template"

    def __init__(self, chat: Chat, form: CallForm, tools: Tools):
        self._chat, self._form, self._tools = chat, form, tools

    def messages(self, question: str, steps: Sequence[AgentStep]) -> Messages:
        """The conversation so far, as messages."""
        found: list[dict[str, Any]] = [{"role": "user", "content": question}]
        for step in steps:
            assert step.call is not None
            function = {"name": step.call.tool, "arguments": step.call.arguments}
            call = {"type": "function", "function": function}
            found.append({"role": "assistant", "content": step.thought, "tool_calls": [call]})
            found.append({"role": "tool", "name": step.call.tool, "content": step.read})
        return found

    def prompt(self, question: str, steps: Sequence[AgentStep]) -> list[int]:
        return self._chat.prompt(self.messages(question, steps), self._tools.definitions())

    def grammar(self, may_act: bool) -> str:
        sign = self._form.first.split("\n")[0]  # a call begins with it, so no text may contain it
        body = f"body[capture]: BODY\nBODY: {ANYTHING} & ~/(.|\\n)*{regex(sign)}(.|\\n)*/"
        if not may_act:
            return f"start: body\n{body}"
        thought = f"thought[capture]: /[^\\s{regex(sign[0])}][^{regex(sign[0])}]{{0,{THOUGHT_LENGTH}}}/"
        first, later, between, after = (
            terminals(text, self._chat.tokenizer)
            for text in (self._form.first, self._form.later, self._form.between, self._form.after)
        )
        start = f"start: body | {first} call | thought {later} call"
        return "\n".join([start, body, thought, *calls(self._tools, lambda name: f"{literal(name)} {between}", after)])

    def actions(self, may_act: bool) -> dict[str | None, str]:
        tools = self._tools if may_act else ()
        calling = {tool.name: self._form.first.lstrip() + tool.name + self._form.between for tool in tools}
        return {**calling, None: ""}

    def read(self, captures: Mapping[str, str]) -> Reading:
        thought, call = captures.get("thought", ""), call_in(self._tools, captures)
        before = self._form.later if thought else self._form.first
        begin = len(thought.encode()) + len(before) - len(before.lstrip())
        return Reading(thought, begin, call) if call else Reading("", 0, answer=captures.get("body", ""))


def introduction(tools: Tools, instructed: bool) -> str:
    """What a model reads before the question.

    Args:
        instructed: whether tools and form are explained. Otherwise the tools are only named, which is enough for a model that
            was trained on such steps.
    """
    if not instructed:
        return f"Tools: {', '.join(tools.names)}\n" if len(tools) else ""
    if not len(tools):
        return f"Answer the question. Write:\n\n{THOUGHT}what you think, in one sentence\n{FINAL}the answer\n\n"
    listed = "\n".join(f"{tool.name}: {tool.description} Arguments: {parameters_in_words(tool.parameters)}." for tool in tools)
    return (
        f"Answer the question at the end. You can use these tools:\n\n{listed}\n\nWrite each step in this form:\n\n"
        f"{THOUGHT}what to do next, in one sentence\n{ACTION}the name of one tool\n{INPUT}its arguments, a JSON object\n\n"
        f"Then you get the tool's result as an observation. When you know the answer, write:\n\n"
        f"{THOUGHT}what you know now, in one sentence\n{FINAL}the answer to the question\n\n"
    )


def react_messages(tools: Tools, question: str, steps: Sequence[AgentStep], instructed: bool = True) -> Messages:
    """A conversation of ReAct: the question, then each step and its observation.

    Args:
        instructed: whether the first message explains the tools and the form.
    """
    found = [{"role": "user", "content": f"{introduction(tools, instructed)}{QUESTION}{question}"}]
    for step in steps:
        found += [{"role": "assistant", "content": step.text}, {"role": "user", "content": OBSERVATION + step.read}]
    return found


def react_grammar(tools: Tools, may_act: bool) -> str:
    """The Lark grammar of a step of ReAct: a thought on one line, then a call or the final answer."""
    rules = [f"thought[capture]: /[^\\s][^\\n]{{0,{THOUGHT_LENGTH}}}/", f"answer[capture]: {ANYTHING}"]
    final = f"final: {literal(FINAL)} answer"
    start = f"start: {literal(THOUGHT)} thought {literal(chr(10))} "
    if not may_act:
        return "\n".join([start + "final", final, *rules])
    begin = f"action: {literal(ACTION)} call"
    return "\n".join(
        [start + "(action | final)", begin, final, *rules, *calls(tools, lambda name: literal(f"{name}\n{INPUT}"), "")]
    )


def react_actions(tools: Tools, may_act: bool) -> dict[str | None, str]:
    """The text with which each action of ReAct begins, after the thought's line."""
    calling = {tool.name: f"{ACTION}{tool.name}\n" for tool in tools} if may_act else {}
    return {**calling, None: FINAL}


def react_reading(tools: Tools, captures: Mapping[str, str]) -> Reading:
    """What a step of ReAct says."""
    thought, call = captures.get("thought", ""), call_in(tools, captures)
    begin = len(f"{THOUGHT}{thought}\n".encode())
    return Reading(thought, begin, call) if call else Reading(thought, begin, answer=captures.get("answer", ""))


def calls(tools: Tools, before: Callable[[str], str], after: str) -> list[str]:
    """Rules for `call`: one alternative per tool, whose arguments follow its schema.

    Args:
        before: the terminals from the beginning of the tool's name to its arguments. after: those behind them.
    """
    numbered = list(enumerate(tools))
    rules = [f"call: {' | '.join(f'call_{i}' for i, _ in numbered)}"]
    for i, tool in numbered:
        rules.append(f"call_{i}: {before(tool.name)} arguments_{i} {after}")
        rules.append(f"arguments_{i}[capture]: %json {json.dumps(tool.parameters, ensure_ascii=False)}")
    return rules


def call_in(tools: Tools, captures: Mapping[str, str]) -> Call | None:
    """The call among the captures of `calls`; None if there is none."""
    for i, tool in enumerate(tools):
        if f"arguments_{i}" in captures:
            return Call(tool.name, json.loads(captures[f"arguments_{i}"]))
    return None


def regex(text: str) -> str:
    """A text inside a regular expression of a Lark grammar."""
    return re.escape(text).replace("/", "\\/")


def literal(text: str) -> str:
    """A string of a Lark grammar."""
    return json.dumps(text, ensure_ascii=False)


def terminals(text: str, tokenizer: Tokenizer) -> str:
    """A text in which the names of special tokens, such as `<tool_call>`, stand for the tokens."""
    names = [name for name in sorted(tokenizer.specials, key=len, reverse=True) if SPECIAL.fullmatch(name)]
    parts = re.split(f"({'|'.join(map(re.escape, names))})", text) if names else [text]
    return " ".join(part if part in names else literal(part) for part in parts if part)
