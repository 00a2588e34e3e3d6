"""One word in several sentences: similarities by NumPy from the hidden states of `transformers`, and what must be identical."""

from difflib import SequenceMatcher
from random import Random

import numpy as np
import pytest
import torch
from helpers import oracles
from helpers.oracles import Oracle

from liuli import LiuliError, load
from liuli.inside.attention import attention
from liuli.inside.baseline import SENTENCES, baseline_ids, baseline_states
from liuli.inside.context import MOST_TOKENS, PAIRS, PLACES, _longest_shared, _standardised, context
from liuli.inside.tape import record, residual_points

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
    ids = np.concatenate([fits(oracle, text)[1:] for text in SENTENCES])
    sentences = np.concatenate([[number] * len(fits(oracle, text)[1:]) for number, text in enumerate(SENTENCES)])
    unrelated = (ids[:, None] != ids) & (sentences[:, None] != sentences)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    for r in range(len(view.rows)):
        pairs = (unit[r] @ unit[r].T)[unrelated]
        mean, deviation = view.baseline_cosine[r]
        assert mean == pytest.approx(pairs.mean(), abs=5 * pairs.std() / PAIRS**0.5 + 1e-4)  # the mean of a sample
        assert deviation == pytest.approx(pairs.std(), rel=0.15, abs=1e-3)


def test_pairs_of_the_baseline_are_of_different_tokens_and_sentences(tiny):
    """Equal tokens have the cosine 1 in the embedding, whatever they mean."""
    found = baseline_states(tiny)
    one, other = found.pairs(PAIRS)
    assert len(set(zip(one.tolist(), other.tolist(), strict=True))) == len(one) == PAIRS
    assert (found.ids_M[one] != found.ids_M[other]).all() and (found.sentences_M[one] != found.sentences_M[other]).all()


def save_words(folder, texts):
    """A model whose tokenizer is WordPiece with the words of these texts."""
    oracles.save_family("llama2", folder)
    (folder / "tokenizer.json").unlink()
    words = {word for text in texts for each in (text, text.lower()) for word in each.replace(".", " .").split()}
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)]))
    return load(folder)


def test_sentences_with_unknown_tokens_are_no_baseline(tmp_path):
    """They are equal whatever they stand for."""
    model = save_words(tmp_path / "two", SENTENCES[:2])
    assert len(baseline_ids(model)) == 2
    assert all(model.tokenizer.unknown not in ids for ids in baseline_ids(model))
    one = save_words(tmp_path / "one", [*SENTENCES[:1], "a cat", "dog cat"])
    with pytest.raises(LiuliError, match=r"^this view compares with plain sentences .* has no tokens: use a model that reads"):
        context(one, "a cat", ["dog cat"], "cat")


def test_a_dimension_that_never_varies_decides_nothing():
    """Divided by a deviation of almost 0, it would outweigh all others."""
    baseline = torch.tensor([[[1.0, 2.0, 3.0], [-1.0, 4.0, 3.0], [0.0, 9.0, 3.0000002]]])
    states = torch.tensor([[[[1.0, 5.0, 3.001]]]])
    standard, of_baseline = _standardised(states, baseline)
    assert standard[0, 0, 0].tolist() == pytest.approx([1, 0, 0]) and (of_baseline[..., 2] == 0).all()


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


def test_without_a_word_what_is_common_after_the_first_difference_is_compared(tiny):
    """Before it, everything is identical by construction."""
    assert context(tiny, "the capital of France is", ["the capital of Italy is"]).word == "is"
    view = context(tiny, "it is a: x it is", ["it is a: y it is"])
    assert view.word == "it is" and [each.occurrence for each in view.sentences] == [(1, 2), (1, 2)]
    assert view.sentences[0].places[0] > 8 and not view.same_prefix[0][0][1]
    assert context(tiny, "one cat", ["one dog"]).word == "one"  # nothing else is common


def test_the_longest_common_text_against_difflib():
    draw = Random(0)
    for _ in range(200):
        one, other = ("".join(draw.choices("ab ", k=draw.randrange(12))) for _ in range(2))
        longest = max((one[i:j] for i in range(len(one)) for j in range(i + 1, len(one) + 1)
                       if one[i:j] in other and one[i:j].strip() == one[i:j]), key=len, default="")  # fmt: skip
        assert len(_longest_shared([one, other])) == len(longest)
        assert _longest_shared([one, other]) in other
    long = ["".join(draw.choices("abcdefgh", k=3000)) + "黄金" * 20 + "".join(draw.choices("abcdefgh", k=k)) for k in (5, 2000)]
    match = SequenceMatcher(None, *long, autojunk=False).find_longest_match()
    assert _longest_shared(long) == long[0][match.a : match.a + match.size] and match.size >= 40


# Which occurrence of a word


def test_a_word_is_not_looked_for_inside_other_words(tiny):
    view = context(tiny, "The dog said he left", ["she or he"], "he")
    assert [each.occurrence for each in view.sentences] == [(0, 1), (0, 1)]
    starts = [each.input.tokens[each.span[0]].span[0] for each in view.sentences]
    assert starts == [13, 7]
    assert [each.covered for each in view.sentences] == ["he", "he"]


