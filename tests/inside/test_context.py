"""One word in several sentences: similarities by NumPy from the hidden states of `transformers`, and what must be identical."""

import numpy as np
import pytest
import torch
from helpers import oracles
from helpers.oracles import Oracle

from liuli import LiuliError, load
from liuli.inside.attention import attention
from liuli.inside.baseline import SENTENCES
from liuli.inside.context import PAIRS, PLACES, context

TEXTS = ("a gold ring", "all gold is old", "no gold here")


def states_of(oracle: Oracle, text: str) -> np.ndarray:
    """(R, T, D), fp64."""
    return oracle.outputs(oracle.ids(text)).residuals.double().numpy()


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def fits(oracle: Oracle, text: str) -> list[int]:
    return oracle.ids(text)[: oracle.model.config.context]


def baseline_of(oracle: Oracle) -> np.ndarray:
    """(R, M, D), fp64."""
    return np.concatenate([oracle.outputs(fits(oracle, text)).residuals.double().numpy()[:, 1:] for text in SENTENCES], 1)


def test_similarities_in_every_layer(oracle):
    view = context(oracle.model, TEXTS[0], TEXTS[1:], "gold")
    assert view.ok and view.places == PLACES
    states = [states_of(oracle, text) for text in TEXTS]
    baseline = baseline_of(oracle)
    mean, deviation = baseline.mean(1), baseline.std(1, ddof=1)
    for p in range(3):
        for r in range(len(view.rows)):
            at = [each[r, sentence.places[p]] for each, sentence in zip(states, view.sentences, strict=True)]
            standard = [(x - mean[r]) / deviation[r] for x in at]
            for i in range(3):
                for j in range(3):
                    assert view.cosine[p, r, i, j] == pytest.approx(cosine(at[i], at[j]), abs=1e-4)
                    assert view.standardised[p, r, i, j] == pytest.approx(cosine(standard[i], standard[j]), abs=1e-3)
                    sizes = np.linalg.norm(at[i]), np.linalg.norm(at[j])
                    expected = np.linalg.norm(at[i] - at[j]) / np.mean(sizes)
                    assert view.difference[p, r, i, j] == pytest.approx(expected, abs=1e-4)


def test_the_baseline_of_random_pairs(oracle):
    view, vectors = context(oracle.model, TEXTS[0], TEXTS[1:], "gold"), baseline_of(oracle)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    for r in range(len(view.rows)):
        pairs = (unit[r] @ unit[r].T)[~np.eye(vectors.shape[1], dtype=bool)]
        mean, deviation = view.baseline_cosine[r]
        assert mean == pytest.approx(pairs.mean(), abs=5 * pairs.std() / PAIRS**0.5 + 1e-4)  # the mean of a sample
        assert deviation == pytest.approx(pairs.std(), rel=0.15, abs=1e-3)


def test_what_each_layer_predicts_there(oracle):
    view = context(oracle.model, TEXTS[0], TEXTS[1:], "gold")
    for s, sentence in enumerate(view.sentences):
        logprobs = oracle.lens(oracle.outputs(list(sentence.input.ids)).residuals).log_softmax(-1)
        for p, place in enumerate(sentence.places):
            best = logprobs[:, place].topk(3).values.numpy()
            assert view.top_logprobs[p, :, s] == pytest.approx(best, abs=1e-4)


def test_the_places(tiny):
    view = context(tiny, "xx the gold ring", ["gold", "a gold"], "gold")
    for sentence in view.sentences:
        tokens = sentence.input.tokens
        covered = "".join(token.text for token in tokens[slice(*sentence.span)])
        assert covered == "gold" == sentence.covered
        assert sentence.places == (sentence.span[0], sentence.span[1] - 1, len(tokens) - 1)


# Identity: what has read the same is the same, to the bit


