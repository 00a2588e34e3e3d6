"""Attention by plain products, beside PyTorch's own: values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from liuli.model import attention as attend
from liuli.model.mask import attention_mask

ROWS, TOKENS, HEADS, WIDTH = 3, 24, 4, 16


def drawn(dtype=torch.float32, kv_heads=2, length=TOKENS, tokens=TOKENS):
    random = torch.Generator().manual_seed(0)
    shapes = ((HEADS, tokens), (kv_heads, length), (kv_heads, length))
    return [torch.randn(ROWS, heads, of, WIDTH, generator=random).to(dtype).requires_grad_() for heads, of in shapes]


def seen(name):
    index, segments = torch.arange(TOKENS)[None], (torch.arange(TOKENS) // 7)[None].expand(ROWS, TOKENS)
    if name == "segments":
        return attention_mask(index, TOKENS, segments, None, None)
    return attention_mask(index, TOKENS, None, 5, None) if name == "window" else (None, name == "causal")


def theirs(q, k, v, seen):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[0], is_causal=seen[1], enable_gqa=True)


def with_gradients(attention, q, k, v, seen):
    out = attention(q, k, v, seen)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out, *torch.autograd.grad((out * weights).sum(), (q, k, v))]


@pytest.mark.parametrize("name", ["causal", "all", "segments", "window"])
@pytest.mark.parametrize("kv_heads", [1, 2, HEADS])
def test_the_same_as_pytorchs(name, kv_heads):
    given = drawn(kv_heads=kv_heads)
    for ours, reference in zip(
        with_gradients(attend._by_products, *given, seen(name)), with_gradients(theirs, *given, seen(name)), strict=True
    ):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["causal", "segments"])
def test_in_16_bits_near_pytorchs_in_32(name):
    in_16 = drawn(torch.bfloat16)
    in_32 = [each.detach().float().requires_grad_() for each in in_16]
    ours = with_gradients(lambda *given: attend.attend(*given, shared=True), *in_16, seen(name))
    for got, reference in zip(ours, with_gradients(theirs, *in_32, seen(name)), strict=True):
        assert got.dtype == torch.bfloat16
        error = (got.float() - reference).square().mean() / reference.square().mean()
        assert error.sqrt() < 0.01


@pytest.mark.parametrize(
    ("dtype", "length", "learns", "plain"),
    [
        (torch.bfloat16, TOKENS, True, True),
        (torch.float32, TOKENS, True, False),
        (torch.bfloat16, TOKENS, False, False),
        (torch.bfloat16, attend.SHORT + 1, True, False),
    ],
)
def test_which_is_taken(monkeypatch, dtype, length, learns, plain):
    taken = []
    monkeypatch.setattr(attend, "_by_products", lambda *given: taken.append(given))
    with torch.set_grad_enabled(learns):
        attend.attend(*drawn(dtype, length=length, tokens=length), (None, True), True)
    assert bool(taken) == plain


@pytest.mark.parametrize("kv_heads", [1, 2, HEADS])
@pytest.mark.parametrize("name", ["segments", "window"])
def test_repeated_heads_are_shared_heads(name, kv_heads):
    """What CUDA computes, with gradients; for grouped queries and a mask only."""
    q, k, v = drawn(kv_heads=kv_heads)
    own = with_gradients(
        lambda q, k, v, seen: theirs(q, attend.repeat_heads(k, HEADS), attend.repeat_heads(v, HEADS), seen), q, k, v, seen(name)
    )
    for found, expected in zip(own, with_gradients(theirs, q, k, v, seen(name)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(attend.repeat_heads(k, HEADS), k.repeat_interleave(HEADS // kv_heads, 1))


@pytest.mark.parametrize("name", ["causal", "window"])
def test_scores_are_scaled_as_asked(name):
    q, k, v = drawn()
    expected = with_gradients(theirs, q * (0.1 * WIDTH**0.5), k, v, seen(name))[0]
    for found in (attend.attend(q, k, v, seen(name), True, 0.1), attend._by_products(q, k, v, seen(name), 0.1)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("on_cuda", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_when_heads_are_repeated(on_cuda, shared, masked):
    assert attend.needs_own_heads(on_cuda, shared, masked) is (on_cuda and shared and masked)


@pytest.mark.parametrize("name", ["segments", "causal"])
@pytest.mark.parametrize("repeated", [True, False])
def test_what_the_kernel_is_given(monkeypatch, name, repeated):
    """A masked call with repeated heads never asks for grouped queries, for which CUDA has no efficient kernel."""
    given = []

    def kernel(q, k, v, attn_mask, is_causal, scale, enable_gqa):
        given.append((k.shape[1], attn_mask is not None, enable_gqa))
        return F_kernel(q, k, v, attn_mask=attn_mask, is_causal=is_causal, scale=scale, enable_gqa=enable_gqa)

    F_kernel = F.scaled_dot_product_attention
    expected = theirs(*drawn(), seen(name))
    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    monkeypatch.setattr(attend, "needs_own_heads", lambda on_cuda, shared, masked: repeated and shared and masked)
    found = attend.attend(*drawn(), seen(name), True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    masked = name == "segments"
    assert given == [(HEADS, True, False) if masked and repeated else (2, masked, True)]