@pytest.mark.parametrize(
    ("text", "word", "starts"),
    [
        ("the cat", "h", [1]),  # only inside a word
        ("a cat, a catalog", "cat", [2]),
        ("2012 or 12", "12", [8]),
        ("黄金和金", "金", [1, 3]),  # no spaces between words
        ("小明a饰", "a", [2]),
        ("it is it", "it", [0, 6]),
        ("aaa", "aa", [0, 1]),
    ],
)
def test_occurrences(tiny, text, word, starts):
    from liuli.inside.passage import read_passage

    assert read_passage(tiny, text).occurrences(word) == starts


def test_which_occurrence_is_shown(tiny):
    first, second = context(tiny, "it is it", ["so it is"], "it").sentences
    assert first.occurrence == (0, 2) and second.occurrence == (0, 1)


def test_case_is_named_in_the_error(tiny):
    with pytest.raises(LiuliError, match=r"^'dog' does not occur in 'The Dog', but 'Dog' does: "):
        context(tiny, "a dog", ["The Dog"], "dog")


# The strongest reads


def test_the_strongest_reads(oracle):
    """Relative to the residual stream into which a layer reads: it grows, so the last layers would always be first."""
    (sentence, _) = context(oracle.model, "many a gold ring", ["a ring"], "ring").sentences
    position = sentence.places[1]
    residuals = states_of(oracle, "many a gold ring")
    every = []
    for layer in range(oracle.model.config.layers):
        shown = attention(oracle.model, "many a gold ring", layer)
        length = np.linalg.norm(residuals[layer, position])
        for head in range(oracle.model.config.heads):
            for source in range(1, position):
                weight = float(shown.weights[head, position, source])
                size = weight * float(shown.value_sizes[head, source])
                every.append((size / length, size, weight))
    every.sort(reverse=True)
    assert len(sentence.reads) == min(6, len(every))
    for read, (share, size, weight) in zip(sentence.reads, every, strict=False):
        assert (read.share, read.size) == (pytest.approx(share, rel=1e-3), pytest.approx(size, rel=1e-3))
        assert read.weight == pytest.approx(weight, abs=1e-4)


def test_a_word_at_the_beginning_has_read_nothing(tiny):
    view = context(tiny, "x", ["x y"], "x")
    assert [sentence.reads for sentence in view.sentences] == [(), ()]


# Bad input


def test_bad_input(tiny):
    with pytest.raises(LiuliError, match=r"^this view compares sentences: give at least one more, with --with-text TEXT$"):
        context(tiny, "a", [])
    with pytest.raises(LiuliError, match=r"^'dog' does not occur in 'a cat': "):
        context(tiny, "a dog", ["a cat"], "dog")
    with pytest.raises(LiuliError, match=r"^'' does not occur in "):
        context(tiny, "a dog", ["a cat"], "")
    with pytest.raises(LiuliError, match=r"^the sentences have no word in common: "):
        context(tiny, "xyz", ["abc"])
    with pytest.raises(LiuliError, match="tokens do not fit the context of 128 tokens"):
        context(tiny, "a", ["a" * 200], "a")


def test_a_sentence_that_is_too_long(tmp_path):
    model = load(oracles.save_family("qwen3", tmp_path / "long", max_position_embeddings=1100))
    with pytest.raises(LiuliError, match=r"^this view reads at most 1024 tokens, and the text has 1025: give a shorter text$"):
        context(model, "gold", ["gold" + "x" * (MOST_TOKENS - 4)], "gold")


def test_a_word_that_has_no_tokens(tmp_path):
    """WordPiece leaves white space out."""
    model = save_words(tmp_path / "words", [*SENTENCES[:2], "a cat", "dog cat"])
    assert context(model, "a cat", ["dog cat"], "cat").ok
    with pytest.raises(LiuliError, match=r"^the tokenizer leaves ' ' out of 'a cat': give a word that has tokens$"):
        context(model, "a cat", ["a dog"], " ")


def states_in_its_dtype(model, ids) -> np.ndarray:
    """(R, T, D), fp64, exactly as the decoder computed them."""
    tape = record(model.decoder, ids, *residual_points(model.decoder))[1]
    return torch.stack([x[0] for x in tape.residuals()]).double().numpy()


def test_statistics_of_16_bits_are_not_computed_in_16_bits(tiny_folder):
    """A dimension whose mean is large loses its deviation if the difference is rounded to 8 bits."""
    model = load(tiny_folder, dtype="bf16")
    with torch.no_grad():
        model.decoder.embedding.weight[:, 0] += 30
    view = context(model, "a gold ring", ["b gold ring"], "gold")
    baseline = np.concatenate([states_in_its_dtype(model, ids)[:, 1:] for ids in baseline_ids(model)], 1)
    mean, deviation = baseline.mean(1), baseline.std(1, ddof=1)
    states = [states_in_its_dtype(model, each.input.ids) for each in view.sentences]
    for p in range(3):
        for r in range(len(view.rows)):
            one, other = ((x[r, s.places[p]] - mean[r]) / deviation[r] for x, s in zip(states, view.sentences, strict=True))
            assert view.standardised[p, r, 0, 1] == pytest.approx(cosine(one, other), abs=1e-4)


def test_standardised_cosines_of_16_bits(tiny_folder):
    fp32, bf16 = (context(load(tiny_folder, dtype=dtype), "a gold ring", ["old gold"], "gold") for dtype in ("fp32", "bf16"))
    assert bf16.standardised == pytest.approx(fp32.standardised, abs=0.05)
    assert torch.from_numpy(bf16.baseline_standardised).isfinite().all()
