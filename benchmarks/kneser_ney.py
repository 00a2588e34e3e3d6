"""Bits per byte of an interpolated Kneser-Ney model of characters: what counting alone reaches on the same held-out blocks.

    python benchmarks/kneser_ney.py [FILE ...] [--order 5]

Without files: the four novels of `../shared/data/text/zh`, then `text/en`. Held out is what `split_texts` holds out by content.
Kneser and Ney, "Improved backing-off for m-gram language modeling", ICASSP 1995; interpolated, with one discount an order, as
in Chen and Goodman, "An empirical study of smoothing techniques for language modeling", Computer Speech & Language 13, 1999.

Of an n-gram (a context and the character w after it) the longest order counts how often it stands in the text; every shorter
one counts the distinct characters that stand before it. With c for those counts and D for the order's discount:

    p(w | context) = (max(c(context w) - D, 0) + D · kinds(context) · p(w | context less its first)) / c(context)

c(context) sums over w, kinds(context) is how many different w follow; a context that nothing follows passes all on. Below the
empty context lies the uniform distribution over the V characters of the training text and one place for all others. That place
is shared evenly by all characters of Unicode that the text lacks, so that the probabilities of all characters sum to 1.
"""

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shared import SHARED

from liuli.data.split import split_texts
from liuli.data.text.sources import Document, Sources

UNICODE = 0x110000 - 0x800  # characters there can be: all code points but the surrogates
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Order:
    """The n-grams of one length, by id: an n-gram's is its place in `keys`, a context's its place among those one shorter."""

    keys: Ints  # ascending: the id of the context × symbols + the last character
    counts: Ints  # of each n-gram
    totals: Ints  # of each context: the sum of the counts
    kinds: Ints  # of each context: how many n-grams have it
    discount: float


class KneserNey:
    """Counts of all n-grams up to `order` characters.

    Args:
        texts: each stands alone; before its beginning stands padding, which is a context like any other.
        order: characters of the longest n-gram, the predicted one included.
    """

    def __init__(self, texts: Iterable[str], order: int = 5):
        texts = list(texts)
        self.order = order
        self.alphabet = np.unique(np.concatenate([_code_points(text) for text in texts]))
        self.unseen = len(self.alphabet)  # the number of every other character
        self.padding = self.unseen + 1
        self.symbols = self.padding + 1
        stream_T = np.concatenate([self._padded(text) for text in texts])
        keys, ids = [np.zeros(1, np.int64)], [np.zeros_like(stream_T)]  # ids[n][t]: of the n-gram that ends at t
        for _ in range(order):
            distinct, of_place = np.unique(self._keys(ids[-1], stream_T), return_inverse=True)
            keys.append(distinct)
            ids.append(of_place)
        self.orders = []
        for n in range(1, order + 1):
            counted = ids[n] if n == order else _first(ids[n], of=ids[n + 1])
            self.orders.append(self._order(keys[n], np.bincount(counted), contexts=len(keys[n - 1])))

    def log2_probability(self, text: str) -> float:
        """Of all of `text`, in bits: at most 0."""
        return float(np.log2(self.probabilities(text)).sum())

    def probabilities(self, text: str) -> Floats:
        """Of each character, given those before it."""
        stream_T = self._padded(text)
        found_T = np.full(len(stream_T), 1 / (self.unseen + 1))
        found_T[stream_T == self.unseen] /= UNICODE - self.unseen
        ids_T = np.zeros_like(stream_T)
        for order in self.orders:
            context_T = np.roll(ids_T, 1)
            ids_T = _find(order.keys, self._keys(ids_T, stream_T))
            known_T = (context_T >= 0) & (order.totals[context_T] > 0)
            context, ids = context_T[known_T], ids_T[known_T]
            kept = np.where(ids >= 0, np.maximum(order.counts[ids] - order.discount, 0), 0)
            passed_on = order.discount * order.kinds[context] * found_T[known_T]
            found_T[known_T] = (kept + passed_on) / order.totals[context]
        return found_T[self.order - 1 :]

    def _padded(self, text: str) -> Ints:
        """The characters' numbers, padding before them."""
        found = _find(self.alphabet, _code_points(text))
        return np.pad(np.where(found >= 0, found, self.unseen), (self.order - 1, 0), constant_values=self.padding)

    def _keys(self, ids_T: Ints, stream_T: Ints) -> Ints:
        """Of the n-gram that ends at each place, from the ids of those one shorter; below 0 where one of them is unknown.

        The first places look back around the end. These n-grams end in padding, so that they predict nothing.
        """
        return np.roll(ids_T, 1) * self.symbols + stream_T

    def _order(self, keys: Ints, counts: Ints, contexts: int) -> Order:
        counts = np.where(keys % self.symbols == self.padding, 0, counts)  # padding is never predicted
        context = keys // self.symbols
        totals = np.bincount(context, counts, minlength=contexts).astype(np.int64)
        kinds = np.bincount(context, counts > 0, minlength=contexts).astype(np.int64)
        return Order(keys, counts, totals, kinds, _discount(counts))


def _code_points(text: str) -> Ints:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)


def _find(ascending: Ints, wanted: Ints) -> Ints:
    """Where each of `wanted` is, or -1."""
    places = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[places] == wanted, places, -1)


def _first(values: Ints, of: Ints) -> Ints:
    """One of `values` for each distinct id of `of`: with one id of a longer n-gram goes one id of its end."""
    found = np.empty(of.max() + 1, np.int64)
    found[of] = values
    return found


def _discount(counts: Ints) -> float:
    """n₁ / (n₁ + 2 n₂), of how many n-grams count 1 and 2. One half where none counts 1: unseen ones must be possible."""
    ones, twos = int((counts == 1).sum()), int((counts == 2).sum())
    return ones / (ones + 2 * twos) if ones else 0.5


def joined(documents: Iterable[Document]) -> Iterator[str]:
    """Their texts, blocks that stand side by side in a document as one text: what goes before is a block's context."""
    run: list[Document] = []
    for document in documents:
        if run and (document.number, document.part) != (run[-1].number, run[-1].part + 1):
            yield "".join(block.text for block in run)
            run = []
        run.append(document)
    if run:
        yield "".join(block.text for block in run)


def bits_per_byte(model: KneserNey, texts: Iterable[str]) -> tuple[float, int]:
    """(bits, bytes): what `texts` cost, each standing alone, and how long they are in UTF-8."""
    texts = list(texts)
    return -sum(map(model.log2_probability, texts)), sum(len(text.encode()) for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="files and folders of text, as one corpus")
    parser.add_argument("--order", type=int, default=5)
    arguments = parser.parse_args()
    text = SHARED / "data" / "text"
    languages = {f"text/{name}/*.txt": sorted(map(str, (text / name).glob("*.txt"))) for name in ("zh", "en")}
    heads = ("bits/byte", "bits/char", "bytes", "characters", "trained on", "seconds")
    print(f"{'held out of':16} " + " ".join(f"{head:>10}" for head in heads))
    for name, files in ({"these files": arguments.files} if arguments.files else languages).items():
        started = time.perf_counter()
        split = split_texts(Sources(files))
        training, held = list(joined(split.training())), list(joined(split.validation()))
        bits, size = bits_per_byte(KneserNey(training, arguments.order), held)
        characters, trained = sum(map(len, held)), sum(map(len, training))
        seconds = time.perf_counter() - started
        print(
            f"{name:16} {bits / size:10.4f} {bits / characters:10.4f} {size:10,} {characters:10,} {trained:10,} {seconds:10.1f}"
        )


if __name__ == "__main__":
    main()
