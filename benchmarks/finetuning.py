"""Fine-tuning next to TRL's SFTTrainer with PEFT: the same dialogues and the same wall time.

    python benchmarks/finetuning.py MODEL DIALOGUES... [--lora 8] [--minutes 10] [--seeds 0 1 2] [--dialogues 1000] [--out FILE]
    python benchmarks/finetuning.py MODEL DIALOGUES... [--lora 8] --speed

MODEL is a model's folder or .gguf file. 50 of the dialogues are held out, and both train on the first 1,000 others: the same
ids, the same ids supervised. Each run is a process of its own; they alternate. The minutes include all that either does, from
its start; TRL's learning rate falls with the clock, so that it ends at 0 whatever its speed. Both results are then measured by
the same code, in fp32: nats per supervised token held out, and nats per token of 200 lines of text that have nothing to do with
the dialogues.

TRL's settings are its own defaults and what its pages recommend: batches of 8, a linear schedule, 2e-5 for all weights and
2e-4 for LoRA of alpha 2 · rank and dropout .05 on all projections; without gradient checkpointing, which would slow it, and in
the dtype that is fastest here. `--speed` measures only supervised tokens per second, TRL's in three dtypes.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from shared import SHARED, machine

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.packing.pieces import Piece
from liuli.data.text.sources import Document
from liuli.evaluate.loss import Exam, evaluate
from liuli.files import write_json, write_json_lines
from liuli.learn.prepare.job import Job
from liuli.learn.run.folder import read_metrics
from liuli.learn.stages.finetune import DialogueCorpus, Finetune
from liuli.model.adapters import peft_folder
from liuli.model.formats.detect import read_decoder
from liuli.recipes.convert import to_folder

LIULI = [sys.executable, "-P", "-c", "from liuli.cli.app import main; main()"]
HELD_OUT = 50  # dialogues
LENGTH = 1024  # tokens of a row, at most
MOST = 1 << 30  # tokens that are measured: all
LINES = 100  # of each text
UNRELATED = ("text/en/war-and-peace.txt", "text/zh/红楼梦.txt")
AT_ONCE = 7000  # tokens of TRL's forward pass, padding included: with more, its logits do not fit in 24 GB
BATCH, RATE, LORA_RATE, DROPOUT = 8, 2e-5, 2e-4, 0.05  # TRL's
DTYPES = ("fp32", "bf16", "mixed")  # of TRL's weights and products; mixed: fp32 weights under autocast
TIMED = 5  # steps of TRL for --speed, the first to warm up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dialogues_of", nargs="*", metavar="DIALOGUES")
    parser.add_argument("--lora", type=int)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--dialogues", type=int, default=1000)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--dtype", choices=DTYPES, default="mixed", help="TRL's")
    parser.add_argument("--only", choices=("liuli", "trl"))
    parser.add_argument("--out", type=Path, help="where a line of JSON is added for each run")
    parser.add_argument("--trl", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trl:
        _train_with_trl(json.loads(arguments.trl.read_text(encoding="utf-8")))
        return
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(arguments, Path(scratch))
        if arguments.speed:
            bench.compare_speed()
        else:
            bench.compare_losses()


class Bench:
    """One model, one set of dialogues, one way to train."""

    def __init__(self, arguments: argparse.Namespace, scratch: Path):
        self.asked, self.scratch = arguments, scratch
        self.model = Path(arguments.model)
        self.training, self.held_out = scratch / "training.jsonl", scratch / "held_out.jsonl"
        dialogues = list(_suitable(arguments.dialogues_of))
        every = max(1, len(dialogues) // HELD_OUT)
        held_out = dialogues[::every][:HELD_OUT]
        names = {dialogue.first_prompt for dialogue in held_out}
        training = [each for each in dialogues if each.first_prompt not in names][: arguments.dialogues]
        write_json_lines((each.to_json() for each in training), self.training)
        write_json_lines((each.to_json() for each in held_out), self.held_out)
        self.corpus = self._corpus()
        tokens = sum(piece.places for piece in self.corpus.learned.pieces)
        supervised = sum(map(_supervised, self.corpus.learned.pieces))
        print(
            f"{len(training):,} dialogues: {tokens:,} tokens, {supervised:,} supervised; {len(held_out)} held out", flush=True
        )

    def _corpus(self) -> DialogueCorpus:
        job = Job.of(parent=str(self.model), sources=(str(self.training),), valid=str(self.held_out))
        stage = Finetune()
        data = stage.open(job)
        tokenization = stage.tokenize(job, data, self.scratch / "tokenizer", None)
        return stage.encode(job, data, tokenization, stage.config(job, data, tokenization, None), LENGTH)

    def compare_speed(self) -> None:
        """Supervised tokens per second, of steps alone."""
        found = {f"trl, {dtype}": self._trl(0, dtype, steps=TIMED)["tokens_per_second"] for dtype in DTYPES}
        found["liuli"] = self._liuli(0, 4)["tokens_per_second"]
        for name, speed in found.items():
            print(f"{name:12} {speed:8.1f} supervised tokens/s", flush=True)
        print(f"liuli / fastest of TRL: {found.pop('liuli') / max(found.values()):.2f}")

    def compare_losses(self) -> None:
        """The losses before, and after the same wall time."""
        parent = self._measure(self.model, None)
        print(f"parent: {_words(parent)}", flush=True)
        makers = {
            "liuli": lambda seed: self._liuli(seed, self.asked.minutes),
            "trl": lambda seed: self._trl(seed, self.asked.dtype, self.asked.minutes),
        }
        for seed in self.asked.seeds:
            for name, make in makers.items():
                if self.asked.only in (None, name):
                    run = make(seed)
                    folder = Path(run["folder"])
                    of_adapter = self.asked.lora is not None
                    after = self._measure(self.model if of_adapter else folder, folder if of_adapter else None)
                    self._tell(name, seed, run, parent, after)

    def _tell(self, name: str, seed: int, run: dict[str, Any], parent: dict[str, float], after: dict[str, float]) -> None:
        spent = f"{run['steps']} steps, {run['tokens_per_second']:.1f} supervised tokens/s, {run['seconds']:.0f} s in all"
        change = after["unrelated"] / parent["unrelated"] - 1
        print(f"{name}, seed {seed}: {_words(after)} ({change:+.1%}); {spent}", flush=True)
        if self.asked.out:
            about = {"model": self.model.name, "data": [Path(each).name for each in self.asked.dialogues_of]}
            about |= {"lora": self.asked.lora, "minutes": self.asked.minutes, "dialogues": self.asked.dialogues, "seed": seed}
            with self.asked.out.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"by": name, **about, "parent": parent, "after": after, **run}) + "\n")

    def _liuli(self, seed: int, minutes: float) -> dict[str, Any]:
        out = self.scratch / f"liuli-{seed}-{minutes}"
        words = ["finetune", self.model, self.training, "--valid", self.held_out, "--out", out, "--seed", seed]
        words += ["--minutes", minutes, *(["--lora", self.asked.lora] if self.asked.lora else [])]
        began = time.perf_counter()
        subprocess.run([*LIULI, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        steps = [row for row in read_metrics(out) if "loss" in row]
        speed = steps[-1]["tokens"] / sum(row["seconds"] for row in steps)
        return {"folder": str(out / "model"), "steps": len(steps), "tokens_per_second": speed, "seconds": seconds}

    def _trl(self, seed: int, dtype: str, minutes: float | None = None, steps: int = 1 << 20) -> dict[str, Any]:
        """Trains for so long, or so many steps."""
        folder, rows = self.scratch / "parent", self.scratch / "rows.jsonl"
        if not folder.exists():
            to_folder(self.model, folder, torch.float32)
            write_json_lines(map(_row, self.corpus.learned.pieces), rows)
        out = self.scratch / f"trl-{seed}"
        job = {"model": str(folder), "rows": str(rows), "out": str(out), "lora": self.asked.lora, "seed": seed, "dtype": dtype}
        write_json(self.scratch / "job.json", job | {"steps": steps, "seconds": minutes and 60 * minutes, "began": time.time()})
        began = time.perf_counter()
        subprocess.run([sys.executable, __file__, "", "--trl", str(self.scratch / "job.json")], check=True)
        found = json.loads((out / "found.json").read_text(encoding="utf-8"))
        return {"folder": str(out), "seconds": time.perf_counter() - began, **found}

    def _measure(self, model: Path, adapter: Path | None) -> dict[str, float]:
        decoder = read_decoder(model)
        if adapter is not None:
            peft_folder.load(decoder, adapter, "measured", self.model)
        tokenizer = self.corpus.chat.tokenizer
        held_out = Exam(self.corpus.validation(), tokenizer, LENGTH, MOST)(decoder)
        unrelated = evaluate(decoder, tokenizer, _unrelated(), LENGTH)
        return {"held_out": held_out.nats_per_token, "unrelated": unrelated.nats_per_token, "tokens": held_out.tokens}


def _suitable(names: list[str]) -> Iterator[Dialogue]:
    return (dialogue for dialogue in Dialogues(names, False) if dialogue.answered)


def _supervised(piece: Piece) -> int:
    return piece.places if piece.supervised is None else int(piece.supervised[1:].sum())


def _row(piece: Piece) -> dict[str, list[int]]:
    assert piece.supervised is not None
    ids = piece.ids.tolist()
    return {"input_ids": ids, "labels": [id if told else -100 for id, told in zip(ids, piece.supervised.tolist(), strict=True)]}


def _unrelated() -> Iterator[Document]:
    for name in UNRELATED:
        lines = (SHARED / "data" / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(islice((line for line in lines if 40 < len(line) < 120), LINES)):
            yield Document(line, name, number)


def _words(found: dict[str, float]) -> str:
    return f"{found['held_out']:.4f} nats held out, {found['unrelated']:.4f} on unrelated text"


def _train_with_trl(job: dict[str, Any]) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    times: list[float] = []
    tokens: list[int] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append(-time.perf_counter())

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            times[-1] += time.perf_counter()
            # The next step must fit.
            if job["seconds"] and time.time() - job["began"] + times[-1] > job["seconds"]:
                control.should_training_stop = True

    class Timed(SFTTrainer):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            left = lambda _: max(0.0, 1 - (time.time() - job["began"]) / (job["seconds"] or math.inf))
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, left)
            return self.lr_scheduler

        def compute_loss(self, model: Any, inputs: Any, *rest: Any, **named: Any) -> Any:
            tokens.append(int((inputs["labels"][:, 1:] != -100).sum()))
            return super().compute_loss(model, inputs, *rest, **named)

    lora, mixed = job["lora"], job["dtype"] == "mixed"
    dtype = torch.bfloat16 if job["dtype"] == "bf16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype)
    rows = [json.loads(line) for line in Path(job["rows"]).read_text(encoding="utf-8").splitlines()]
    longest = max(len(row["input_ids"]) for row in rows)
    parts = next(parts for parts in (1, 2, 4, BATCH) if BATCH // parts * longest <= AT_ONCE or parts == BATCH)
    settings = SFTConfig(
        output_dir=job["out"], max_steps=job["steps"], seed=job["seed"], bf16=mixed,
        per_device_train_batch_size=BATCH // parts, gradient_accumulation_steps=parts,
        learning_rate=LORA_RATE if lora else RATE, gradient_checkpointing=False, use_cpu=True, max_length=None,
        save_strategy="no", report_to="none", logging_steps=1000, disable_tqdm=True,
    )  # fmt: skip
    peft = LoraConfig(r=lora, lora_alpha=2 * lora, lora_dropout=DROPOUT, target_modules="all-linear") if lora else None
    trainer = Timed(
        model, settings, train_dataset=Dataset.from_list(rows), processing_class=AutoTokenizer.from_pretrained(job["model"]),
        peft_config=peft, callbacks=[Clock()],
    )  # fmt: skip
    trainer.train()
    trainer.save_model(job["out"])
    rest = times[1:] or times
    speed = sum(tokens[-parts * len(rest) :]) / sum(rest)
    write_json(Path(job["out"]) / "found.json", {"steps": len(times), "tokens_per_second": speed})


if __name__ == "__main__":
    main()
