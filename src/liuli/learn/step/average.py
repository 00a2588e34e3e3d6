"""The mean of the weights over the last steps: less noisy than the weights of a single step, and exported in the same way.

At step t the mean moves by 1 / max(1, SHARE · t) of the way to the weights, so that it is over about the last SHARE of the
steps done so far, and the initial weights lose their influence. Source: Polyak and Juditsky 1992,
https://doi.org/10.1137/0330046; Defazio et al. 2023, https://arxiv.org/abs/2310.07831, who compare it with schedules.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from liuli.model.decoder import Decoder

SHARE = 0.15


class Average:
    """The average of a decoder's trained parameters. It takes as much memory as they do, and starts from their values."""

    def __init__(self, decoder: Decoder):
        # A shared table appears once.
        self._parameters = {name: each for name, each in decoder.named_parameters() if each.requires_grad}
        self._held = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    def update(self, step: int) -> None:
        """After step `step`, counted from 1."""
        for name, parameter in self._parameters.items():
            self._held[name].lerp_(parameter.detach(), 1 / max(1.0, SHARE * step))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within this context the decoder's weights are the mean."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def weights(self) -> dict[str, Tensor]:
        """The weights of the last step, by parameter, outside `shown`."""
        return {name: parameter.detach() for name, parameter in self._parameters.items()}

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Restores the weights of the last step in a decoder whose weights are the mean."""
        for name, parameter in self._parameters.items():
            parameter.data.copy_(weights[name])

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self._held[name] = self._held[name], parameter.data
