"""The browser's sampler (ui/src/sampler.ts) against this package's: both are compared with ui/test/sampling.json.

python tests/ui/test_sampling_golden.py     writes the file anew
"""

import json
from pathlib import Path

import pytest
import torch

from liuli.generate.sampling import Draw, Sampling, choose

GOLDEN = Path(__file__).resolve().parents[2] / "ui" / "test" / "sampling.json"
CASES, ROWS, VOCABULARY, LISTED = 500, 4, 300, 5
PROMPT = (3, 3, 17, 250)


def make_rows(generator: torch.Generator) -> list[list[float]]:
    """Rows of logits with many ties."""
    rows = 4 * torch.randn(ROWS, VOCABULARY, generator=generator)
    return [[round(value, 1) for value in row] for row in rows.tolist()]


def make_settings(generator: torch.Generator) -> list[dict]:
    """Random settings; each rule is off in about half of them, and a few are greedy."""
    found = []
    for numbers in torch.rand(CASES, 10, dtype=torch.float64, generator=generator).tolist():
        temperature, top_k, top_p, min_p, uniform, penalty, *off = numbers
        found.append(
            {
                "temperature": 0.0 if temperature < 0.03 else round(2 * temperature, 3),
                "top_k": 0 if off[0] < 0.5 else 1 + int(top_k * 60),
                "top_p": 1.0 if off[1] < 0.5 else round(0.05 + 0.9 * top_p, 3),
                "min_p": 0.0 if off[2] < 0.5 else round(min_p**2, 3),
                "repetition_penalty": 1.0 if off[3] < 0.7 else round(1 + penalty, 3),
                "uniform": round(uniform, 6),
            }
        )
    return found


def compute(logits: list[float], settings: dict) -> dict:
    """What the engine chooses, and the numbers behind it."""
    names = dict(settings)
    uniform = names.pop("uniform")
    logits_V = torch.tensor(logits)
    choice = choose(logits_V, Draw(Sampling(**names), uniform, prompt=PROMPT))
    ids = torch.arange(VOCABULARY)
    probabilities = torch.tensor(choice.distribution.logprobs(ids)).exp()
    listed = logits_V.argsort(descending=True, stable=True)[:LISTED]
    interval = choice.distribution.intervals(torch.tensor([choice.id]))[0]
    assert interval is not None
    return {
        "id": choice.id,
        "left": len(choice.distribution.ids_K),
        "interval": [round(bound, 6) for bound in interval],
        "probability": round(choice.probability, 6),
        "cuts": [[cut.rule, len(cut.kept), round(cut.mass, 6)] for cut in choice.distribution.cuts],
        "listed": [[int(token), round(float(probabilities[token]), 6)] for token in listed],
    }


def make_golden() -> dict:
    generator = torch.Generator().manual_seed(0)
    rows = make_rows(generator)
    cases = [
        {"row": number % ROWS, "settings": settings, "result": compute(rows[number % ROWS], settings)}
        for number, settings in enumerate(make_settings(generator))
    ]
    return {"prompt": PROMPT, "rows": rows, "cases": cases}


def test_the_engine_gives_the_recorded_choices():
    golden = json.loads(GOLDEN.read_text())
    assert len(golden["cases"]) == CASES
    for case in golden["cases"]:
        found = compute(golden["rows"][case["row"]], case["settings"])
        assert found["id"] == case["result"]["id"]
        assert found["left"] == case["result"]["left"]
        for name in ("interval", "probability", "listed"):
            assert flat(found[name]) == pytest.approx(flat(case["result"][name]), abs=1e-5)


def flat(value: float | list) -> list[float]:
    return [each for part in value for each in flat(part)] if isinstance(value, list) else [value]


if __name__ == "__main__":
    text = json.dumps(make_golden(), separators=(",", ":")).replace('{"row"', '\n{"row"')
    GOLDEN.write_text(text + "\n")
