"""Summaries of distributions over a large vocabulary are as exact as fp32 can be."""

import numpy as np
import pytest
import torch

from liuli.inside.distributions import logprobs_of, summarise
from liuli.inside.lens import _divergence

V = 150_000


@pytest.fixture(scope="module", params=[0.5, 3.0, 12.0], ids=lambda scale: f"logits of ±{scale}")
def logits_NV(request):
    torch.manual_seed(0)
    return request.param * torch.randn(12, V)


def test_log_probabilities_entropy_and_sums(logits_NV):
    exact_NV = logits_NV.double().log_softmax(-1)
    logprobs_NV = logprobs_of(logits_NV)
    assert logprobs_NV.numpy() == pytest.approx(exact_NV.numpy(), abs=1e-5, rel=1e-6)
    tracked_NK = torch.randint(V, (12, 2))
    found = summarise(logprobs_NV, 3, tracked_NK)
    assert found.entropy == pytest.approx(-(exact_NV.exp() * exact_NV).sum(-1).numpy(), abs=1e-5, rel=1e-5)
    assert found.sum_error.max() < 1e-5
    assert (found.ids == exact_NV.topk(3).indices.numpy()).all()
    ranks_NK = (exact_NV[:, None] > exact_NV.gather(-1, tracked_NK)[..., None]).sum(-1).numpy()
    assert np.abs(found.ranks - ranks_NK).max() < 10  # of 150,000: neighbours can be the same number in fp32
    assert found.tracked == pytest.approx(exact_NV.gather(-1, tracked_NK).numpy(), abs=1e-5, rel=1e-6)


def test_divergence_from_the_last_row(logits_NV):
    exact_NV = logits_NV.double().log_softmax(-1)
    kl_N = (exact_NV[-1].exp() * (exact_NV[-1] - exact_NV)).sum(-1).numpy()
    found_1N = _divergence(logprobs_of(logits_NV)[None])
    assert found_1N[0] == pytest.approx(kl_N, abs=1e-5, rel=1e-5)
    assert found_1N[0, -1] == 0
    assert np.isfinite(found_1N).all()
