"""What Liuli's training step is measured against: the same step in `transformers`, in whichever setting is fastest here.

    python benchmarks/rivals.py [--preset small] [--rows 8] [--length 512] [--times 3]

A step is forward, mean cross-entropy, backward, fused AdamW, and letting go of the gradients; eager, on the CPU, on random
tokens. Which attention and which products are fastest depends on the processor, so a comparison first tries them all.
"""

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import torch
import torch.nn.functional as F
import transformers
from shared import alternate, machine, seconds

from liuli.model.config import PRESETS
from liuli.model.formats.families import config_to

Step = Callable[[], float]  # one update of the weights; its loss, in nats per token


@dataclass(frozen=True, slots=True)
class Setting:
    """`attention`: which of its implementations `transformers` uses. `bf16`: autocast to it; the weights stay in fp32."""

    attention: Literal["sdpa", "eager"] = "sdpa"
    bf16: bool = False

    def __str__(self) -> str:
        return f"{self.attention}, {'bf16 autocast' if self.bf16 else 'fp32'}"


@dataclass(frozen=True, slots=True)
class Fastest:
    """The setting that took the least time, its step, and the median seconds of all that were tried."""

    setting: Setting
    step: Step
    seconds: dict[Setting, float]


def transformers_step(config_json: dict[str, Any], rows: int, length: int, setting: Setting) -> Step:
    """A training step of `Qwen3ForCausalLM` with random weights, always on the same `rows` × `length` random tokens.

    Args:
        config_json: as `config_to` writes it.
    """
    torch.manual_seed(0)
    config = transformers.Qwen3Config(**config_json)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=setting.attention).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ids_BT = torch.randint(config.vocab_size, (rows, length + 1))
    inputs_BT, targets_N = ids_BT[:, :-1].contiguous(), ids_BT[:, 1:].flatten()

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16) if setting.bf16 else nullcontext():
            logits_BTV = model(input_ids=inputs_BT, use_cache=False).logits
            loss = F.cross_entropy(logits_BTV.flatten(0, 1), targets_N)  # in fp32, under autocast too
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def fastest(config_json: dict[str, Any], rows: int, length: int, times: int = 3) -> Fastest:
    """Tries every setting, `times` steps each in turn after one to warm up."""
    settings = {str(each): each for each in (Setting(*both) for both in product(("sdpa", "eager"), (False, True)))}
    steps = {name: transformers_step(config_json, rows, length, each) for name, each in settings.items()}
    found = alternate({name: lambda step=step: seconds(step) for name, step in steps.items()}, times)
    best = min(found, key=found.__getitem__)
    return Fastest(settings[best], steps[best], {settings[name]: time for name, time in found.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="small", choices=[name for name, of in PRESETS.items() if of.family == "qwen3"])
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{machine()}, transformers {transformers.__version__}")
    rows, length = arguments.rows, arguments.length
    found = fastest(config_to(PRESETS[arguments.preset]), rows, length, arguments.times)
    print(f"{arguments.preset}, {rows} × {length}")
    for setting, time in found.seconds.items():
        chosen = "  fastest" * (setting == found.setting)
        print(f"  {setting!s:20} {time:8.3f} s a step  {rows * length / time:8,.0f} tokens/s{chosen}")


if __name__ == "__main__":
    main()
