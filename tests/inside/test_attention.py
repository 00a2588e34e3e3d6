"""Attention weights, the habits of heads, and the sizes of values, against `transformers` with eager attention."""

from random import Random

import numpy as np
import pytest
import torch
from helpers import oracles
from helpers.oracles import TEXT, Oracle

from liuli import LiuliError, load
from liuli.inside.attention import MOST_TOKENS, REPEATED, SEED, attention, check_head
from liuli.inside.attention_weights import attention_weights
from liuli.inside.tape import record


def weights_of(oracle: Oracle, text: str) -> np.ndarray:
    """(L, H, T, T)."""
    return oracle.outputs(oracle.ids(text)).attentions.numpy()


def test_weights_of_every_layer(oracle):
    expected = weights_of(oracle, TEXT)
    for layer in range(len(expected)):
        view = attention(oracle.model, TEXT, layer)
        assert view.layer == layer and view.ok
        assert view.weights == pytest.approx(expected[layer], abs=1e-4)
        assert view.window == oracle.model.config.window(layer)


def test_windows_are_seen(all_oracles):
    """Without this, a wrong window would go unnoticed: the text must be longer than it."""
    view = attention(all_oracles["gemma3"].model, TEXT, 0)
    assert view.window == 7 and len(view.input.ids) > 14
    assert (view.weights[:, 10, :4] == 0).all() and (view.weights[:, 10, 4:11] > 0).all()


def test_habits_by_hand(oracle):
    view, weights = attention(oracle.model, TEXT), weights_of(oracle, TEXT)
    later = range(1, weights.shape[-1])
    for layer in range(weights.shape[0]):
        for head in range(weights.shape[1]):
            w = weights[layer, head].astype(np.float64)
            entropy = [-sum(p * np.log(p) for p in w[t] if p > 0) for t in later]
            assert view.entropy[layer, head] == pytest.approx(np.mean(entropy), abs=1e-4)
            window = oracle.model.config.window(layer) or len(w)
            seeing = [w[t, 0] for t in later if t < window]  # later tokens cannot read the first one
            assert view.first[layer, head] == pytest.approx(np.mean(seeing), abs=1e-5)
            assert view.previous[layer, head] == pytest.approx(np.mean([w[t, t - 1] for t in later]), abs=1e-5)
            assert view.itself[layer, head] == pytest.approx(np.mean([w[t, t] for t in later]), abs=1e-5)


def repeated_ids(oracle: Oracle) -> list[int]:
    """Ordinary tokens, all different, in the order that the seed gives."""
    tokenizer, rows = oracle.model.tokenizer, oracle.model.config.vocab_size
    count = min(tokenizer.vocab_size, rows)
    special = {*tokenizer.specials.values(), tokenizer.unknown}
    return [each for each in Random(SEED).sample(range(count), count) if each not in special][:REPEATED]


def test_induction_by_hand(oracle):
    ids, begin = repeated_ids(oracle), oracle.model.tokenizer.begin
    read = [*begin, *ids, *ids]
    weights = oracle.outputs(read).attentions.numpy()
    places = [(t, t - REPEATED + 1) for t in range(len(begin) + REPEATED, len(read))]
    assert len(set(ids)) == len(places) == REPEATED and len(begin) == 1
    assert all(read[source - 1] == read[t] for t, source in places)
    expected = np.mean([weights[..., t, source] for t, source in places], 0)
    windows = [oracle.model.config.window(layer) for layer in range(len(weights))]
    expected[[window is not None and window < REPEATED for window in windows]] = np.nan  # the source is not seen
    assert attention(oracle.model, TEXT).induction == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_a_window_that_is_too_short_for_the_repetition_gives_nan(all_oracles):
    """With 0, it would look as if no head did it."""
    view = attention(all_oracles["gemma3"].model, TEXT)
    assert np.isnan(view.induction[0]).all() and not np.isnan(view.induction[1]).any()


def test_a_vocabulary_that_is_too_small_has_no_induction(tmp_path):
    folder = oracles.save_family("llama2", tmp_path / "few")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"]))
    assert np.isnan(attention(load(folder), "a b").induction).all()


def test_the_default_layer_reads_least_from_the_first_token(oracle):
    weights = weights_of(oracle, TEXT)
    windows = [oracle.model.config.window(layer) or len(weights[0, 0]) for layer in range(len(weights))]
    means = [weights[layer, :, 1 : windows[layer], 0].mean() for layer in range(len(weights))]
    assert attention(oracle.model, TEXT).layer == np.argmin(means)


