"""Tokens per character of Chinese and English text: tokenizers trained here beside those of known models.

    python benchmarks/tokenizers_table.py

Ours are trained on the first nine tenths of each file; all are counted on the last tenths, which none of ours saw.
"""

import json
import tempfile

from shared import SHARED, machine

from liuli.tokens import Tokenizer, open_tokenizer
from liuli.tokens.train import train

TEXTS, KNOWN = SHARED / "data" / "text", SHARED / "data" / "tokenizers"


def read(language: str) -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted((TEXTS / language).glob("*.txt"))]
    for path in sorted((TEXTS / language).glob("*.jsonl")):
        texts.append("\n".join(json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()))
    return texts


def trained(texts: list[str], kind: str, vocab_size: int) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        train(texts, kind, vocab_size).write(folder)
        return open_tokenizer(folder)


def rate(tokenizer: Tokenizer, texts: list[str]) -> float:
    lines = [line for text in texts for line in text.splitlines(keepends=True)]
    return sum(len(tokenizer.encode(line)) for line in lines) / sum(map(len, lines))


def main() -> None:
    whole = {"zh": read("zh"), "en": read("en")}
    seen = [text[: len(text) * 9 // 10] for texts in whole.values() for text in texts]
    unseen = {language: [text[len(text) * 9 // 10 :] for text in texts] for language, texts in whole.items()}
    rows = {
        "GPT-2": open_tokenizer(KNOWN / "gpt2", "gpt2"),
        "llama2": open_tokenizer(KNOWN / "llama2"),
        "Qwen": open_tokenizer(KNOWN / "qwen", "qwen"),
        "MiniMind": open_tokenizer(KNOWN / "minimind"),
        "ours, characters": trained(seen, "char", 6_400),
        "ours": trained(seen, "bpe", 6_400),
        "ours, larger": trained(seen, "bpe", 32_000),
    }
    print(machine())
    print(f"{'tokenizer':18}{'vocabulary':>11}{'zh':>8}{'en':>8}   tokens per character")
    for name, tokenizer in rows.items():
        zh, en = rate(tokenizer, unseen["zh"]), rate(tokenizer, unseen["en"])
        print(f"{name:18}{tokenizer.vocab_size:>11,}{zh:8.3f}{en:8.3f}")


if __name__ == "__main__":
    main()
