"""Rows a second, tokens a second, places used and peak memory of what a training step reads, packing included.

    python benchmarks/rows.py [--gigabytes 1] [--length 512]

The world's documents, `../shared/data/text` as it is, and one `.txt` of a gigabyte made by repeating its text. Each is read
once, by a process of its own, with a tokenizer trained on it (2,000 tokens for the world, else 6,400). One thread encodes ahead
and one packs; Python lets one of them run at a time, but for the encoding itself.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from shared import SHARED, machine

MB = 1e6


def measure(tokenizer: str, source: str, length: int) -> dict[str, float]:
    """One epoch, in this process; memory is the process's peak above what it held when it began to read."""
    import liuli
    from liuli.data.packing.batch import IGNORED
    from liuli.data.split import split_texts
    from liuli.data.text.sources import Sources
    from liuli.learn.rows.text_rows import TextRows

    opened = liuli.open_tokenizer(tokenizer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    batches = TextRows(split_texts(Sources([source])), opened, length, seed=0, epochs=1)
    rows = tokens = 0
    while (batch := batches.take(8)) is not None:
        rows += len(batch.ids_BT)
        tokens += int((batch.targets_BT != IGNORED).sum())
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "rows": rows, "tokens": tokens, "seconds": seconds, "used": tokens / rows / length,
        "peak": peak * 1024, "grown": (peak - before) * 1024,
    }  # fmt: skip


def repeated_text(path: Path, size: int) -> None:
    """Novels and plays, one after the other, until the file has `size` bytes."""
    texts = [file.read_bytes() for file in sorted((SHARED / "data" / "text").rglob("*.txt"))]
    with path.open("wb") as file:
        for text in cycle(texts):
            if file.tell() >= size:
                return
            file.write(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--measure", nargs=2, metavar=("TOKENIZER", "SOURCE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure, arguments.length)))
        return

    print(machine())
    liuli = [sys.executable, "-P", "-c", "from liuli.cli.app import main; main()"]
    with tempfile.TemporaryDirectory() as work:
        world, big = Path(work) / "world", Path(work) / "repeated.txt"
        subprocess.run([*liuli, "world", "--documents", "65000", "--out", str(world)], check=True, capture_output=True)
        repeated_text(big, int(arguments.gigabytes * 1e9))
        text = SHARED / "data" / "text"
        for name, source, trained_on, size in (
            ("the world", world / "documents.jsonl", world / "documents.jsonl", 2000),
            ("text/", text, text, 6400),
            (f"{arguments.gigabytes:g} GB in one file", big, text, 6400),
        ):
            tokenizer = Path(work) / name.replace("/", "")
            train = [*liuli, "tokenizer", "train", str(trained_on), "--vocab-size", str(size), "--out", str(tokenizer)]
            subprocess.run(train, check=True, capture_output=True)
            command = [sys.executable, __file__, "--length", str(arguments.length), "--measure", str(tokenizer), str(source)]
            ran = subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            found = json.loads(ran.stdout)
            print(
                f"{name:18} {found['tokens']:>12,} tokens  {found['tokens'] / found['seconds']:>10,.0f} tokens/s  "
                f"{found['rows'] / found['seconds']:>6,.0f} rows/s  {found['used']:.2%} of places used  "
                f"peak {found['peak'] / MB:,.0f} MB, {found['grown'] / MB:,.0f} above the start"
            )


if __name__ == "__main__":
    main()