def test_the_weights_of_the_last_queries_alone(oracle):
    decoder, ids = oracle.model.decoder, oracle.ids(TEXT)
    _, tape = record(decoder, ids, "blocks.*.q", "blocks.*.k")
    for layer in range(decoder.config.layers):
        q, k = tape[f"blocks.{layer}.q"][0], tape[f"blocks.{layer}.k"][0]
        whole = attention_weights(decoder, layer, q, k)
        assert attention_weights(decoder, layer, q[-3:], k).numpy() == pytest.approx(whole[:, -3:].numpy(), abs=1e-6)


def test_a_text_that_is_too_long_for_the_triangles(tmp_path):
    model = load(oracles.save_family("qwen3", tmp_path / "long", max_position_embeddings=600))
    assert attention(model, "x" * (MOST_TOKENS - 1)).ok
    with pytest.raises(LiuliError, match=r"^this view reads at most 512 tokens, and the text has 513: give a shorter text$"):
        attention(model, "x" * MOST_TOKENS)


def test_a_norm_after_attention_is_said(oracle):
    is_gemma = oracle.name.startswith("gemma")
    assert ("attention.post_norm" in attention(oracle.model, TEXT).caveats) == is_gemma


def test_sizes_of_values(oracle):
    """‖W_O v‖ of a head: what the output projection makes of its value alone."""
    ids, config = oracle.ids(TEXT), oracle.model.config
    for layer, out in enumerate(oracle.out_projections()):
        view = attention(oracle.model, TEXT, layer)
        nothing = torch.zeros(1, config.heads * config.head_width)
        for head in range(config.heads):
            # With weight 1 on one token, the head's output is this token's value. Only token 0 reads so: from itself alone.
            with oracle.recording([out], inputs=True) as heads, torch.no_grad():
                oracle.hf(torch.tensor([ids[:1]]))
            part = slice(head * config.head_width, (head + 1) * config.head_width)
            alone = nothing.clone()
            alone[0, part] = heads[0].reshape(-1)[part]
            with torch.no_grad():
                expected = (out(alone) - out(nothing)).norm().item()
            assert view.value_sizes[head, 0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_weights_times_sizes_bound_what_a_head_adds(oracle):
    """Σ weight · ‖W_O v‖ is at least ‖Σ weight · W_O v‖, and not ten thousand times as large: sizes of all tokens are right in
    order of magnitude, and exactly right at token 0 (above)."""
    config, ids = oracle.model.config, oracle.ids(TEXT)
    view = attention(oracle.model, TEXT, 0)
    out = oracle.out_projections()[0]
    with oracle.recording([out], inputs=True) as heads, torch.no_grad():
        oracle.hf(torch.tensor([ids]))
        nothing = out(torch.zeros_like(heads[0]))
        for head in range(config.heads):
            part = slice(head * config.head_width, (head + 1) * config.head_width)
            alone = torch.zeros_like(heads[0])
            alone[..., part] = heads[0][..., part]
            added = (out(alone) - nothing)[0].norm(dim=-1).numpy()
            bound = (view.weights[head] * view.value_sizes[head]).sum(-1)
            assert (added <= bound * (1 + 1e-4)).all()


def test_a_text_of_one_token_has_no_habits(tiny):
    view = attention(tiny, "")  # its begin token
    assert len(view.input.ids) == 1 and view.ok
    assert np.isnan(view.first).all() and np.isnan(view.entropy).all()
    assert view.weights == pytest.approx(1)


def test_a_short_context_has_no_induction(tmp_path):
    folder = oracles.save_family("llama2", tmp_path / "short", max_position_embeddings=40)
    view = attention(load(folder), "the cat")
    assert np.isnan(view.induction).all() and not np.isnan(view.first).any() and view.ok


@pytest.mark.parametrize("layer", [-1, 2, 99])
def test_layers_that_do_not_exist(tiny, layer):
    with pytest.raises(LiuliError, match=rf"^there is no layer {layer}: the model has 2, 0 to 1$"):
        attention(tiny, "the cat", layer)


@pytest.mark.parametrize("head", [-1, 4])
def test_heads_that_do_not_exist(tiny, head):
    with pytest.raises(LiuliError, match=rf"^there is no head {head}: a layer has 4, 0 to 3$"):
        check_head(tiny.decoder, head)


def test_packed_weights_are_a_lower_triangle_within_the_stated_error(oracle):
    view = attention(oracle.model, TEXT)
    packed = view.to_json()["body"]["weights"]
    tokens = len(view.input.ids)
    assert (packed["layout"], packed["dtype"]) == ("tril", "f2")
    assert len(packed["data"]) <= 4 / 3 * oracle.model.config.heads * tokens * (tokens + 1) + 4
    assert packed["error"] < 2.5e-4
