"""Influence of tokens: gradients by finite differences and integrals by many small steps, in fp64 with `transformers`."""

import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.oracles import TEXT, Oracle

from liuli import LiuliError, load
from liuli.inside import influence as influence_module
from liuli.inside.influence import METHODS, influence


class ByHand:
    """The contrast of a view as a function of the vectors of the tokens, fp64."""

    def __init__(self, oracle: Oracle, view):
        self.hf = type(oracle.hf)(oracle.hf.config).double().eval()
        self.hf.load_state_dict(oracle.hf.state_dict())
        self.hf.double()
        self.target, self.other = view.contrast.target.id, view.contrast.other.id
        comma = oracle.model.tokenizer.encode_on(",")[0]
        table = self.hf.get_input_embeddings()
        with torch.no_grad():
            self.own = table(torch.tensor(view.input.ids))
            self.neutral = table(torch.tensor([view.input.ids[0], *[comma] * (len(view.input.ids) - 1)]))
        self.way = self.own - self.neutral

    def value(self, vectors: torch.Tensor) -> torch.Tensor:
        logits = self.hf(inputs_embeds=vectors[None]).logits[0, -1]
        return logits[self.target] - logits[self.other]

    @torch.no_grad()
    def at(self, vectors: torch.Tensor) -> float:
        return self.value(vectors).item()

    def with_neutral(self, places) -> float:
        vectors = self.own.clone()
        vectors[list(places)] = self.neutral[list(places)]
        return self.at(vectors)

    def slopes(self, share: float) -> np.ndarray:
        vectors = (self.neutral + share * self.way).requires_grad_()
        (gradient,) = torch.autograd.grad(self.value(vectors), vectors)
        return (gradient * self.way).sum(-1).numpy()


@pytest.fixture(scope="module")
def made() -> dict:
    """What `seen` has made, by the name of the model: it takes a second."""
    return {}


@pytest.fixture
def seen(oracle, made):
    if oracle.name not in made:
        view = influence(oracle.model, TEXT)
        made[oracle.name] = view, ByHand(oracle, view)
    return made[oracle.name]


def test_the_contrast_is_of_the_two_most_likely_tokens(oracle, seen):
    view, hand = seen
    best = oracle.logits(list(view.input.ids))[-1].topk(2)
    assert [view.contrast.target.id, view.contrast.other.id] == best.indices.tolist()
    assert view.contrast.value == pytest.approx((best.values[0] - best.values[1]).item(), abs=1e-4)
    assert view.contrast.value == pytest.approx(hand.at(hand.own), abs=1e-4)
    assert view.neutral == pytest.approx(hand.at(hand.neutral), abs=1e-4)


def test_gradient_times_input(seen):
    view, hand = seen
    assert view.scores[0, 1:] == pytest.approx(hand.slopes(1.0)[1:], rel=1e-3, abs=1e-3)


def test_gradient_times_input_by_finite_differences(seen):
    """`transformers` computes norms in fp32, so the differences must not be too small."""
    view, hand = seen
    step = 2e-3
    for t in range(1, len(view.input.ids)):
        moved = torch.zeros_like(hand.way)
        moved[t] = step * hand.way[t]
        slope = (hand.at(hand.own + moved) - hand.at(hand.own - moved)) / (2 * step)
        assert view.scores[0, t] == pytest.approx(slope, rel=1e-2, abs=5e-3)


def test_integrated_gradients_by_many_small_steps(seen):
    view, hand = seen
    points = 100
    total = np.mean([hand.slopes((n + 0.5) / points) for n in range(points)], 0)
    change = view.contrast.value - view.neutral
    tolerance = 0.02 * max(abs(change), abs(total).max())
    assert view.scores[1, 1:] == pytest.approx(total[1:], abs=tolerance)


def test_the_gap_is_below_one_percent(seen):
    view, _ = seen
    change = view.contrast.value - view.neutral
    assert np.nansum(view.scores[1]) == pytest.approx(change, rel=0.01, abs=0.005)
    (check,) = view.checks
    assert check.ok and check.limit == 0.01
    assert check.value == pytest.approx(abs(np.nansum(view.scores[1]) - change) / max(abs(change), 0.5), abs=1e-4)


def test_occlusion_by_hand(seen):
    view, hand = seen
    for t in range(1, len(view.input.ids)):
        assert view.scores[2, t] == pytest.approx(hand.at(hand.own) - hand.with_neutral([t]), abs=1e-3)


def test_the_first_token_has_no_score(seen):
    view, _ = seen
    assert np.isnan(view.scores[:, 0]).all() and not np.isnan(view.scores[:, 1:]).any()


def test_the_deletion_test_by_hand(seen):
    view, hand = seen
    tokens = len(view.input.ids)
    assert view.deleted[0] == 0 and view.deleted[-1] == tokens - 1
    change = hand.at(hand.own) - hand.at(hand.neutral)
    for m in range(len(METHODS)):
        order = sorted(range(1, tokens), key=lambda t, m=m: -np.sign(change) * view.scores[m, t])
        curve = [hand.with_neutral(order[:count]) for count in view.deleted]
        assert view.curves[m] == pytest.approx(curve, abs=1e-3)
        shares = [(value - hand.at(hand.neutral)) / change for value in curve]
        assert view.deletion[m] == pytest.approx(np.mean(shares), rel=1e-3, abs=1e-3 / abs(change))


