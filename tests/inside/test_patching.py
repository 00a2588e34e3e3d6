"""Patching by hooks in `transformers`: one state of the residual stream replaced at a time."""

import pytest
import safetensors.torch
import torch
from helpers import tiny as tiny_model
from helpers.oracles import TEXT

from liuli import LiuliError, load
from liuli.inside import patching as patching_module
from liuli.inside.patching import patching

OTHER = TEXT.replace("gold", "cold")


def test_every_state(oracle):
    if len(oracle.ids(TEXT)) != len(oracle.ids(OTHER)):
        pytest.skip("this tokenizer reads the two texts as different numbers of tokens")
    view = patching(oracle.model, TEXT, OTHER, target="a", against="b")
    ids, other_ids = list(view.input.ids), list(view.other.ids)

    def contrast(read: list[int]) -> float:
        logits = oracle.logits(read)[-1]
        return (logits[view.contrast.target.id] - logits[view.contrast.other.id]).item()

    first, other = contrast(ids), contrast(other_ids)
    assert view.ok and len(view.rows) == len(oracle.blocks)
    assert (view.contrast.value, view.other_value) == (pytest.approx(first, abs=1e-4), pytest.approx(other, abs=1e-4))
    states = oracle.outputs(ids).residuals
    for r, block in enumerate(oracle.blocks):
        for t in range(len(ids)):

            def replaced(x, r=r, t=t):
                x = x.clone()
                x[:, t] = states[r, t]
                return x

            with oracle.replacing(block, replaced, inputs=True):
                restored = contrast(other_ids) - other
            assert view.restored[r, t] * (first - other) == pytest.approx(restored, abs=1e-3)
    for check in view.checks:
        assert check.value < 1e-3


def test_states_before_the_texts_differ_restore_nothing(all_oracles):
    view = patching(all_oracles["qwen3"].model, TEXT, OTHER, target="a", against="b")
    same = next(t for t, (one, other) in enumerate(zip(view.input.ids, view.other.ids, strict=True)) if one != other)
    assert same > 1 and view.restored[:, :same] == pytest.approx(0, abs=1e-4)


def test_everything_and_nothing(all_oracles):
    """The checks of the view, made again by hand: all states of one layer bring back the first text's preference entirely."""
    for name in ("gpt2", "llama3", "gemma3"):
        view = patching(all_oracles[name].model, TEXT, OTHER, target="a", against="b")
        names = [check.name for check in view.checks]
        assert names == ["patching_everything", "patching_nothing"]
        assert all(check.ok and check.limit == 1e-3 for check in view.checks)


def test_the_last_token_of_the_last_row_is_needed_for_all(all_oracles):
    """At the input of the last block, a prediction depends on other tokens only through attention."""
    view = patching(all_oracles["llama3"].model, TEXT, OTHER, target="a", against="b")
    assert abs(view.restored[-1]).argmax() == len(view.input.ids) - 1


def test_default_words_are_what_follows_each_text(tiny):
    one, other = "the cat 1", "the dog 1"
    follow = [tiny.complete(text, max_tokens=1, temperature=0).ids[0] for text in (one, other)]
    if follow[0] == follow[1]:
        with pytest.raises(LiuliError, match=r"^the model predicts .* after both texts: give texts that it continues "):
            patching(tiny, one, other)
    else:
        view = patching(tiny, one, other)
        assert [view.contrast.target.id, view.contrast.other.id] == follow


def test_the_same_prediction_after_both_texts(tiny):
    token = tiny.complete("the cat", max_tokens=1, temperature=0).ids[0]
    word = tiny.tokenizer.token(token).text
    with pytest.raises(LiuliError, match=r"^the token .* would be compared with itself: give a word that begins with another"):
        patching(tiny, "the cat", "the cot", target=word, against=word)


@pytest.fixture
def twins(tmp_path):
    """Makes models whose head has almost the same rows for b and d: the difference of these logits is small everywhere."""

    def make(gap: float):
        folder = tmp_path / f"{gap}"
        folder.mkdir()
        tiny_model.save(folder)
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        rows = tensors["lm_head.weight"]
        one, other = (load(folder).tokenizer.encode_on(word)[0] for word in ("b", "d"))
        rows[other] = rows[one] + gap * rows[one].sign()
        safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return load(folder)

    return make


def test_no_difference_to_restore(twins):
    """Before, every share was the quotient of two rounding errors, or of zero by zero."""
    with pytest.raises(LiuliError, match=r"^the logits of 'b' and 'd' differ by .* after both texts, so there is no "):
        patching(twins(1e-7), "the cat", "the cot", target="b", against="d")


def test_a_small_difference_is_marked(twins, tiny):
    view = patching(twins(0.01), "the cat", "the cot", target="b", against="d")
    assert 1e-3 < abs(view.contrast.value - view.other_value) < 0.5 and view.small and view.ok
    view = patching(tiny, "the cat", "the cot", target="b", against="d")
    assert view.small == (abs(view.contrast.value - view.other_value) < 0.5)


def test_a_text_that_is_too_long(tiny, monkeypatch):
    monkeypatch.setattr(patching_module, "MOST_TOKENS", 5)
    with pytest.raises(LiuliError, match=r"^the view patching reads at most 5 tokens, and the text has 6: give a shorter"):
        patching(tiny, "the cat", "the cot")


def test_bad_input(tiny, tiny_folder):
    with pytest.raises(
        LiuliError, match=r"^'the cat' has 6 tokens and 'the caat' has 7: this view needs two texts with the same"
    ):
        patching(tiny, "the cat", "the caat")
    with pytest.raises(LiuliError, match=r"have the same tokens: give two texts that differ in a word$"):
        patching(tiny, "the cat", "the cat")


def test_patching_of_16_bits(tiny_folder):
    view = patching(load(tiny_folder, dtype="bf16"), "the cat", "the cot", target="a", against="b")
    assert view.ok and torch.from_numpy(view.restored).isfinite().all()
