"""Time and memory of training a tokenizer, on real text and on the worst text that could be thought of.

    python benchmarks/tokenizer_training.py

Each case is a process of its own; memory is its peak above what it held before training began.
"""

import itertools
import multiprocessing
import os
import random
import resource
import string
from collections.abc import Callable, Iterator

from shared import SHARED, machine, seconds

from liuli.tokens.train import train

HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 20_000)]


def real(language: str) -> Iterator[str]:
    for path in sorted((SHARED / "data" / "text" / language).glob("*.txt")):
        yield path.read_text(encoding="utf-8")


def repeated(size: int) -> Iterator[str]:
    """The real texts over and over, until `size` bytes."""
    while True:
        for text in [*real("zh"), *real("en")]:
            yield text
            size -= len(text.encode())
            if size < 0:
                return


def drawn(characters: list[str], length: int) -> Iterator[str]:
    """16 MB of random runs of `length` characters: hardly any chunk comes twice, so all must be held."""
    draw = random.Random(1)
    for _ in range(16_000_000 // (4096 * len(characters[0].encode()))):
        yield "\n".join("".join(draw.choices(characters, k=length)) for _ in range(4096 // length))


def single_letters() -> Iterator[str]:
    """5 million documents of a letter: what is held for a document would outweigh its text by far."""
    return itertools.islice(itertools.cycle(string.ascii_lowercase), 5_000_000)


CASES: dict[str, tuple[Callable[[], Iterator[str]], str, int]] = {
    "text/en": (lambda: real("en"), "bpe", 6_400),
    "text/zh": (lambda: real("zh"), "bpe", 6_400),
    "text/zh, 32,000 tokens": (lambda: real("zh"), "bpe", 32_000),
    "text/zh, characters": (lambda: real("zh"), "char", 4_000),
    "1 GB of both": (lambda: repeated(10**9), "bpe", 6_400),
    "1 GB of both, characters": (lambda: repeated(10**9), "char", 4_000),
    "random Chinese, runs of 7": (lambda: drawn(HAN, 7), "bpe", 6_400),
    "random Chinese, no breaks": (lambda: drawn(HAN, 4096), "bpe", 6_400),
    "random letters, words of 12": (lambda: drawn(list(string.ascii_letters), 12), "bpe", 6_400),
    "random letters, no breaks": (lambda: drawn(list(string.ascii_letters), 4096), "bpe", 6_400),
    "5 million documents of a letter": (single_letters, "bpe", 263),
}


def measure(name: str) -> tuple[float, float, int]:
    """Seconds, MB, bytes of the sample."""
    texts, kind, vocab_size = CASES[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sizes: list[int] = []
    time = seconds(lambda: sizes.append(train(texts(), kind, vocab_size).sample.bytes))
    return time, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6, sizes[0]


def main() -> None:
    os.environ["PYTHONSAFEPATH"] = "1"  # a spawned process would put the current folder first on its `sys.path`
    print(machine())
    print(f"{'text':32}{'sample, MB':>11}{'seconds':>9}{'memory, MB':>12}")
    for name in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            time, memory, size = pool.apply(measure, (name,))
        print(f"{name:32}{size / 1e6:11.1f}{time:9.1f}{memory:12.0f}", flush=True)


if __name__ == "__main__":
    main()
