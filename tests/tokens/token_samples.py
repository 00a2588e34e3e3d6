"""Texts that tokenizers stumble over, and small tokenizers made on the spot, for where the real data is absent."""

import base64
import json
from pathlib import Path

ODD = [
    "", " ", "  ", "   a", "a   ", " a", "a b  c   d", "\t", "a\tb\t\tc", "\n", "\n\n\n", "a\r\nb", "\r\n\r\n", "a \n b", " \n", "\r",
    "\u3000中文　全角空格", "\u00a0no\u00a0break\u00a0", "line\u2028separator", "next\u0085line", "\ufefffirst", "a\ufeffb", "\u200bzero\u200dwidth",
    "\x00", "a\x00b", "\x01\x02\x1b[0m\x7f", "bell\x07\x08", "\x1c\x1d\x1e\x1f", "a\x0bb\x0cc", "\ufffd", "�中�",
    "👩‍👩‍👧‍👦 family", "🏳️‍🌈🏴‍☠️", "👍🏽👍🏿", "🇨🇳🇬🇧", "❤️❤", "1️⃣", "🧑‍💻写code🚀",
    "e\u0301 é", "n\u0303ñ", "a\u0300\u0323\u0301", "각 \u1100\u1161\u11a8", "Å Å", "ﬁ ﬃ", "ก็เป็นที่", "हिन्दी में", "Việt Nam", "İstanbul ı",
    "Привет, мир", "γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم", "日本語とカタカナ", "한국어 문장", "ελληνικά中文English混合", "今天天气真好，出去走走吧！",
    "你好world你好", "２０２４年１月", "𠮷野家", "𝒽𝑒𝓁𝓁𝑜", "\U0010ffff", "龘靐齉", "⿰亻尔",
    "a" * 300, "-" * 300, " " * 300, "\n" * 100, "哈" * 200, "=" * 80 + ">", "a" * 99 + " " + "b" * 101, "ab" * 90, "." * 77,
    "▁▁ a", "▁", "a▁b", " ▁ ", "Ġ Ċ Ġa", "##ing ##", "a##b",
    "ſ 'S", "'ſ", "I'M we'LL they're 'tis 's", "don't DON'T", "x'd", "K K", "ß ẞ SS",
    "<s>", "</s>", "<unk>", "<s>a</s>", " <s> </s> ", "<|endoftext|>", "a<|endoftext|>b", "<|im_start|>user\nhi<|im_end|>",
    "[CLS]", "[SEP]", "[CLS]今天[SEP]", "[MASK]", "[UNK]", "[PAD]", "[cls]", "<0x0A>", "<0x41>a", "<0xE4><0xBD>", "<think>\n\n</think>", "<tool_call>",
    "3.14159", "1234567890", "1,000,000", "٣٤٥", "½ ²", "Ⅷ", "http://a.b/c?d=e&f=g#h", "a_b-c.d@e.f", "C:\\x\\y", "{\"k\": [1, 2]}",
    "def f(x):\n    return x + 1\n\n\n", "\tif (a) {\n\t\tb();\n\t}\n", "!!!", "?!…", "“引号”‘单’", "——", "a  \n\n  b", "trailing \t \n \t", "  \u3000 \u00a0x",
]  # fmt: skip

SPECIALS = ["<s>", "</s>"]  # of every small tokenizer but WordPiece; <s> is its begin token
