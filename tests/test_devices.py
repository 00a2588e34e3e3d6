"""How many threads a model is computed with."""

import pytest
import torch

from liuli.cli.sampling import set_threads
from liuli.devices import SMALL, inference_threads


class Sized:
    """A model of which only the number of parameters is known."""

    def __init__(self, parameters: int):
        self.decoder = torch.nn.ParameterList([torch.nn.Parameter(torch.empty(parameters, device="meta"))])


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("sizes", "asked", "threads"),
    [
        ((1000,), None, 1),
        ((SMALL - 1,), None, 1),
        ((SMALL,), None, 2),
        ((1000, SMALL), None, 2),
        ((1000,), 2, 2),
        ((SMALL,), 1, 1),
    ],
)
def test_a_small_model_gets_one_thread(two_threads, sizes, asked, threads):
    set_threads([Sized(size) for size in sizes], asked)
    assert torch.get_num_threads() == threads


def test_never_more_than_the_process_has(two_threads):
    torch.set_num_threads(1)
    assert inference_threads(10 * SMALL) == 1
