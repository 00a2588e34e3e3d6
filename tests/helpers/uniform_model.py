"""A decoder to which all tokens are equally likely, whatever came before: the worst model that a grammar can meet."""

import torch

from liuli.generate.engine import Engine
from liuli.generate.record import StepRecord
from liuli.generate.request import Request
from liuli.model.config import Config
from liuli.tokens import Tokenizer


class UniformDecoder:
    """As much of a decoder as the engine needs."""

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, vocab_size: int, context: int = 1 << 20):
        self.config = Config(
            family="llama",
            vocab_size=vocab_size,
            width=2,
            layers=1,
            heads=1,
            kv_heads=1,
            head_width=2,
            feed_forward_width=2,
            context=context,
        )

    def hidden(self, ids_BT, cache, tap=None):
        cache.commit()
        return torch.zeros(*ids_BT.shape, 2)

    def logits(self, x_BTD):
        return torch.zeros(*x_BTD.shape[:2], self.config.vocab_size)


class ChoosyDecoder(UniformDecoder):
    """Wants some tokens more than all others."""

    def __init__(self, vocab_size: int, wanted: list[int]):
        super().__init__(vocab_size)
        self._wanted = wanted

    def logits(self, x_BTD):
        logits_BTV = super().logits(x_BTD)
        logits_BTV[..., self._wanted] += 20
        return logits_BTV


def run_all(decoder: UniformDecoder, tokenizer: Tokenizer, requests: list[Request]) -> list[list[StepRecord]]:
    """The records of each request; all run together."""
    engine = Engine(decoder, tokenizer)  # pyright: ignore[reportArgumentType]
    found = {engine.submit(request): [] for request in requests}
    while engine.busy:
        for record in engine.step():
            found[record.request].append(record)
    return list(found.values())


def text_of(records: list[StepRecord]) -> str:
    assert records[-1].error is None, records[-1].error
    return "".join(record.text for record in records)
