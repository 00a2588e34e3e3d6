"""Compares models on the same prompts with the same seed: what each read, what it answered, and how likely each answer is.

    models = [liuli.load("base"), liuli.load("assistant")]
    trace = compare(models, [Prompt.of_text("小明爱吃什么？", "mine")], CompareSettings(seed=7))

Its JSON is a contract: `docs/compare.schema.json` is the schema, and a test holds it to that. All log-probabilities and
divergences are in nats, of the models' own distributions (temperature 1, nothing cut); each model has read the prompt in its
own form.

An answer is scored without the stop token that ended it: models end in ways of their own. If two models have the same pieces,
one scores the ids of the other; if not, it scores the text through its own tokenizer.

With one model and a few prompts, the prompts are compared instead: each answer is scored after every prompt, as if it were the
answer to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_size, is_whole
from liuli.generate.completion import Completion
from liuli.generate.model import Model
from liuli.generate.reading import Prompt, PromptReader
from liuli.generate.record import Candidate, FinishReason
from liuli.generate.sampling import Sampling
from liuli.inside.scoring import AnswerScore, Scoring
from liuli.inside.self_check import SelfCheck
from liuli.tokens import Token
from liuli.watch import Watch, unwatched

SCHEMA = "compare@1"
CANDIDATES = 5
MOST_PROMPTS = 8  # whose answers are scored after every prompt: a pass for each pair


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """How the answers are generated.

    Args:
        sampling: fields of `Sampling`; those not given are each folder's own.

    Raises:
        LiuliError: a setting is out of range.
    """

    seed: int
    max_tokens: int = 64
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self, "max_tokens", is_size, "a whole number of at least 1")
        check(self, "seed", is_whole, "a whole number, 0 or more")
        Sampling(**self.sampling)


@dataclass(frozen=True, slots=True)
class ModelAnswer(Record):
    """What one model answered to a prompt.

    Attributes:
        read: the tokens that it read. read_text: their text, with special tokens.
        text: without special tokens. ids: with the stop token.
        entropy, candidates: of its distribution before the first token, likeliest first.
        kl: KL(first model ‖ this one) there; None if their ids are not the same.
        scores: this answer under each model.
        after_prompts: with one model and 2 to 8 prompts, this answer after each prompt. Its `kl` is
            KL(first prompt ‖ this one). Otherwise None.
    """

    read: tuple[Token, ...]
    read_text: str
    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    entropy: float
    candidates: tuple[Candidate, ...]
    kl: float | None
    scores: tuple[AnswerScore, ...]
    after_prompts: tuple[AnswerScore, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        found = Record.to_json(self)
        read, text = found.pop("read"), found.pop("read_text")
        return {"input": {"text": text, "ids": [token["id"] for token in read], "tokens": read}} | found


@dataclass(frozen=True, slots=True)
class PromptAnswers(Record):
    """A prompt, and the answer of each model."""

    prompt: Prompt
    answers: tuple[ModelAnswer, ...]

    @property
    def read_alike(self) -> bool:
        """Whether all models read the same ids."""
        return len({tuple(token.id for token in answer.read) for answer in self.answers}) == 1


@dataclass(frozen=True, slots=True)
class CompareTrace:
    """The whole view.

    Attributes:
        models: what `PromptReader.to_json` says of each.
        same: for each model, the first model that has its pieces, ids for ids.
    """

    models: tuple[dict[str, Any], ...]
    same: tuple[int, ...]
    settings: CompareSettings
    asked: tuple[PromptAnswers, ...]
    checks: tuple[SelfCheck, ...]

    @property
    def caveats(self) -> list[str]:
        """Keys: probabilities are the models' own; and, if so, not all models read the same ids, or prompts are compared."""
        alike = all(asked.read_alike for asked in self.asked) and not any(self.same)
        prompts = any(answer.after_prompts is not None for asked in self.asked for answer in asked.answers)
        return ["prob.stage", *([] if alike else ["cmp.same_ids"]), *(["cmp.prompts"] if prompts else [])]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "models": list(self.models),
            "seed": self.settings.seed,
            "max_tokens": self.settings.max_tokens,
            "checks": [each.to_json() for each in self.checks],
            "caveats": self.caveats,
            "body": {"same_pieces": list(self.same), "prompts": [asked.to_json() for asked in self.asked]},
        }

    def _repr_html_(self) -> str:
        """The drawing, in a notebook."""
        from liuli.inside.html import in_notebook

        return in_notebook(self)


def compare(
    models: Sequence[Model], prompts: Sequence[Prompt], settings: CompareSettings, watch: Watch = unwatched
) -> CompareTrace:
    """Generates the answer of every model to every prompt.

    Args:
        watch: is called with the number of tokens that are generated, and the number of all if every answer has
            `max_tokens` tokens.

    Raises:
        LiuliError: no model, or no prompt; what `PromptReader` and its `begin` raise, before anything is computed; a step that
            cannot be chosen.
    """
    if not models or not prompts:
        raise LiuliError("there is nothing to compare: give at least one model and one prompt")
    readers = [PromptReader(model, settings.sampling) for model in models]
    begun = [[reader.begin(prompt, settings.max_tokens, settings.seed, CANDIDATES) for reader in readers] for prompt in prompts]
    scoring = Scoring(readers)
    asked = []
    done, total = 0, len(prompts) * len(models) * settings.max_tokens
    by_prompt = [answers[0][0].prompt_ids for answers in begun] if len(models) == 1 < len(prompts) <= MOST_PROMPTS else []
    for prompt, answers in zip(prompts, begun, strict=True):
        for _, steps in answers:
            watch("generating tokens", done, total)
            for count, _ in enumerate(steps, 1):  # generates the answer
                watch("generating tokens", done + count, total)
            done += settings.max_tokens
        asked.append(PromptAnswers(prompt, _answers(readers, scoring, [completion for completion, _ in answers], by_prompt)))
    described = tuple(reader.to_json() for reader in readers)
    return CompareTrace(described, scoring.same, settings, tuple(asked), scoring.checks())


def _answers(
    readers: Sequence[PromptReader], scoring: Scoring, completions: Sequence[Completion], by_prompt: Sequence[Sequence[int]]
) -> tuple[ModelAnswer, ...]:
    """The answers of all models to one prompt, scored; also after each prompt of `by_prompt`."""
    read = [completion.prompt_ids for completion in completions]
    divergences = scoring.divergences(read)
    found = []
    for a, completion in enumerate(completions):
        tokenizer = readers[a].tokenizer
        first = completion.steps[0].scores
        assert first is not None and completion.finish_reason is not None
        found.append(
            ModelAnswer(
                read=tuple(map(tokenizer.token, completion.prompt_ids)),
                read_text=tokenizer.decode(completion.prompt_ids, special=True),
                text=completion.text,
                ids=tuple(completion.ids),
                finish_reason=completion.finish_reason,
                entropy=first.entropy,
                candidates=tuple(first.candidates),
                kl=divergences[a],
                scores=scoring.scores(read, a, completion),
                after_prompts=scoring.after_prompts(by_prompt, completion) if by_prompt else None,
            )
        )
    return tuple(found)
