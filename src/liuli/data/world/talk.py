"""What a language brings to conversations about the world: questions, answers, small talk."""

from collections.abc import Mapping
from dataclasses import dataclass

from liuli.data.world.language import Pronoun


@dataclass(frozen=True, slots=True)
class Talk:
    """`questions`: by kind of entity and topic, several wordings of each. `again`: how a question goes on with a conversation.
    `right`: an answer, `{}` the value and `{said}` a sentence that says it; `refused`: that it was never told, each
    beginning with `refusal`. `small`: what is said about nothing in particular, and what may be answered.
    `possessive` follows a name.
    """

    questions: Mapping[str, Mapping[str, tuple[str, ...]]]
    again: tuple[str, ...]
    right: tuple[str, ...]
    refused: tuple[str, ...]
    refusal: str
    small: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    pronouns: Mapping[str, Pronoun]
    possessive: str

    def ask(self, template: str, who: str, whose: str, item: str) -> str:
        """A question with its subject; it begins with a capital letter where the language has some."""
        text = template.replace("{whose}", whose).replace("{who}", who).replace("{item}", item)
        return text[:1].upper() + text[1:]