@pytest.mark.parametrize("name", [*oracles.NAMES, "tiny"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_equal_beginnings_are_identical_and_others_are_not(name, dtype, request, family_folder, tiny_folder):
    model = load(tiny_folder if name == "tiny" else family_folder / name, dtype=dtype)
    view = context(model, "黄金首饰", ["黄金时代真好", "变形金刚"], "金")
    assert view.ok
    for p in (0, 1):
        assert view.same_prefix[p] == ((True, True, False), (True, True, False), (False, False, True))
        assert (view.difference[p, :, 0, 1] == 0).all()
        assert view.cosine[p, :, 0, 1] == pytest.approx(1, abs=1e-12)
        assert (view.difference[p, 1:, 0, 2] > 1e-3).all()  # from the first block on
    if dtype == "fp32" and name != "gpt2":  # whose positions differ
        assert (view.difference[0, 0, 0, 2]) == 0  # the same token has the same vector before it has read anything
    assert not view.same_prefix[2][0][1] and (view.difference[2, 1:, 0, 1] > 1e-3).all()


def test_identity_past_the_length_at_which_attention_changes(tmp_path):
    """The decoder computes rows of more than 512 tokens in another way."""
    folder = oracles.save_family("qwen3", tmp_path / "long", max_position_embeddings=700)
    view = context(load(folder), "gold" + "x" * 600, ["gold", "old gold"], "gold")
    assert view.ok and view.same_prefix[0][0][1] and (view.difference[0, :, 0, 1] == 0).all()


def test_a_word_that_the_tokenizer_splits(tiny):
    """金 is three tokens of `tiny`, one per byte."""
    view = context(tiny, "黄金首饰", ["变形金刚"], "金")
    for sentence in view.sentences:
        first, end = sentence.span
        assert end - first == 3 and sentence.covered == "金"
        assert [sentence.input.tokens[at].part for at in range(first, end)] == [(0, 3), (1, 3), (2, 3)]
        assert {sentence.input.tokens[at].shown for at in range(first, end)} == {"金"}


def test_a_word_that_the_tokenizer_merges_with_its_neighbours(tiny):
    """`the` is one token of `tiny`, so there is no token `h`."""
    view = context(tiny, "the cat", ["oh my"], "h")
    merged, alone = view.sentences
    assert (merged.covered, alone.covered) == ("the", "h")
    assert merged.span[1] - merged.span[0] == 1


def test_without_a_word_the_longest_common_text_is_compared(tiny):
    assert context(tiny, "the river bank", ["my bank is shut"]).word == "bank"
    assert context(tiny, "黄金首饰", ["变形金刚"]).word == "金"


# The strongest reads


def test_the_strongest_reads(oracle):
    (sentence, _) = context(oracle.model, "many a gold ring", ["a ring"], "ring").sentences
    position = sentence.places[1]
    every = []
    for layer in range(oracle.model.config.layers):
        shown = attention(oracle.model, "many a gold ring", layer)
        for head in range(oracle.model.config.heads):
            for source in range(1, position):
                weight = float(shown.weights[head, position, source])
                every.append((weight * float(shown.value_sizes[head, source]), weight, layer, head, source))
    every.sort(reverse=True)
    assert len(sentence.reads) == min(6, len(every))
    for read, (added, weight, *_) in zip(sentence.reads, every, strict=False):
        assert (read.added, read.weight) == (pytest.approx(added, rel=1e-3), pytest.approx(weight, abs=1e-4))


def test_a_word_at_the_beginning_has_read_nothing(tiny):
    view = context(tiny, "x", ["x y"], "x")
    assert [sentence.reads for sentence in view.sentences] == [(), ()]


# Bad input


def test_bad_input(tiny):
    with pytest.raises(LiuliError, match=r"^this view compares sentences: give at least one more, with --with TEXT$"):
        context(tiny, "a", [])
    with pytest.raises(LiuliError, match=r"^'dog' does not occur in 'a cat': "):
        context(tiny, "a dog", ["a cat"], "dog")
    with pytest.raises(LiuliError, match=r"^'' does not occur in "):
        context(tiny, "a dog", ["a cat"], "")
    with pytest.raises(LiuliError, match=r"^the sentences have no word in common: "):
        context(tiny, "xyz", ["abc"])
    with pytest.raises(LiuliError, match="tokens do not fit the context of 128 tokens"):
        context(tiny, "a", ["a" * 200], "a")


def test_a_word_that_has_no_tokens(tmp_path):
    """WordPiece leaves white space out."""
    folder = tmp_path / "words"
    oracles.save_family("llama2", folder)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog"]))
    model = load(folder)
    assert context(model, "a cat", ["dog cat"], "cat").ok
    with pytest.raises(LiuliError, match=r"^the tokenizer leaves ' ' out of 'a cat': give a word that has tokens$"):
        context(model, "a cat", ["a dog"], " ")


def test_standardised_cosines_of_16_bits(tiny_folder):
    fp32, bf16 = (context(load(tiny_folder, dtype=dtype), "a gold ring", ["old gold"], "gold") for dtype in ("fp32", "bf16"))
    assert bf16.standardised == pytest.approx(fp32.standardised, abs=0.05)
    assert torch.from_numpy(bf16.baseline_standardised).isfinite().all()
