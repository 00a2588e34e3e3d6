"""How long the views of 256 tokens take, how much memory a tape takes, and what the decoder's taps cost without one.

    python benchmarks/views.py [MODEL] [--times 5]

The first model has the shape `small` (26 M parameters) and random weights; MODEL, such as a GGUF file, comes second. Times are
medians. A tape of all points is compared with what the shapes in docs/taps.md add up to. Without a tape, each point is a call
of a function that returns its argument: their time is compared with that of a token.
"""

import argparse
import statistics
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path

import torch
from shared import machine, seconds, write_random_model

import liuli
from liuli import Model, Tokenizer
from liuli.inside.attention import attention
from liuli.inside.candidates import candidates
from liuli.inside.lens import lens
from liuli.inside.tape import record
from liuli.model.decoder import BLOCK_POINTS, _unchanged
from liuli.world import World

TOKENS, GENERATED, DOCUMENTS = 256, 32, 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--times", type=int, default=5)
    given = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        write_random_model(Path(scratch), "small", torch.float32, World(), DOCUMENTS)
        for path in [scratch, *([given.model] if given.model else [])]:
            measure(liuli.load(path), given.times)


def measure(model: Model, times: int) -> None:
    assert model.tokenizer is not None
    text = text_of(model.tokenizer)
    ids = model.tokenizer.encode(text, prompt=True)
    count = sum(parameter.numel() for parameter in model.decoder.parameters())
    print(f"\n{count / 1e6:.0f} M parameters, {len(ids)} tokens, hash {model.hash[:8]}")  # read once, and then known
    views: dict[str, Callable[[], object]] = {
        "candidates": lambda: candidates(model, text),
        "lens, last 32 tokens": lambda: lens(model, text),
        "attention, all layers": lambda: attention(model, text),
    }
    found = {name: [seconds(view) for _ in range(times + 1)][1:] for name, view in views.items()}
    for name, took in found.items():
        print(f"  {name:24} {statistics.median(took):6.3f} s")
    print(f"  {'together':24} {sum(map(statistics.median, found.values())):6.3f} s")
    print(f"  {memory(model, ids)}")
    print(f"  {cost(model, ids)}", flush=True)


def text_of(tokenizer: Tokenizer) -> str:
    """A text of the world of about 256 tokens."""
    ids = tokenizer.encode(" ".join(World().documents(DOCUMENTS)))
    return tokenizer.decode(ids[: TOKENS - len(tokenizer.begin)])


def memory(model: Model, ids: list[int]) -> str:
    _, tape = record(model.decoder, ids, "embedding", *(f"blocks.*.{point}" for point in BLOCK_POINTS), "final_norm")
    kept = [x for point in BLOCK_POINTS for x in tape.layers(point)] + [tape["embedding"], tape["final_norm"]]
    config = model.config
    heads = (2 * config.heads + 2 * config.kv_heads) * config.head_width  # q and heads, k and v
    numbers = config.layers * (6 * config.width + heads + config.feed_forward_width) + 2 * config.width
    shapes = len(ids) * numbers * model.decoder.dtype.itemsize
    return f"a tape of all points: {sum(x.nbytes for x in kept) / 1e6:.1f} MB, by the shapes {shapes / 1e6:.1f} MB"


def cost(model: Model, ids: list[int]) -> str:
    points = len(BLOCK_POINTS) * model.config.layers + 2
    x = torch.zeros(1)
    call = min(timeit.repeat(lambda: _unchanged("embedding", x), number=100_000, repeat=5)) / 100_000
    took = [seconds(lambda: model.complete(ids, max_tokens=GENERATED, temperature=0.0, stop_ids=())) for _ in range(3)]
    token = min(took) / GENERATED
    share = points * call / token
    return f"taps without a tape: {points} calls of {call * 1e9:.0f} ns are {share:.2%} of a token ({token * 1e3:.1f} ms)"


if __name__ == "__main__":
    main()
