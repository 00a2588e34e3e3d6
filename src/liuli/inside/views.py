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
from liuli.inside.attention import attention
from liuli.inside.branches import branches
from liuli.inside.candidates import candidates
from liuli.inside.compare import CompareSettings, CompareTrace, compare
from liuli.inside.context import context
from liuli.inside.gradient import gradient
from liuli.inside.influence import influence
from liuli.inside.learning import learning
from liuli.inside.lens import lens
from liuli.inside.patching import patching
from liuli.inside.path import path
from liuli.inside.tokens import tokens
from liuli.inside.vectors import vectors
from liuli.inside.view import View
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


@dataclass(frozen=True, slots=True)
class ViewKind:
    """A view that can be made.

    Attributes:
        shows: in one sentence, for people. shows_zh: the same in Chinese.
        uses: which fields of a subject it uses besides model and text.
        make: makes it.
    """

    shows: str
    shows_zh: str
    uses: frozenset[str]
    make: Callable[[Subject, Watch], AnyView]


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
        raise LiuliError("patching needs one other text with the same number of tokens: give it with --with TEXT")
    return patching(subject.model, subject.text, subject.texts[0], target=subject.word, watch=watch)


VIEWS: dict[str, ViewKind] = {
    "path": ViewKind(
        "The way of the text through the model: the size and the cost of every stage.",
        "文本在模型里走过的路：每一步的大小和计算量。",
        frozenset(),
        lambda s, watch: path(s.model, s.text),
    ),
    "tokens": ViewKind(
        "How the text becomes tokens, merge by merge.",
        "文本怎样一步步合并成 token。",
        frozenset({"models"}),
        lambda s, watch: tokens(s.model, s.text, s.models),
    ),
    "vectors": ViewKind(
        "The vectors of the tokens: their numbers, their nearest neighbours, and a map.",
        "token 的向量：数值、最近的邻居和一张图。",
        frozenset(),
        lambda s, watch: vectors(s.model, s.text, watch),
    ),
    "context": ViewKind(
        "One word in several sentences: how its vector differs, layer by layer.",
        "同一个词在几个句子里：它的向量逐层有多大差别。",
        frozenset({"texts", "word"}),
        lambda s, watch: context(s.model, s.text, s.texts, s.word, watch),
    ),
    "attention": ViewKind(
        "What every attention head reads.",
        "每个注意力头从哪里读取信息。",
        frozenset({"layer"}),
        lambda s, watch: attention(s.model, s.text, s.layer, watch),
    ),
    "lens": ViewKind(
        "What every layer would predict.",
        "每一层会预测什么。",
        frozenset({"word"}),
        lambda s, watch: lens(s.model, s.text, () if s.word is None else (s.word,), watch=watch),
    ),
    "candidates": ViewKind(
        "The next token: its candidates, the rules that remove some of them, and the random number that chooses.",
        "下一个 token：候选、筛掉候选的规则，以及做出选择的随机数。",
        frozenset({"seed", "sampling"}),
        lambda s, watch: candidates(s.model, s.text, s.seed, s.sampling),
    ),
    "branches": ViewKind(
        "How the text would continue if another token had been chosen.",
        "如果选了另一个 token，文本会怎样继续。",
        frozenset({"seed", "sampling"}),
        lambda s, watch: branches(s.model, s.text, s.seed, s.sampling, watch=watch),
    ),
    "influence": ViewKind(
        "Which tokens of the text make the prediction, by three methods and with a test of each.",
        "文本里哪些 token 促成了这个预测：三种方法，每种都经过检验。",
        frozenset({"word"}),
        lambda s, watch: influence(s.model, s.text, s.word, watch=watch),
    ),
    "ablation": ViewKind(
        "What the prediction loses without each head and each layer.",
        "去掉每个头、每一层，预测会失去什么。",
        frozenset({"word"}),
        lambda s, watch: ablation(s.model, s.text, s.word, watch=watch),
    ),
    "patching": ViewKind(
        "Which states carry the difference between two texts.",
        "两个文本的差别由哪些状态携带。",
        frozenset({"texts", "word"}),
        _patching,
    ),
    "gradient": ViewKind(
        "One step of learning on the text: the losses, and the weights that move.",
        "在这段文本上学习一步：每个 token 的损失，以及哪些权重在动。",
        frozenset(),
        lambda s, watch: gradient(s.model, s.text),
    ),
    "learning": ViewKind(
        "What the model predicted while it was trained, next to what the world contains.",
        "模型在训练过程中预测了什么，与真实情况对照。",
        frozenset({"world"}),
        lambda s, watch: learning(s.model, s.world),
    ),
    "compare": ViewKind(
        "The answers of several models, or to several prompts, side by side.",
        "几个模型的回答，或对几个提示的回答，并排比较。",
        frozenset({"texts", "models", "seed", "sampling"}),
        _compare,
    ),
}
NOT_GIVEN = {"texts": (), "models": (), "word": None, "layer": None, "seed": 0, "sampling": {}, "world": None}
OPTIONS = {"texts": "--with TEXT", "models": "--with MODEL", "sampling": "the sampling options", "world": "--with WORLD"}


def make_view(name: str, subject: Subject, watch: Watch = unwatched) -> AnyView:
    """Returns a view.

    Raises:
        LiuliError: there is no such view; the subject has something that the view cannot use; the view cannot be made, and why.
    """
    if name not in VIEWS:
        raise LiuliError(f"there is no view {name!r}; views: {', '.join(VIEWS)}")
    kind = VIEWS[name]
    for setting in NOT_GIVEN:
        if setting not in kind.uses and getattr(subject, setting) != NOT_GIVEN[setting]:
            option = OPTIONS.get(setting, f"--{setting}")
            raise LiuliError(f"the view {name} does not use {option}: leave it out, or choose another view")
    return kind.make(subject, watch)


def make_all(subject: Subject, watch: Watch = unwatched) -> tuple[dict[str, AnyView], dict[str, str]]:
    """Returns every view that can be made of the subject, and for each of the others why not. A word that occurs in the text is
    that of the context view; another one is the next word of the other views."""
    of_context = subject.word is not None and subject.word in subject.text
    made: dict[str, AnyView] = {}
    refused: dict[str, str] = {}
    for number, (name, kind) in enumerate(VIEWS.items()):
        watch(f"making the view {name}", number, len(VIEWS))
        try:
            word = subject.word if (name == "context") == of_context else None
            made[name] = kind.make(replace(subject, word=word), watch)
        except LiuliError as error:
            refused[name] = str(error)
    return made, refused
