"""How long a training would take on this machine: an estimate from the self-test that a run begins with, without a run.

In: a `Config` and a number of tokens. Out: a `Forecast`.
"""

from dataclasses import dataclass

from liuli.devices import find_device
from liuli.fields import Record
from liuli.learn.prepare.machine import processor, self_test
from liuli.model.config import PRESETS, Config
from liuli.model.plan import forward_flops, layer_matrices

MOST_TIMED = 1e6  # parameters of a block that is timed in about a second
STAND_IN = "micro"  # the size whose block is timed instead of a larger one


@dataclass(frozen=True, slots=True)
class Forecast(Record):
    """An estimate for this machine, without validations and checkpoints.

    Attributes:
        processor: the name of the processor or the GPU. dtype, threads: the settings that are fastest.
        timed: the size whose block was timed, or None if it was the model's own.
        tokens_per_second: that training would reach. hours: for all tokens.
    """

    processor: str
    dtype: str
    threads: int
    timed: str | None
    tokens_per_second: float
    hours: float


def forecast(config: Config, tokens: float, length: int) -> Forecast:
    """The time to train a model on `tokens` tokens in rows of `length`. The whole model is assumed to reach the FLOP/s of one
    block. A model whose blocks are large is assumed to reach those of a smaller block."""
    timed = None if layer_matrices(config) <= MOST_TIMED else STAND_IN
    small = PRESETS[timed] if timed else config
    device = find_device(None)
    machine = self_test(small, length, device, None, None)
    products = 2 * small.vocab_size * small.width  # of the head, which is no part of a block
    block_flops = (forward_flops(small, length / 2) - products) / small.layers
    of_model = max(machine.tokens_per_second.values()) * block_flops / forward_flops(config, length / 2)
    return Forecast(processor(device), machine.dtype, machine.threads, timed, of_model, tokens / of_model / 3600)
