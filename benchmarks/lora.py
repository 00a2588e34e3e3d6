"""LoRA beside training everything: what it learns on the world's conversations, and what a step of a large model costs.

    python benchmarks/lora.py BEGUN [--read] [--rank 4]
    python benchmarks/lora.py --memory

BEGUN is the folder of a finished `liuli begin`. Its base is fine-tuned for as many steps twice, all of it and with LoRA, on the
same conversations; printed are both validation losses and the share of the weights that LoRA trains. To that base a question is
something new; `--read` trains another of its size first, whose text has half of the conversations as plain text, as the text of
published bases has questions, and fine-tunes it on the other half. `--memory` makes a model of 0.5 B random weights in bf16,
trains LoRA on 2 rows of 512 tokens for two steps, and prints the peak beside what the formulas of `liuli plan` say.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from shared import machine
from training import RandomRows

from liuli.files import write_json_lines
from liuli.learn.prepare.job import Job
from liuli.learn.prepare.machine import keep_memory
from liuli.learn.run.events import Ready
from liuli.learn.run.folder import read_metrics
from liuli.learn.run.journal import peak_memory
from liuli.learn.run_stage import finetune, pretrain
from liuli.learn.step.loop import Training
from liuli.learn.step.objectives import NextToken
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import derive
from liuli.model.adapters import lora
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import read_decoder
from liuli.model.formats.families import config_from
from liuli.model.logprobs import LEAST_TOKENS
from liuli.model.plan import kept_bytes, parameter_parts

ROWS, LENGTH, RANK = 2, 512, 16
STEPS = 1600 * 2048  # tokens
READ, READ_TOKENS = 40_000, 8e6  # documents; all that it reads is read several times
HALF_A_BILLION = {
    "model_type": "qwen2", "vocab_size": 151_936, "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
    "num_key_value_heads": 2, "intermediate_size": 4_864, "max_position_embeddings": 32_768, "rope_theta": 1e6,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
}  # fmt: skip


def main() -> None:
    keep_memory()  # as the commands do
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("begun", nargs="?", type=Path)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    if arguments.memory:
        _memory()
        return
    begun, text = arguments.begun, arguments.begun / "world/documents.jsonl"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        base, talks = _reader(begun, folder) if arguments.read else (begun / "run/model", begun / "dialogues.jsonl")
        _compare(Job.of(parent=str(base), sources=(str(talks),), mix=str(text), tokens=STEPS), arguments.rank, folder)


def _reader(begun: Path, folder: Path) -> tuple[Path, Path]:
    """A base to which questions are nothing new, and the conversations that it has not read."""
    talks = [json.loads(line)["messages"] for line in (begun / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()]
    half, text, unread = len(talks) // 2, folder / "talks.jsonl", folder / "dialogues.jsonl"
    write_json_lines(({"text": "\n".join(turn["content"] for turn in talk)} for talk in talks[:half]), text)
    write_json_lines(({"messages": talk} for talk in talks[half:]), unread)
    documents = (begun / "world/documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "documents.jsonl").write_text("".join(documents[:READ]), encoding="utf-8")
    job = Job.of(sources=(str(folder / "documents.jsonl"), str(text)), size="nano", tokens=READ_TOKENS)
    for _ in pretrain(job, folder / "run"):
        pass
    return folder / "run/model", unread


def _compare(job: Job, rank: int, folder: Path) -> None:
    losses, learned = {}, 0
    for name, ranked in (("all of it", None), ("LoRA", rank)):
        out = folder / name
        for event in finetune(job.but(lora=ranked), out):
            learned = event.learned if isinstance(event, Ready) else learned
        losses[name] = [row["validation"]["nats_per_token"] for row in read_metrics(out) if "validation" in row][-1]
        print(f"{name}: {losses[name]:.4f} nats a supervised token", flush=True)
    every = sum(parameter.numel() for parameter in read_decoder(Path(str(job.model.parent))).parameters())
    worse = losses["LoRA"] / losses["all of it"] - 1
    print(f"rank {rank}: {learned:,} of {every:,} numbers learn ({learned / every:.1%}); its loss is {worse:+.1%}")


def _memory() -> None:
    config = config_from(HALF_A_BILLION, "here")
    torch.set_default_dtype(torch.bfloat16)
    decoder = Decoder(config)
    torch.set_default_dtype(torch.float32)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.02)
    lora.add(decoder, lora.LoRASettings(RANK, 2 * RANK), 0)
    weights, before = sum(parameter_parts(config).values()), peak_memory()
    learned = sum(parameter.numel() for parameter in decoder.parameters() if parameter.requires_grad)
    recipe = derive(config, [LENGTH], {"length": LENGTH, "rows": ROWS})
    rows, optimizer = RandomRows(config.vocab_size, LENGTH), MuonAdamW(decoder, recipe.rates, torch.bfloat16)
    training = Training(decoder, NextToken(), optimizer, rows, recipe, 100, torch.device("cpu"))
    took = [training.update().seconds for _ in range(2)]
    share = f"{learned / 1e6:.1f} M numbers learn ({learned / weights:.2%})"
    print(f"{weights / 1e6:.0f} M weights in bf16, LoRA of rank {RANK}: {share}")
    print(f"peak {peak_memory() / 1e9:.2f} GB, {before / 1e9:.2f} GB of it before the first step; {took[-1]:.1f} s a step")
    parts = {
        "weights, 2 bytes each": 2 * weights,
        "LoRA: fp32 numbers, gradients, AdamW's two moments, and their mean, 20 bytes each": 20 * learned,
        "activations of the rows at once (without logits)": kept_bytes(config) * recipe.rows_at_once * LENGTH,
        "attention's scores and weights, bf16 and fp32, of all layers": 8 * config.layers * config.heads * LENGTH**2
        * recipe.rows_at_once,
        "a chunk of logits, with its gradient, 16 and 32 bits": 12 * LEAST_TOKENS * config.vocab_size,
    }  # fmt: skip
    for name, size in parts.items():
        print(f"  {size / 1e9:6.3f} GB  {name}")
    print(f"  {sum(parts.values()) / 1e9:6.3f} GB  by these formulas")


if __name__ == "__main__":
    main()
