"""How much memory commands take at a real size: `evaluate` on a text and on a world, `finetune --lora`, `complete`.

    python benchmarks/memory.py [evaluate-text evaluate-world lora complete]

A model of Qwen2.5-0.5B's shape with random weights is written in bf16, with a tokenizer trained on the world. Each command
runs in a process of its own; printed is the most memory that it held (the mapped weights included) and how long it took. No
data from elsewhere is needed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from shared import machine, write_random_model

from liuli.world import World
from liuli.world.dialogues import write_dialogues
from liuli.world.folder import write_folder

DOCUMENTS, CONVERSATIONS = 60, 60
RUN = """\
import resource
from functools import partial
from liuli.cli.app import main
from liuli.evaluate import against_world
against_world.compare_with_world = partial(against_world.compare_with_world, samples=64)
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*")
    chosen = parser.parse_args().which
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, place, talks = folder / "model", folder / "place", folder / "talks.jsonl"
        world = World()
        write_folder(world, str(place), DOCUMENTS)
        write_dialogues(world, talks, CONVERSATIONS)
        write_random_model(model, "qwen2.5-0.5b", torch.bfloat16, world, DOCUMENTS)
        lora = ["--lora", 16, "--dtype", "bf16", "--rows", 2, "--length", 512, "--epochs", 3]
        commands = {
            "evaluate-text": ["evaluate", model, place / "documents.jsonl"],
            "evaluate-world": ["evaluate", model, place, "--points", 2],
            "lora": ["finetune", model, talks, "--out", folder / "run", *lora],
            "complete": ["complete", model, "小明今天去", "--max-tokens", 20],
        }
        for name, words in commands.items():
            if not chosen or name in chosen:
                _measure(name, [str(word) for word in words])


def _measure(name: str, words: list[str]) -> None:
    started = time.perf_counter()
    ended = subprocess.run([sys.executable, "-P", "-c", RUN, *words], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if ended.returncode:
        print(f"{name}: failed with {ended.returncode}: {ended.stderr.strip()}", flush=True)
        return
    print(f"{name}: {int(ended.stdout.split()[-1]) * 1024 / 1e9:.2f} GB at most, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