def test_on_a_trained_model_the_scores_beat_random_orders(trained):
    """Averaged over texts: for one text, a method can be unlucky."""
    texts = (
        "Once upon a time, there was a little girl named Lily. She",
        "Tom had a big red ball. He liked to play with his",
        "The dog ran to the park. The dog was very",
        "Mom gave Sue a cookie. Sue said thank",
        "One day, a boy named Tim went to the park with his mom. He saw a",
        "Lily and Ben were friends. They liked to play in the",
        "It was a sunny day. Sam wanted to go to the",
        "Jack was hungry. He wanted to eat a big",
    )
    views = [influence(trained.model, text) for text in texts]
    at_random = np.mean([view.random_deletion[0] for view in views])
    deletion = dict(zip(METHODS, np.mean([view.deletion for view in views], 0), strict=True))
    assert deletion["gradient × input"] < at_random, (deletion, at_random)
    assert deletion["integrated gradients"] < at_random - 0.1 and deletion["occlusion"] < at_random - 0.1, (deletion, at_random)


def test_words_that_are_given(tiny):
    view = influence(tiny, "the cat", target="x", other="y")
    assert (view.contrast.target.text, view.contrast.other.text) == ("x", "y")
    assert [(word.given, word.tokens) for word in view.contrast.words] == [("x", 1), ("y", 1)]
    best = influence(tiny, "the cat").contrast.target
    again = influence(tiny, "the cat", target="x").contrast
    assert again.target.text == "x" and again.other == best


def test_the_same_twice(tiny):
    one, other = influence(tiny, "the cat sat"), influence(tiny, "the cat sat")
    assert one.to_json() == other.to_json()


def test_bad_input(tiny, tiny_folder):
    with pytest.raises(LiuliError, match=r"^the text has one token, and the first token always keeps its vector: "):
        influence(tiny, "")
    with pytest.raises(LiuliError, match=r"^'xa' and 'xb' begin with the same token: "):
        influence(tiny, "the cat", target="xa", other="xb")
    with pytest.raises(LiuliError, match=r"^a word has no tokens: "):
        influence(tiny, "the cat", target="")
    with pytest.raises(LiuliError, match=r"^the weights are in bfloat16, .* use --dtype fp32$"):
        influence(load(tiny_folder, dtype="bf16"), "the cat")


def test_a_comma_is_the_neutral_token_and_has_no_score(tiny):
    """A score of 0 would say that commas do not matter."""
    view = influence(tiny, "a,b,c")
    commas = [token.index for token in view.input.tokens if token.text == ","]
    assert len(commas) == 2 and np.isnan(view.scores[:, [0, *commas]]).all()
    others = [token.index for token in view.input.tokens if token.index not in (0, *commas)]
    assert np.isfinite(view.scores[:, others]).all() and view.ok
    assert view.deleted[-1] == len(others) and view.curves[:, -1] == pytest.approx(view.neutral, abs=1e-4)


def test_nothing_but_commas(tiny):
    with pytest.raises(LiuliError, match=r"^after its first token, the text has nothing but commas, the neutral token: "):
        influence(tiny, ",,,")


def test_almost_no_change(tiny_folder, tmp_path):
    """Two logits that are nearly the same everywhere: rounding is not measured as a share of nothing."""
    folder = shutil.copytree(tiny_folder, tmp_path / "twins")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    rows = tensors["lm_head.weight"]
    one, other = (load(folder).tokenizer.encode_on(word)[0] for word in ("b", "d"))
    rows[other] = rows[one] + 1e-6 * rows[one].sign()
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    view = influence(load(folder), "the cat sat", "b", "d")
    assert abs(view.contrast.value - view.neutral) < 1e-3 and view.small
    assert view.ok and view.points == 32  # the first 16 stretches are enough


def test_a_large_change_is_not_small(trained):
    view = influence(trained.model, "Once upon a time, there was a little girl named")
    assert view.small == (abs(view.contrast.value - view.neutral) < 0.5)


def test_a_text_that_is_too_long(tiny, monkeypatch):
    monkeypatch.setattr(influence_module, "MOST_TOKENS", 5)
    with pytest.raises(LiuliError, match=r"^the view influence reads at most 5 tokens, and the text has 6: give a shorter"):
        influence(tiny, "the cat")


def test_the_progress_of_every_method(tiny):
    seen: dict[str, list[tuple[int, int]]] = {}

    def watch(what, done, total):
        seen.setdefault(what, []).append((done, total))

    influence(tiny, "the cat sat on the mat " * 3, watch=watch)
    assert seen.keys() >= {"occlusion", "the deletion test"}
    for what in ("occlusion", "the deletion test"):
        assert len(seen[what]) > 1 and all(0 <= done < total for done, total in seen[what])
        assert [done for done, _ in seen[what]] == sorted({done for done, _ in seen[what]})
