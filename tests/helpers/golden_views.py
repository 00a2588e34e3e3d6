"""The JSON of every view of a tiny random model with a fixed seed: `ui/test/golden/<view>.json`. The tests of the drawings read
these files, and a test compares them with what Python makes now.

After a change of a view's numbers or fields, write the files again:

    PYTHONPATH=src:tests python tests/helpers/golden_views.py
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from helpers import tiny

from liuli import load
from liuli.generate.model import Model
from liuli.inside.views import VIEWS, Subject, make_view
from liuli.learn.run.folder import TRACE
from liuli.learn.run.state import file_hash
from liuli.learn.run.trace import Probe, Trace
from liuli.world import World
from liuli.world.folder import DOCUMENTS, FACTS, open_folder

GOLDEN = Path(__file__).resolve().parents[2] / "ui" / "test" / "golden"
TEXT, OTHER = "the gold 金 12 cat", "the cold 金 12 cat"
PROBE = "小明今天去游乐园玩"
LOOKS = ((0, 0.2), (1, 0.6), (2, 0.8), (4, 1.0))  # steps, and by how much the weights are scaled at each


def golden_views(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON of every view, by name.

    Args:
        folder: an empty one, in which the model is made. The process must be in it, so that no path is written.
    """
    (folder / "tiny").mkdir()
    tiny.save(folder / "tiny")
    model = load("tiny")
    _write_world(folder / "world", folder / "tiny" / "liuli.json")
    _write_trace(model, folder / "tiny" / TRACE)
    return {name: _without_chance(make_view(name, _subject(model, name)).to_json()) for name in VIEWS}


def _subject(model: Model, name: str) -> Subject:
    if name == "learning":
        return Subject(model, "", world=open_folder(Path("world")))
    texts = (OTHER,) if name in ("context", "patching", "compare") else ()
    models = (model,) if name in ("tokens", "compare") else ()
    words = {"context": "金", "lens": "x", "patching": "a"}
    return Subject(model, TEXT, texts, models, word=words.get(name))


def _write_world(folder: Path, card: Path) -> None:
    """A small part of a world's text, and a model card that names it as what the model was trained on."""
    folder.mkdir()
    world = World()
    lines = [json.dumps({"text": document}) + "\n" for document in world.documents(10)]
    (folder / DOCUMENTS).write_text("".join(lines), encoding="utf-8")
    about = {"size": world.size, "seed": world.seed, "lang": world.lang}
    (folder / FACTS).write_text(json.dumps({"world": about}), encoding="utf-8")
    card.write_text(json.dumps({"data": [{"sha256": file_hash(folder / DOCUMENTS)}]}), encoding="utf-8")


def _write_trace(model: Model, path: Path) -> None:
    """A trace as training writes it, of a model whose weights grow to what they are."""
    assert model.tokenizer is not None
    trace = Trace(model.tokenizer, [Probe(PROBE, model.tokenizer.tokens(PROBE, prompt=True))], {}, 0, LOOKS[-1][0], len(LOOKS))
    weights = [parameter.detach().clone() for parameter in model.decoder.parameters()]
    for step, scale in LOOKS:
        with torch.no_grad():
            for parameter, weight in zip(model.decoder.parameters(), weights, strict=True):
                parameter.copy_(weight * scale if weight.ndim > 1 else weight)
        if step:
            trace.heard(5 - scale, 1.0)
        trace.look(model.decoder, step, 64 * step, 1.0, None)
    trace.saved(LOOKS[-1][0], model.hash)
    trace.write(path)


def _without_chance(view: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from run to run: times, the name of a request, and the place of the folder."""
    body = view["body"]
    if "step" in body:
        body["step"] |= {"ms": 0, "request": "0"}
    if "run" in body:
        body["run"] = "tiny"
    return view


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for view, content in golden_views(Path(name)).items():
            text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
            (GOLDEN / f"{view}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
