"""What the tests of tokenizers share: texts that they stumble over, the list of layouts, and small tokenizers made here."""

import base64
import io
import json
import random
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from liuli.tokens import Tokenizer

ODD = [
    "", " ", "  ", "   a", "a   ", " a", "a b  c   d", "\t", "a\tb\t\tc", "\n", "\n\n\n", "a\r\nb", "\r\n\r\n", "a \n b", "\r",
    "\u3000中文　全角空格", "\u00a0no\u00a0break\u00a0", "line\u2028separator", "next\u0085line", "\ufefffirst", "a\ufeffb",
    "\u200bzero\u200dwidth", "\x00", "a\x00b", "\x01\x02\x1b[0m\x7f", "\x1c\x1d\x1e\x1f", "a\x0bb\x0cc", "\ufffd", "�中�",
    "👩‍👩‍👧‍👦 family", "🏳️‍🌈🏴‍☠️", "👍🏽👍🏿", "🇨🇳🇬🇧", "❤️❤", "1️⃣", "🧑‍💻写code🚀",
    "𠮷野家", "𝒽𝑒𝓁𝓁𝑜", "\U0010fffd", "龘靐齉", "⿰亻尔",
    "e\u0301 é", "n\u0303ñ", "a\u0300\u0323\u0301", "각 \u1100\u1161\u11a8", "A\u030a \u212b", "ﬁ ﬃ",
    "ก็เป็นที่", "हिन्दी में", "Việt Nam", "İ ı", "Привет, мир", "γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم",
    "日本語とカタカナ", "한국어 문장", "ελληνικά中文English混合", "今天天气真好，出去走走吧！", "你好world你好",
    "２０２４年１月", "“引号”‘单’", "——", "!!!", "?!…", "½ ²", "Ⅷ", "٣٤٥",
    "a" * 300, "-" * 300, " " * 300, "\n" * 100, "哈" * 200, "=" * 80 + ">", "a" * 99 + " " + "b" * 101, "ab" * 90,
    "▁▁ a", "▁", "a▁b", " ▁ ", "Ġ Ċ Ġa", "##ing ##", "a##b", "<0x0A>", "<0x41>a", "<0xE4><0xBD>",
    "ſ 'S", "'ſ", "I'M we'LL they're 'tis 's", "x'd", "\u212a K", "ß ẞ SS",
    "<s>", "</s>", "<unk>", "<s>a</s>", " <s> </s> ", "<|endoftext|>", "a<|endoftext|>b", "<|im_start|>user\nhi<|im_end|>",
    "[CLS]", "[CLS]今天[SEP]", "[MASK]", "[UNK]", "[cls]", "<think>\n\n</think>", "<tool_call>",
    "3.14159", "1234567890", "1,000,000", "http://a.b/c?d=e&f=g#h", "a_b-c.d@e.f", 'C:\\x {"k": [1, 2]}',
    "def f(x):\n    return x + 1\n\n\n", "\tif (a) {\n\t\tb();\n\t}\n", "a  \n\n  b", "trailing \t \n \t", "  \u3000 \u00a0x",
]  # fmt: skip

# What the small vocabularies know beyond single bytes or characters.
WORDS = [
    "the",
    " the",
    " hello",
    "hello",
    " world",
    "ing",
    "  ",
    "\n\n",
    "'s",
    "123",
    "aaaa",
    "----",
    "你好",
    "今天",
    "天气",
    "。",
    "👍",
    "é",
]


@dataclass(frozen=True)
class Layout:
    """A tokenizer opened from the files in `folder`. `style`: "bytes" for byte-level BPE, "spaced" for SentencePiece's
    way, "plain" for characters, "words" for WordPiece. `begin` and `end`: the special strings of that use, where it has
    them."""

    name: str
    folder: Path
    tokenizer: Tokenizer
    style: str
    begin: str | None
    end: str

    def normal(self, text: str) -> str:
        """The text as decoding can give it back at best (not asked of WordPiece)."""
        if self.name == "qwen-merges":
            return unicodedata.normalize("NFC", text)
        return text.replace("▁", " ") if self.style == "spaced" else text


