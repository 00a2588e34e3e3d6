"""How long a training will take on this machine: an estimate from a few trial steps of a small model, without a run.

In: a `Config` and its recipe. Out: `StepTimes`, or a `Forecast`. A step is timed in two parts, because they grow with different
things: the forward and backward pass, with the head and the loss, with the FLOPs of the tokens; the optimizer with the weights,
however many tokens a step has.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from liuli.data.packing.batch import Batch
from liuli.devices import find_device, find_dtype, synchronise
from liuli.fields import Record
from liuli.learn.prepare.machine import processor, self_test
from liuli.learn.prepare.model import multiply_in, new_decoder
from liuli.learn.step.average import Average
from liuli.learn.step.objectives import NextToken
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model.config import PRESETS, Config
from liuli.model.plan import forward_flops, layer_matrices, parameter_parts

MOST_TIMED = 2e6  # parameters of a model that is timed itself
STAND_IN = "micro"  # the size that is timed instead of a larger one
TOKENS = 1024  # of a trial step, at most
ROUNDS, SECONDS = 3, 0.1  # of trial steps, at least, after the first


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a training step. `token`: forward and backward pass, per token; `update`: the optimizer and the average."""

    token: float
    update: float


@dataclass(frozen=True, slots=True)
class Forecast(Record):
    """An estimate for this machine, without validations and checkpoints.

    Attributes:
        processor: the name of the processor or the GPU. dtype, threads: the settings that are fastest.
        timed: the size that was timed, or None if it was the model's own.
        tokens_per_second: that training would reach. hours: for all tokens.
    """

    processor: str
    dtype: str
    threads: int
    timed: str | None
    tokens_per_second: float
    hours: float


def forecast(config: Config, tokens: float, recipe: Recipe) -> Forecast:
    """The time to train a new model on `tokens` tokens by a recipe, in the settings that the self-test finds fastest."""
    device = find_device(None)
    machine = self_test(_timed(config), recipe.length, device, None, None)
    threads = torch.get_num_threads()
    torch.set_num_threads(machine.threads)
    try:
        times = step_times(config, recipe, device, find_dtype(machine.dtype))
    finally:
        torch.set_num_threads(threads)
    speed = 1 / (times.token + times.update / recipe.tokens)
    timed = None if _timed(config) is config else STAND_IN
    return Forecast(processor(device), machine.dtype, machine.threads, timed, speed, tokens / speed / 3600)


def step_times(config: Config, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> StepTimes:
    """Times a few steps with random tokens and learning rates of 0, in the threads of this process. No random state changes.

    A large model is assumed to reach the FLOP/s of a small one, which is timed instead.
    """
    small, random = _timed(config), torch.get_rng_state()
    try:
        token, update = _time(small, min(recipe.length, small.context), recipe, device, dtype)
    finally:
        torch.set_rng_state(random)
    half = recipe.length / 2
    as_many_flops = forward_flops(config, half) / forward_flops(small, half)
    return StepTimes(token * as_many_flops, update * _update_size(config, recipe) / _update_size(small, recipe))


def _timed(config: Config) -> Config:
    """The model itself, or the one that is timed instead."""
    return config if sum(parameter_parts(config).values()) <= MOST_TIMED else PRESETS[STAND_IN]


def _update_size(config: Config, recipe: Recipe) -> float:
    """What the time of an update is proportional to: Muon multiplies each matrix by its own rows; AdamW reads each number."""
    if recipe.optimizer == "muon":
        return config.layers * layer_matrices(config) * config.width
    return sum(parameter_parts(config).values())


def _time(config: Config, length: int, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Seconds of the forward and backward pass per token, and of an update: each the median of several."""
    decoder, objective = new_decoder(config, 0, device), NextToken()
    multiply_in(decoder, dtype)
    optimizer, average = MuonAdamW(decoder, recipe.rates, dtype), Average(decoder)
    batch = _random_batch(max(1, min(TOKENS, recipe.tokens) // length), length, config.vocab_size, device)

    def learn() -> None:
        (objective(decoder, batch).total / batch.ids_BT.numel()).backward()

    def update() -> None:
        optimizer.gradient_norm()
        optimizer.step(0.0)
        optimizer.forget_gradients()
        average.update(1)

    passes, updates = list[float](), list[float]()
    while len(passes) <= ROUNDS or sum(passes[1:]) < SECONDS:
        passes.append(_seconds(learn, device))
        updates.append(_seconds(update, device))
    return median(passes[1:]) / batch.ids_BT.numel(), median(updates[1:])


def _random_batch(rows: int, length: int, vocabulary: int, device: torch.device) -> Batch:
    """Rows of two documents each, as most rows have several."""
    ids_BT = torch.randint(vocabulary, (rows, length + 1), generator=torch.Generator().manual_seed(0)).to(device)
    index_BT = torch.arange(length, device=device).expand(rows, length)
    second_BT = (2 * index_BT >= length).long()
    positions_BT = index_BT - second_BT * ((length + 1) // 2)
    pieces, epochs = [[] for _ in range(rows)], [0] * rows
    return Batch(ids_BT[:, :-1], ids_BT[:, 1:], positions_BT, second_BT, True, pieces, epochs)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - start
