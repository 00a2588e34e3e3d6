"""Weights to learn from: the induction circuit does what it is said to do, from the first step and after many."""

from dataclasses import replace

import pytest
import torch

from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.rates import Rates
from liuli.model.config import PRESETS, Config
from liuli.model.decoder import Decoder
from liuli.model.start import has_room, start

TWICE = 48  # tokens that stand twice
LLAMA = {"family": "llama", "rope_theta": 1e4}
TINY = replace(PRESETS["nano"], vocab_size=200, width=64, layers=2, heads=2, kv_heads=2, head_width=32, feed_forward_width=64)


def started(config: Config, seed: int = 0) -> Decoder:
    decoder = Decoder(config)
    start(decoder, seed)
    return decoder


def outs(decoder: Decoder) -> list[torch.Tensor]:
    """What heads write by."""
    return [parameter for name, parameter in decoder.named_parameters() if name.endswith("attention.out.weight")]


def repeated(rows: int, vocab_size: int, random: torch.Generator) -> torch.Tensor:
    once = torch.randint(vocab_size, (rows, TWICE), generator=random)
    return torch.cat([once, once], 1)


def losses(decoder: Decoder, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nats a token where a passage stands first, and where it stands again."""
    chances = decoder(ids_BT)[:, :-1].log_softmax(-1)
    nats = -chances.gather(2, ids_BT[:, 1:, None])[..., 0]
    return nats[:, : TWICE - 1].mean(), nats[:, TWICE:].mean()


@pytest.mark.parametrize(("size", "change"), [("nano", {}), ("micro", {}), ("mini", {}), ("nano", LLAMA), ("micro", LLAMA)])
def test_one_head_looks_back_and_one_finds_what_came_next(size, change):
    config = replace(PRESETS[size], vocab_size=1000, **change)
    decoder, seen = started(config), {}
    ids = repeated(4, config.vocab_size, torch.Generator().manual_seed(1))
    with torch.no_grad():
        decoder.hidden(ids, tap=lambda point, x: seen.setdefault(point, x))
    looked = []
    for layer in range(2):
        scores = seen[f"blocks.{layer}.q"][:, :, 0] @ seen[f"blocks.{layer}.k"][:, :, 0].mT / config.head_width**0.5
        looked.append(scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1))
    assert looked[0].diagonal(-1, 1, 2).mean() > 0.5  # one place back
    assert looked[1][:, TWICE:].diagonal(1, 1, 2).mean() > 0.3  # behind the same token, where it stood first
    first, again = losses(decoder, ids)
    assert again < first - 0.05


def test_learning_keeps_it():
    """In 60 steps a model that begins so knows that a passage is said again; one that begins at random has no idea."""

    def learned(decoder: Decoder) -> tuple[float, float]:
        optimizer, random = MuonAdamW(decoder, Rates(0.018, 0.05, 0.005, 0.0, 0.8)), torch.Generator().manual_seed(2)
        for step in range(60):
            first, again = losses(decoder, repeated(8, TINY.vocab_size, random))
            (first + again).backward()
            optimizer.step(1 - step / 60)
            optimizer.forget_gradients()
        with torch.no_grad():
            first, again = losses(decoder, repeated(8, TINY.vocab_size, random))
        return float(first), float(again)

    first, again = learned(started(TINY))
    assert first > 5.0 and again < 1.0
    without = started(TINY)
    for out in outs(without):
        torch.nn.init.zeros_(out)
    assert learned(without)[1] > 4.5


def test_a_seed_says_all():
    one, same, other = (started(TINY, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


@pytest.mark.parametrize("change", [{"layers": 1}, {"heads": 1, "kv_heads": 1, "head_width": 64}, {"head_width": 2}])
def test_where_there_is_no_room_a_block_begins_as_nothing(change):
    decoder = started(replace(TINY, **change))
    assert not has_room(decoder)
    assert not any(out.any() for out in outs(decoder))


def test_gpt2_begins_without():
    decoder = started(replace(PRESETS["gpt2"], vocab_size=50, width=32, layers=2, heads=2, kv_heads=2, head_width=16))
    assert not has_room(decoder)
    assert torch.isfinite(decoder(torch.arange(8)[None])).all()
