"""A folder like that of `liuli begin`, made in seconds. Its models are too small and too little trained to be right."""

import json
from pathlib import Path

from liuli.learn.prepare.job import Job
from liuli.learn.run_stage import finetune, pretrain
from liuli.world import World
from liuli.world.dialogues import write_dialogues
from liuli.world.folder import write_folder

DOCUMENTS, DIALOGUES, STEPS = 1_000, 200, 8
SHAPE = {
    "model_type": "qwen3", "vocab_size": 600, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 64, "max_position_embeddings": 128, "rope_theta": 1e4,
    "tie_word_embeddings": True,
}  # fmt: skip


def make(folder: Path) -> Path:
    """Writes world/, dialogues.jsonl, run/ and assistant/, and returns the folder."""
    world = World()
    documents, dialogues = folder / "world" / "documents.jsonl", folder / "dialogues.jsonl"
    write_folder(world, str(folder / "world"), DOCUMENTS)
    write_dialogues(world, dialogues, DIALOGUES)
    shape = folder / "shape.json"
    shape.write_text(json.dumps(SHAPE))
    common = Job.of(rows=4, device="cpu", dtype="fp32", threads=1)
    base = common.but(config=str(shape), vocab_size=600, length=128, tokens=STEPS * 4 * 128, probes=("小明今天去游乐园玩",))
    for _ in pretrain(base.but(sources=(str(documents),)), folder / "run"):
        pass
    talked = common.but(sources=(str(dialogues),), parent=str(folder / "run" / "model"), epochs=0.2)
    for _ in finetune(talked, folder / "assistant"):
        pass
    return folder
