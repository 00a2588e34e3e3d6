"""A step: its loss and gradients against `transformers` and plain PyTorch, what it counts, and what stops it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from helpers.trainings import CONFIG, decoder_of

from liuli.data.packing.batch import IGNORED, batch_of
from liuli.data.packing.pieces import Piece
from liuli.errors import LiuliError
from liuli.learn.step.finite import NotFinite, first_bad
from liuli.learn.step.loop import Training, train
from liuli.learn.step.objectives import Loss, NextToken
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model import logprobs
from liuli.model.decoder import FeedForward
from liuli.model.formats.hugging_face import write_decoder
from liuli.model.linear import Linear
from liuli.model.logprobs import summed_nats

CPU = torch.device("cpu")


def documents(count, seed=0, least=2, most=30):
    random = np.random.default_rng(seed)
    return [random.integers(0, CONFIG["vocab_size"], random.integers(least, most)).astype(np.int32) for _ in range(count)]


def rows_of(some, length=32):
    """A document a row."""
    return batch_of([[Piece(ids, i, 0)] for i, ids in enumerate(some)], [0] * len(some), length, 0)


class Shifted(NextToken):
    """The next-token loss and a number."""

    value = 0.0

    def __call__(self, decoder, batch):
        return Loss(super().__call__(decoder, batch).total + self.value)


class Given:
    """Rows that were made before."""

    def __init__(self, *batches):
        self.left = list(batches)

    def take(self, rows):
        return self.left.pop(0) if self.left else None

    def cursor(self):
        raise NotImplementedError

    def close(self):
        pass


def training_of(decoder, *batches, rows_at_once=8, rate=0.01, steps=10, **change):
    recipe = Recipe(32, 8, rows_at_once, buffer=4096, rate=rate, decay=0.0, warm_up=0.0, warm_down=0.0)
    return Training(decoder, NextToken(), MuonAdamW(decoder, recipe.rates), Given(*batches), recipe, steps, CPU, **change)


def gradients(decoder):
    return {name: parameter.grad.clone() for name, parameter in decoder.named_parameters()}


def weights(decoder):
    return {name: parameter.detach().clone() for name, parameter in decoder.named_parameters()}


@pytest.fixture
def kept_gradients(monkeypatch):
    """The optimiser neither steps nor forgets."""
    monkeypatch.setattr(MuonAdamW, "step", lambda self, strength: None)
    monkeypatch.setattr(MuonAdamW, "forget_gradients", lambda self: None)


@pytest.mark.parametrize("tied", [True, False])
def test_loss_and_gradients_are_those_of_transformers(tmp_path, kept_gradients, tied):
    """Each document alone there; here in rows, some of them packed three to a row."""
    decoder, some = decoder_of(tie_word_embeddings=tied), documents(18)
    write_decoder(decoder, tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert isinstance(model, transformers.Qwen3ForCausalLM)
    nats, count = torch.zeros(()), 0
    for ids in some:
        ids_1T = torch.tensor(ids[None].astype(np.int64))
        logits_TV = model(ids_1T).logits[0, :-1]
        nats = nats + F.cross_entropy(logits_TV, ids_1T[0, 1:], reduction="sum")
        count += len(ids) - 1
    loss = nats / count
    loss.backward()
    packed = [[Piece(ids, 3 * i + k, 0) for k, ids in enumerate(some[3 * i : 3 * i + 3])] for i in range(6)]
    for batch in (rows_of(some), batch_of(packed, [0] * 6, 96, 0)):
        decoder.zero_grad()
        training = training_of(decoder, batch, rows_at_once=100)
        update = training.update()
        assert update.loss == pytest.approx(float(loss.detach()), abs=1e-5)
        assert update.loss > 4  # no trifle
        assert (update.step, update.tokens, training.tokens) == (1, count, count)
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters() if p.grad is not None))
        assert update.gradient_norm == pytest.approx(norm, rel=1e-4)
        theirs, ours = dict(model.named_parameters()), gradients(decoder)
        for name, other in (
            ("embedding.weight", "model.embed_tokens.weight"),
            ("blocks.1.attention.k.weight", "model.layers.1.self_attn.k_proj.weight"),
            ("blocks.0.feed_forward.down.weight", "model.layers.0.mlp.down_proj.weight"),
            ("norm.weight", "model.norm.weight"),
        ):
            torch.testing.assert_close(ours[name], theirs[other].grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rows_at_once", [1, 3, 7])
def test_gathered_gradients_are_those_of_one_pass(kept_gradients, rows_at_once):
    """Rows of very different lengths: a mean of means would be far off."""
    some = [*documents(4, least=28), *documents(4, seed=1, most=4)]
    once, several = decoder_of(), decoder_of()
    one = training_of(once, rows_of(some), rows_at_once=8).update()
    other = training_of(several, rows_of(some), rows_at_once=rows_at_once).update()
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    for name, gradient in gradients(once).items():
        torch.testing.assert_close(gradients(several)[name], gradient, rtol=1e-4, atol=1e-6)


def unsupervised(rows=2):
    batch = rows_of(documents(rows))
    batch.targets_BT.fill_(IGNORED)
    return batch


def test_rows_without_anything_to_predict_are_skipped_and_counted():
    batch = rows_of(documents(8))
    training = training_of(decoder_of(), unsupervised(), unsupervised(), batch, unsupervised())
    plain = training_of(decoder_of(), batch)
    assert training.update().loss == plain.update().loss
    assert (training.skipped, training.step, training.tokens) == (2, 1, batch.supervised)
    with pytest.raises(LiuliError, match="the training data ended at step 1 of 10"):
        training.update()
    assert training.skipped == 3


def test_rows_partly_without_anything_to_predict(kept_gradients):
    batch, plain = rows_of(documents(8)), rows_of(documents(8)[4:])
    batch.targets_BT[:4] = IGNORED
    decoder, other = decoder_of(), decoder_of()
    found, wanted = training_of(decoder, batch, rows_at_once=4).update(), training_of(other, plain).update()
    assert found.loss == pytest.approx(wanted.loss, rel=1e-6)
    assert found.tokens == wanted.tokens == plain.supervised
    assert found.gradient_norm == pytest.approx(wanted.gradient_norm, rel=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("at_once", [1, 100, 1000, 1 << 25])
def test_cross_entropy_in_chunks_is_the_plain_one(monkeypatch, at_once, bias):
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", at_once)
    monkeypatch.setattr(logprobs, "LEAST_TOKENS", 1)
    head = Linear(16, 50, bias)
    head.start(1.0, torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(1)
    x = torch.randn(33, 16, generator=random).requires_grad_()
    targets = torch.randint(0, 50, (33,), generator=random)
    targets[::5] = IGNORED
    plain = F.cross_entropy(head(x), targets, ignore_index=IGNORED, reduction="sum")
    wanted = torch.autograd.grad(0.3 * plain, (x, *head.parameters()))
    nats = summed_nats(head, x, targets)
    torch.testing.assert_close(nats, plain)
    assert (nats.shape, nats.dtype) == ((), torch.float32)
    for found, expected in zip(torch.autograd.grad(0.3 * nats, (x, *head.parameters())), wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(summed_nats(head, x, targets), plain)


@pytest.mark.parametrize("tied", [True, False])
def test_a_step_in_chunks_is_the_step_in_one(monkeypatch, kept_gradients, tied):
    """A tied table gets its gradient from both its uses."""
    found = {}
    for at_once in (1 << 25, 1000):
        monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", at_once)
        monkeypatch.setattr(logprobs, "LEAST_TOKENS", 1)
        decoder = decoder_of(tie_word_embeddings=tied)
        found[at_once] = training_of(decoder, rows_of(documents(8))).update().loss, gradients(decoder)
    (loss, wanted), (other, gradients_found) = found.values()
    assert other == pytest.approx(loss, rel=1e-6)
    assert ("head.weight" in wanted) != tied
    for name, gradient in wanted.items():
        torch.testing.assert_close(gradients_found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_head_that_wants_no_gradient(monkeypatch):
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", 1000)
    monkeypatch.setattr(logprobs, "LEAST_TOKENS", 1)
    decoder = decoder_of(tie_word_embeddings=False)
    decoder.head.weight.requires_grad_(False)
    training_of(decoder, rows_of(documents(8))).update()
    frozen = decoder_of(tie_word_embeddings=False)
    assert torch.equal(decoder.head.weight, frozen.head.weight)
    assert not torch.equal(decoder.embedding.weight, frozen.embedding.weight)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("what", ["weight", "activation", "gradient", "only the loss"])
def test_what_is_not_finite_is_named_before_the_update(monkeypatch, what, value):
    decoder = decoder_of()
    training = training_of(decoder, *[rows_of(documents(8, seed)) for seed in range(3)])
    training.update()
    if what == "weight":
        with torch.no_grad():
            decoder.blocks[1].attention.k.weight[2, 3] = value
        name = "the weight blocks.1.attention.k.weight"
    elif what == "activation":
        monkeypatch.setattr(FeedForward, "__call__", lambda self, x, see: FeedForward.forward(self, x, see) * value)
        name = "the activation blocks.0.feed_forward_out"
    elif what == "gradient":
        decoder.blocks[0].attention.q.weight.register_hook(lambda gradient: gradient * value)
        name = "the gradient of blocks.0.attention.q.weight"
    else:
        monkeypatch.setattr(Shifted, "value", value)
        training.objective = Shifted()
        name = ""
    before, state = weights(decoder), {name: tensor.clone() for name, tensor in training.optimizer.state().items()}
    with pytest.raises(NotFinite) as error:
        training.update()
    assert name in str(error.value)
    assert "nothing was updated" in str(error.value)
    assert (training.step, training.tokens) == (1, rows_of(documents(8, 0)).supervised)
    for part, tensor in weights(decoder).items():
        assert torch.equal(tensor.nan_to_num(), before[part].nan_to_num())
    for part, tensor in training.optimizer.state().items():
        assert torch.equal(tensor, state[part])


def test_a_norm_that_overflows_alone_stops_nothing():
    decoder = decoder_of()
    training = training_of(decoder, rows_of(documents(8)))
    decoder.norm.weight.register_hook(lambda gradient: torch.full_like(gradient, 3e38))
    update = training.update()
    assert update.gradient_norm == math.inf
    assert update.to_json()["gradient_norm"] is None
    assert first_bad(decoder, ()) is None


def test_an_update_that_leads_out_of_numbers_is_found():
    decoder = decoder_of()
    training = training_of(decoder, rows_of(documents(8)))
    training.update()
    training.check_weights()
    with torch.no_grad():
        decoder.norm.weight[0] = math.nan
    with pytest.raises(NotFinite, match=r"^the weight norm\.weight is not finite after step 1; the model is not saved$"):
        training.check_weights()


class Silent:
    """A journal that keeps nothing."""

    def __init__(self, begun=False):
        self.begun, self.told = begun, []

    def record(self, training, update):
        self.told.append(("record", training.step))
        return iter(())

    def save(self, training):
        self.told.append(("save", training.step))
        return iter(())

    def finished(self, training):
        yield "finished"

    def last_good(self):
        return "There is no checkpoint yet"


@pytest.mark.parametrize("begun", [False, True])
def test_the_order_of_a_run(begun):
    batches = [rows_of(documents(8, seed)) for seed in range(3)]
    journal = Silent(begun)
    events = list(train(training_of(decoder_of(), *batches, steps=3), journal))
    assert journal.told == [("record", step) for step in range(begun, 4)]
    assert [event.step for event in events[:-1]] == [1, 2, 3]
    assert events[-1] == "finished"
    journal = Silent(begun)
    events = list(train(training_of(decoder_of(), *batches, steps=3), journal, stop=iter([False, True]).__next__))
    assert journal.told == [("record", step) for step in range(begun, 2)] + [("save", 1)]
    assert (events[-1].step, events[-1].steps) == (1, 3)


def test_the_error_says_step_rate_and_checkpoint():
    decoder = decoder_of()
    with torch.no_grad():
        decoder.norm.weight[0] = math.inf
    with pytest.raises(LiuliError) as error:
        list(train(training_of(decoder, rows_of(documents(8)), rate=0.25), Silent()))
    assert str(error.value) == (
        "the loss of step 1 is nan, and the first tensor that is not finite is the weight norm.weight; nothing was "
        "updated. The learning rate (0.25) may be too high: start a new run with a smaller --lr. There is no checkpoint yet"
    )


def test_first_bad_looks_in_the_order_of_a_step():
    decoder, batch = decoder_of(), rows_of(documents(4))
    assert first_bad(decoder, batch.parts(2, CPU)) is None
    decoder.norm.weight.grad = torch.full((16,), math.nan)
    assert first_bad(decoder, batch.parts(2, CPU)) == "the gradient of norm.weight"
    with torch.no_grad():
        decoder.norm.weight.fill_(1e38)
        decoder.embedding.weight.mul_(100)  # it is the head too
    assert first_bad(decoder, batch.parts(2, CPU)) == "the logits"
    with torch.no_grad():
        decoder.norm.weight.fill_(3e38)
    assert first_bad(decoder, batch.parts(2, CPU)) == "the activation final_norm"
