"""The mean of the weights, beside a computation by hand."""

import pytest
import torch
from helpers.trainings import CONFIG

from liuli.learn.step.average import SHARE, Average
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_from
from liuli.model.start import start


@pytest.fixture
def decoder():
    decoder = Decoder(config_from(CONFIG, "here"))
    start(decoder, 0)
    return decoder


def numbers(decoder):
    return torch.cat([parameter.detach().flatten() for parameter in decoder.parameters()]).clone()


def test_the_mean_of_the_last_steps(decoder):
    average, expected = Average(decoder), numbers(decoder).double()
    torch.manual_seed(0)
    for step in range(1, 61):
        for parameter in decoder.parameters():
            parameter.data += torch.randn_like(parameter)
        expected += (numbers(decoder) - expected) / max(1, SHARE * step)
        average.update(step)
        if step * SHARE < 1:
            with average.shown():  # until here it is the weights themselves
                shown = numbers(decoder)
            torch.testing.assert_close(shown, numbers(decoder))
    own = numbers(decoder)
    with average.shown():
        torch.testing.assert_close(numbers(decoder), expected.float(), rtol=1e-5, atol=1e-5)
        assert not torch.equal(numbers(decoder), own)
    assert torch.equal(numbers(decoder), own)


def test_the_weights_are_back_after_an_error(decoder):
    average = Average(decoder)
    for parameter in decoder.parameters():
        parameter.data += 1
    own = numbers(decoder)

    def fail():
        with average.shown():
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert torch.equal(numbers(decoder), own)


def test_weights_and_mean_come_back_from_what_was_saved(decoder):
    average = Average(decoder)
    for parameter in decoder.parameters():
        parameter.data += 1
    average.update(20)
    weights = {name: weight.clone() for name, weight in average.weights().items()}
    with average.shown():
        saved = {name: weight.clone() for name, weight in decoder.state_dict().items()}
    other = Decoder(config_from(CONFIG, "here"))
    other.load_state_dict(saved)
    again = Average(other)
    again.restore(weights)
    assert torch.equal(numbers(other), numbers(decoder))
    with average.shown(), again.shown():
        assert torch.equal(numbers(other), numbers(decoder))
