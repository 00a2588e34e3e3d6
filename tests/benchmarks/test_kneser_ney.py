"""The Kneser-Ney benchmark against sums that must be 1, numbers worked out by hand, and a plain model made of dictionaries."""

import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from kneser_ney import UNICODE, KneserNey, bits_per_byte, joined

from liuli.data.text.sources import Document


def some_text(seed: int, alphabet: str = "ab c琉璃", length: int = 400) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


def probability(model: KneserNey, context: str, character: str) -> float:
    return 2 ** (model.log2_probability(context + character) - model.log2_probability(context))


class Plain:
    """The same model by its definition, an n-gram at a time, with counts in dictionaries and exact fractions."""

    def __init__(self, texts: list[str], order: int):
        self.order, self.alphabet = order, set("".join(texts))
        grams = [{padded[t - n : t] for padded, t in self.places(texts)} for n in range(order + 2)]
        self.counts = [Counter(gram[1:] for gram in grams[n + 1]) for n in range(order)]
        self.counts.append(Counter(padded[t - order : t] for padded, t in self.places(texts)))
        self.discounts = [Fraction(0)]
        for counts in self.counts[1:]:
            ones, twos = (list(counts.values()).count(n) for n in (1, 2))
            self.discounts.append(Fraction(ones, ones + 2 * twos) if ones else Fraction(1, 2))

    def places(self, texts: list[str]):
        """(padded text, where a character of it ends); `^` is the padding."""
        for text in texts:
            padded = "^" * self.order + text
            yield from ((padded, t) for t in range(self.order + 1, len(padded) + 1))

    def probability(self, context: str, character: str) -> Fraction:
        """`context` is of `order` - 1 characters or fewer."""
        followers = {gram[-1]: count for gram, count in self.counts[len(context) + 1].items() if gram[:-1] == context}
        lower = self.probability(context[1:], character) if context else self.uniform(character)
        if not followers:
            return lower
        discount = self.discounts[len(context) + 1]
        kept = max(followers.get(character, 0) - discount, Fraction(0))
        return (kept + discount * len(followers) * lower) / sum(followers.values())

    def uniform(self, character: str) -> Fraction:
        share = Fraction(1, len(self.alphabet) + 1)
        return share if character in self.alphabet else share / (UNICODE - len(self.alphabet))

    def log2_probability(self, text: str) -> float:
        padded, before = "^" * (self.order - 1) + text, self.order - 1
        return sum(math.log2(self.probability(padded[t : t + before], text[t])) for t in range(len(text)))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_all_characters_sum_to_one(order: int, seed: int):
    text = some_text(seed)
    model = KneserNey([text, some_text(seed + 10, length=50)], order)
    known = sorted(set(text))
    for context in ("", "a", text[-4:], text[100:140], "ccccc璃", "never 見", "見", "a見b"):
        unseen = probability(model, context, "☃")
        assert unseen == pytest.approx(probability(model, context, "\U0010ffff"), rel=1e-9)
        total = sum(probability(model, context, each) for each in known) + unseen * (UNICODE - len(known))
        assert total == pytest.approx(1, abs=1e-9)


def test_a_bigram_by_hand():
    """`abcbab` after padding ^: ^a 1, ab 2, bc 1, cb 1, ba 1, so that D₂ = 4 / (4 + 2 · 1) = 2/3. Before a stand ^ and b,
    before b a and c, before c only b: 2 + 2 + 1 = 5, and D₁ = 1 / (1 + 2 · 2) = 1/5. Uniform: 1/4.

    p(a) = p(b) = (2 - 1/5) / 5 + 1/5 · 3/5 · 1/4 = 39/100, p(c) = 19/100, and 3/100 is left for the unseen.
    After b, c(b) = 2 and two follow: p(a | b) = (1 - 2/3) / 2 + 2/3 · 2/2 · 39/100 = 1/6 + 26/100.
    """
    model = KneserNey(["abcbab"], order=2)
    assert [order.discount for order in model.orders] == pytest.approx([1 / 5, 2 / 3])
    assert probability(model, "b", "a") == pytest.approx(1 / 6 + 26 / 100, rel=1e-12)
    assert probability(model, "b", "c") == pytest.approx(1 / 6 + 2 / 3 * 19 / 100, rel=1e-12)
    assert probability(model, "b", "b") == pytest.approx(26 / 100, rel=1e-12)
    assert probability(model, "b", "z") == pytest.approx(2 / 100 / (UNICODE - 3), rel=1e-12)
    assert probability(model, "z", "c") == pytest.approx(19 / 100, rel=1e-12)


def test_order_one_is_the_closed_formula():
    text = "aaabbbbccdéé" + "f"
    counts, total, size = Counter(text), len(text), len(set(text))
    discount = 2 / (2 + 2 * 2)  # d and f stand once, c and é twice
    model = KneserNey([text], order=1)
    for character, count in counts.items():
        expected = (count - discount) / total + discount * size / total / (size + 1)
        assert probability(model, "ab", character) == pytest.approx(expected, rel=1e-12)
    expected = discount * size / total / (size + 1) / (UNICODE - size)
    assert probability(model, "ab", "z") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_same_as_the_plain_model(order: int):
    texts = [some_text(2), some_text(3, "abcd", 60), "a"]
    model, plain = KneserNey(texts, order), Plain(texts, order)
    for text in ("", "a", some_text(4), some_text(5, "abcdefgh見", 60), texts[1]):
        assert model.log2_probability(text) == pytest.approx(plain.log2_probability(text), rel=1e-9)


def test_bits_per_byte():
    model = KneserNey([some_text(6)], order=3)
    bits, size = bits_per_byte(model, ["ab", "琉璃"])
    assert size == 8
    assert bits == pytest.approx(-model.log2_probability("ab") - model.log2_probability("琉璃"))


def test_only_blocks_side_by_side_are_joined():
    places = [(0, 0), (0, 1), (0, 3), (1, 0), (2, 1), (2, 2)]
    documents = [Document(f"{number}{part} ", "a.txt", number, part) for number, part in places]
    assert list(joined(documents)) == ["00 01 ", "03 ", "10 ", "21 22 "]
