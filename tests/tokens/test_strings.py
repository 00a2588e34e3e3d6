"""Finding many strings at once, against a regular expression of alternatives; and added tokens, against the library."""

import random
import re
import time

import pytest
import tokenizers
from helpers import token_samples as samples
from tokenizers import AddedToken, models

from liuli.tokens import open_tokenizer
from liuli.tokens.chat.mask import Marks, RenderedText
from liuli.tokens.encoders.bpe import RankedEncoder
from liuli.tokens.strings import StringFinder
from liuli.tokens.tokenizer import Added


def drawn(draw: random.Random, letters: str, longest: int) -> str:
    return "".join(draw.choices(letters, k=draw.randint(1, longest)))


def test_it_finds_what_a_regular_expression_finds():
    draw = random.Random(1)
    for _ in range(3000):
        strings = [drawn(draw, "ab<今", 5) for _ in range(draw.randint(0, 12))]
        text = drawn(draw, "ab<今z", 60)
        pattern = re.compile("|".join(map(re.escape, sorted(strings, key=len, reverse=True))) or r"(?!)")
        finder = StringFinder(strings)
        assert list(finder.find_all(text)) == [match.span() for match in pattern.finditer(text)]
        start = draw.randrange(len(text))
        found = pattern.search(text, start)
        assert finder.find(text, start) == (found and found.span())
        assert finder.replace(text, str.upper) == pattern.sub(lambda match: match.group().upper(), text)


def test_strings_that_are_empty_or_hold_signs_of_regular_expressions():
    finder = StringFinder(["", "]", "^a", "-", "\\", "[^"])
    assert [*finder.find_all("a]-^a\\[^")] == [(1, 2), (2, 3), (3, 5), (5, 6), (6, 8)]
    assert list(StringFinder([]).find_all("abc")) == [] and StringFinder([""]).find("abc") is None


def made_encoder(added: list[Added]) -> RankedEncoder[str]:
    def no_content(text: str) -> list[str]:
        return []

    return RankedEncoder(
        {"": 0}, {}, no_content, list, {token.id: b"" for token in added} | {0: b""}, added, "bytes", whole=False
    )


@pytest.mark.parametrize("special", [True, False])
def test_added_tokens_swallow_white_space_as_the_library_has_it(special):
    """Leftmost, longest first; then the white space beside a token that strips, as far as no token before has taken it."""
    draw = random.Random(2)
    for _ in range(1500):
        texts = {drawn(draw, "ab<", 3) + draw.choice(("", "", " ")) for _ in range(draw.randint(1, 6))}
        added = [Added(i, text, special, draw.random() < 0.5, draw.random() < 0.5) for i, text in enumerate(sorted(texts))]
        backend = tokenizers.Tokenizer(models.BPE())
        backend.add_tokens([
            AddedToken(token.text, lstrip=token.strip_left, rstrip=token.strip_right, normalized=False, special=special)
            for token in added
        ])  # fmt: skip
        text = "".join(draw.choice(["a", "b", "<", " ", "  ", "\t", "\u3000", "z"]) for _ in range(draw.randint(1, 30)))
        wanted = backend.encode(text, add_special_tokens=False)
        if any(start < end for (_, end), (start, _) in zip(wanted.offsets, wanted.offsets[1:], strict=False)):
            continue  # the library reads a token that begins with swallowed white space twice
        at, found = 0, []
        for part, token in made_encoder(added).parts(text, special=True):
            found += [] if token is None else [(token.id, (at, at + len(part)))]
            at += len(part)
        assert found == list(zip(wanted.ids, wanted.offsets, strict=True)), (text, added)


def test_200_000_added_tokens_open_and_encode_fast(tmp_path):
    ranks = samples.small_ranks()
    first = len(ranks)
    samples.write_ranks(tmp_path / "a.tiktoken", ranks)
    texts = [f"<|added {i}|>" for i in range(200_000)]
    samples.write_json(tmp_path / "tokenizer_config.json", samples.config_with_specials(first, *texts))
    before = time.process_time()
    tokenizer = open_tokenizer(tmp_path, pattern="qwen")
    ids = tokenizer.encode("a<|added 77|><|added 199999|><|added 200000|> <" * 100, prompt=True)
    rendered = RenderedText(tokenizer)
    marks = Marks(rendered.controls, [{"role": "user", "content": "<|added 5|>"}], [])
    assert time.process_time() - before < 10  # 90 s before, for opening alone
    assert ids[:3] == [ord("a"), first + 77, first + 199_999] and ids.count(first + 199_999) == 100
    assert marks.read(marks.messages[0]["content"]) == ("<|added 5|>", [(0, 11)]) != marks.messages[0]["content"]
