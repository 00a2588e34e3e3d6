"""Asks a model how two tables are joined. The answer is JSON under a schema, so it is always a plan for these tables.

The model sees names of columns and cells, which are foreign text. Whatever they say, the answer is one of the plans that the
schema allows, and nothing else happens.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

from liuli.act.tables.plan import HOWS, How, JoinPlan, plan_schema, shared_columns, without_repetition
from liuli.act.tables.prompt import EXAMPLES, join_messages
from liuli.act.tables.table import Table
from liuli.errors import LiuliError
from liuli.fields import Record
from liuli.generate.constraints.grammar import Grammar
from liuli.generate.model import Model
from liuli.generate.reading import PromptReader
from liuli.generate.record import StepRecord
from liuli.tokens import Tokenizer

CANDIDATES = 500  # of each step; what the schema allows is rarely among the less likely ones
HOW_VALUE = re.compile(r'"how"\s*:\s*"?\s*"?([a-z]*)$')


@dataclass(frozen=True, slots=True)
class PlanChoice(Record):
    """A place in the answer where the schema left the model a choice.

    Attributes:
        before: the answer up to there.
        options: texts that could follow, with the model's probabilities among all that the schema allowed there; the most
            likely first. The first one was chosen.
        removed: the probability of everything that the schema did not allow.
    """

    before: str
    options: list[tuple[str, float]]
    removed: float


@dataclass(frozen=True, slots=True)
class AskedPlan(Record):
    """A model's plan, and how it came about.

    Attributes:
        text: the answer.
        how: the probability of each way at the place where it was chosen, among the four.
        choices: all places where the model had a choice.
        examples: how many examples were in the prompt: fewer if the model's context has no room for them.
    """

    plan: JoinPlan
    text: str
    how: dict[How, float]
    choices: list[PlanChoice]
    examples: int


def ask_plan(model: Model, question: str, left: Table, right: Table) -> AskedPlan:
    """Asks for a plan, greedily.

    Raises:
        LiuliError: the tables share no column; the model has no tokenizer; the question does not fit the model's context.
    """
    shared = shared_columns(left, right)
    reader = PromptReader(model, {"temperature": 0.0})
    longest = json.dumps({"on": shared, "how": "outer"}, ensure_ascii=False, indent=4)
    room = 2 * len(reader.tokenizer.encode(longest)) + 16  # a token may be shorter than the usual ones
    ids, examples = _prompt(reader, question, left, right, shared, model.config.context - room)
    ends = () if reader.chat is None else reader.chat.stops
    completion, steps = model.stream(
        ids,
        max_tokens=room,
        seed=0,
        candidates=CANDIDATES,
        stop_ids=ends,
        grammar=Grammar.of_schema(plan_schema(shared)),
        **reader.given,
    )
    records = list(steps)
    plan = JoinPlan.of(without_repetition(json.loads(completion.text)), left, right)
    choices = plan_choices(records)
    return AskedPlan(plan, completion.text, how_probabilities(choices), choices, examples)


def _prompt(
    reader: PromptReader, question: str, left: Table, right: Table, shared: list[str], room: int
) -> tuple[list[int], int]:
    """The ids of the prompt, with as many examples as fit, and how many these are."""
    ids: list[int] = []
    for examples in range(len(EXAMPLES), -1, -len(HOWS)):  # one example of each way at a time
        messages = join_messages(question, left, right, shared, examples)
        ids = reader.chat.prompt(messages) if reader.chat else _plain_text(reader.tokenizer, messages)
        if len(ids) <= room:
            return ids, examples
    raise LiuliError(
        f"the question and the tables have {len(ids):,} tokens, and the context of {reader.model.path} has room for "
        f"{max(0, room):,}: "
        f"ask a shorter question, leave out columns that are not needed, or use another model"
    )


def _plain_text(tokenizer: Tokenizer, messages: Sequence[dict[str, str]]) -> list[int]:
    """The messages for a model that only continues text."""
    text = "\n\n".join(message["content"] for message in messages) + "\n\n"
    return [*tokenizer.begin, *tokenizer.encode(text)]


def plan_choices(records: Iterable[StepRecord]) -> list[PlanChoice]:
    """The places in an answer where more than one text was allowed, from the records of its steps."""
    found: list[PlanChoice] = []
    before = ""
    for record in records:
        if record.token is None:
            continue
        if record.scores and not record.forced:
            allowed = [each for each in record.scores.candidates if each.cut != "grammar"]
            total = sum(exp(each.logprob) for each in allowed)
            options = [(each.token.text, exp(each.logprob) / total) for each in allowed] if total else []
            if len(options) > 1:
                found.append(PlanChoice(before, options, record.removed or 0.0))
        before += record.token.text
    return found


def how_probabilities(choices: Iterable[PlanChoice]) -> dict[How, float]:
    """The probability of each way, from the places where the model chose one. It does not matter how the tokenizer splits the
    words: a token counts for the way that its text begins, alone or after what is already written."""
    found: dict[How, float] = dict.fromkeys(HOWS, 0.0)
    reached = 1.0  # the probability of what is already written of the value
    for choice in choices:
        if not re.search(r'"how"\s*:', choice.before):
            continue
        ways: list[How | None] = [_way(choice.before + text) for text, _ in choice.options]
        for way, (_, probability) in zip(ways, choice.options, strict=True):
            if way:
                found[way] += reached * probability
        if ways[0]:  # the first option was chosen
            break
        reached *= choice.options[0][1]
    total = sum(found.values())
    return {how: found[how] / total for how in sorted(HOWS, key=lambda how: -found[how])} if total else {}


def _way(text: str) -> How | None:
    """The only way that an answer can still name, if it ends in the value of "how"."""
    value = HOW_VALUE.search(text.rstrip('"} \n'))
    possible: list[How] = [how for how in HOWS if value and value[1] and how.startswith(value[1])]
    return possible[0] if len(possible) == 1 else None
