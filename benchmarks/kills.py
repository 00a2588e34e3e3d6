"""Real `liuli train` processes, killed with SIGKILL at random moments and started again: is the end the same, to the bit?

    python benchmarks/kills.py [--kills 20] [--seed 0]

Half of the runs are moved to another folder before they go on, each fourth is killed a second time. Prints a line a run: at
which step it was killed (the last whole line of its metrics), from which checkpoint it went on, and whether its losses, its
playback, its last weights and its last state are those of the run that was never killed; in fp32 and in bf16.

Where exactly in a save a process dies is tested call by call in tests/learn/test_resume.py (`-m slow`); here nothing is
arranged: the disk, the threads and the moment are real.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from helpers import trainings

from liuli.learn.run.folder import checkpoints
from liuli.learn.run.state import read_state
from liuli.model.formats.detect import read_decoder

STEPS = 60
LIULI = (sys.executable, "-P", "-c", "from liuli.cli.app import main; main()")


def command(folder: Path, out: Path, dtype: str, resume: bool) -> list[str]:
    if resume:
        return [*LIULI, "train", "--out", str(out), "--resume"]
    job = trainings.job_in(folder, STEPS)
    words = {"--config": job.config, "--tokenizer": "char", "--tokens": job.tokens, "--length": 32, "--rows": 2}
    machine = {"--device": "cpu", "--dtype": dtype, "--threads": 1}
    options = [str(part) for pair in (words | machine).items() for part in pair]
    return [*LIULI, "train", *job.sources, "--out", str(out), *options]


def begin(folder: Path, out: Path, dtype: str) -> subprocess.Popen[bytes]:
    words = command(folder, out, dtype, (out / "run.json").exists())
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines(out: Path) -> int:
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else -1


def kill_after(process: subprocess.Popen[bytes], out: Path, count: int, delay: float) -> bool:
    """Kills when the metrics have so many lines, and so many seconds later; whether it was still alive."""
    while process.poll() is None and lines(out) < count:
        time.sleep(0.001)
    time.sleep(delay)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def whole(out: Path) -> bool:
    """Every checkpoint can be read, and the newest through the links too."""
    for step in checkpoints(out):
        read_state(out / "checkpoints" / str(step), None)
        read_decoder(out / "checkpoints" / str(step) / "model")
    if os.path.lexists(out / "model") and os.path.lexists(out / "latest"):
        read_decoder(out / "model")
    return True


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, good, total = random.Random(options.seed), 0, 0
    print("| dtype | run | killed after step | checkpoints then, all whole | moved | same losses, playback, weights, state |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for dtype in ("fp32", "bf16"):
            reference = folder / f"whole-{dtype}"
            subprocess.run(command(folder, reference, dtype, False), check=True, stdout=subprocess.DEVNULL)
            wanted, last = trainings.kept(reference), lines(reference)
            for i in range(options.kills):
                out, killed, held, moved = folder / f"{dtype}-{i}", [], [], i % 2 == 1
                for _ in range(2 if i % 4 == 3 else 1):
                    count = chance.randint(max(-1, lines(out)), last - 1)
                    if not kill_after(begin(folder, out, dtype), out, count, chance.uniform(0, 0.06)):
                        killed.append("(had ended)")
                        break
                    killed.append(str(max((row["step"] for row in trainings.read_metrics(out)), default="none")))
                    held.append(str(checkpoints(out)) if whole(out) else "")
                    if moved and out.exists():
                        out = Path(shutil.move(out, folder / f"{out.name}-moved"))
                assert begin(folder, out, dtype).wait() == 0
                whole(out)
                try:
                    trainings.assert_same(trainings.kept(out), wanted)
                    same = "yes"
                except AssertionError as error:
                    same = f"NO: {error}"
                good, total = good + (same == "yes"), total + 1
                moves = "yes" if moved else "no"
                print(f"| {dtype} | {i + 1} | {', '.join(killed)} | {', '.join(held)} | {moves} | {same} |", flush=True)
                shutil.rmtree(out)
    print(f"\n{good} of {total} the same to the bit")


if __name__ == "__main__":
    main()
