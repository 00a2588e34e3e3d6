"""Every layout of the room, opened once: the real tokenizers, and small ones that need no data."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import token_samples as samples

from liuli.tokens import Tokenizer, open_tokenizer


@dataclass(frozen=True)
class Layout:
    """`begin` and `end`: the special strings of that use, where the tokenizer has them."""

    name: str
    folder: Path
    tokenizer: Tokenizer
    begin: str | None
    end: str

    @property
    def is_byte_level(self) -> bool:
        return self.tokenizer.kind == "byte-level BPE"

    def normal(self, text: str) -> str:
        """The text as a decoder can give it back at best (not asked of WordPiece)."""
        import unicodedata

        if self.name == "qwen-merges":
            return unicodedata.normalize("NFC", text)
        return text if self.is_byte_level else text.replace("▁", " ")


# name: (cutting pattern to ask for, begin string, end string)
LAYOUTS = {
    "stories": (None, "<s>", "</s>"),
    "minimind": (None, None, "<|im_end|>"),
    "gpt2": ("gpt2", None, "<|endoftext|>"),
    "qwen": (None, None, "<|im_end|>"),
    "qwen-merges": (None, None, "<|im_end|>"),
    "llama2": (None, "<s>", "</s>"),
    "bert": (None, "[CLS]", "[SEP]"),
    "small-bytes": (None, "<s>", "</s>"),
    "small-merges": ("gpt2", "<s>", "</s>"),
    "small-ranks": ("llama3", "<s>", "</s>"),
    "small-spaced": (None, "<s>", "</s>"),
    "small-unprefixed": (None, "<s>", "</s>"),
    "small-sentencepiece": (None, "<s>", "</s>"),
    "small-words": (None, "[CLS]", "[SEP]"),
    "small-words-json": (None, "[CLS]", "[SEP]"),
}
QWEN_SPECIALS = (151643, "<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _folder(name: str, request: pytest.FixtureRequest, made: Path) -> Path:
    """The folder of a layout: of the real data as it is, or written to `made`."""
    if name == "stories":
        return request.getfixturevalue("stories")
    if not name.startswith("small-"):
        real = request.getfixturevalue("data") / "tokenizers"
        if name == "qwen":
            (made / "qwen.tiktoken").symlink_to(real / "qwen" / "qwen.tiktoken")
            config = samples.config_with_specials(*QWEN_SPECIALS, tokenizer_class="QWenTokenizer")
            samples.write_json(made / "tokenizer_config.json", config)
        elif name == "qwen-merges":
            config = samples.config_with_specials(*QWEN_SPECIALS, tokenizer_class="Qwen2Tokenizer")
            samples.write_vocab_and_merges(made, samples.read_ranks(real / "qwen" / "qwen.tiktoken"), config)
        else:
            return real / {"bert": "bert-base-chinese"}.get(name, name)
        return made
    ranks = samples.small_ranks()
    config = samples.config_with_specials(len(ranks), "<s>", "</s>", bos_token="<s>", add_bos_token=True)
    if name == "small-merges":
        samples.write_vocab_and_merges(made, ranks, config)
    elif name == "small-ranks":  # as Llama 3 came: ranks in a file of SentencePiece's name
        samples.write_ranks(made / "tokenizer.model", ranks)
        samples.write_json(made / "tokenizer_config.json", config)
    elif name == "small-sentencepiece":
        samples.write_sentencepiece(made, user_defined_symbols=["<fix>", "<fix>a", "今天"], control_symbols=["<ctl>"])
    elif name == "small-words":
        (made / "vocab.txt").write_text("\n".join(samples.wordpiece_lines()) + "\n", encoding="utf-8")
    else:
        make = {"bytes": samples.byte_level, "spaced": samples.spaced, "words-json": samples.wordpiece}
        backend = samples.spaced(dummy_prefix=False) if name == "small-unprefixed" else make[name.removeprefix("small-")]()
        backend.save(str(made / "tokenizer.json"))
    return made


@pytest.fixture(scope="session", params=LAYOUTS)
def layout(request, tmp_path_factory) -> Layout:
    pattern, begin, end = LAYOUTS[request.param]
    folder = _folder(request.param, request, tmp_path_factory.mktemp(request.param))
    return Layout(request.param, folder, open_tokenizer(folder, pattern), begin, end)


@pytest.fixture(scope="session")
def lines(data) -> list[str]:
    """2,000 lines, spread evenly over the real texts, and the odd ones."""
    paths = sorted(data.glob("text/*/*.txt"))
    found = []
    for path in paths:
        whole = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        count = 2000 // len(paths) + (path == paths[0]) * (2000 % len(paths))
        found += [whole[i * len(whole) // count] for i in range(count)]
    assert len(found) == 2000
    return found + samples.ODD


@pytest.fixture
def texts(layout, request) -> list[str]:
    """What to try a layout on: the small ones go without the real data."""
    return samples.ODD if layout.name.startswith("small-") else request.getfixturevalue("lines")
