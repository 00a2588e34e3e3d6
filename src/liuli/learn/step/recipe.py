"""Derives every number of a training run from a size and a budget, by the rules written here.

1. A row is as long as nearly all documents (`Recipe.length`), within the bounds of the size or, for an assistant, of the
   model. 2,048 pieces of that length wait to be shuffled. Fewer would shuffle less; with more, short documents would be used up
   first if a row holds several.
2. A step reads about 2,048 tokens for a model of 1 M parameters, and grows with the fourth root of their number.
3. A base model's learning rate is Muon's and the same for all sizes, since its updates do not grow with the width; the
   embedding's and the rest's are fixed multiples of it.
4. A forward pass reads 2,048 tokens, or as many as keep at most 1 GiB for the backward pass.
5. The learning rate warms up over 2 % of the steps, stays for 8 %, and falls linearly to 0.
6. A published model (more than 50 M parameters) that is trained further, or gets LoRA, would lose what it knows at a high rate.
   AdamW trains all its weights at one rate, which falls with the square root of its size. A step has 1,024 tokens, or fewer
   if three passes over the data would have fewer than 100 steps. A budget of time trains at most three passes: more memorize
   the data, and the held-out loss rises.

Each can be set by hand. Where the constants come from: docs/lab-log.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from liuli.errors import LiuliError
from liuli.fields import Record, check, is_number, is_positive, is_size
from liuli.learn.step.rates import Rates
from liuli.model.config import Config
from liuli.model.memory import Workload
from liuli.model.plan import is_large, kept_bytes, parameter_parts

BUFFERED = 2048  # pieces
TOKENS_AT_ONCE = 2048  # per forward pass; a larger batch is accumulated over several
ACTIVATIONS_AT_ONCE = 1 << 30  # bytes kept for a backward pass, logits and attention's scores apart
LONGEST = ((2e6, 256), (40e6, 512), (math.inf, 1024))  # (parameters up to, positions of a row at most)


@dataclass(frozen=True, slots=True)
class Recipe(Record):
    """How a run trains.

    Attributes:
        length: positions per row. rows: per step. rows_at_once: per forward pass. buffer: ids that wait to be shuffled.
        rate: the learning rate of the matrices. decay: of the matrices.
        warm_up, warm_down: shares of the steps. optimizer: Muon for the matrices and AdamW for the rest, or AdamW for all.
    """

    length: int
    rows: int
    rows_at_once: int
    buffer: int
    rate: float
    decay: float
    warm_up: float
    warm_down: float
    optimizer: Literal["muon", "adamw"] = "muon"

    def __post_init__(self) -> None:
        if self.optimizer not in ("muon", "adamw"):
            raise LiuliError(f"the optimizer must be muon or adamw, not {self.optimizer!r}")
        check(self, "length rows rows_at_once buffer", is_size, "a whole number above 0", "a recipe's ")
        check_schedule(self)

    @property
    def tokens(self) -> int:
        """Positions per step."""
        return self.rows * self.length

    @property
    def rates(self) -> Rates:
        if self.optimizer == "adamw":
            return Rates(self.rate, self.rate, self.rate, self.decay, None)
        return Rates(self.rate, EMBEDDING * self.rate, REST * self.rate, self.decay, MOMENTUM)

    def workload(self, config: Config, bits: int, lora: int | None, base: int = 2, on_cpu: bool = True) -> Workload:
        """Returns what a run by this recipe computes; see `Workload`."""
        return Workload(
            length=self.length,
            rows=self.rows,
            rows_at_once=self.rows_at_once,
            bits=bits,
            muon=self.optimizer == "muon",
            lora=lora,
            base=base,
            validated_bits=bits if is_large(config) else 32,
            on_cpu=on_cpu,
        )

    def strength(self, step: int, steps: int) -> float:
        """The factor on the learning rates at a step, 0 to `steps` − 1."""
        up = (step + 1) / (self.warm_up * steps + 1)
        down = (steps - step) / (self.warm_down * steps) if self.warm_down else 1.0
        return min(1.0, up, down)


def check_schedule(settings: Any) -> None:
    """Checks `rate`, `decay`, `warm_up` and `warm_down` of a recipe, or of settings in which None means the rule's value.

    Raises:
        LiuliError: one of them is out of range.
    """
    limits: dict[str, tuple[Callable[[Any], bool], str, str]] = {
        "rate": (lambda value: is_positive(value) and value < HIGHEST, f"above 0 and below {HIGHEST:g}", "the learning "),
        "decay": (lambda value: is_number(value) and 0 <= value < 1, "at least 0 and below 1", "the weight "),
        "warm_up": (_is_share, "a share of the steps between 0 and 1", "--"),
        "warm_down": (_is_share, "a share of the steps between 0 and 1", "--"),
    }
    for name, limit in limits.items():
        if getattr(settings, name) is not None:
            check(settings, name, *limit)
    together = (settings.warm_up or 0) + (settings.warm_down or 0)
    if together > 1:
        raise LiuliError(f"--warm-up and --warm-down together must be at most 1, not {together:g}")


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


RATE, EMBEDDING, REST, MOMENTUM = 0.018, 2.8, 0.28, 0.8
PUBLISHED_RATE, PUBLISHED_LORA_RATE, OF_PARAMETERS = 1.1e-5, 4.5e-4, 494e6  # AdamW's, for a model of so many (docs/lab-log.md)
# Tokens per step; passes over the data, at most, for a budget of time; steps in these passes, if possible.
PUBLISHED_TOKENS, PUBLISHED_PASSES, PUBLISHED_STEPS = 1024, 3, 100
HIGHEST = 1e30  # of learning rates: fp32 ends at 3.4e38


def for_published(config: Config, lora: bool) -> dict[str, Any]:
    """Fields of the recipe for a large model, which is treated as a published one; {} for a small one."""
    if not is_large(config):
        return {}
    parameters = sum(parameter_parts(config).values())
    rate = (PUBLISHED_LORA_RATE if lora else PUBLISHED_RATE) * (OF_PARAMETERS / parameters) ** 0.5
    return {"optimizer": "adamw", "rate": rate, "warm_up": 0.05, "warm_down": 0.95}


def derive(config: Config, documents: list[int], given: dict[str, Any], most: int | None = None) -> Recipe:
    """The recipe for a model.

    Args:
        documents: lengths, in tokens, of the first documents. given: fields that are set by hand. most: positions
            of a row, if the size does not bound them.
    """
    parameters = sum(parameter_parts(config).values())
    length = given.get("length") or _length(most or next(most for size, most in LONGEST if parameters <= size), documents)
    tokens = 2048 * 2 ** round(math.log2(max(1.0, (parameters / 1e6) ** 0.25)))
    if given.get("optimizer") == "adamw":
        tokens = min(PUBLISHED_TOKENS, PUBLISHED_PASSES * sum(documents) // PUBLISHED_STEPS)
    rows = given.get("rows") or max(1, tokens // length)
    at_once = min(TOKENS_AT_ONCE, ACTIVATIONS_AT_ONCE // kept_bytes(config))
    found = {
        "length": length,
        "rows": rows,
        "rows_at_once": min(rows, max(1, at_once // length)),
        "buffer": max(BUFFERED * min(length, sum(documents) // len(documents)), tokens),
        "rate": RATE,
        "decay": 0.0,
        "warm_up": 0.02,
        "warm_down": 0.9,
    }
    return Recipe(**found | given)


def _length(most: int, documents: list[int]) -> int:
    """A row length, a multiple of 64, that fits 999 of 1,000 documents, if a row may be so long."""
    longest = sorted(documents)[-1 - len(documents) // 1000]
    return min(most, 64 * math.ceil((longest - 1) / 64) or 64)
