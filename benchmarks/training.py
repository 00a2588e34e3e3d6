"""Liuli's training step beside `transformers`' in its fastest setting here, alternating; and the memory of a large one.

    python benchmarks/training.py [--times 5]
    python benchmarks/training.py --memory

`small` at a vocabulary of 6,400, 8 rows of 512 random tokens, eager. Ours is a whole update: rows, forward, loss, backward,
the check that all is finite, Muon and AdamW; theirs leaves the rows and the check out, and has AdamW alone. Each has a process
of its own, since a run of ours sets how the C library keeps memory; theirs is measured with that setting too. `--memory`
trains `base` (125 M parameters, vocabulary 32,000) on 8 rows of 1,024 tokens for two steps and prints the peak of the process.
"""

import argparse
import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import torch
import transformers
from rivals import fastest
from shared import alternate, machine, seconds

from liuli.data.packing.batch import Batch
from liuli.data.packing.pieces import Piece
from liuli.devices import DTYPES
from liuli.learn.prepare.machine import keep_memory, self_test
from liuli.learn.prepare.model import multiply_in
from liuli.learn.rows.rows import Cursor
from liuli.learn.run.journal import peak_memory
from liuli.learn.step.loop import Training
from liuli.learn.step.objectives import NextToken
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import derive
from liuli.model.config import PRESETS
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_to
from liuli.model.plan import plan
from liuli.model.start import start

ROWS, LENGTH = 8, 512
KEPT = ", freed memory kept"
RUNS = ("transformers", f"transformers{KEPT}", "liuli")


class RandomRows:
    """Rows of random tokens, one document each."""

    def __init__(self, vocab_size: int, length: int):
        self._vocab_size, self._length = vocab_size, length

    def take(self, rows: int) -> Batch:
        ids_BT = torch.randint(self._vocab_size, (rows, self._length + 1))
        positions_BT = torch.arange(self._length).expand(rows, -1)
        segments_BT = torch.zeros_like(positions_BT)
        pieces: list[list[Piece]] = [[] for _ in range(rows)]
        return Batch(ids_BT[:, :-1], ids_BT[:, 1:], positions_BT, segments_BT, False, pieces, [0] * rows)

    def cursor(self) -> Cursor:
        raise NotImplementedError("random rows cannot go on")

    def close(self) -> None:
        pass


def training(size: str, rows: int, length: int) -> Training:
    """In the dtype and with the threads that the self-test finds fastest."""
    config, device = PRESETS[size], torch.device("cpu")
    found = self_test(config, length, device, None, None)
    torch.set_num_threads(found.threads)
    print(f"self-test: {found.dtype}, {found.threads} threads, peak {found.peak / 1e9:.0f} GFLOP/s; {found.tokens_per_second}")
    decoder = Decoder(config)
    start(decoder, 0)
    multiply_in(decoder, DTYPES[found.dtype])
    recipe = derive(config, [length], {"length": length, "rows": rows})
    optimizer = MuonAdamW(decoder, recipe.rates, DTYPES[found.dtype])
    return Training(decoder, NextToken(), optimizer, RandomRows(config.vocab_size, length), recipe, 1 << 20, device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    print(f"{machine()}, transformers {transformers.__version__}", flush=True)
    if arguments.memory:
        keep_memory()  # as a run does
        before, ours = peak_memory(), training("base", 8, 1024)
        took = [ours.update().seconds for _ in range(2)]
        parameters = sum(parameter.numel() for parameter in ours.decoder.parameters())
        print(f"base, {parameters / 1e6:.1f} M parameters, 8 × 1,024: peak {peak_memory() / 1e9:.2f} GB")
        fixed = plan(PRESETS["base"]).training_state_bytes / 1e9
        print(f"before training {before / 1e9:.2f} GB; weights, their mean, gradients and optimizer take {fixed:.2f} GB")
        print(f"{took[-1]:.1f} s a step, {8 * 1024 / took[-1]:,.0f} tokens/s")
        return
    found = alternate(
        {name: _process(_theirs if name.startswith("transformers") else _ours, name) for name in RUNS}, arguments.times
    )
    first = found[RUNS[0]]
    for name, time in found.items():
        print(f"{name:34} {time:7.3f} s a step  {ROWS * LENGTH / time:8,.0f} tokens/s  {first / time:5.2f}")


def _theirs(name: str) -> Callable[[], object]:
    if name.endswith(KEPT):
        keep_memory()
    found = fastest(config_to(PRESETS["small"]), ROWS, LENGTH)
    print(f"{name}: fastest with {found.setting}", flush=True)
    return found.step


def _ours(name: str) -> Callable[[], object]:
    keep_memory()
    return training("small", ROWS, LENGTH).update


def _process(make: Callable[[str], Callable[[], object]], name: str) -> Callable[[], float]:
    """A step's seconds, in a process of its own that waits in between."""
    os.environ["PYTHONSAFEPATH"] = "1"  # a spawned process would put the current folder first on its `sys.path`
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=_serve, args=(make, name, there), daemon=True).start()
    here.recv()  # one after the other: getting ready measures too

    def step() -> float:
        here.send(None)
        return here.recv()

    return step


def _serve(make: Callable[[str], Callable[[], object]], name: str, pipe: Connection) -> None:
    step = make(name)
    pipe.send("ready")
    with suppress(EOFError):  # when who asks is gone
        while True:
            pipe.recv()
            pipe.send(seconds(step))


if __name__ == "__main__":
    main()
