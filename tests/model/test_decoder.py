"""The decoder against `transformers`, in every way that it can be run, for every family."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from helpers import families

from liuli.errors import LiuliError
from liuli.model.cache import KVCache
from liuli.model.decoder import BLOCK_POINTS, Decoder
from liuli.model.formats.detect import read_decoder
from liuli.model.linear import Linear, RMSNorm, exchange

ids_1T = torch.randint(0, families.VOCABULARY, (1, 40), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def slots(pair, count: int = 3, capacity: int = 64) -> KVCache:
    return KVCache(pair.ours.config, count, capacity, "cpu", torch.float32)


def test_whole(pair):
    ids_BT = torch.randint(0, families.VOCABULARY, (3, 50), generator=torch.Generator().manual_seed(2))
    pair.expect(pair.ours(ids_BT), ids_BT)


def test_past_the_original_context(pair):
    if pair.ours.positions is not None:
        with pytest.raises(LiuliError, match="65 tokens do not fit the model's context of 64"):
            pair.ours(torch.zeros(1, 65, dtype=torch.int64))
        return
    ids_BT = torch.randint(0, families.VOCABULARY, (1, 150), generator=torch.Generator().manual_seed(2))
    pair.expect(pair.ours(ids_BT), ids_BT)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded(pair, side):
    lengths = [40, 23, 1]
    real_BT = torch.stack([torch.arange(40) < n if side == "right" else torch.arange(40) >= 40 - n for n in lengths])
    ids_BT = ids_1T.expand(3, -1)
    positions_BT = (real_BT.cumsum(1) - 1).clamp(min=0)
    logits = pair.ours.logits(pair.ours.hidden(ids_BT, positions=positions_BT, segments=real_BT.long()))
    for b, length in enumerate(lengths):
        alone_1T = ids_BT[b][real_BT[b]][None]
        assert alone_1T.shape[1] == length
        pair.expect(logits[b][real_BT[b]][None], alone_1T)


@pytest.mark.parametrize(
    "chunks", [[1] * 40, [40], [1, 7, 2, 20, 10], [13, 1, 1, 25]], ids=["one by one", "whole", "uneven", "mixed"]
)
def test_cached(pair, chunks):
    held, logits, at = slots(pair), [], 0
    for size in chunks:
        logits.append(pair.ours.logits(pair.ours.hidden(ids_1T[:, at : at + size], cache=held.rows([1], [size]))))
        at += size
    assert held.fill == [0, 40, 0]
    pair.expect(torch.cat(logits, 1), ids_1T)


def test_rows_of_different_lengths_step_together(pair):
    """Three sequences in slots out of order, each pass with its own number of tokens for each."""
    held = slots(pair, count=4)
    rows_BT = torch.randint(0, families.VOCABULARY, (3, 30), generator=torch.Generator().manual_seed(3))
    order, at, logits = [2, 0, 3], [0, 0, 0], [[], [], []]
    for new_B in [(5, 1, 9), (1, 1, 1), (7, 2, 1), (1, 10, 3), (16, 16, 16)]:
        ids_BT = torch.zeros(3, max(new_B), dtype=torch.int64)
        for b, new in enumerate(new_B):
            ids_BT[b, :new] = rows_BT[b, at[b] : at[b] + new]
        out_BTV = pair.ours.logits(pair.ours.hidden(ids_BT, cache=held.rows(order, new_B)))
        for b, new in enumerate(new_B):
            logits[b].append(out_BTV[b, :new])
            at[b] += new
    for b, done in enumerate(at):
        pair.expect(torch.cat(logits[b])[None], rows_BT[b : b + 1, :done])


def test_a_slot_is_copied_truncated_and_used_again(pair):
    held = slots(pair)
    pair.ours.hidden(ids_1T, cache=held.rows([0], [40]))
    held.copy(0, 2, 25)
    held.truncate(0, 10)
    for slot, kept in ((2, 25), (0, 10)):
        rest = ids_1T[:, kept:]
        logits = pair.ours.logits(pair.ours.hidden(rest, cache=held.rows([slot], [40 - kept])))
        whole = torch.cat((pair.ours(ids_1T[:, :kept]), logits), 1)
        pair.expect(whole, ids_1T)


def test_packed_documents_equal_the_same_documents_alone(pair):
    lengths = [17, 3, 20]
    segments_1T = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    positions_1T = torch.cat([torch.arange(n) for n in lengths])[None]
    packed = pair.ours.logits(pair.ours.hidden(ids_1T, positions=positions_1T, segments=segments_1T))
    for logits, alone in zip(packed.split(lengths, 1), ids_1T.split(lengths, 1), strict=True):
        pair.expect(logits, alone)


def test_a_tap_sees_every_point_in_order_and_changes_no_bit(pair):
    seen = []

    def tap(name, x):
        seen.append(name)
        return x.clone()

    assert torch.equal(pair.ours.hidden(ids_1T, tap=tap), pair.ours.hidden(ids_1T))
    blocks = [f"blocks.{i}.{point}" for i in range(3) for point in BLOCK_POINTS]
    assert seen == ["embedding", *blocks, "final_norm"]


def test_a_tap_can_replace(pair):
    def tap(name, x):
        return torch.zeros_like(x) if name in ("blocks.1.attention_out", "blocks.1.feed_forward_out") else x

    shapes = {}
    pair.ours.hidden(ids_1T, tap=lambda name, x: shapes.setdefault(name, x) if name.startswith("blocks.1") else x)
    without = {}
    pair.ours.hidden(ids_1T, tap=lambda name, x: without.setdefault(name, x) if "residual_in" in name else tap(name, x))
    assert torch.equal(without["blocks.2.residual_in"], without["blocks.1.residual_in"])
    c = pair.ours.config
    assert shapes["blocks.1.q"].shape == (1, 40, c.heads, c.head_width)
    assert shapes["blocks.1.k"].shape == shapes["blocks.1.v"].shape == (1, 40, c.kv_heads, c.head_width)
    assert shapes["blocks.1.feed_forward_pre"].shape == (1, 40, c.feed_forward_width)


def test_attention_is_what_the_tapped_queries_and_keys_say(pair):
    """Patterns recomputed from taps give the heads' outputs: no second path through attention exists."""
    at = {}
    pair.ours.hidden(ids_1T, tap=lambda name, x: at.setdefault(name, x))
    c = pair.ours.config
    q, k, v = (at[f"blocks.2.{point}"].transpose(1, 2).double() for point in "qkv")
    k, v = (x.repeat_interleave(c.heads // c.kv_heads, 1) for x in (k, v))
    back = torch.arange(40)[:, None] - torch.arange(40)
    window = c.window(2) or 40
    scores = (q @ k.mT * c.score_scale).masked_fill((back < 0) | (back >= window), -torch.inf)
    heads = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(at["blocks.2.heads"].double(), heads, atol=1e-5, rtol=1e-5)


def test_every_projection_goes_through_linear_and_can_be_exchanged(pair):
    class Doubled(torch.nn.Module):
        def __init__(self, linear: Linear):
            super().__init__()
            self.linear, self.called = linear, 0

        def forward(self, x):
            self.called += 1
            return self.linear(x)

        def dense(self):
            return self.linear.dense()

        @property
        def dtype(self):
            return self.linear.dtype

    ours = read_decoder(pair.folder)
    names = []
    exchange(ours, lambda name, linear: names.append(name) or Doubled(linear))
    assert torch.equal(ours(ids_1T), pair.ours(ids_1T))
    exchanged = [module for module in ours.modules() if isinstance(module, Doubled)]
    assert len(exchanged) == len(names) == 3 * (7 if ours.config.gated else 6) + 1
    assert all(module.called == 1 for module in exchanged)
    inside = {id(module.linear.weight) for module in exchanged} | {id(ours.embedding.weight)}
    outside = [name for name, p in ours.named_parameters() if p.ndim > 1 and id(p) not in inside]
    assert outside == (["positions.weight"] if ours.positions is not None else [])


def test_dense_gives_the_fp32_matrix(pair):
    half = Linear(4, 3).to(torch.bfloat16)
    half.weight.normal_(generator=torch.Generator().manual_seed(0))
    assert half.dense().dtype == torch.float32
    assert torch.equal(half.dense(), half.weight.float())
    assert torch.equal(pair.ours.embedding.dense(), pair.ours.embedding.weight)


def test_segments_and_cache_are_never_given_together(pair):
    with pytest.raises(ValueError, match="together"):
        pair.ours.hidden(ids_1T, segments=ids_1T, cache=slots(pair).rows([0], [40]))


@pytest.mark.parametrize(
    ("slot_B", "new_B"), [([0, 0], [1, 1]), ([0], [0]), ([0], [65])], ids=["slot twice", "no tokens", "no room"]
)
def test_rows_that_cannot_be(pair, slot_B, new_B):
    with pytest.raises(ValueError, match="cannot take"):
        slots(pair).rows(slot_B, new_B)


def test_a_failed_pass_leaves_the_cache_as_it_was(pair):
    def broken(name, x):
        raise KeyboardInterrupt

    held = slots(pair)
    pair.ours.hidden(ids_1T[:, :5], cache=held.rows([0], [5]))
    with pytest.raises(KeyboardInterrupt):
        pair.ours.hidden(ids_1T[:, 5:], cache=held.rows([0], [35]), tap=broken)
    assert held.fill == [5, 0, 0]
    logits = pair.ours.logits(pair.ours.hidden(ids_1T[:, 5:], cache=held.rows([0], [35])))
    pair.expect(torch.cat((pair.ours(ids_1T[:, :5]), logits), 1), ids_1T)


WRONG = {
    "theta": ("llama2", {"rope_theta": 501.0}),
    "epsilon": ("llama2", {"norm_epsilon": 1.1e-2}),
    "layer norm epsilon": ("gpt2", {"norm_epsilon": 1.1e-2}),
    "activation": ("gpt2", {"activation": "gelu"}),
    "no llama3 scaling": ("llama3", {"rope_scaling": None}),
    "no linear scaling": ("llama-linear", {"rope_scaling": None}),
    "no yarn": ("qwen3-yarn", {"rope_scaling": None}),
    "window": ("mistral", {"windows": (8, 8, 8)}),
    "no window": ("qwen2-window", {"windows": ()}),
    "window in every layer": ("qwen2-window", {"windows": (7, 7, 7)}),
    "theta of layers with a window": ("gemma3", {"sliding_rope_theta": 90.5}),
    "one theta for all layers": ("gemma3", {"sliding_rope_theta": None}),
    "theta of full layers": ("gemma3", {"rope_theta": 501.0}),
    "scale of scores": ("gemma3", {"query_pre_attn_scalar": None}),
    "no scaling of full layers": ("gemma3-linear", {"rope_scaling": None}),
}


@pytest.mark.parametrize(("family", "change"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_noticed(pair_of, family, change):
    """The parity tests can fail: one setting a little off is outside their tolerance."""
    pair = pair_of(family)
    wrong = Decoder(replace(pair.ours.config, **change))
    wrong.load_state_dict(pair.ours.state_dict())
    with pytest.raises(AssertionError):
        pair.expect(wrong(ids_1T), ids_1T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_16_bits_err_no_more_than_transformers(pair, dtype):
    ids_BT = torch.randint(0, families.VOCABULARY, (8, 60), generator=torch.Generator().manual_seed(4))
    exact = pair.theirs(ids_BT).logits
    ours = read_decoder(pair.folder, dtype=dtype)(ids_BT).float()
    theirs = families.oracle(pair.name).to(dtype)(ids_BT).logits.float()
    assert (ours - exact).pow(2).mean().sqrt() < 1.5 * (theirs - exact).pow(2).mean().sqrt()


@pytest.mark.parametrize(("inputs", "outputs"), [(768, 32_000), (2560, 768), (513, 700)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_row_by_sums_is_the_same_product(monkeypatch, inputs, outputs, bias):
    """The way around a slow matrix-vector product, with pieces that do not divide the matrix evenly."""
    generator = torch.Generator().manual_seed(0)
    linear = Linear(inputs, outputs, bias)
    for parameter in linear.parameters():
        parameter.normal_(generator=generator)
    x = torch.randn(1, 1, inputs, generator=generator)
    exact = torch.nn.functional.linear(x.double(), linear.weight.double(), linear.bias.double() if bias else None)
    for by_sums in (False, True):
        monkeypatch.setattr("liuli.model.cpu_kernels.ONE_ROW_BY_SUMS", by_sums)
        assert linear(x).shape == (1, 1, outputs)
        torch.testing.assert_close(linear(x).double(), exact, atol=1e-3, rtol=0)


def test_a_row_that_wants_gradients_takes_the_usual_product(monkeypatch):
    monkeypatch.setattr("liuli.model.cpu_kernels.ONE_ROW_BY_SUMS", True)
    monkeypatch.setattr("liuli.model.linear.one_row_product", lambda *_: pytest.fail("not while gradients are wanted"))
    linear = Linear(1024, 1024)
    linear.weight.fill_(1.0)
    with torch.enable_grad():
        linear(torch.ones(1, 1, 1024)).sum().backward()
    assert linear.weight.grad is not None


def test_packed_documents_may_be_longer_together_than_a_learned_context(pair_of):
    pair = pair_of("gpt2")
    ids = torch.randint(0, families.VOCABULARY, (1, 80), generator=torch.Generator().manual_seed(5))
    positions, segments = torch.arange(80)[None] % 40, torch.arange(80)[None] // 40
    logits = pair.ours.logits(pair.ours.hidden(ids, positions=positions, segments=segments))
    pair.expect(logits[:, 40:], ids[:, 40:])
    with pytest.raises(LiuliError, match="100 tokens do not fit the model's context of 64"):
        pair.ours.hidden(ids[:, :1], positions=torch.tensor([[99]]))


@pytest.mark.parametrize("width", [1, 64, 513])
def test_rms_norm_and_its_gradients_are_pytorchs(width):
    """Written with fewer kernels than PyTorch's own; a row of zeros must have finite gradients too."""
    generator = torch.Generator().manual_seed(0)
    norm = RMSNorm(width, 1e-5)
    norm.weight.copy_(torch.randn(width, generator=generator))
    x, weights = torch.randn(7, width, generator=generator), torch.randn(7, width, generator=generator)
    x[3] = 0
    found = []
    for run in (norm, lambda x: torch.nn.functional.rms_norm(x, (width,), norm.weight, 1e-5)):
        with torch.enable_grad():
            given = x.clone().requires_grad_()
            out = run(given)
            found.append((out, *torch.autograd.grad((out * weights).sum(), (given, norm.weight))))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


def test_the_scratch_memory_of_a_row_by_sums_serves_any_mode_and_thread(monkeypatch):
    monkeypatch.setattr("liuli.model.cpu_kernels.ONE_ROW_BY_SUMS", True)
    linear = Linear(1024, 1024)
    linear.weight.normal_(generator=torch.Generator().manual_seed(0))
    rows = torch.randn(40, 1, 1024, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():  # the first in a thread takes the memory
        assert linear(rows[0]).is_inference()
    alone = [linear(row) for row in rows]

    def run(row):
        with torch.inference_mode():
            return linear(row)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, rows))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_row_on_the_meta_device_has_a_shape_and_needs_no_scratch_memory(monkeypatch):
    monkeypatch.setattr("liuli.model.cpu_kernels.ONE_ROW_BY_SUMS", True)
    assert Linear(1024, 1024).to("meta")(torch.empty(1, 1, 1024, device="meta")).shape == (1, 1, 1024)
