"""The lens against `transformers`: the final norm and the head on its hidden states; ranks, divergences and the first leading
layer by hand."""

import numpy as np
import pytest
import torch
from helpers.oracles import TEXT

from liuli import LiuliError
from liuli.inside.lens import POSITIONS, _leads_from, lens


def test_every_layer_at_every_position(oracle):
    view = lens(oracle.model, TEXT, words=("cat", "ring"))
    found = oracle.outputs(oracle.ids(TEXT))
    logprobs = oracle.lens(found.residuals).double().log_softmax(-1)  # (R, T, V)
    assert view.ok and view.rows == ("embedding", *map(str, range(len(oracle.blocks))))
    assert view.positions == tuple(range(len(view.input.ids)))
    tracked = [token.id for token in view.tracked]
    assert tracked[0] == found.logits[-1].argmax()
    assert [word.given for word in view.words] == ["cat", "ring"]
    assert tracked == list(dict.fromkeys([tracked[0], *(word.token.id for word in view.words)]))
    for p in view.positions:
        for r in range(len(view.rows)):
            here = logprobs[r, p]
            probs = here.exp()
            best = here.topk(5)
            assert view.top_logprobs[p, r] == pytest.approx(best.values.numpy(), abs=1e-4)
            assert here[view.top[p, r].tolist()].numpy() == pytest.approx(view.top_logprobs[p, r], abs=1e-4)
            assert view.entropy[p, r] == pytest.approx(-(probs * here).sum().item(), abs=1e-4)
            last = logprobs[-1, p]
            assert view.divergence[p, r] == pytest.approx((last.exp() * (last - here)).sum().item(), abs=1e-4)
            assert view.logprobs[p, r] == pytest.approx(here[tracked].numpy(), abs=1e-4)
            for k, token_id in enumerate(tracked):
                least, most = (int((here > here[token_id] + gap).sum()) for gap in (1e-5, -1e-5))
                assert least <= view.ranks[p, r, k] <= most


def test_the_last_row_is_the_model_itself(oracle):
    view = lens(oracle.model, TEXT)
    logprobs = oracle.outputs(oracle.ids(TEXT)).logits.log_softmax(-1)
    assert (view.top[:, -1, 0] == logprobs.argmax(-1).numpy()).all()
    assert view.top_logprobs[:, -1, 0] == pytest.approx(logprobs.max(-1).values.numpy(), abs=1e-4)
    assert view.divergence[:, -1] == pytest.approx(0)


def test_from_which_row_a_token_leads():
    ranks = np.array([[[3, 0], [0, 0], [2, 0], [0, 0], [0, 1]]])  # (P 1, R 5, K 2)
    assert _leads_from(ranks).tolist() == [[3], [-1]]
    assert _leads_from(np.zeros((2, 3, 1), int)).tolist() == [[0, 0]]


def test_leads_from_agrees_with_the_ranks(oracle):
    view = lens(oracle.model, TEXT, words=("cat",))
    for k in range(len(view.tracked)):
        for p in range(len(view.positions)):
            leading = [r for r in range(len(view.rows)) if (view.ranks[p, r:, k] == 0).all()]
            assert view.leads_from[k, p] == min(leading, default=-1)


def test_positions(all_oracles):
    model = all_oracles["qwen3"].model
    whole = lens(model, TEXT)
    some = lens(model, TEXT, positions=(2, -1))
    assert some.positions == (2, len(whole.input.ids) - 1)
    assert some.top_logprobs == pytest.approx(whole.top_logprobs[list(some.positions)], abs=1e-4)
    for wrong in (len(whole.input.ids), -len(whole.input.ids) - 1):
        with pytest.raises(LiuliError, match=rf"^there is no token {wrong}: the text has \d+ tokens, 0 to \d+$"):
            lens(model, TEXT, positions=(wrong,))


def test_a_long_text_shows_its_last_tokens(tiny):
    view = lens(tiny, "abcdefgh" * 6)
    assert view.positions == tuple(range(49 - POSITIONS, 49))


def test_a_word_is_tracked_once(tiny):
    view = lens(tiny, "the cat", words=("x", "x", "xy"))
    ids = [token.id for token in view.tracked]
    assert ids.count(tiny.tokenizer.encode_on("x")[0]) == 1 and len(ids) == len(set(ids))
    with pytest.raises(LiuliError, match=r"^a word has no tokens: "):
        lens(tiny, "the cat", words=("",))


def test_memory_does_not_grow_with_positions_times_vocabulary(tiny, monkeypatch):
    """Logits exist for a few states at a time."""
    sizes = []
    real = tiny.decoder.logits
    monkeypatch.setattr("liuli.inside.distributions.NUMBERS_AT_ONCE", 270 * 4)
    monkeypatch.setattr(tiny.decoder, "logits", lambda x: sizes.append(x.shape[0]) or real(x), raising=False)
    view = lens(tiny, "the cat sat on the mat")
    assert max(sizes) <= 4 and view.ok


@pytest.mark.parametrize("text", ["a", "金"])
def test_a_short_text(tiny, text):
    assert lens(tiny, text).ok


def test_lens_of_16_bits(tiny_folder):
    from liuli import load

    fp32, bf16 = lens(load(tiny_folder), "the cat"), lens(load(tiny_folder, dtype="bf16"), "the cat")
    assert bf16.ok and bf16.model.dtype == "bfloat16"
    assert bf16.entropy == pytest.approx(fp32.entropy, abs=0.3)
    assert torch.from_numpy(bf16.top_logprobs).isfinite().all()


def test_the_model_s_own_prediction_in_every_layer(oracle):
    view = lens(oracle.model, TEXT)
    logprobs = oracle.lens(oracle.outputs(oracle.ids(TEXT)).residuals).double().log_softmax(-1)  # (R, T, V)
    for p in view.positions:
        own = logprobs[:, p, logprobs[-1, p].argmax(), None]
        assert view.final_logprobs[p] == pytest.approx(own[:, 0].numpy(), abs=1e-4)
        least, most = ((logprobs[:, p] > own + gap).sum(-1).numpy() for gap in (1e-5, -1e-5))
        assert (least <= view.final_ranks[p]).all() and (view.final_ranks[p] <= most).all()
        assert view.final_ranks[p, -1] == 0
