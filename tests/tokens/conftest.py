"""Every layout of the room, opened once: the real tokenizers, and small ones that need no data."""

from pathlib import Path

import pytest
from helpers import token_samples as samples
from helpers.token_samples import LAYOUTS, Layout

from liuli.tokens import open_tokenizer
from liuli.tokens.train import train

QWEN_SPECIALS = (151643, "<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _folder(name: str, request: pytest.FixtureRequest, made: Path) -> Path:
    """The folder of a layout: of the real data as it is, or written to `made`."""
    if name == "stories":
        return request.getfixturevalue("stories")
    if name.startswith("trained-"):
        train(samples.bilingual(), name.removeprefix("trained-"), 700 if name == "trained-bpe" else 300).write(made)
        return made
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
    style, pattern, begin, end = LAYOUTS[request.param]
    folder = _folder(request.param, request, tmp_path_factory.mktemp(request.param))
    return Layout(request.param, folder, open_tokenizer(folder, pattern), style, begin, end)


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
    if layout.name.startswith("trained-"):
        return "".join(samples.bilingual()).splitlines(keepends=True)[:500] + samples.ODD
    return samples.ODD if layout.name.startswith("small-") else request.getfixturevalue("lines")
