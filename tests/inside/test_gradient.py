"""One step of gradient descent, made again with `transformers`: losses, gradients, and the predictions afterwards."""

import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import transformers
from helpers.oracles import TEXT, Oracle

from liuli import LiuliError, load
from liuli.inside.gradient import gradient
from liuli.model.adapters import lora, peft_folder
from liuli.model.formats.detect import hash_model, read_decoder


def learner(oracle: Oracle) -> transformers.PreTrainedModel:
    """A copy of the oracle's model whose weights a step may change."""
    copy = type(oracle.hf)(oracle.hf.config).eval()
    copy.load_state_dict(oracle.hf.state_dict())
    return copy


def losses_of(hf: transformers.PreTrainedModel, ids: list[int]) -> torch.Tensor:
    return F.cross_entropy(hf(torch.tensor([ids])).logits[0, :-1], torch.tensor(ids[1:]), reduction="none")


def test_a_step(oracle):
    view, hf = gradient(oracle.model, TEXT), learner(oracle)
    ids = list(view.input.ids)
    losses = losses_of(hf, ids)
    losses.mean().backward()
    weights = [parameter for parameter in hf.parameters() if parameter.grad is not None]
    squared = sum(parameter.grad.double().square().sum().item() for parameter in weights)
    length = sum(parameter.double().square().sum().item() for parameter in weights) ** 0.5
    rate = view.move * length / squared**0.5
    assert view.ok and view.losses == pytest.approx(losses.detach().numpy(), abs=1e-4)
    assert view.loss == pytest.approx(losses.mean().item(), abs=1e-4)
    assert view.rate == pytest.approx(rate, rel=1e-3)
    assert view.expected == pytest.approx(-rate * squared, rel=1e-3)
    before = hf(torch.tensor([ids])).logits[0, :-1].log_softmax(-1).detach()
    with torch.no_grad():
        for parameter in weights:
            parameter -= rate * parameter.grad
        after = hf(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    assert view.losses_after == pytest.approx(losses_of(hf, ids).detach().numpy(), abs=2e-3)
    assert view.loss_after == pytest.approx(view.losses_after.mean(), abs=1e-4)
    for p, row in enumerate(view.top.tolist()):
        assert view.top_logprobs[p] == pytest.approx(before[p].topk(5).values.numpy(), abs=1e-4)
        assert view.top_logprobs[p] == pytest.approx(before[p, row].numpy(), abs=1e-4)
        assert view.top_logprobs_after[p] == pytest.approx(after[p, row].numpy(), abs=2e-3)


def test_the_gradient_of_every_tensor(oracle):
    """By name for the tensors that both have, and all lengths together for the rest."""
    view, hf = gradient(oracle.model, TEXT), learner(oracle)
    losses_of(hf, list(view.input.ids)).mean().backward()
    moves = {each.name: each for each in view.weights}
    norm = hf.transformer.ln_f if oracle.is_gpt2 else hf.model.norm
    for name, parameter in (("embedding.weight", hf.get_input_embeddings().weight), ("norm.weight", norm.weight)):
        assert moves[name].gradient == pytest.approx(parameter.grad.norm().item(), rel=1e-3)
        assert moves[name].shape == tuple(parameter.shape)
        assert moves[name].change == pytest.approx(view.rate * moves[name].gradient, rel=1e-6)
    for layer, module in enumerate(oracle.out_projections()):
        path = next(path for path, each in oracle.hf.named_modules() if each is module)
        expected = hf.get_submodule(path).weight.grad.norm().item()
        assert moves[f"blocks.{layer}.attention.out.weight"].gradient == pytest.approx(expected, rel=1e-3)
    whole = sum(each.gradient**2 for each in view.weights)
    assert whole == pytest.approx(
        sum(p.grad.double().square().sum().item() for p in hf.parameters() if p.grad is not None), rel=1e-3
    )
    assert sum(each.share for each in view.weights) == pytest.approx(1)
    assert [each.change for each in view.weights] == sorted((each.change for each in view.weights), reverse=True)


def test_a_small_step_does_what_the_gradient_promises(oracle):
    """The finite difference of the loss along the gradient."""
    view = gradient(oracle.model, TEXT, move=2e-5)
    assert view.expected < 0
    assert view.loss_after - view.loss == pytest.approx(view.expected, rel=0.05, abs=2e-5)


def test_the_step_lowers_the_loss_of_a_trained_model(trained):
    view = gradient(trained.model, "Once upon a time, there was a blue dragon.")
    assert view.loss_after < view.loss


def test_the_model_is_unchanged_to_the_bit(all_oracles, tiny):
    for model in (tiny, *(all_oracles[name].model for name in ("gpt2", "gemma3"))):
        weights = {name: parameter.detach().clone() for name, parameter in model.decoder.named_parameters()}
        flags = [parameter.requires_grad for parameter in model.decoder.parameters()]
        gradient(model, "the cat")
        assert all((weights[name] == parameter).all() for name, parameter in model.decoder.named_parameters())
        assert flags == [parameter.requires_grad for parameter in model.decoder.parameters()]
        assert all(parameter.grad is None for parameter in model.decoder.parameters())


def test_the_model_is_unchanged_if_the_view_is_interrupted(tiny, monkeypatch):
    weights = {name: parameter.detach().clone() for name, parameter in tiny.decoder.named_parameters()}
    calls = iter([None, None, KeyboardInterrupt])
    real = tiny.decoder.hidden

    def hidden(*given, **named):
        if next(calls, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(tiny.decoder, "hidden", hidden)
    with pytest.raises(KeyboardInterrupt):
        gradient(tiny, "the cat")
    monkeypatch.undo()
    assert all((weights[name] == parameter).all() for name, parameter in tiny.decoder.named_parameters())


def test_a_gradient_of_zero_moves_nothing(tiny_folder, tmp_path):
    """Final norm and head of zeros: no weight changes the loss."""
    folder = shutil.copytree(tiny_folder, tmp_path / "zero")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for name in ("model.norm.weight", "lm_head.weight"):
        tensors[name][:] = 0
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    for move in (None, 0.01):
        view = gradient(load(folder), "the cat", move)
        assert view.move == view.rate == view.expected == 0 and view.ok
        assert view.loss_after == view.loss == pytest.approx(np.log(270), abs=1e-5)


def test_the_adapter_is_named(tiny_folder, tmp_path):
    """A step moves the base too, which training with an adapter does not."""
    decoder = read_decoder(tiny_folder)
    lora.add(decoder, lora.LoRASettings(rank=2), seed=0)
    peft_folder.save(decoder, tmp_path / "adapter", str(tiny_folder), hash_model(tiny_folder))
    view = gradient(load(tiny_folder, adapter=tmp_path / "adapter"), "the cat")
    assert "gradient.adapter" in view.caveats and "gradient.adapter" not in gradient(load(tiny_folder), "the cat").caveats
    assert any("base" in each.name for each in view.weights)


def test_weights_that_a_file_maps_can_be_moved(tmp_path, all_oracles):
    """The weights of a GGUF file in fp32 are pages of the file."""
    from helpers import gguf_files

    oracle = all_oracles["llama2"]
    gguf_files.save_model(oracle.hf, tmp_path / "model.gguf")
    model = load(tmp_path / "model.gguf")
    model.tokenizer = oracle.model.tokenizer
    content = (tmp_path / "model.gguf").read_bytes()
    view = gradient(model, TEXT)
    assert view.losses == pytest.approx(gradient(oracle.model, TEXT).losses, abs=1e-4)
    assert (tmp_path / "model.gguf").read_bytes() == content


def test_bad_input(tiny, tiny_folder):
    with pytest.raises(LiuliError, match=r"^the text has one token, and the loss needs a next one: "):
        gradient(tiny, "")
    for move in (0, -1, np.nan, np.inf):
        with pytest.raises(LiuliError, match=r"^move must be a number above 0, not "):
            gradient(tiny, "the cat", move)
    with pytest.raises(LiuliError, match=r"^the weights are in bfloat16, and a step needs fp32: use --dtype fp32$"):
        gradient(load(tiny_folder, dtype="bf16"), "the cat")
