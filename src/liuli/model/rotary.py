"""Rotary positions: each pair of numbers in a query or key is rotated by an angle that is proportional to the token's position.

Source: Su et al. 2021, https://arxiv.org/abs/2104.09864. Pairs are (i, i + D/2), as in Hugging Face's weights.
Legend: B batch, T tokens, H heads, D head width.
"""

import math

import torch
from torch import Tensor

from liuli.model.config import RotaryScaling


class Rotary:
    """Angles for heads of one width. The frequencies are always fp32, whatever the dtype of the model."""

    def __init__(self, head_width: int, theta: float, scaling: RotaryScaling | None = None):
        plain = frequencies(head_width, theta, scaling)
        self._turns = torch.cat((plain, plain))
        self._signed_turns = torch.cat((-plain, plain))
        self._scale = scaling.attention_factor if scaling else 1.0

    def angles(self, positions_BT: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Returns the cosines and signed sines for `rotate`, (B, T, 1, D) each."""
        if self._turns.device != positions_BT.device:
            self._turns, self._signed_turns = self._turns.to(positions_BT.device), self._signed_turns.to(positions_BT.device)
        positions_BT11 = positions_BT.float().view(*positions_BT.shape, 1, 1)
        cos, sin = (positions_BT11 * self._turns).cos(), (positions_BT11 * self._signed_turns).sin()
        if self._scale != 1:
            cos, sin = cos * self._scale, sin * self._scale
        return (cos, sin) if dtype == torch.float32 else (cos.to(dtype), sin.to(dtype))


def rotate(x_BTHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates each pair: (a, b) -> (a cos − b sin, b cos + a sin). The first half of `sin` must have the minus sign already."""
    return torch.addcmul(x_BTHD * cos, x_BTHD.roll(x_BTHD.shape[-1] // 2, -1), sin)


def frequencies(head_width: int, theta: float, scaling: RotaryScaling | None = None) -> Tensor:
    """Returns the radians per token of each pair, θ^(−2i/D), changed by the scaling: (D/2) fp32."""
    exponents = torch.arange(0, head_width, 2, dtype=torch.int64, device="cpu").float() / head_width
    plain = 1.0 / theta**exponents
    if scaling is None:
        return plain
    if scaling.kind == "linear":
        return plain / scaling.factor
    return _llama3(plain, scaling) if scaling.kind == "llama3" else _yarn(plain, scaling, head_width, theta)


def _llama3(plain: Tensor, scaling: RotaryScaling) -> Tensor:
    """Scales only pairs that rotate slowly, and those between two wavelengths partly (from the code of Llama 3.1)."""
    turns = scaling.original * plain / (2 * math.pi)  # full turns within the original context
    low, high = scaling.low_frequency, scaling.high_frequency
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * keep + plain / scaling.factor * (1 - keep)


def _yarn(plain: Tensor, scaling: RotaryScaling, head_width: int, theta: float) -> Tensor:
    """Scales pairs that rotate slowly, keeps those that rotate fast, and scales those in between partly (YaRN, equations 17 to
    23)."""

    def pair_that_turns(times: float) -> float:
        return head_width * math.log(scaling.original / (times * 2 * math.pi)) / (2 * math.log(theta))

    low, high = pair_that_turns(scaling.beta_fast), pair_that_turns(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_width - 1)
    pairs = torch.arange(len(plain), dtype=torch.float32, device="cpu")
    stretch = ((pairs - low) / (high - low or 0.001)).clamp(0, 1)
    return plain / scaling.factor * stretch + plain * (1 - stretch)
