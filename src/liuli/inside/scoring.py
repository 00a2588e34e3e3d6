"""How likely models find an answer: log-probabilities and divergences in fp64, over a few positions at a time.

A model reads prompt and answer in one pass. Its distributions, (T, V), never exist all at once: they are made from the hidden
states in chunks.

Legend of shape suffixes: T positions, D width, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from liuli.fields import Record
from liuli.generate.completion import Completion
from liuli.generate.reading import PromptReader, same_pieces
from liuli.inside.self_check import SelfCheck, limit_in
from liuli.tokens import Token

NUMBERS_AT_ONCE = 1 << 22  # of a distribution chunk: 34 MB in fp64
SUM_LIMIT = 1e-9  # how far from 1 a distribution in fp64 may sum
STEPS_LIMIT = 1e-4  # nats per token: a pass over a whole answer against its steps, in fp32


@dataclass(frozen=True, slots=True)
class AnswerScore(Record):
    """An answer under a model that reads it after the prompt.

    Attributes:
        by: whether the answer's own ids were scored, or its text through the model's own tokenizer.
        ids: those that were scored. tokens: the same, as this model's tokenizer names them. bytes: of the text.
        nats: the log-probability of the answer; None if prompt and answer do not fit the model's context.
        logprobs: of each of `ids`.
        kl: KL(first model ‖ this one) before each; None if their ids are not the same. After another prompt:
            KL(first prompt ‖ this one), of one model.
    """

    by: Literal["ids", "text"]
    ids: tuple[int, ...]
    tokens: tuple[Token, ...]
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


class Scoring:
    """Scores answers, and records how well the numbers agree.

    Attributes:
        same: for each model, the first model that has its pieces, ids for ids.
    """

    def __init__(self, readers: Sequence[PromptReader]):
        self._readers = readers
        self.same = tuple(
            next(j for j in range(i + 1) if same_pieces(readers[j].tokenizer, readers[i].tokenizer))
            for i in range(len(readers))
        )
        self._sums: list[float] = []  # how far each distribution's sum is from 1
        self._gaps: list[float] = []  # between each answer's log-probability and its steps', per token

    def divergences(self, read: Sequence[Sequence[int]]) -> list[float | None]:
        """For each model KL(first model ‖ this one) before the first token of an answer; None if their ids are not the same.

        Args:
            read: the ids of the prompt, as each model reads it.
        """
        found: list[float | None] = []
        first_1V = self._logprobs(0, self._hidden(0, read[0], []))
        for m, ids in enumerate(read):
            logprobs_1V = self._logprobs(m, self._hidden(m, ids, [])) if m else first_1V
            found.append(_divergence(first_1V, logprobs_1V)[0] if self._comparable(m) else None)
        return found

    def scores(self, read: Sequence[Sequence[int]], a: int, completion: Completion) -> tuple[AnswerScore, ...]:
        """The answer of model `a` under every model. `read`: see `divergences`."""
        said = _without_stop(completion)
        size = len(completion.text.encode())
        found = []
        first_TD = None
        for m, reader in enumerate(self._readers):
            own = self.same[m] == self.same[a]
            ids = said if own else reader.tokenizer.encode_on(completion.text)
            by = "ids" if own else "text"
            tokens = tuple(map(reader.tokenizer.token, ids))
            if len(read[m]) + len(ids) > reader.model.config.context:
                found.append(AnswerScore(by, tuple(ids), tokens, size, None, None, None))
                continue
            x_TD = self._hidden(m, read[m], ids)
            if m == 0:
                first_TD = x_TD
            logprobs, kl = self._along(m, ids, x_TD, first_TD if self._comparable(m) else None)
            nats = math.fsum(logprobs)
            found.append(AnswerScore(by, tuple(ids), tokens, size, nats, logprobs, kl))
            if m == a:
                steps = [step.scores.logprob for step in completion.steps[: len(said)] if step.scores]
                self._gaps.append(abs(nats - math.fsum(steps)) / max(1, len(steps)))
        return tuple(found)

    def after_prompts(self, read: Sequence[Sequence[int]], completion: Completion) -> tuple[AnswerScore, ...]:
        """An answer of the first model after each of several prompts, as if it were the answer to each.

        Args:
            read: the ids of the prompts, as the first model reads them; the answer fits its context after each of them.
        """
        said = _without_stop(completion)
        tokens = tuple(map(self._readers[0].tokenizer.token, said))
        first_TD = self._hidden(0, read[0], said)
        found = []
        for p, ids in enumerate(read):
            logprobs, kl = self._along(0, said, self._hidden(0, ids, said) if p else first_TD, first_TD)
            nats = math.fsum(logprobs)
            found.append(AnswerScore("ids", tuple(said), tokens, len(completion.text.encode()), nats, logprobs, kl))
        return tuple(found)

    def checks(self) -> tuple[SelfCheck, ...]:
        largest = [torch.tensor(values).max().item() for values in (self._sums, self._gaps)]  # NaN if there is one
        narrowest = min((reader.model.decoder.dtype for reader in self._readers), key=lambda dtype: dtype.itemsize)
        steps_limit = limit_in(narrowest, STEPS_LIMIT)
        return (
            SelfCheck("distributions_sum_to_1", largest[0], "probability", SUM_LIMIT),
            SelfCheck("answers_equal_their_steps", largest[1], "nats per token", steps_limit),
        )

    def _comparable(self, m: int) -> bool:
        """Whether the distributions of model m are over the same ids as those of the first."""
        sizes = (self._readers[0].model.config.vocab_size, self._readers[m].model.config.vocab_size)
        return self.same[m] == 0 and sizes[0] == sizes[1]

    def _along(
        self, m: int, ids: Sequence[int], x_TD: Tensor, first_TD: Tensor | None
    ) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
        """The log-probability of each id under model m; and KL(first ‖ this) before each, if the first model's states, or those
        after the first prompt, are given."""
        logprobs: list[float] = []
        kl: list[float] = []
        places = max(1, NUMBERS_AT_ONCE // self._readers[m].model.config.vocab_size)
        for start in range(0, len(ids), places):
            here = slice(start, start + places)
            logprobs_TV = self._logprobs(m, x_TD[here])
            ids_T = torch.tensor(ids[here], dtype=torch.int64)
            logprobs += logprobs_TV.gather(-1, ids_T[:, None])[:, 0].tolist()
            if first_TD is not None:
                first_TV = logprobs_TV if first_TD is x_TD else self._logprobs(0, first_TD[here])
                kl += _divergence(first_TV, logprobs_TV)
        return tuple(logprobs), None if first_TD is None else tuple(kl)

    @torch.inference_mode()
    def _hidden(self, m: int, read: Sequence[int], said: Sequence[int]) -> Tensor:
        """(T, D): the states before each token of the answer; before its first token if it is empty."""
        decoder = self._readers[m].model.decoder
        ids_1T = torch.tensor([[*read, *said[:-1]]], device=decoder.device)
        return decoder.hidden(ids_1T)[0, len(read) - 1 :]

    @torch.inference_mode()
    def _logprobs(self, m: int, x_TD: Tensor) -> Tensor:
        """fp64 (T, V) on the CPU, in nats."""
        logits_TV = self._readers[m].model.decoder.logits(x_TD)
        logprobs_TV = logits_TV.float().cpu().double().log_softmax(-1)
        self._sums.append((logprobs_TV.exp().sum(-1) - 1).abs().max().item())
        return logprobs_TV


def _without_stop(completion: Completion) -> list[int]:
    """The ids of an answer without the stop token that ended it."""
    return completion.ids[:-1] if completion.finish_reason == "stop" else completion.ids


def _divergence(first_TV: Tensor, other_TV: Tensor) -> list[float]:
    """KL(first ‖ other) at each position, from log-probabilities."""
    kl_T = F.kl_div(other_TV, first_TV, reduction="none", log_target=True).sum(-1)
    return kl_T.clamp(min=0).tolist()  # rounding of zero can be negative
