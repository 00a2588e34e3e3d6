"""A recording of one forward pass: the tensors of the decoder that were asked for, exactly as it computed them.

In: names of the decoder's points. Out: their tensors, by name. Without a tape the decoder records nothing (docs/taps.md).

Legend of shape suffixes: T tokens, D width.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from liuli.errors import LiuliError
from liuli.model.decoder import BLOCK_POINTS, Decoder


class Tape:
    """A tap that keeps tensors.

    Args:
        patterns: names of points, in which `*` stands for any layer: "embedding", "blocks.*.q", "blocks.3.heads".

    Raises:
        ValueError: no decoder has a point of such a name.
    """

    def __init__(self, *patterns: str):
        for pattern in patterns:
            layer, _, point = pattern.removeprefix("blocks.").partition(".")
            in_block = pattern.startswith("blocks.") and (layer == "*" or layer.isdecimal()) and point in BLOCK_POINTS
            if not in_block and pattern not in ("embedding", "final_norm"):
                raise ValueError(f"the decoder has no point {pattern!r}; see docs/taps.md")
        self._patterns = patterns
        self._kept: dict[str, Tensor] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if any(fnmatchcase(name, pattern) for pattern in self._patterns):
            self._kept[name] = x
        return x

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of a point, as listed in docs/taps.md; its first dimension is the row."""
        return self._kept[name]

    def layers(self, point: str) -> list[Tensor]:
        """The tensors of a point in all blocks that were recorded, the first block first."""
        return [x for name, x in self._kept.items() if name.startswith("blocks.") and name.endswith(f".{point}")]

    def residuals(self) -> list[Tensor]:
        """The residual stream after the embedding and after every block, (B, T, D) each. Needs `residual_points`."""
        last = self.layers("residual_mid")[-1] + self.layers("feed_forward_out")[-1]
        return [*self.layers("residual_in"), last]


def residual_points(decoder: Decoder) -> tuple[str, ...]:
    """The points from which `Tape.residuals` has the residual stream: before every block, and what gives it after the last."""
    last = decoder.config.layers - 1
    return ("blocks.*.residual_in", f"blocks.{last}.residual_mid", f"blocks.{last}.feed_forward_out")


@torch.inference_mode()
def record(decoder: Decoder, ids: Sequence[int], *patterns: str) -> tuple[Tensor, Tape]:
    """Reads `ids` in one forward pass.

    Returns:
        The output of the final norm, (T, D), and the tape with the points that match `patterns`.

    Raises:
        LiuliError: GPT-2 has no positions for so many tokens; the model's numbers are not finite.
    """
    tape = Tape(*patterns)
    ids_1T = torch.tensor([list(ids)], device=decoder.device)
    states_TD = decoder.hidden(ids_1T, tap=tape)[0]
    check_finite(states_TD)
    return states_TD, tape


def check_finite(x: Tensor) -> None:
    """Raises LiuliError if a number is NaN or infinite: what a view would show of it means nothing."""
    if not x.sum(dtype=torch.float32).isfinite():  # one number is enough: NaN and infinity do not leave a sum
        raise LiuliError("the model computes numbers that are NaN or infinite: check its weights, or use --dtype fp32")
