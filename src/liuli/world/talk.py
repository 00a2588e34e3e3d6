"""What a language brings to conversations about the world: questions, answers, small talk."""

from collections.abc import Mapping
from dataclasses import dataclass

from liuli.world.language import Pronoun


@dataclass(frozen=True, slots=True)
class Talk:
    """How people ask about the world, and what an assistant says.

    An answer is a sentence of the world's text about somebody by name. Where nobody knows the value, `unknown` stands in its
    place and one of `nobody` behind. So whether it is known is decided where the text would say it.

    Attributes:
        questions: by kind of entity and topic (a fact or a habit), several wordings of each.
        again: how a later question begins; `{}` is the question, `{lower}` the same with a small first letter.
        likewise: the last question, about another entity; `{}` is its name.
        checks: whether a claim is true; `{}` is the claim. closed: the same by kind and topic, in a language that cannot ask
            with a claim alone; `{}` is the value.
        unknown: see above. nobody: how an answer ends that says so.
        answers: by kind and topic, in which of the text's wordings an answer may be (their places; by default the first two).
        small: by kind of small talk, what people say and what may be answered.
        pronouns: by "he", "she", "it" or kind of entity. possessive: follows a name.
    """

    questions: Mapping[str, Mapping[str, tuple[str, ...]]]
    again: tuple[str, ...]
    likewise: tuple[str, ...]
    checks: tuple[str, ...]
    closed: Mapping[str, Mapping[str, str]]
    unknown: Mapping[str, Mapping[str, str]]
    answers: Mapping[str, Mapping[str, tuple[int, ...]]]
    nobody: tuple[str, ...]
    small: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    pronouns: Mapping[str, Pronoun]
    possessive: str

    def wordings(self, kind: str, topic: str, phrases: tuple[str, ...]) -> list[str]:
        """Those of the text's that an answer may have."""
        return [phrases[i] for i in self.answers.get(kind, {}).get(topic, (0, 1))]

    def ask_of(self, name: str, template: str, item: str) -> str:
        """A question about somebody or something by name."""
        return _filled(template, name, name, name + self.possessive, item)

    def ask_again(self, pronoun: str, template: str, item: str) -> str:
        """A question about whom one speaks of already."""
        words = self.pronouns[pronoun]
        return _filled(template, words.who, words.he, words.whose, item)


def _filled(template: str, who: str, whom: str, whose: str, item: str) -> str:
    """It begins with a capital letter where the language has some."""
    text = template.replace("{whose}", whose).replace("{whom}", whom).replace("{who}", who).replace("{item}", item)
    return text[:1].upper() + text[1:]
