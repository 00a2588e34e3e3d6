"""How a text becomes tokens: its chunks, and every merge or match in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from liuli.fields import Record
from liuli.generate.model import Model
from liuli.inside.passage import Passage, read_passage
from liuli.inside.self_check import SelfCheck
from liuli.inside.view import ModelFacts, View
from liuli.tokens import Tokenizer
from liuli.tokens.trace import Chunk, replay, trace


@dataclass(frozen=True, slots=True)
class OtherTokenization(Record):
    """The same text as another model reads it. `kind`: of its tokenizer."""

    path: str
    kind: str
    vocab_size: int
    input: Passage


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TokensView(View):
    """The tokenization of a text, step by step.

    Attributes:
        kind: of the tokenizer.
        chunks: the parts of the text that are tokenized separately, with their merges (BPE) or matches (WordPiece).
        characters, bytes: of the text.
        others: the same text in other tokenizers.
    """

    NAME: ClassVar[str] = "tokens"

    kind: str
    chunks: tuple[Chunk, ...]
    characters: int
    bytes: int
    others: tuple[OtherTokenization, ...]


def tokens(model: Model, text: str, others: Sequence[Model] = ()) -> TokensView:
    """Returns how `text` is tokenized.

    Args:
        others: models whose tokenizers read the same text.

    Raises:
        LiuliError: what `read_passage` raises.
    """
    read = read_passage(model, text)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    chunks = trace(tokenizer, text, prompt=True)
    steps = replay(chunks)
    of_text = [token.id for token in read.tokens if not (token.special and token.span == (0, 0))]  # without an added begin
    wrong = sum(one != other for one, other in zip_longest(steps, of_text))
    return TokensView(
        model=ModelFacts.of(model),
        input=read,
        checks=(
            SelfCheck("steps_equal_ids", wrong, "tokens", 0),
            SelfCheck("every_character_is_covered", _uncovered(tokenizer, read), "characters", 0),
        ),
        caveats=("token.bytes",),
        kind=tokenizer.kind,
        chunks=tuple(chunks),
        characters=len(text),
        bytes=len(text.encode()),
        others=tuple(_other(each, text) for each in others),
    )


def _uncovered(tokenizer: Tokenizer, read: Passage) -> int:
    """How many characters no token covers, except white space, and except those that the tokenizer removes from every text, as
    WordPiece does with control characters."""
    covered = set()
    for token in read.tokens:
        covered.update(range(*token.span))
    left = [each for place, each in enumerate(read.text) if place not in covered and not each.isspace()]
    return sum(bool(tokenizer.encode(character)) for character in left)


def _other(model: Model, text: str) -> OtherTokenization:
    read = read_passage(model, text)
    tokenizer = model.tokenizer
    assert tokenizer is not None
    return OtherTokenization(model.path, tokenizer.kind, tokenizer.vocab_size, read)
