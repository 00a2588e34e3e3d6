"""The optimiser against PyTorch's own, and what it adds to them."""

import pytest
import torch
from helpers.trainings import decoder_of

from liuli.errors import LiuliError
from liuli.learn.step import optimizer as optim
from liuli.learn.step.optimizer import BETAS, MuonAdamW, orthogonal
from liuli.learn.step.rates import Rates
from liuli.model.decoder import Decoder
from liuli.model.formats.families import config_from
from liuli.model.linear import Linear
from liuli.model.start import start

GPT2 = {"model_type": "gpt2", "vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 20}


USUAL = {"matrices": 0.01, "embedding": 0.02, "rest": 0.005, "decay": 0.0, "momentum": 0.95}


def gpt2():
    decoder = Decoder(config_from(GPT2, "here"))
    start(decoder, 0)
    return decoder


def give_gradients(decoder, seed):
    random = torch.Generator().manual_seed(seed)
    for parameter in decoder.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=random)


def matrices_of(decoder):
    return {name: module.weight for name, module in decoder.blocks.named_modules() if isinstance(module, Linear)}


def others_of(decoder):
    taken = {id(weight) for weight in matrices_of(decoder).values()}
    return {name: parameter for name, parameter in decoder.named_parameters() if id(parameter) not in taken}


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 8, 32), (2, 96, 128), (1, 1, 20), (3, 32, 8)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_orthogonal(shape, scale):
    """All singular values that are not lost in the smallest are near 1, and the directions are kept."""
    x_MRC = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(x_MRC, full_matrices=False)
    x_MRC = u @ torch.diag_embed(s.clamp(min=0.1 * float(s.max()))) @ v * scale
    found = orthogonal(x_MRC)
    singular = torch.linalg.svdvals(found)
    assert 0.9 < float(singular.min()) <= float(singular.max()) < 1.1
    assert torch.linalg.vector_norm(found - u @ v) < 0.1 * torch.linalg.vector_norm(u @ v)
    rough = orthogonal(x_MRC, torch.bfloat16)
    assert rough.dtype == torch.bfloat16
    assert torch.linalg.vector_norm(rough.float() - found) < 0.15 * torch.linalg.vector_norm(found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_matrix_of_one_direction_is_not_carried_off(dtype):
    """Its largest singular value is all of its norm, and rounding may make it larger."""
    random = torch.Generator().manual_seed(0)
    u, v = (torch.nn.functional.normalize(torch.randn(200, size, generator=random), dim=1) for size in (24, 48))
    singular = torch.linalg.svdvals(orthogonal(u[:, :, None] * v[:, None], dtype).float())[:, 0]
    assert 0.85 < float(singular.min()) <= float(singular.max()) < 1.15


def test_orthogonal_of_nothing_is_nothing():
    assert torch.equal(orthogonal(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
def test_the_matrices_go_as_with_pytorchs_muon(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)  # theirs iterates in bfloat16 always
    monkeypatch.setattr(optim, "NEWTON_SCHULZ", [(3.4445, -4.7750, 2.0315)] * 5)
    monkeypatch.setattr(optim, "LARGEST", 1.0)
    ours, theirs = decoder_of(), decoder_of()
    optimizer = MuonAdamW(ours, Rates(**USUAL | {"matrices": 0.02, "momentum": 0.9}))
    reference = torch.optim.Muon(list(matrices_of(theirs).values()), lr=0.02, momentum=0.9, weight_decay=0.0)
    for step in range(5):
        for decoder in (ours, theirs):
            give_gradients(decoder, step)
        optimizer.step(1.0)
        reference.step()
        for name, weight in matrices_of(theirs).items():
            torch.testing.assert_close(matrices_of(ours)[name], weight, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(matrices_of(ours)["0.attention.q"], matrices_of(decoder_of())["0.attention.q"], atol=0.01)


def test_all_else_goes_as_with_pytorchs_adamw():
    for make in (decoder_of, gpt2, lambda: decoder_of(tie_word_embeddings=False)):
        ours, theirs = make(), make()
        optimizer = MuonAdamW(ours, Rates(**USUAL | {"embedding": 0.03, "rest": 0.004}))
        rest = others_of(theirs)
        tables = [rest.pop(name) for name in ("embedding.weight", "positions.weight") if name in rest]
        groups = [{"params": tables, "lr": 0.03}, {"params": list(rest.values()), "lr": 0.004}]
        reference = torch.optim.AdamW(groups, betas=BETAS, eps=1e-10, weight_decay=0.0, fused=False, foreach=False)
        for step in range(4):
            for decoder in (ours, theirs):
                give_gradients(decoder, step)
            strength = (1.0, 0.5, 0.25, 1.0)[step]
            for group, rate in zip(reference.param_groups, (0.03, 0.004), strict=True):
                group["lr"] = strength * rate
            optimizer.step(strength)
            reference.step()
        for name, parameter in others_of(theirs).items():
            torch.testing.assert_close(others_of(ours)[name], parameter, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_without_muon_all_goes_as_with_pytorchs_adamw(decay):
    """Matrices decay, and nothing else does."""
    ours, theirs = gpt2(), gpt2()
    found = MuonAdamW(ours, Rates(0.01, 0.01, 0.01, decay, None))
    groups = [
        {"params": [*matrices_of(theirs).values()], "weight_decay": decay},
        {"params": [*others_of(theirs).values()], "weight_decay": 0.0},
    ]
    wanted = torch.optim.AdamW(groups, lr=0.01, betas=BETAS, eps=1e-10)
    for seed in range(4):
        give_gradients(ours, seed)
        give_gradients(theirs, seed)
        found.step(1.0)
        wanted.step()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7, msg=name)


def test_every_parameter_has_one_optimiser():
    for decoder in (decoder_of(), decoder_of(tie_word_embeddings=False), gpt2()):
        optimizer = MuonAdamW(decoder, Rates(**USUAL))
        assert sorted(map(id, optimizer.parameters)) == sorted(map(id, decoder.parameters()))
        before = {name: parameter.detach().clone() for name, parameter in decoder.named_parameters()}
        give_gradients(decoder, 0)
        optimizer.step(1.0)
        assert all(not torch.equal(parameter, before[name]) for name, parameter in decoder.named_parameters())
        optimizer.forget_gradients()
        assert all(parameter.grad is None for parameter in decoder.parameters())


def test_strength_scales_every_update():
    whole, half, none = decoder_of(), decoder_of(), decoder_of()
    for decoder, strength in ((whole, 1.0), (half, 0.5), (none, 0.0)):
        give_gradients(decoder, 0)
        MuonAdamW(decoder, Rates(**USUAL)).step(strength)
    start = dict(decoder_of().named_parameters())
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(half.get_parameter(name) - start[name], (parameter - start[name]) / 2, rtol=1e-3, atol=1e-5)
        assert torch.equal(none.get_parameter(name), start[name])


def test_the_state_goes_on_to_the_bit():
    whole = decoder_of()
    optimizer = MuonAdamW(whole, Rates(**USUAL | {"decay": 0.1}))
    for step in range(3):
        give_gradients(whole, step)
        optimizer.step(0.7)
    state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    again = decoder_of(seed=5)
    again.load_state_dict(whole.state_dict())
    resumed = MuonAdamW(again, Rates(**USUAL | {"decay": 0.1}))
    resumed.restore(state)
    assert resumed.state().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in resumed.state().items())
    for step in range(3, 6):
        for decoder, each in ((whole, optimizer), (again, resumed)):
            give_gradients(decoder, step)
            each.step(0.7)
    for name, parameter in whole.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter)
    assert all(torch.equal(resumed.state()[name], tensor) for name, tensor in optimizer.state().items())
    assert not all(torch.equal(state[name], tensor) for name, tensor in optimizer.state().items())


def test_decay_only_shrinks_what_the_update_makes_smaller_anyway():
    """By the share that is promised, in matrices of every shape."""
    plain, decayed, start = decoder_of(), decoder_of(), matrices_of(decoder_of())
    rate, decay = 0.01, 0.5
    for decoder, share in ((plain, 0.0), (decayed, decay)):
        give_gradients(decoder, 0)
        MuonAdamW(decoder, Rates(**USUAL | {"matrices": rate, "decay": share})).step(1.0)
    shrunk = 0
    for name, weight in matrices_of(plain).items():
        smaller = (weight - start[name]) * start[name] < 0
        lost = weight - matrices_of(decayed)[name]
        torch.testing.assert_close(lost, rate * decay * start[name] * smaller, rtol=1e-3, atol=1e-7)
        shrunk += int(smaller.sum())
    assert shrunk > 100
    for name, parameter in others_of(plain).items():
        assert torch.equal(others_of(decayed)[name], parameter)


def test_the_norm_is_that_of_all_gradients_and_may_overflow():
    decoder = decoder_of()
    optimizer = MuonAdamW(decoder, Rates(**USUAL))
    give_gradients(decoder, 0)
    together = torch.cat([parameter.grad.flatten() for parameter in decoder.parameters()])
    assert optimizer.gradient_norm() == pytest.approx(float(together.norm()), rel=1e-5)
    decoder.norm.weight.grad.fill_(3e38)
    assert optimizer.gradient_norm() == float("inf")


@pytest.mark.parametrize(
    "change", [{"matrices": 0}, {"embedding": -1}, {"rest": float("nan")}, {"decay": 1}, {"momentum": 1.0}]
)
def test_rates_out_of_range(change):
    with pytest.raises(LiuliError, match=f"{next(iter(change))} must be "):
        Rates(**USUAL | change)
