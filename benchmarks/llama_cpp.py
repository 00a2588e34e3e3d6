"""Compares a GGUF file that Liuli writes in Liuli and in llama.cpp: ids, logits, and greedy replies. With a quantised type it
also shows how far the file is from the model that it was made from.

    python benchmarks/llama_cpp.py MODEL [--python PATH] [--type f32] [--lines 2000]

llama.cpp runs in a process of its own, since its package (llama-cpp-python) may be installed for another Python: `--python`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from shared import SHARED

from liuli.hub import find_model
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import read_decoder
from liuli.recipes.convert import to_gguf
from liuli.tokens import open_tokenizer

PROMPTS = ["The largest city in the United States is", "我今天想去游乐园玩", "1 + 1 ="]
STEPS = 16  # of greedy text
ODD = [
    "👩‍👩‍👧‍👦 family 👍🏽 🇨🇳🇬🇧 1️⃣", "\x00\x01\x1b[0m\x7f a\tb\t\tc", "a\r\nb\r\n\r\n  c",
    "ελληνικά中文English混合 日本語 한국어", "I'M we'LL they're 'tis ‘so’ don’t", "e\u0301 n\u0303 ก็เป็นที่ हिन्दी में",
    "　　全角空格　a", "   a  b   c", "١٢٣ ½ Ⅷ 1234567", "<|im_start|>user\nhi<|im_end|> <s> </s>",
    "def f(x):\n    return x + 1\n\n\n", "𝒽𝑒𝓁𝓁𝑜 𠮷野家 龘", "!!! ?!… —— “引号”‘单’",
]  # fmt: skip
# Keys and values in fp32 (type 0); llama.cpp keeps them in 16 bits by itself, which is an error of 3e-3.
CHILD = """
import json, sys
import numpy as np
import llama_cpp
path, asked, out = sys.argv[1:]
asked = json.load(open(asked))
model = llama_cpp.Llama(path, n_ctx=128, n_batch=128, logits_all=True, verbose=False, seed=0, type_k=0, type_v=0)
ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in asked["texts"]]
logits, greedy = [], []
for prompt in asked["prompts"]:
    model.reset()
    model.eval(prompt)
    logits.append(np.array(model.scores[: len(prompt)], np.float32))
    found = list(prompt)
    for _ in range(asked["steps"]):
        found.append(int(np.argmax(model.scores[len(found) - 1])))
        model.eval(found[-1:])
    greedy.append(found[len(prompt):])
np.savez(out, ids=json.dumps(ids), greedy=json.dumps(greedy), **{f"logits{i}": each for i, each in enumerate(logits)})
"""


def real_lines(count: int) -> list[str]:
    paths = sorted((SHARED / "data" / "text").glob("*/*.txt"))
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    return [lines[i * len(lines) // count] for i in range(count)]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--type", default="f32")
    options.add_argument("--lines", type=int, default=2000)
    given = options.parse_args()
    model = find_model(given.model, weights=True)
    tokenizer = open_tokenizer(model)
    texts = [*real_lines(given.lines), *ODD]
    prompts = [tokenizer.encode(text, prompt=True) for text in PROMPTS]
    with tempfile.TemporaryDirectory() as place:
        file, asked, out = Path(place) / "m.gguf", Path(place) / "asked.json", Path(place) / "out.npz"
        print(f"{given.model} as {given.type}:", dict(to_gguf(model, file, given.type, "m")))
        asked.write_text(json.dumps({"texts": texts, "prompts": prompts, "steps": STEPS}))
        subprocess.run([given.python, "-P", "-c", CHILD, str(file), str(asked), str(out)], check=True)
        theirs = dict(np.load(out))
        written = read_decoder(file, dtype=torch.float32)
        of_file = open_tokenizer(file)
        others = [text for text in texts if of_file.encode(text) != tokenizer.encode(text)]
        print(f"ids of the model and of the file: {len(texts) - len(others):,} of {len(texts):,} texts alike")
    ids = json.loads(str(theirs["ids"]))
    other = [text for text, found in zip(texts, ids, strict=True) if found != tokenizer.encode(text)]
    print(f"ids: {len(texts) - len(other):,} of {len(texts):,} texts alike; others: {other[:5]!r}")
    decoder = read_decoder(model)
    for i, prompt in enumerate(prompts):
        found, original = (logits_of(each, prompt) for each in (written, decoder))
        apart = [np.abs(found - other) / found.std() for other in (theirs[f"logits{i}"], original)]
        numbers = ", ".join(
            f"{np.sqrt((each**2).mean()):.1e} (largest {each.max():.1e}) from {whose}"
            for each, whose in zip(apart, ("llama.cpp", "the model"), strict=True)
        )
        said, steps = json.loads(str(theirs["greedy"]))[i], greedy(written, prompt)
        alike = next((n for n, (one, other) in enumerate(zip(said, steps, strict=True)) if one != other), STEPS)
        print(f"{PROMPTS[i]!r} continues {tokenizer.decode(said, special=True)!r} there; {alike} of {STEPS} tokens alike")
        print(f"    logits, in their standard deviations: {numbers}")
        if alike < STEPS:
            print(f"    here: {tokenizer.decode(steps, special=True)!r}, {gap(written, prompt + steps[:alike])}")


def logits_of(decoder: Decoder, prompt: list[int]) -> np.ndarray:
    with torch.no_grad():
        return decoder(torch.tensor([prompt]))[0].numpy()


def greedy(decoder: Decoder, prompt: list[int]) -> list[int]:
    steps = list(prompt)
    for _ in range(STEPS):
        steps.append(int(logits_of(decoder, steps)[-1].argmax()))
    return steps[len(prompt) :]


def gap(decoder: Decoder, ids: list[int]) -> str:
    """How close the two best choices are."""
    last = logits_of(decoder, ids)[-1]
    second, first = np.sort(last)[-2:]
    return f"where the best two logits are {(first - second) / last.std():.1e} apart"


if __name__ == "__main__":
    main()
