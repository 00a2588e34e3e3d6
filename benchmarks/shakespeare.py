"""Tiny Shakespeare by characters: how soon a base model of ours is where nanoGPT's recipe for a CPU ends, and where it is then.

    python benchmarks/shakespeare.py [--times 2] [--tokens 6.8e5]

Held out: the last 10 % of the text, in windows of 64 over the whole of it. At most 0.8 M parameters, eager. The reference
(`nanogpt_loop.py`), our short run and our run of the same seconds take turns; only training is timed, not validation, in all.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from nanogpt_loop import run as reference
from shared import SHARED, machine

from liuli.data.split import split_texts
from liuli.data.text.sources import Sources
from liuli.evaluate.loss import Evaluation, evaluate
from liuli.generate.model import load
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.machine import keep_memory
from liuli.learn.run.folder import read_metrics
from liuli.learn.run_stage import pretrain

TEXT = SHARED / "data" / "text" / "en" / "tinyshakespeare.txt"
GOAL = 1.886  # nats a character


def ours(tokens: float, seed: int) -> tuple[float, float, int]:
    """Seconds of training, nats a character, parameters."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        job = Job.of(sources=(str(TEXT),), tokenizer="char", length=64, valid="tail:0.1", tokens=tokens, seed=seed)
        for _ in pretrain(job, out):
            pass
        seconds = sum(row.get("seconds", 0.0) for row in read_metrics(out))
        model = load(out / "model")
        parameters = sum(parameter.numel() for parameter in model.decoder.parameters())
        return seconds, _validate(model).nats_per_token, parameters


def _validate(model) -> Evaluation:
    split = split_texts(Sources([str(TEXT)]), "tail:0.1")
    return evaluate(model.decoder, model.tokenizer, split.validation(), 64)


def main() -> None:
    keep_memory()  # as the commands do
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--tokens", type=float, default=6.8e5, help="of the short run")
    arguments = parser.parse_args()
    print(machine())
    text, rows = TEXT.read_text(encoding="utf-8"), []
    for seed in range(arguments.times):
        theirs = reference(text, seed)[-1]
        short = ours(arguments.tokens, seed)
        as_long = ours(arguments.tokens * theirs.seconds / short[0], seed)
        rows.append((theirs.seconds, theirs.nats, short[0], short[1], as_long[0], as_long[1]))
        print(
            f"seed {seed}: reference {theirs.seconds:.1f} s, {theirs.nats:.4f} nats; ours {short[0]:.1f} s, {short[1]:.4f} "
            f"({short[0] / theirs.seconds:.2f} of the time); as long: {as_long[0]:.1f} s, {as_long[1]:.4f}; "
            f"{short[2]:,} parameters",
            flush=True,
        )
    median = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(f"median: {median[2] / median[0]:.2f} of the reference's time to {median[3]:.4f} (goal: a quarter, to {GOAL})")


if __name__ == "__main__":
    main()
