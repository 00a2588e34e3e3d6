"""Real text: ten minutes of training beside an interpolated Kneser-Ney character 5-gram, on the same held-out blocks.

python benchmarks/real_text.py [--minutes 10] [--size micro] [zh|en ...]
"""

import argparse
import tempfile
from pathlib import Path

from kneser_ney import KneserNey, bits_per_byte, joined
from shared import SHARED, machine

from liuli.data.split import split_texts
from liuli.data.text.sources import Sources
from liuli.evaluate.loss import evaluate
from liuli.generate.model import load
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.machine import keep_memory
from liuli.learn.run_stage import pretrain


def main() -> None:
    keep_memory()  # as the commands do
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="*", default=["zh", "en"])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--size", default="micro")
    parser.add_argument("--vocab-size", type=int)
    arguments = parser.parse_args()
    print(machine())
    for language in arguments.languages:
        files = sorted(str(path) for path in (SHARED / "data" / "text" / language).glob("*.txt"))
        split = split_texts(Sources(files))
        bits, held = bits_per_byte(KneserNey(joined(split.training())), joined(split.validation()))
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            job = Job.of(sources=tuple(files), size=arguments.size, minutes=arguments.minutes, vocab_size=arguments.vocab_size)
            for _ in pretrain(job, out):
                pass
            model = load(out / "model")
            assert model.tokenizer is not None
            found = evaluate(model.decoder, model.tokenizer, split.validation(), model.config.context)
        print(
            f"{language}, {held:,} bytes held out: Kneser-Ney {bits / held:.4f} bits/byte, {arguments.size} after "
            f"{arguments.minutes:g} minutes {found.bits_per_byte:.4f} ({found.bits_per_byte / (bits / held) - 1:+.1%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
