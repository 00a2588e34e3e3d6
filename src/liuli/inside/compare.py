"""Models side by side: the same prompts, the same seed; what each read, what each answered, and how likely each finds it.

    trace = compare([liuli.load("base"), liuli.load("assistant")], [Prompt.of_text("小明爱吃什么？", "mine")], Settings(seed=7))

Its JSON is a contract: `docs/compare.schema.json` is the schema, held to it by a test. All log-probabilities and divergences
are in nats, of the models' own distributions (temperature 1, nothing cut), each model having read the prompt in its own form.

An answer is scored without the stop token that ended it: models end in ways of their own. Where two models have the same
pieces, one scores the other's ids; where they have not, its text, through its own tokenizer.

Legend: T places, V vocabulary.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_size
from liuli.generate.model import Completion, Model
from liuli.generate.reading import Prompt, Reader, same_pieces
from liuli.generate.record import Candidate, FinishReason
from liuli.generate.sampling import Sampling
from liuli.tokens import Token

SCHEMA = "compare@1"
CANDIDATES = 5
SUM_LIMIT = 1e-9  # how far from 1 a distribution in fp64 may sum
STEPS_LIMIT = 1e-4  # nats a token: a pass over a whole answer against its steps, in fp32


@dataclass(frozen=True, slots=True)
class Settings:
    """`sampling`: fields of `Sampling`; those not given are each folder's own.

    Raises:
        LiuliError: one is out of range.
    """

    seed: int
    max_tokens: int = 64
    sampling: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self, "max_tokens", is_size, "a whole number of at least 1")
        check(self, "seed", lambda seed: type(seed) is int and seed >= 0, "a whole number, 0 or more")
        Sampling(**self.sampling)


@dataclass(frozen=True, slots=True)
class Score(Record):
    """An answer under a model that reads it after the prompt.

    Attributes:
        by: whether the answer's own ids were scored, or its text, cut by the model's own tokenizer. ids: those of the model.
        bytes: of the text. nats: its log-probability; None where prompt and answer do not fit the model's context.
        logprobs: of each of `ids`. kl: KL(first model ‖ this one) before each; None where their ids are not the same.
    """

    by: Literal["ids", "text"]
    ids: tuple[int, ...]
    bytes: int
    nats: float | None
    logprobs: tuple[float, ...] | None
    kl: tuple[float, ...] | None

    @property
    def per_token(self) -> float | None:
        return None if self.nats is None or not self.ids else self.nats / len(self.ids)

    @property
    def per_byte(self) -> float | None:
        return None if self.nats is None or not self.bytes else self.nats / self.bytes

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"per_token": self.per_token, "per_byte": self.per_byte}


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """What one model made of a prompt.

    Attributes:
        read: the tokens that it read. text: without special tokens. ids: with the stop token.
        entropy, candidates: of its distribution before the first token, likeliest first. kl: KL(first model ‖ this one) there;
            None where their ids are not the same.
        scores: this answer under each model.
    """

    read: tuple[Token, ...]
    read_text: str
    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    entropy: float
    candidates: tuple[Candidate, ...]
    kl: float | None
    scores: tuple[Score, ...]

    def to_json(self) -> dict[str, Any]:
        found = Record.to_json(self)
        read, text = found.pop("read"), found.pop("read_text")
        return {"input": {"text": text, "ids": [token["id"] for token in read], "tokens": read}} | found


@dataclass(frozen=True, slots=True)
class Asked(Record):
    """A prompt, and the answer of each model."""

    prompt: Prompt
    answers: tuple[Answer, ...]

    @property
    def read_alike(self) -> bool:
        """Whether all models read the same ids."""
        return len({tuple(token.id for token in answer.read) for answer in self.answers}) == 1


@dataclass(frozen=True, slots=True)
class Check(Record):
    """Something that must hold for what is shown to be true: `value`, in `unit`, at most `limit`."""

    name: str
    value: float
    unit: str
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit

    def to_json(self) -> dict[str, Any]:
        return Record.to_json(self) | {"ok": self.ok}


@dataclass(frozen=True, slots=True)
class CompareTrace:
    """The whole view. `models`: what `Reader.to_json` says of each. `same[i]`: which model is the first that has model i's
    pieces, ids for ids."""

    models: tuple[dict[str, Any], ...]
    same: tuple[int, ...]
    settings: Settings
    asked: tuple[Asked, ...]
    checks: tuple[Check, ...]

    @property
    def caveats(self) -> list[str]:
        """Keys: probabilities are the models' own; and, if so, not all models read the same ids."""
        alike = all(asked.read_alike for asked in self.asked) and not any(self.same)
        return ["prob.stage"] + ["cmp.same_ids"] * (not alike)

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


