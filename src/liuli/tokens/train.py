"""Trains a tokenizer: from an iterator of texts to a folder that `transformers`, `tokenizers` and Liuli can open.

There are two kinds. "bpe" is byte-level byte-pair encoding as in GPT-2 (Sennrich, Haddow and Birch 2016,
https://aclanthology.org/P16-1162). The `tokenizers` library trains it on chunks that the pattern `TRAINED` gives. In "char",
every character is a token, and a character that is not in the vocabulary is written as its UTF-8 bytes. Both can encode any
text and decode it unchanged.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers, processors, trainers

from liuli.background import in_background
from liuli.errors import LiuliError
from liuli.files import read_json, write_together
from liuli.output_paths import OwnFolder, check_new_folder, parents_of
from liuli.tokens.formats.patterns import TRAINED
from liuli.tokens.sample import SAMPLE_BYTES, TextSample, take_sample

# These come first in the vocabulary, so that they have the same ids in every tokenizer that Liuli trains.
SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
)  # fmt: skip
BEGIN = SPECIALS[0]
LEAST = len(SPECIALS) + 256
VOCAB_SIZE = 6_400
MAX_PIECE = 15  # bytes: five Chinese characters, or most English words with their space
TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"


@dataclass(frozen=True)
class TrainedTokenizer:
    """A trained tokenizer.

    Attributes:
        backend: the object of the `tokenizers` library.
        kind: "bpe" or "char".
        sample: the text that it was trained on.
    """

    backend: tokenizers.Tokenizer
    kind: str
    sample: TextSample

    def write(self, folder: str | Path, force: bool = False) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json`; `liuli.open_tokenizer(folder)` opens them.

        Raises:
            LiuliError: see `check_tokenizer_folder`.
            OSError: a file cannot be written.
        """
        check_tokenizer_folder(folder, force)
        folder = Path(folder)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BEGIN,
            "eos_token": BEGIN,
            "clean_up_tokenization_spaces": False,
            "liuli": {"kind": self.kind, "trained_on_bytes": self.sample.bytes, "of_bytes": self.sample.total_bytes},
        }
        # The configuration marks the folder as one of Liuli's. It comes first, so that a crash between the two leaves a mark.
        texts = {CONFIG: json.dumps(config, indent=2), TOKENIZER: self.backend.to_str(pretty=True)}
        with parents_of(folder / TOKENIZER):
            write_together({folder / name: partial(_fill, text=text) for name, text in texts.items()})


def check_tokenizer_folder(folder: str | Path, force: bool = False) -> None:
    """Checks that a tokenizer can be written to `folder`. Changes nothing.

    Args:
        force: the folder may contain a tokenizer that Liuli trained.

    Raises:
        LiuliError: the folder contains something else, or such a tokenizer without `force`; it could not be written.
    """
    check_new_folder(folder, OwnFolder("a tokenizer", (TOKENIZER, CONFIG), _is_own), force)


def _is_own(folder: Path) -> bool:
    """Whether Liuli trained the tokenizer in a folder."""
    with suppress(LiuliError):
        return "liuli" in read_json(folder / CONFIG)
    return False


def _fill(part: Path, text: str) -> None:
    part.write_text(text + "\n", encoding="utf-8")


def train(
    texts: Iterable[str],
    kind: str = "bpe",
    vocab_size: int | None = None,
    note: Callable[[str], None] = lambda _: None,
    most: int = VOCAB_SIZE,
    sample_bytes: int = SAMPLE_BYTES,
) -> TrainedTokenizer:
    """Trains a tokenizer on a sample of `texts` (see `take_sample`; for "char", the characters of all texts are counted). The
    same texts give the same tokenizer, to the byte.

    Args:
        kind: "bpe" or "char".
        vocab_size: the number of tokens, including special tokens and the 256 bytes. Default: `most`, or fewer if the text
            gives fewer. For "char", the most frequent characters are used; equally frequent ones by code point.
        note: a function that is called with a message when the text has been read and training begins.
        sample_bytes: the size of the sample at most, in bytes.

    Raises:
        LiuliError: `vocab_size` is too small for the special tokens and bytes, or larger than the text gives; there is no
            text; a text contains a lone surrogate; the kind is unknown.
    """
    if kind not in ("bpe", "char"):
        raise LiuliError(f"there is no tokenizer of kind {kind!r}: choose bpe or char")
    if vocab_size is not None and vocab_size < LEAST:
        raise LiuliError(
            f"a vocabulary of {vocab_size} is too small: {len(SPECIALS)} special tokens and 256 bytes need at least {LEAST}"
        )
    if kind == "char":
        counts: Counter[str] = Counter()
        sample = _sampled(_counted(texts, counts), sample_bytes, note)
        backend = _train_characters(counts, vocab_size or min(most, LEAST + len(counts)))
    else:
        sample = _sampled(texts, sample_bytes, note)
        backend = _train_bpe(sample, vocab_size or most)
        _check_reached(backend.get_vocab_size(), vocab_size or 0)
    backend.add_special_tokens(list(SPECIALS))
    backend.post_processor = processors.TemplateProcessing(f"{BEGIN} $A", f"{BEGIN} $A $B", [(BEGIN, SPECIALS.index(BEGIN))])
    return TrainedTokenizer(backend, kind, sample)


def _sampled(texts: Iterable[str], limit: int, note: Callable[[str], None]) -> TextSample:
    sample = take_sample(texts, limit)
    note(f"training the tokenizer on {sample.bytes / 1e6:.1f} MB")
    return sample


def _train_bpe(sample: TextSample, vocab_size: int) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(TRAINED), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        # The library reserves memory for this number of tokens, and no text gives more than the second number.
        vocab_size=min(vocab_size, LEAST + sample.bytes // 2),
        min_frequency=2,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_PIECE + 1,  # in the library, this length is excluded
        show_progress=False,
    )
    in_background(lambda: backend.train_from_iterator(sample.texts(), trainer))
    return backend


def _train_characters(counts: Counter[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Returns BPE without merges, with byte fallback for unknown characters."""
    _check_reached(LEAST + len(counts), vocab_size)
    by_frequency = sorted(counts, key=lambda character: (-counts[character], character))
    pieces = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256)), *by_frequency[: vocab_size - LEAST]]
    vocab = {piece: id for id, piece in enumerate(pieces)}
    backend = tokenizers.Tokenizer(models.BPE(vocab, [], byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return backend


def _counted(texts: Iterable[str], counts: Counter[str]) -> Iterator[str]:
    for text in texts:
        counts.update(text)
        yield text


def _check_reached(reached: int, vocab_size: int) -> None:
    if reached < vocab_size:
        raise LiuliError(
            f"the text gives only {reached:,} tokens, but {vocab_size:,} were requested: give --vocab-size {reached} or less, "
            f"or more text"
        )
