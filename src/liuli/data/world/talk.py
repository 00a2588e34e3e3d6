"""What a language brings to conversations about the world: questions, answers, small talk."""

from collections.abc import Mapping
from dataclasses import dataclass

from liuli.data.world.language import Pronoun


@dataclass(frozen=True, slots=True)
class Talk:
    """`questions`: by kind of entity and topic, several wordings of each. `again`: how a question goes on with a conversation.
    `right`: an answer, `{}` the value and `{said}` a sentence that says it; `refused`: that it was never told, each
    beginning with `refusal`. `noted`: how a text has a question with its answer. `small`: what is said about nothing in
    particular, and what may be answered. `possessive` follows a name.
    """

    questions: Mapping[str, Mapping[str, tuple[str, ...]]]
    again: tuple[str, ...]
    right: tuple[str, ...]
    refused: tuple[str, ...]
    refusal: str
    noted: str
    small: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    pronouns: Mapping[str, Pronoun]
    possessive: str

    def ask_of(self, name: str, template: str, item: str) -> str:
        """A question about somebody or something by name."""
        return _filled(template, name, name, name + self.possessive, item)

    def ask_again(self, pronoun: str, template: str, item: str) -> str:
        """A question about whom one speaks of already."""
        words = self.pronouns[pronoun]
        return _filled(template, words.who, words.he, words.whose, item)

    def note(self, question: str, answer: str) -> str:
        """A question with its answer, as a text has them."""
        return self.noted.format(question, answer)


def _filled(template: str, who: str, whom: str, whose: str, item: str) -> str:
    """It begins with a capital letter where the language has some."""
    text = template.replace("{whose}", whose).replace("{whom}", whom).replace("{who}", who).replace("{item}", item)
    return text[:1].upper() + text[1:]
