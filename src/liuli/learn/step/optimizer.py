"""The optimiser: Muon for the blocks' matrices, AdamW for all other parameters.

Muon makes a matrix's update orthogonal, so that it changes every direction equally. Matrices of one shape are stacked and
iterated as one batch. Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Amsel et al. 2025,
https://arxiv.org/abs/2505.16932 (the iteration's coefficients); Liang et al. 2024, https://arxiv.org/abs/2411.16085
(cautious: only weights that the update makes smaller anyway decay); Loshchilov and Hutter 2019,
https://arxiv.org/abs/1711.05101 (AdamW).

Legend: M matrices of one shape, R their rows, C their columns.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from liuli.learn.step.rates import Rates
from liuli.model.adapters.lora import LoRA
from liuli.model.adapters.token_rows import TokenRows
from liuli.model.decoder import Decoder
from liuli.model.linear import Embedding, Linear

# Each iteration's a, b, c: of all a x + b x³ + c x⁵ the one nearest to 1 over all that the one before may leave of singular
# values from LEAST to 1. After the four all of these are between 0.91 and 1.09.
NEWTON_SCHULZ = (
    (8.2987, -24.4305, 18.0903), (3.9152, -2.9211, 0.5592), (3.1746, -2.3804, 0.4978), (2.1895, -1.5672, 0.4079),
)  # fmt: skip
LEAST = 0.005
LARGEST = 1 / 1.01  # the largest after scaling: rounded to 16 bits none may exceed 1, where x⁵ diverges
BETAS = (0.9, 0.98)  # AdamW's: with 0.95 the parameters of rare tokens change too much (docs/lab-log.md)


class MuonAdamW:
    """Updates the decoder's parameters that require a gradient.

    Args:
        products: the dtype of Muon's matrix multiplications.
    """

    def __init__(self, decoder: Decoder, rates: Rates, products: torch.dtype = torch.float32):
        self.rates, self._products = rates, products
        linears = [module.weight for module in decoder.blocks.modules() if isinstance(module, Linear)]
        adapters = [matrix for module in decoder.modules() if isinstance(module, LoRA) for matrix in (module.a, module.b)]
        tables = [module.weight for module in decoder.modules() if isinstance(module, Embedding)]
        rows = [module.rows for module in decoder.modules() if isinstance(module, TokenRows)]
        every = _wanted([*linears, *adapters])
        matrices, others = (every, []) if rates.momentum is not None else ([], every)
        embeddings = _wanted([*tables, *rows])
        taken = {id(parameter) for parameter in (*matrices, *others, *embeddings)}
        rest = [parameter for parameter in _wanted(decoder.parameters()) if id(parameter) not in taken]
        self.parameters = [*matrices, *others, *embeddings, *rest]
        self._shapes = _by_shape(matrices)
        self._momenta = {shape: torch.zeros(len(of), *shape, device=of[0].device) for shape, of in self._shapes.items()}
        groups = [
            {"params": parameters, "lr": rate, "weight_decay": decay}
            for parameters, rate, decay in (
                (others, rates.matrices, rates.decay),
                (embeddings, rates.embedding, 0.0),
                (rest, rates.rest, 0.0),
            )
        ]
        self._adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]] or groups[:1], betas=BETAS, eps=1e-10, fused=True
        )
        self._base_rates = [group["lr"] for group in self._adamw.param_groups]

    def step(self, strength: float) -> None:
        """One update from the gradients, which are kept. `strength`: the schedule's factor on all rates, 0 to 1."""
        for shape, matrices in self._shapes.items():
            self._muon(matrices, self._momenta[shape], strength * self.rates.matrices)
        for group, rate in zip(self._adamw.param_groups, self._base_rates, strict=True):
            group["lr"] = strength * rate
        self._adamw.step()

    def gradient_norm(self) -> float:
        """The norm of all gradients as one vector; inf if it overflows."""
        return float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))

    def forget_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def _muon(self, matrices: list[nn.Parameter], momenta_MRC: Tensor, rate: float) -> None:
        gradients_MRC = torch.stack([matrix.grad for matrix in matrices if matrix.grad is not None])
        momentum = self.rates.momentum
        assert momentum is not None
        momenta_MRC.lerp_(gradients_MRC, 1 - momentum)
        updates_MRC = orthogonal(gradients_MRC.lerp_(momenta_MRC, momentum), self._products)  # Nesterov's
        rows, columns = momenta_MRC.shape[1:]
        for matrix_RC, update_RC in zip((matrix.detach() for matrix in matrices), updates_MRC, strict=True):
            update_RC = update_RC.float()
            if self.rates.decay:
                matrix_RC.mul_(1 - rate * self.rates.decay * (update_RC * matrix_RC > 0))
            matrix_RC.sub_(update_RC, alpha=rate * max(1.0, rows / columns) ** 0.5)

    def state(self) -> dict[str, Tensor]:
        """Everything that later updates depend on."""
        found = {f"momentum.{rows}x{columns}": held for (rows, columns), held in self._momenta.items()}
        for i, held in self._adamw.state_dict()["state"].items():
            found |= {f"adamw.{i}.{name}": value for name, value in held.items()}
        return found

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continues from what `state` returned for the same decoder."""
        for (rows, columns), held in self._momenta.items():
            held.copy_(state[f"momentum.{rows}x{columns}"])
        inner = self._adamw.state_dict()
        for name, value in state.items():
            if name.startswith("adamw."):
                _, i, field = name.split(".")
                inner["state"].setdefault(int(i), {})[field] = value.clone()
        self._adamw.load_state_dict(inner)


def orthogonal(x_MRC: Tensor, products: torch.dtype = torch.float32) -> Tensor:
    """Returns about U Vᵀ of each matrix's singular value decomposition U S Vᵀ, in the dtype `products`, by the Newton-Schulz
    iteration on the smaller side."""
    wide = x_MRC.shape[1] <= x_MRC.shape[2]
    x_MRC = (x_MRC / (x_MRC.norm(dim=(-2, -1), keepdim=True) / LARGEST + 1e-7)).to(products)
    for a, b, c in NEWTON_SCHULZ:
        square = x_MRC @ x_MRC.mT if wide else x_MRC.mT @ x_MRC
        inner = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x_MRC = torch.baddbmm(x_MRC, *((inner, x_MRC) if wide else (x_MRC, inner)), beta=a)
    return x_MRC


def _by_shape(matrices: list[nn.Parameter]) -> dict[torch.Size, list[nn.Parameter]]:
    shapes: dict[torch.Size, list[nn.Parameter]] = {}
    for matrix in matrices:
        shapes.setdefault(matrix.shape, []).append(matrix)
    return shapes


def _wanted(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]
