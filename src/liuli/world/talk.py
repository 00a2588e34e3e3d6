"""What a language brings to conversations about the world: questions, answers, small talk."""

from collections.abc import Mapping
from dataclasses import dataclass

from liuli.world.language import Pronoun


@dataclass(frozen=True, slots=True)
class Talk:
    """How people ask about the world, and what an assistant says.

    An answer is a sentence of the world's text about somebody by name. Where nobody knows the value, other words stand in its
    place and one of `nobody` behind. So whether it is known is decided where the text would say it.

    Attributes:
        questions: by kind of entity and topic (a fact or a habit), several wordings of each.
        again: how a later question begins; `{}` is the question, `{lower}` the same with a small first letter.
        likewise: the last question, about another entity; `{}` is its name.
        checks: whether a claim is true; `{}` is the claim. closed: the same by kind and topic, in a language that cannot ask
            with a claim alone; `{}` is the value.
        answers: by kind and fact, in which of the text's wordings an answer may be (their places), and what stands in each for
            a value that nobody knows.
        habits: by kind and habit, in which of the text's wordings an answer may be.
        nobody: how an answer ends that says that nobody knows.
        about: by kind of entity, how people ask for anything about somebody or something.
        unheard: answers about a name that is not in the world.
        small: by kind of small talk, what people say (see `ways_to_type`) and what may be answered. `{n}` is a number.
        pronouns: by "he", "she", "it" or kind of entity. possessive: follows a name.
    """

    questions: Mapping[str, Mapping[str, tuple[str, ...]]]
    again: tuple[str, ...]
    likewise: tuple[str, ...]
    checks: tuple[str, ...]
    closed: Mapping[str, Mapping[str, str]]
    answers: Mapping[str, Mapping[str, Mapping[int, str]]]
    habits: Mapping[str, Mapping[str, tuple[int, ...]]]
    nobody: tuple[str, ...]
    about: Mapping[str, tuple[str, ...]]
    unheard: tuple[str, ...]
    small: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    pronouns: Mapping[str, Pronoun]
    possessive: str

    def wordings(self, kind: str, topic: str, phrases: tuple[str, ...]) -> list[str]:
        """Those of the text's that an answer may have; `{}` is the value."""
        places = self.habits.get(kind, {}).get(topic) or self.answers[kind][topic]
        return [phrases[place] for place in places]

    def refusals(self, kind: str, fact: str, phrases: tuple[str, ...]) -> list[str]:
        """The same where nobody knows the value, without the end that says so."""
        return [phrases[place].replace("{}", said) for place, said in self.answers[kind][fact].items()]

    @property
    def not_from_here(self) -> tuple[str, ...]:
        """Answers to what is not in the world."""
        return (*self.unheard, *self.small["beyond"][1], *self.small["remark"][1])

    def ask_of(self, name: str, template: str, item: str) -> str:
        """A question about somebody or something by name."""
        return _filled(template, name, name, name + self.possessive, item)

    def ask_again(self, pronoun: str, template: str, item: str) -> str:
        """A question about whom one speaks of already."""
        words = self.pronouns[pronoun]
        return _filled(template, words.who, words.he, words.whose, item)


def ways_to_type(text: str) -> list[str]:
    """As it is written; without the punctuation mark at its end; and both in small letters."""
    bare = text.rstrip("。！？.!?")
    return list(dict.fromkeys((text, bare, text.lower(), bare.lower())))


def _filled(template: str, who: str, whom: str, whose: str, item: str) -> str:
    """It begins with a capital letter where the language has some."""
    text = template.replace("{whose}", whose).replace("{whom}", whom).replace("{who}", who).replace("{item}", item)
    return text[:1].upper() + text[1:]
