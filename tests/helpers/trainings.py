"""A training of seconds, to be stopped, killed and compared."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from liuli.learn.prepare.job import Job
from liuli.learn.run.events import Event
from liuli.learn.run.folder import read_metrics
from liuli.learn.run.state import file_hash
from liuli.learn.run_stage import pretrain
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_from

NAMES, ANIMALS = ("小明", "Ada", "小红", "Grace", "老王"), ("cat", "狗", "otter", "熊猫", "horse", "鸟", "fox")
CONFIG = {
    "model_type": "qwen3", "vocab_size": 330, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "max_position_embeddings": 64, "rope_theta": 1e4,
    "tie_word_embeddings": True,
}  # fmt: skip
LENGTH, ROWS = 32, 2


def sentences(count: int = 300) -> list[str]:
    return [
        f"{NAMES[i % 5]} has {i % 13} {ANIMALS[i % 7]}s." if i % 3 else f"{NAMES[i * 3 % 5]}有{i % 11}只{ANIMALS[i % 7]}。"
        for i in range(count)
    ]


def write_corpus(folder: Path, texts: Iterable[str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts or sentences()]
    (folder / "texts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "texts.jsonl"


def write_config(folder: Path, **change: Any) -> Path:
    path = folder / "shape.json"
    path.write_text(json.dumps(CONFIG | change))
    return path


def decoder_of(seed=0, **change):
    """All weights random, so that every layer has a part in the loss."""
    decoder = Decoder(config_from(CONFIG | change, "here"))
    random = torch.Generator().manual_seed(seed)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 0.0 if parameter.ndim > 1 else 1.0, 0.3, random)
    return decoder


def job_in(folder: Path, steps: int = 60, **change: Any) -> Job:
    """A job whose corpus and shape lie in `folder`."""
    corpus, config = folder / "texts.jsonl", folder / "shape.json"
    if not corpus.exists():
        write_corpus(folder)
    if not config.exists():
        write_config(folder)
    fields: dict[str, Any] = {"tokens": steps * LENGTH * ROWS, "length": LENGTH, "rows": ROWS, "tokenizer": "char"}
    fields |= {"sources": (str(corpus),), "config": str(config), "device": "cpu", "dtype": "fp32", "threads": 1}
    return Job.of(**fields | change)


def run(job: Job, out: Path, resume: bool = False, inexact: bool = False, at: Iterable[int] = ()) -> list[Event]:
    """All events of a training, which is stopped before its next step where it has done `at`."""
    done, stops, events = [0], set(at), []
    for event in pretrain(job, out, resume, inexact, lambda: done[0] in stops):
        events.append(event)
        done[0] = getattr(event, "step", done[0])
    return events


def kept(out: Path) -> dict[str, Any]:
    """All that must be the same whether a run was interrupted or not: metrics, playback, last weights and last state."""
    last = out / "latest"
    facts = json.loads((last / "state/state.json").read_text())
    files = {name: digest for name, digest in facts["files"].items() if not name.endswith("liuli.json")}
    assert all(file_hash(last / name) == digest for name, digest in files.items())
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in read_metrics(out)]
    playback = json.loads((out / "trace.json").read_text(encoding="utf-8"))
    playback["body"].pop("tokens_per_second")
    checkpoints = playback["body"].pop("checkpoints")
    card = json.loads((last / "model/liuli.json").read_text(encoding="utf-8"))
    links = {name: (out / name).resolve().relative_to(out.resolve()) for name in ("latest", "best", "model", "state")}
    return {
        "metrics": rows,
        "trace": playback,
        "files": files,
        "facts": {name: facts[name] for name in facts.keys() - {"sha256", "files"}},
        "hashes": {row["step"]: row["hash"] for row in checkpoints},
        "card": card,
        "links": links,
    }


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same to the bit; a run that was stopped may have more checkpoints than one that was not."""
    for name in wanted.keys() - {"hashes"}:
        assert found[name] == wanted[name], name
    assert found["hashes"].items() >= wanted["hashes"].items()
