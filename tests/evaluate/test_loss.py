"""How well a model predicts, against a plain loop over windows with `transformers`' model."""

import math

import pytest
import torch
import torch.nn.functional as F
import transformers
from helpers.trainings import decoder_of, sentences, write_corpus

import liuli
from liuli.data.split import split_texts
from liuli.data.text.sources import Document, Sources
from liuli.errors import LiuliError
from liuli.evaluate import loss as room
from liuli.evaluate.loss import Evaluation, Exam, evaluate, pieces_of
from liuli.model.formats.hugging_face import write_decoder
from liuli.tokens.train import train

TEXTS = ["小明有3只猫。", "Ada keeps an otter; it is 12 years old. " * 3, "x", "“你好”，她说。🦦", "a" * 70]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train(["小明有只猫。Ada keeps an otter; it is years old." * 3], "bpe", vocab_size=290).write(folder)
    return liuli.open_tokenizer(folder)


@pytest.fixture(scope="module")
def decoder():
    return decoder_of()


@pytest.fixture(scope="module")
def model(tmp_path_factory, decoder):
    folder = tmp_path_factory.mktemp("model")
    write_decoder(decoder, folder)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def documents_of(texts):
    return [Document(text, "here", number) for number, text in enumerate(texts)]


def plainly(model, all_ids, length):
    """Nats, tokens and windows: each window alone, from the last id of the one before."""
    nats, tokens, windows = 0.0, 0, 0
    for ids in all_ids:
        for at in range(0, len(ids) - 1, length):
            window_1T = torch.tensor([ids[at : at + length + 1]])
            with torch.no_grad():
                logits_TV = model(window_1T[:, :-1]).logits[0]
            nats += float(F.cross_entropy(logits_TV.double(), window_1T[0, 1:], reduction="sum"))
            tokens, windows = tokens + window_1T.shape[1] - 1, windows + 1
    return nats, tokens, windows


@pytest.mark.parametrize("length", [5, 16, 64])
@pytest.mark.parametrize("at_once", [1, 40, 4096])
def test_as_a_plain_loop(monkeypatch, tokenizer, decoder, model, length, at_once):
    monkeypatch.setattr(room, "TOKENS_AT_ONCE", at_once)
    found = evaluate(decoder, tokenizer, documents_of(TEXTS), length)
    all_ids = [[*tokenizer.begin, *tokenizer.encode(text), *tokenizer.end] for text in TEXTS]
    nats, tokens, windows = plainly(model, all_ids, length)
    assert (found.tokens, found.windows, found.length) == (tokens, windows, length)
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.bytes == sum(len(text.encode()) for text in TEXTS)
    assert found.nats_per_token == pytest.approx(nats / tokens, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / found.bytes, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(nats / tokens), rel=1e-4)


@pytest.mark.parametrize("ahead", [3, 4096])
def test_a_watch_is_told_how_many_windows_are_done_if_there_are_few(monkeypatch, tokenizer, decoder, ahead):
    monkeypatch.setattr(room, "AHEAD", ahead)
    monkeypatch.setattr(room, "TOKENS_AT_ONCE", 16)
    seen = []
    found = evaluate(decoder, tokenizer, documents_of(TEXTS), 16, lambda *each: seen.append(each))
    assert found == evaluate(decoder, tokenizer, documents_of(TEXTS), 16)
    counts = [done for _, done, _ in seen]
    if ahead == 3:
        assert seen == []
    else:
        assert {(what, total) for what, _, total in seen} == {("evaluating", found.windows)}
        assert counts == sorted(set(counts)) and counts[0] == 0 and counts[-1] < found.windows


def test_without_a_begin_token_the_first_is_predicted_by_nothing(monkeypatch, tokenizer, decoder, model):
    monkeypatch.setattr(tokenizer, "begin", [])
    found = evaluate(decoder, tokenizer, documents_of(TEXTS), 16)
    all_ids = [[*tokenizer.encode(text), *tokenizer.end] for text in TEXTS]
    nats, tokens, windows = plainly(model, all_ids, 16)
    assert (found.tokens, found.windows) == (tokens, windows)
    assert found.nats == pytest.approx(nats, rel=1e-5)
    firsts = sum(len(tokenizer.token(ids[0]).bytes) for ids in all_ids)
    assert firsts > len(TEXTS)  # of Chinese, too
    assert found.bytes == sum(len(text.encode()) for text in TEXTS) - firsts


