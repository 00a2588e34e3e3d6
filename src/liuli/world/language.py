"""What a language brings to the world: its wordings, and how they are cut into pieces.

A template holds `{}` where the value goes and `{item}` for a thing that is sold; `{who}` and `{whose}` for the subject where
a sentence may begin, `{he}` and `{his}` inside one. "{whose} home is in {}" gives "His home is in", or "'s home is in"
where the name has just been written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Code = Literal["zh", "en"]
# Where a sentence takes its subject from: the name that was just written, a pronoun, or the clause before it. "open" is a
# pronoun as the sentence's own subject, so that the next clause can share it ("His home is in … and keeps" could not).
Subject = Literal["name", "pronoun", "open", "shared"]


@dataclass(frozen=True, slots=True)
class Wording:
    """A template, cut: the piece that is chosen, and what is then owed before (`lead`) and after (`tail`) the value."""

    topic: str
    text: str
    lead: str
    tail: str


@dataclass(frozen=True, slots=True)
class Pronoun:
    who: str
    whose: str
    he: str
    his: str


@dataclass(frozen=True, slots=True)
class Language:
    """`stop` ends a sentence and begins the next; `comma` and `join` go on with the same subject, `then` with what it did
    next, `which` with what was just named; `turn` lets the other speaker speak. `space` parts two words,
    `possessive` follows a name.
    `drops_subject`: a sentence may go without its subject where nobody can miss it.

    Clauses that `join` or `comma` may put together speak of one time, and so do those that `then` does: facts in the
    present; what somebody rode and drank, and the weather, in the past.

    `pronouns`: "he", "she", and one for each other kind of entity. `sayings`: by form and place. `phrases` and `questions`:
    by kind of entity and topic.
    """

    code: Code
    stop: str
    comma: str
    join: str
    then: str
    which: str
    turn: str
    space: str
    possessive: str
    drops_subject: bool
    pronouns: Mapping[str, Pronoun]
    sayings: Mapping[str, tuple[str, ...]]
    phrases: Mapping[str, Mapping[str, tuple[str, ...]]]
    questions: Mapping[str, Mapping[str, tuple[str, ...]]]


def cut(template: str, topic: str = "") -> Wording:
    """A space before the value goes with the value, as words do in the text that tokenizers are made for."""
    before, _, after = template.partition("{}")
    text = before.rstrip(" ") if "{}" in template else before
    return Wording(topic, text, before[len(text) :], after)


def fill(template: str, language: Language, subject: Subject, pronoun: str) -> str | None:
    """The template with its subject in place; None where the subject must be the sentence's own and is not."""
    if subject in ("open", "shared") and not template.startswith("{who}"):
        return None
    words = language.pronouns[pronoun]
    who, whose = words.who, words.whose
    if subject == "name":
        who, whose = "", language.possessive
    elif subject == "shared":
        template = template.removeprefix("{who}").lstrip(" ")
    for field, word in (("{whose}", whose), ("{who}", who), ("{his}", words.his), ("{he}", words.he)):
        template = template.replace(field, word)
    return template
