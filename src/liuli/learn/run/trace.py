"""What a model predicted after chosen prompts while it was trained, from step 0 to the last.

`trace.json` is one object, which docs/training-trace.schema.json describes: at steps 0, 1, 2, 4, … and then at regular
intervals it has the most likely next tokens of each prompt and the mean loss since the last such step, and for every
validation a sample.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from liuli.errors import LiuliError
from liuli.evaluate.loss import Evaluation
from liuli.files import write_text
from liuli.model.decoder import Decoder
from liuli.tokens import Token, Tokenizer

SCHEMA = "train@1"
CANDIDATES = 10
PER_LOOK = ("steps", "tokens_seen", "loss", "strength", "gradient_norm", "tokens_per_second")


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt whose next token is tracked: its text and its tokens. `tracked`: ids whose probability is always recorded."""

    text: str
    tokens: list[Token]
    tracked: tuple[int, ...] = ()


class Trace:
    """The recorded predictions of a run of `steps` steps.

    Args:
        looks: about how many steps are recorded, in addition to the powers of two.
        about: the envelope's `model` and `tokenizer`.
    """

    def __init__(self, tokenizer: Tokenizer, probes: Sequence[Probe], about: dict[str, Any], seed: int, steps: int, looks: int):
        self._tokenizer = tokenizer
        self._every = max(1, -(-steps // looks))
        self._steps = steps
        self._heard: list[tuple[float, float]] = []
        self.body: dict[str, Any] = {
            "schema": SCHEMA,
            **about,
            "seed": seed,
            "caveats": ["ckpt.seed"],
            "body": {
                "every": self._every,
                **{name: [] for name in PER_LOOK},
                "validation": [],
                "probes": [self._blank(probe) for probe in probes],
                "checkpoints": [],
                "samples": [],
            },
        }

    def _blank(self, probe: Probe) -> dict[str, Any]:
        ids = [token.id for token in probe.tokens]
        tokens = [self._tokenizer.token(id).to_json() for id in ids]
        tracked = [self._tokenizer.token(id).to_json() for id in probe.tracked]
        source = {"text": probe.text, "ids": ids, "tokens": tokens}
        return {"input": source, "position": len(ids) - 1, "tracked": tracked, "logprob": [], "entropy": [], "top": []}

    def due(self, step: int) -> bool:
        """Whether a step is recorded: 0, powers of two, every `every`th step, and the last."""
        return step & (step - 1) == 0 or step % self._every == 0 or step == self._steps

    def heard(self, loss: float, seconds: float) -> None:
        """A step's loss and time, for the means until the next look."""
        self._heard.append((loss, seconds))

    def look(self, decoder: Decoder, step: int, tokens: int, strength: float, norm: float | None) -> None:
        """Records the predictions after every probe. At step 0 loss, norm and speed are null."""
        body = self.body["body"]
        loss = speed = None
        if self._heard:
            losses, times = zip(*self._heard, strict=True)
            loss, speed = fmean(losses), (tokens - body["tokens_seen"][-1]) / sum(times)
        self._heard.clear()
        for name, value in zip(PER_LOOK, (step, tokens, loss, strength, norm, speed), strict=True):
            body[name].append(_number(value))
        for probe in body["probes"]:
            self._ask(decoder, probe)

    def _ask(self, decoder: Decoder, probe: dict[str, Any]) -> None:
        device = decoder.device
        with torch.no_grad():
            x_1TD = decoder.hidden(torch.tensor([probe["input"]["ids"]], device=device))
            logits_V = decoder.logits(x_1TD[0, -1:])[0].float().cpu()
        logprobs_V = logits_V.log_softmax(-1)
        best = logprobs_V.topk(min(CANDIDATES, self._tokenizer.vocab_size, len(logprobs_V)))
        probe["top"].append(
            [
                {"token": self._tokenizer.token(id).to_json(), "logprob": _number(logprob)}
                for id, logprob in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
        )
        probe["logprob"].append([_number(float(logprobs_V[token["id"]])) for token in probe["tracked"]])
        probe["entropy"].append(_number(float(torch.special.entr(logprobs_V.exp()).sum())))

    def validated(self, step: int, found: Evaluation) -> None:
        self.body["body"]["validation"].append({"step": step} | found.to_json())

    def sampled(self, step: int, seed: int, prompt: str, text: str) -> None:
        self.body["body"]["samples"].append({"step": step, "seed": seed, "prompt": prompt, "text": text})

    def saved(self, step: int, hash: str) -> None:
        self.body["body"]["checkpoints"].append({"step": step, "hash": hash})

    @property
    def saved_steps(self) -> list[int]:
        return [row["step"] for row in self.body["body"]["checkpoints"]]

    def write(self, path: Path) -> None:
        write_text(path, json.dumps(self.body, ensure_ascii=False) + "\n")

    def resume(self, path: Path, step: int, updates: Iterable[Mapping[str, Any]]) -> None:
        """Restores what a run recorded up to `step`. `updates`: its metrics, one row per step.

        Raises:
            LiuliError: the file is missing or damaged, or has other prompts.
        """
        body = self.body["body"]
        try:
            old = json.loads(path.read_text(encoding="utf-8"))["body"]
            count = sum(at <= step for at in old["steps"])
            kept = {name: old[name][:count] for name in PER_LOOK}
            rows = ("validation", "checkpoints", "samples")
            kept |= {name: [row for row in old[name] if row["step"] <= step] for name in rows}
            looks = [
                {name: before[name][:count] for name in ("logprob", "entropy", "top")}
                for _, before in zip(body["probes"], old["probes"], strict=True)
            ]
            last = max(kept["steps"], default=0)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LiuliError(f"{path} is missing or damaged, or has other prompts") from error
        body.update(kept)
        for probe, each in zip(body["probes"], looks, strict=True):
            probe.update(each)
        self._heard = [(row["loss"], row["seconds"]) for row in updates if last < row["step"] <= step]


def _number(value: float | None) -> float | None:
    """For JSON, which has no infinity: probability 0 has the logarithm null."""
    return value if value is None or math.isfinite(value) else None