@pytest.mark.parametrize("long", [False, True], ids=["in its first part", "in a later part"])
def test_a_tail_that_begins_in_the_middle(tmp_path, tokenizer, decoder, model, long):
    """It has no begin token in front: nothing says there that a text begins."""
    text = "".join(f"小明有{i}只猫。Ada keeps {i}.\n\n" for i in range(1500 if long else 40))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    split = split_texts(Sources([str(tmp_path / "a.txt")]), "tail:0.15")
    held = list(split.validation())
    joined = "".join(document.text for document in held)
    assert text.endswith(joined)
    assert (held[0].part > 0) == long
    found = evaluate(decoder, tokenizer, held, 32)
    ids = [id for document in held for id in tokenizer.encode_on(document.text)] + tokenizer.end
    nats, tokens, windows = plainly(model, [ids], 32)
    assert (found.tokens, found.windows) == (tokens, windows) == (len(ids) - 1, math.ceil((len(ids) - 1) / 32))
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.bytes == len(joined.encode()) - len(tokenizer.token(ids[0]).bytes)


def test_a_tail_at_a_documents_beginning(tmp_path, tokenizer, decoder):
    split = split_texts(Sources([str(write_corpus(tmp_path, ["abcd", "efgh"]))]), "tail:0.5")
    assert [(document.text, document.cut) for document in split.validation()] == [("efgh", False)]
    found = evaluate(decoder, tokenizer, split.validation(), 32)
    assert (found.bytes, found.tokens) == (4, len(tokenizer.encode("efgh")) + 1)


def test_packing_changes_nothing(tokenizer, decoder):
    """A document's loss is the same alone and beside others."""
    alone = [evaluate(decoder, tokenizer, [document], 64).nats for document in documents_of(TEXTS)]
    assert evaluate(decoder, tokenizer, documents_of(TEXTS), 64).nats == pytest.approx(sum(alone), rel=1e-6)


def test_few_places_are_empty(monkeypatch, tokenizer):
    """Rows are no longer than what they hold: a short text is not read as a full row."""
    monkeypatch.setattr(room, "TOKENS_AT_ONCE", 1)
    pieces = list(pieces_of(documents_of(TEXTS), tokenizer, 500))
    batches = list(room.rows_of(pieces, 500))
    assert sum(batch.ids_BT.numel() for batch in batches) == sum(piece.places for piece in pieces)


def test_an_exam_takes_all_or_an_even_part(tokenizer, decoder):
    documents = documents_of(sentences(300))
    whole = evaluate(decoder, tokenizer, documents, 32)
    assert Exam(pieces_of(documents, tokenizer, 32), tokenizer, 32, 1_000_000)(decoder) == whole
    for limit in (100, 500, 2000):
        exam = Exam(pieces_of(documents, tokenizer, 32), tokenizer, 32, limit)
        found = exam(decoder)
        assert found == exam(decoder)
        assert 0.7 * limit < found.tokens < 1.2 * limit
        assert found.nats_per_token == pytest.approx(whole.nats_per_token, rel=0.2)
    texts = iter(documents)
    Exam(pieces_of(texts, tokenizer, 32), tokenizer, 32, 10)
    assert next(texts).number > 20  # it does not read on for ever
    pieces = pieces_of(documents_of(["Ada keeps an otter. " * 30]), tokenizer, 1000)
    one = Exam(pieces, tokenizer, 1000, 20)(decoder_of(max_position_embeddings=1000))
    assert one.tokens > 20  # a single window that is longer than the limit


def test_nothing_to_predict(tokenizer, decoder, monkeypatch):
    with pytest.raises(LiuliError, match="nothing to predict: the text has fewer than two tokens"):
        evaluate(decoder, tokenizer, [], 32)
    with pytest.raises(LiuliError, match="nothing is held out to validate on: give more text, or --valid FILE"):
        Exam([], tokenizer, 32, 100)
    monkeypatch.setattr(tokenizer, "begin", [])
    with pytest.raises(LiuliError, match="nothing is held out"):
        Exam(pieces_of(documents_of([""]), tokenizer, 32), tokenizer, 32, 100)


def test_as_json():
    found = Evaluation(nats=math.log(2) * 24, tokens=12, bytes=6, windows=2, length=8)
    assert found.to_json() == {
        "nats_per_token": pytest.approx(2 * math.log(2)), "bits_per_byte": pytest.approx(4), "perplexity": pytest.approx(4),
        "nats": found.nats, "tokens": 12, "bytes": 6, "windows": 2, "length": 8,
    }  # fmt: skip
    assert Evaluation(1.0, 1, 0, 1, 8).to_json()["bits_per_byte"] is None
    assert Evaluation(1e300, 1, 1, 1, 8).perplexity < math.inf