# name: (style, cutting pattern to ask for, begin string, end string)
LAYOUTS = {
    "stories": ("spaced", None, "<s>", "</s>"),
    "minimind": ("bytes", None, None, "<|im_end|>"),
    "gpt2": ("bytes", "gpt2", None, "<|endoftext|>"),
    "qwen": ("bytes", None, None, "<|im_end|>"),
    "qwen-merges": ("bytes", None, None, "<|im_end|>"),
    "llama2": ("spaced", None, "<s>", "</s>"),
    "bert": ("words", None, "[CLS]", "[SEP]"),
    "small-bytes": ("bytes", None, "<s>", "</s>"),
    "small-merges": ("bytes", "gpt2", "<s>", "</s>"),
    "small-ranks": ("bytes", "llama3", "<s>", "</s>"),
    "small-spaced": ("spaced", None, "<s>", "</s>"),
    "small-unprefixed": ("spaced", None, "<s>", "</s>"),
    "small-sentencepiece": ("spaced", None, "<s>", "</s>"),
    "small-words": ("words", None, "[CLS]", "[SEP]"),
    "small-words-json": ("words", None, "[CLS]", "[SEP]"),
    "trained-bpe": ("bytes", None, "<|endoftext|>", "<|im_end|>"),
    "trained-char": ("plain", None, "<|endoftext|>", "<|im_end|>"),
}


def layouts(*styles: str) -> pytest.MarkDecorator:
    """Runs a test on the layouts of these styles only."""
    return pytest.mark.parametrize("layout", [name for name, row in LAYOUTS.items() if row[0] in styles], indirect=True)


def only(*names: str) -> pytest.MarkDecorator:
    """Runs a test on the layouts of these names only."""
    return pytest.mark.parametrize("layout", names, indirect=True)


# https://github.com/openai/gpt-2, bytes_to_unicode: how byte-level pieces are spelled.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
SPELLING = {byte: chr(byte) for byte in _PRINTABLE}
SPELLING |= {byte: chr(0x100 + i) for i, byte in enumerate(byte for byte in range(256) if byte not in _PRINTABLE)}


def spelled(piece: bytes) -> str:
    return "".join(SPELLING[byte] for byte in piece)


def read_ranks(path: Path) -> dict[bytes, int]:
    return {base64.b64decode(piece): int(rank) for piece, rank in map(bytes.split, path.read_bytes().splitlines())}


def small_ranks() -> dict[bytes, int]:
    """Every byte, and every beginning of every one of WORDS."""
    ranks = {bytes([byte]): byte for byte in range(256)}
    for word in map(str.encode, WORDS):
        for end in range(2, len(word) + 1):
            ranks.setdefault(word[:end], len(ranks))
    return ranks


def merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pair that each piece is joined from: what merging by lower ranks leaves of it, if that is two pieces."""
    found = []
    for piece, limit in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [piece[i : i + 1] for i in range(len(piece))]
        while len(parts) > 2:
            rank, at = min((ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1))
            if rank == limit:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            found.append((parts[0], parts[1]))
    return found


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def write_vocab_and_merges(folder: Path, ranks: dict[bytes, int], config: dict[str, Any]) -> None:
    write_json(folder / "vocab.json", {spelled(piece): rank for piece, rank in ranks.items()})
    lines = [f"{spelled(left)} {spelled(right)}" for left, right in merges_of(ranks)]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
    write_json(folder / "tokenizer_config.json", config)


def config_with_specials(first: int, *texts: str, **settings: Any) -> dict[str, Any]:
    """A tokenizer_config.json that names special tokens, with ids from `first` on."""
    return settings | {"added_tokens_decoder": {str(first + i): {"content": text} for i, text in enumerate(texts)}}


def write_ranks(path: Path, ranks: dict[bytes, int]) -> None:
    path.write_bytes(b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in ranks.items()))


def with_specials(backend: tokenizers.Tokenizer, begin: str, end: str) -> tokenizers.Tokenizer:
    """Adds the two, and a post-processor that puts them around every text."""
    backend.add_special_tokens([begin, end])
    ids = [(text, backend.token_to_id(text)) for text in (begin, end)]
    backend.post_processor = processors.TemplateProcessing(f"{begin} $A {end}", f"{begin} $A {end} $B {end}", ids)
    return backend


def byte_level() -> tokenizers.Tokenizer:
    ranks = small_ranks()
    vocab = {spelled(piece): rank for piece, rank in ranks.items()}
    backend = tokenizers.Tokenizer(models.BPE(vocab, [(spelled(left), spelled(right)) for left, right in merges_of(ranks)]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return with_specials(backend, "<s>", "</s>")


def spaced(dummy_prefix: bool = True) -> tokenizers.Tokenizer:
    """BPE with ▁ for spaces and bytes for unknown characters, as the Llama (or without the prefix: Gemma) family has it."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    merges = []
    words = [
        word.replace(" ", "▁") for word in [" ", *WORDS, "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,"]
    ]
    for character in dict.fromkeys("".join(words)):
        vocab[character] = len(vocab)
    for word in words[: len(WORDS) + 1]:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocab:
                vocab[word[:end]] = len(vocab)
                merges.append((word[: end - 1], word[end - 1]))
    backend = tokenizers.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if dummy_prefix else replace
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * dummy_prefix)
    return with_specials(backend, "<s>", "</s>")


def metaspace(scheme: str) -> tokenizers.Tokenizer:
    """The same model as `spaced`, with the spaces put by `Metaspace`."""
    backend = spaced()
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return backend


def wordpiece_lines() -> list[str]:
    singles = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()]
    whole = ["the", "hello", "world", "he", "##llo", "##ing", "##ly", *"你好今天气真，。！é日本語"]
    return [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *singles,
        *("##" + single for single in singles if single.isalnum()),
        *whole,
    ]


def wordpiece() -> tokenizers.Tokenizer:
    vocab = {piece: id for id, piece in enumerate(wordpiece_lines())}
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return with_specials(backend, "[CLS]", "[SEP]")


def bilingual(sentences: int = 2000) -> list[str]:
    """Chinese and English by chance, some words far more often than others: enough to train a small tokenizer on."""
    draw = random.Random(5)
    english = ["".join(draw.choices("aeiourstnlmd", k=draw.randint(1, 7))) for _ in range(300)]
    chinese = ["".join(draw.choices("今天气真好我们去学校看书明国人大山水", k=draw.randint(1, 3))) for _ in range(300)]
    texts = []
    for _ in range(sentences):
        words = [draw.choice(draw.choice((english, chinese))[: draw.choice((10, 60, 300))]) for _ in range(draw.randint(3, 15))]
        space = " " if draw.random() < 0.5 else ""
        texts.append(space.join(words) + draw.choice(["。\n", ". ", f" {draw.randint(0, 999)}！", ", don't\n"]))
    return ["".join(texts[start : start + 50]) for start in range(0, sentences, 50)]


def write_sentencepiece(folder: Path, **settings: Any) -> None:
    """Trains a model on ODD (milliseconds). Settings as Llama's, but for those given."""
    import sentencepiece

    usual = {
        "model_type": "bpe", "vocab_size": 650, "byte_fallback": True, "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False, "character_coverage": 0.98, "minloglevel": 2, "num_threads": 1,
    }  # fmt: skip
    texts = [text for text in ODD if text.strip() and "\0" not in text and "\n" not in text]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=written, **usual | settings)
    (folder / "tokenizer.model").write_bytes(written.getvalue())
