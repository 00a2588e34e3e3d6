"""Which token a word means: log-probabilities of its forms from the logits of `transformers`."""

import pytest

from liuli import LiuliError
from liuli.inside.lens import lens
from liuli.inside.next_word import next_word
from liuli.inside.passage import read_passage

TEXT = "Once upon a time, there was a little girl named"


def logprob(oracle, ids: list[int], form: list[int]) -> float:
    """Of a continuation, in nats."""
    logprobs = oracle.logits([*ids, *form])[len(ids) - 1 : -1].log_softmax(-1)
    return sum(row[token_id].item() for row, token_id in zip(logprobs, form, strict=True))


@pytest.mark.parametrize("word", ["Lily", "cat", "unhappy", "on"])
def test_the_form_that_the_model_would_write(trained, word):
    model = trained.model
    read = read_passage(model, TEXT)
    found = next_word(model, read, word)
    forms = {form: model.tokenizer.encode_on(form) for form in (word, f" {word}")}
    nats = {form: logprob(trained, list(read.ids), ids) for form, ids in forms.items()}
    assert found.text == max(nats, key=lambda form: nats[form]) and found.given == word
    assert (found.token.id, found.tokens) == (forms[found.text][0], len(forms[found.text]))


def test_after_a_word_a_name_has_a_space_before_it(trained):
    """The token without the space is another one, which the model does not predict."""
    model = trained.model
    view = lens(model, TEXT, words=("Lily",))
    (word,) = view.words
    assert word.text == " Lily" and word.token.text.startswith(" L")
    assert word.token in view.tracked and model.tokenizer.encode_on("Lily")[0] != word.token.id


def test_inside_a_word_there_is_no_space(trained):
    read = read_passage(trained.model, f"{TEXT} Li")
    assert next_word(trained.model, read, "ly").text == "ly"


def test_a_space_that_was_typed_stays(trained):
    read = read_passage(trained.model, f"{TEXT} Li")
    assert next_word(trained.model, read, " ly").text == " ly"


def test_a_space_that_is_a_token_of_its_own_is_not_the_word(tiny):
    """In this vocabulary, a space and x are two tokens, and the space is the first token of any word."""
    found = next_word(tiny, read_passage(tiny, "the cat"), "xy")
    assert (found.text, found.token.text, found.tokens) == ("xy", "x", 2)


def test_a_text_that_fills_the_context(tiny):
    """The first token of a form is predicted, although there is no room to read it."""
    read = read_passage(tiny, "b" * (tiny.config.context - 1))
    assert len(read.ids) == tiny.config.context
    assert next_word(tiny, read, "abc").token.text.strip().startswith("a")


def test_a_word_without_tokens(tiny):
    with pytest.raises(LiuliError, match=r"^a word has no tokens: give a word of at least one character$"):
        next_word(tiny, read_passage(tiny, "the cat"), "")