def compare(models: Sequence[Model], prompts: Sequence[Prompt], settings: Settings) -> CompareTrace:
    """Asks every model every prompt.

    Raises:
        LiuliError: no model, or no prompt; what `Reader` and `Reader.begin` raise, before anything is computed; a step that
            cannot be chosen.
    """
    if not models or not prompts:
        raise LiuliError("there is nothing to compare: name a model and a prompt at least")
    readers = [Reader(model, settings.sampling) for model in models]
    same = [
        next(j for j in range(i + 1) if same_pieces(readers[j].tokenizer, readers[i].tokenizer)) for i in range(len(readers))
    ]
    begun = [[reader.begin(prompt, settings.max_tokens, settings.seed, CANDIDATES) for reader in readers] for prompt in prompts]
    asking, asked = _Asking(readers, same), []
    for prompt, pairs in zip(prompts, begun, strict=True):
        for _, steps in pairs:
            for _ in steps:
                pass
        asked.append(Asked(prompt, asking.answers([completion for completion, _ in pairs])))
    described = tuple(reader.to_json() for reader in readers)
    return CompareTrace(described, tuple(same), settings, tuple(asked), asking.checks())


class _Asking:
    """Scores answers; remembers how well the numbers agree."""

    def __init__(self, readers: Sequence[Reader], same: Sequence[int]):
        self._readers, self._same = readers, same
        self._sums: list[float] = []  # how far each distribution's sum is from 1
        self._gaps: list[float] = []  # between each answer's log-probability and its steps', a token

    def checks(self) -> tuple[Check, ...]:
        largest = [torch.tensor(values).max().item() for values in (self._sums, self._gaps)]  # NaN where there is one
        return (
            Check("distributions_sum_to_1", largest[0], "probability", SUM_LIMIT),
            Check("answers_equal_their_steps", largest[1], "nats a token", STEPS_LIMIT),
        )

    def answers(self, completions: Sequence[Completion]) -> tuple[Answer, ...]:
        read = [completion.prompt_ids for completion in completions]
        first = [self._logprobs(reader, ids, [])[0] for reader, ids in zip(self._readers, read, strict=True)]
        found = []
        for a, completion in enumerate(completions):
            scores, scored = completion.steps[0].scores, self._scores(read, a, completion)
            assert scores is not None and completion.finish_reason is not None
            tokenizer = self._readers[a].tokenizer
            tokens = tuple(map(tokenizer.token, completion.prompt_ids))
            kl = _divergence(first[0][None], first[a][None])[0] if self._comparable(a) else None
            text = tokenizer.decode(completion.prompt_ids, special=True)
            said = completion.text, tuple(completion.ids), completion.finish_reason
            found.append(Answer(tokens, text, *said, scores.entropy, tuple(scores.candidates), kl, scored))
        return tuple(found)

    def _scores(self, read: Sequence[list[int]], a: int, completion: Completion) -> tuple[Score, ...]:
        """The answer of model a under every model."""
        said = completion.ids[:-1] if completion.finish_reason == "stop" else completion.ids
        steps = [step.scores.logprob for step in completion.steps[: len(said)] if step.scores]
        found, first_TV = [], None
        for m, reader in enumerate(self._readers):
            own = self._same[m] == self._same[a]
            ids = said if own else reader.tokenizer.encode_on(completion.text)
            score = Score("ids" if own else "text", tuple(ids), len(completion.text.encode()), None, None, None)
            if len(read[m]) + len(ids) <= reader.model.config.context:
                logprobs_TV = self._logprobs(reader, read[m], ids)[: len(ids)]
                each = tuple(logprobs_TV.gather(-1, torch.tensor(ids, dtype=torch.int64)[:, None])[:, 0].tolist())
                first_TV = logprobs_TV if m == 0 else first_TV
                kl = tuple(_divergence(first_TV, logprobs_TV)) if first_TV is not None and self._comparable(m) else None
                score = Score(score.by, score.ids, score.bytes, math.fsum(each), each, kl)
                if m == a:
                    self._gaps.append(abs(math.fsum(each) - math.fsum(steps)) / max(1, len(steps)))
            found.append(score)
        return tuple(found)

    def _comparable(self, m: int) -> bool:
        """Whether model m's distributions are over the same ids as the first's."""
        sizes = (self._readers[0].model.config.vocab_size, self._readers[m].model.config.vocab_size)
        return self._same[m] == 0 and sizes[0] == sizes[1]

    @torch.inference_mode()
    def _logprobs(self, reader: Reader, read: Sequence[int], said: Sequence[int]) -> Tensor:
        """fp64 (T, V), nats: before each token that was said; before the first of an answer without tokens."""
        decoder = reader.model.decoder
        ids_1T = torch.tensor([[*read, *said[:-1]]], device=next(decoder.parameters()).device)
        logits_TV = decoder.logits(decoder.hidden(ids_1T)[0, len(read) - 1 :])
        logprobs_TV = logits_TV.float().cpu().double().log_softmax(-1)
        self._sums.append((logprobs_TV.exp().sum(-1) - 1).abs().max().item())
        return logprobs_TV


def _divergence(first_TV: Tensor, other_TV: Tensor) -> list[float]:
    """KL(first ‖ other) at each place, from log-probabilities."""
    kl_T = F.kl_div(other_TV, first_TV, reduction="none", log_target=True).sum(-1)
    return kl_T.clamp(min=0).tolist()  # the rounding of what is zero
