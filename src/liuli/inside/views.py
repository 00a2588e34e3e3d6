"""All views by name: what each shows, what it needs, and the function that makes it from one subject.

    view = make_view("lens", Subject(model, "The capital of France is"))

The command line, the page with all views, and the studio make views only here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from liuli.errors import LiuliError
from liuli.generate.model import Model
from liuli.generate.reading import Prompt, PromptReader
from liuli.inside.ablation import ablation
from liuli.inside.attention import attention, check_layer
from liuli.inside.branches import branches
from liuli.inside.candidates import candidates
from liuli.inside.compare import CompareSettings, CompareTrace, compare
from liuli.inside.context import ContextView, context
from liuli.inside.gradient import gradient
from liuli.inside.influence import influence
from liuli.inside.learning import learning
from liuli.inside.lens import lens
from liuli.inside.patching import patching
from liuli.inside.path import path
from liuli.inside.tokens import tokens
from liuli.inside.vectors import vectors
from liuli.inside.view import View
from liuli.inside.view_list import VIEWS, unused
from liuli.watch import Watch, unwatched
from liuli.world.world import World

AnyView = View | CompareTrace
ANSWER = 64  # tokens, in the view compare


@dataclass(frozen=True, slots=True)
class Subject:
    """What a view is made of. A view ignores nothing silently: `make_view` refuses what it cannot use.

    Attributes:
        text: that the model reads. "" for the view of learning, whose prompts are in the run.
        texts, models: further ones, to compare with.
        word: of the context view, the word in all texts; elsewhere the next word that is followed or explained.
        layer: whose attention is shown.
        seed: of the random numbers. sampling: fields of `Sampling`.
        world: whose truth is shown next to what was learned.
    """

    model: Model
    text: str
    texts: tuple[str, ...] = ()
    models: tuple[Model, ...] = ()
    word: str | None = None
    layer: int | None = None
    seed: int = 0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    world: World | None = None


def _compare(subject: Subject, watch: Watch) -> CompareTrace:
    prompts = [Prompt.of_text(text, f"prompt {n}") for n, text in enumerate((subject.text, *subject.texts), 1)]
    models = subject.model, *subject.models
    settings = CompareSettings(subject.seed, _room(models, prompts, subject.sampling), subject.sampling)
    return compare(models, prompts, settings, watch)


def _room(models: Sequence[Model], prompts: Sequence[Prompt], sampling: Mapping[str, Any]) -> int:
    """How many tokens an answer can have: as many as fit the context of every model after every prompt, at most `ANSWER`."""
    readers = [PromptReader(model, sampling) for model in models]
    left = (reader.model.config.context - len(reader.ids(prompt)) for reader in readers for prompt in prompts)
    return max(1, min(ANSWER, *left))


def _patching(subject: Subject, watch: Watch) -> View:
    if len(subject.texts) != 1:
        raise LiuliError("patching needs one other text with the same number of tokens: give it with --with-text TEXT")
    return patching(subject.model, subject.text, subject.texts[0], target=subject.word, watch=watch)


MAKERS: dict[str, Callable[[Subject, Watch], AnyView]] = {
    "path": lambda s, watch: path(s.model, s.text),
    "tokens": lambda s, watch: tokens(s.model, s.text, s.models),
    "vectors": lambda s, watch: vectors(s.model, s.text, watch),
    "context": lambda s, watch: context(s.model, s.text, s.texts, s.word, watch),
    "attention": lambda s, watch: attention(s.model, s.text, s.layer, watch),
    "lens": lambda s, watch: lens(s.model, s.text, () if s.word is None else (s.word,), watch=watch),
    "candidates": lambda s, watch: candidates(s.model, s.text, s.seed, s.sampling),
    "branches": lambda s, watch: branches(s.model, s.text, s.seed, s.sampling, watch=watch),
    "influence": lambda s, watch: influence(s.model, s.text, s.word, watch=watch),
    "ablation": lambda s, watch: ablation(s.model, s.text, s.word, watch=watch),
    "patching": _patching,
    "gradient": lambda s, watch: gradient(s.model, s.text),
    "learning": lambda s, watch: learning(s.model, s.world),
    "compare": _compare,
}
NOT_GIVEN = {"texts": (), "models": (), "word": None, "layer": None, "seed": 0, "sampling": {}, "world": None}


def make_view(name: str, subject: Subject, watch: Watch = unwatched) -> AnyView:
    """Returns a view.

    Raises:
        LiuliError: there is no such view; the subject has something that the view cannot use; the view cannot be made, and why.
    """
    if name not in VIEWS:
        raise LiuliError(f"there is no view {name!r}; views: {', '.join(VIEWS)}")
    for setting in NOT_GIVEN:
        if setting not in VIEWS[name].uses and getattr(subject, setting) != NOT_GIVEN[setting]:
            raise LiuliError(unused(setting, name))
    return MAKERS[name](subject, watch)


def make_all(subject: Subject, watch: Watch = unwatched) -> tuple[dict[str, AnyView], dict[str, str]]:
    """Returns every view that can be made of the subject, and for each of the others why not. Each view gets everything that it
    uses. The context view gets the word only if all of several texts contain it; otherwise it is only the next word of other
    views.

    Raises:
        LiuliError: a setting is wrong, whatever the view: there is no such layer; a sampling setting or the seed is out of
            range.
    """
    if subject.layer is not None:
        check_layer(subject.model.decoder, subject.layer)
    CompareSettings(subject.seed, ANSWER, subject.sampling)  # checks the seed and the sampling settings
    made: dict[str, AnyView] = {}
    refused: dict[str, str] = {}
    for number, (name, make) in enumerate(MAKERS.items()):
        watch(f"making the view {name}", number, len(MAKERS))
        word = None if name == "context" and not _has_in_all_texts(subject) else subject.word
        try:
            made[name] = make(replace(subject, word=word), watch)
        except LiuliError as error:
            refused[name] = str(error)
    return made, refused


def _has_in_all_texts(subject: Subject) -> bool:
    """Whether the word is in every text."""
    return subject.word is not None and all(subject.word in text for text in (subject.text, *subject.texts))


def views_with_word(made: Mapping[str, AnyView], word: str) -> list[str]:
    """The names of those views that used a word."""
    return [
        name
        for name, view in made.items()
        if "word" in VIEWS[name].uses and (not isinstance(view, ContextView) or view.word == word)
    ]
