"""What choosing one token costs at a vocabulary of 32,000, by setting, on random logits of standard deviation 3.

    python benchmarks/sampling.py

Medians over 300 rows, and beside it a full sort, which top-p would need otherwise.
"""

import statistics

import torch
from shared import machine, seconds

from liuli.generate.sampling import Draw, Sampling, choose, distribution

SETTINGS = {
    "greedy": Sampling(temperature=0),
    "temperature": Sampling(temperature=0.8),
    "temperature, top-k 50, top-p 0.9": Sampling(temperature=0.8, top_k=50, top_p=0.9),
    "top-p 0.9 alone, sharp": Sampling(temperature=0.7, top_p=0.9),
    "top-p 0.9 alone, flat": Sampling(temperature=1.5, top_p=0.9),
    "min-p 0.05": Sampling(temperature=0.8, min_p=0.05),
    "all penalties": Sampling(temperature=0.8, repetition_penalty=1.1, presence_penalty=0.1, frequency_penalty=0.1),
}


@torch.inference_mode()
def main() -> None:
    torch.manual_seed(0)
    logits_BV = torch.randn(30, 32_000) * 3
    prompt, counts = list(range(500)), dict.fromkeys(range(400, 600), 2)
    print(machine())
    print(f"{'a full sort':34} {1e3 * statistics.median(seconds(logits_BV[i].sort) for i in range(30)):7.3f} ms a row")
    for name, sampling in SETTINGS.items():
        draw = Draw(sampling, 0.3, None, prompt, counts)
        kept = statistics.median(len(distribution(row, sampling).ids_K) for row in logits_BV)
        rows = [seconds(lambda row=row, draw=draw: choose(row, draw)) for row in logits_BV for _ in range(10)]
        print(f"{name:34} {1e3 * statistics.median(rows):7.3f} ms a row   ({kept:.0f} tokens left)")


if __name__ == "__main__":
    main()
