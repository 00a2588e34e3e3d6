"""The objective seam: a weighted next-token loss against a hand computation, DPO against TRL, and both through the loop."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from helpers import tiny
from helpers.trainings import CONFIG, decoder_of

from liuli.data.packing.batch import IGNORED, Batch, batch_of
from liuli.data.packing.pieces import Piece
from liuli.errors import LiuliError
from liuli.learn.step.loop import Training
from liuli.learn.step.objectives import Loss, NextToken, batch_logprobs
from liuli.learn.step.optimizer import MuonAdamW
from liuli.learn.step.recipe import Recipe
from liuli.model import logprobs
from liuli.model.formats.detect import read_decoder
from liuli.model.logprobs import summed_nats, token_logprobs

CPU = torch.device("cpu")
BETA = 0.3


class Given:
    """Rows that were made before."""

    def __init__(self, *batches):
        self.left = list(batches)

    def take(self, rows):
        return self.left.pop(0) if self.left else None


@dataclass(frozen=True)
class DPO:
    """−log σ(β (log π/π_ref of the chosen answer − of the rejected one)), a unit per pair.

    Rows 2i and 2i + 1 are the chosen and the rejected answer of pair i, each supervised on its answer alone.
    Source: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equation 7.
    """

    beta: float
    rows_per_unit: ClassVar[int] = 2

    def weight(self, batch):
        return len(batch.pieces) / 2

    def __call__(self, decoder, batch):
        ratios_B = (batch_logprobs(decoder, batch) - batch.reference_logprobs_BT).sum(-1)
        margins = self.beta * (ratios_B[0::2] - ratios_B[1::2])
        metrics = {"accuracy": (margins > 0).float().sum(), "margin": margins.detach().sum()}
        return Loss(-F.logsigmoid(margins).sum(), metrics)


def gradients(decoder):
    return {name: parameter.grad.clone() for name, parameter in decoder.named_parameters()}


@pytest.fixture
def kept_gradients(monkeypatch):
    """The optimizer neither steps nor forgets."""
    monkeypatch.setattr(MuonAdamW, "step", lambda self, strength: None)
    monkeypatch.setattr(MuonAdamW, "forget_gradients", lambda self: None)


def one_step(decoder, objective, batch, rows_at_once):
    """An update of which only the gradients are wanted."""
    recipe = Recipe(batch.ids_BT.shape[1], len(batch.pieces), rows_at_once, 4096, 0.01, 0.0, 0.0, 0.0)
    return Training(decoder, objective, MuonAdamW(decoder, recipe.rates), Given(batch), recipe, 10, CPU).update()


def rows(count=6, length=32, seed=0):
    random = np.random.default_rng(seed)
    pieces = [random.integers(0, CONFIG["vocab_size"], random.integers(3, length)).astype(np.int32) for _ in range(count)]
    return batch_of([[Piece(ids, i, 0)] for i, ids in enumerate(pieces)], [0] * count, length, 0)


@pytest.mark.parametrize("rows_at_once", [1, 4, 6])
@pytest.mark.parametrize("tied", [True, False])
def test_a_weighted_loss_is_what_the_hand_computes(kept_gradients, tied, rows_at_once):
    decoder, batch = decoder_of(tie_word_embeddings=tied), rows()
    weights_BT = torch.rand(batch.ids_BT.shape, generator=torch.Generator().manual_seed(1))
    weights_BT[:, ::3] = 0.0
    total, count = torch.zeros(()), 0.0
    for b, t in (batch.targets_BT != IGNORED).nonzero().tolist():  # each token alone, from the whole distribution
        logits_V = decoder(batch.ids_BT[b : b + 1, : t + 1])[0, -1]
        total = total - weights_BT[b, t] * logits_V.log_softmax(-1)[batch.targets_BT[b, t]]
        count += float(weights_BT[b, t])
    (total / count).backward()
    wanted = gradients(decoder)
    decoder.zero_grad()
    update = one_step(decoder, NextToken(), replace(batch, weights_BT=weights_BT), rows_at_once)
    assert update.loss == pytest.approx(float(total.detach()) / count, rel=1e-5)
    assert update.loss != pytest.approx(one_step(decoder_of(), NextToken(), batch, 6).loss, rel=1e-3)
    for name, gradient in gradients(decoder).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-6)


def test_weights_of_1_change_nothing(kept_gradients):
    plain, weighted, batch = decoder_of(), decoder_of(), rows()
    one = one_step(plain, NextToken(), batch, 3)
    other = one_step(weighted, NextToken(), replace(batch, weights_BT=torch.ones(batch.ids_BT.shape)), 3)
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    assert other.metrics == one.metrics == {}


def test_a_batch_whose_weights_are_all_zero_is_passed_over(kept_gradients):
    decoder, batch = decoder_of(), rows()
    empty = replace(batch, weights_BT=torch.zeros(batch.ids_BT.shape))
    recipe = Recipe(32, 6, 6, 4096, 0.01, 0.0, 0.0, 0.0)
    training = Training(decoder, NextToken(), MuonAdamW(decoder, recipe.rates), Given(empty, batch), recipe, 10, CPU)
    assert training.update().tokens == batch.supervised
    assert training.skipped == 1


@pytest.mark.parametrize("at_once", [330, 5 * 330, 1 << 20])
def test_log_probabilities_in_chunks_are_the_plain_ones(monkeypatch, at_once):
    monkeypatch.setattr(logprobs, "LOGITS_AT_ONCE", at_once)
    monkeypatch.setattr(logprobs, "LEAST_TOKENS", 1)
    head = decoder_of().head
    x_ND = torch.randn(17, 16, generator=torch.Generator().manual_seed(0))
    targets_N = torch.arange(17) * 11
    targets_N[3] = IGNORED
    upstream_N = torch.linspace(-1, 2, 17)
    inputs = [x_ND.clone().requires_grad_() for _ in range(2)]
    plain = head(inputs[0]).log_softmax(-1)[torch.arange(17), targets_N.clamp(min=0)] * (targets_N != IGNORED)
    wanted = torch.autograd.grad(plain @ upstream_N, (inputs[0], head.weight))
    found = token_logprobs(head, inputs[1], targets_N)
    torch.testing.assert_close(found, plain)
    for one, other in zip(torch.autograd.grad(found @ upstream_N, (inputs[1], head.weight)), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(token_logprobs(head, x_ND, targets_N), plain)
        torch.testing.assert_close(summed_nats(head, x_ND, targets_N), -plain.sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_tokens_without_a_target_need_no_logits(weighted):
    """The head reads the supervised tokens, and few others; the loss and all gradients are those of the whole sum."""
    head, read = decoder_of().head, []
    x_ND = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
    targets_N = torch.where(torch.arange(300) % 3 == 0, torch.arange(300), IGNORED)
    weights_N = torch.linspace(0.5, 2, 300) if weighted else None

    class Counting(torch.nn.Module):
        outputs = head.outputs

        def __init__(self):
            super().__init__()
            self.head = head

        def forward(self, x):
            read.append(len(x))
            return head(x)

    inputs = [x_ND.clone().requires_grad_() for _ in range(2)]
    nats_N = F.cross_entropy(head(inputs[0]), targets_N, ignore_index=IGNORED, reduction="none")
    plain = (nats_N * (1 if weights_N is None else weights_N)).sum()
    found = summed_nats(Counting(), inputs[1], targets_N, weights_N)
    assert sum(read) == 128  # 100, rounded up
    torch.testing.assert_close(found, plain)
    wanted = torch.autograd.grad(plain, (inputs[0], head.weight))
    for one, other in zip(torch.autograd.grad(found, (inputs[1], head.weight)), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(summed_nats(head, x_ND, targets_N, weights_N), plain.detach())
        nothing = torch.full_like(targets_N, IGNORED)
        assert summed_nats(head, x_ND, nothing, weights_N) == 0


def test_a_chunk_has_as_many_tokens_as_its_gradient_is_worth(monkeypatch):
    """Each chunk writes a V × D gradient: at a vocabulary of 151,936, 27 tokens would not pay for it."""
    sizes = []
    head = torch.nn.Linear(2, 40_000, bias=False)
    head.outputs = 40_000  # pyright: ignore
    monkeypatch.setattr(logprobs, "_nats", lambda head, x, targets, weights: sizes.append(len(x)) or (x.sum() * 0))
    with torch.no_grad():
        summed_nats(head, torch.zeros(300, 2), torch.zeros(300, dtype=torch.int64))
    assert sizes == [128, 128, 44]


PAIRS = [
    {"prompt": "the cat ", "chosen": "sat on the mat", "rejected": "12 12"},
    {"prompt": "a b c", "chosen": " d e", "rejected": " the the the the"},
    {"prompt": "12", "chosen": " a", "rejected": " z z z"},
]


def trainer_of(folder, reference, scratch):
    """TRL's trainer on the pairs, and the first batch that it would train on."""
    import datasets
    import trl

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token = "<|endoftext|>"
    settings = trl.DPOConfig(
        str(scratch), beta=BETA, per_device_train_batch_size=len(PAIRS), report_to=[], use_cpu=True, bf16=False,
        gradient_checkpointing=False, disable_dropout=False, seed=0, logging_strategy="no", save_strategy="no",
    )  # fmt: skip
    trainer = trl.DPOTrainer(
        transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        transformers.AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32),
        args=settings, train_dataset=datasets.Dataset.from_list(PAIRS), processing_class=tokenizer,
    )  # fmt: skip
    return trainer, next(iter(trainer.get_train_dataloader()))


def batch_from(inputs) -> Batch:
    """TRL's batch, all chosen answers before all rejected ones, as pairs of rows."""
    count = len(inputs["input_ids"]) // 2
    order = torch.arange(2 * count).view(2, count).T.flatten()
    ids, seen, answer = (inputs[name][order] for name in ("input_ids", "attention_mask", "completion_mask"))
    assert seen[:, 0].all(), "padded on the right"
    targets_BT = ids[:, 1:].masked_fill(answer[:, 1:] == 0, IGNORED)
    positions_BT = torch.arange(ids.shape[1] - 1).repeat(2 * count, 1)
    segments_BT = torch.where(seen[:, :-1] == 1, 0, -1)
    nothing = [[Piece(np.zeros(2, np.int32), i, 0)] for i in range(2 * count)]
    return Batch(ids[:, :-1], targets_BT, positions_BT, segments_BT, True, nothing, [0] * 2 * count)


@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 6])  # no micro-batch parts a pair
def test_dpo_is_trls(tmp_path, kept_gradients, rows_at_once):
    policy, reference = tmp_path / "policy", tmp_path / "reference"
    for seed, folder in enumerate((policy, reference)):
        folder.mkdir()
        tiny.save(folder)
        if seed:
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(0.95)
            model.save_pretrained(folder)
    trainer, inputs = trainer_of(policy, reference, tmp_path / "trl")
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    theirs = {name.removeprefix("module."): parameter.grad for name, parameter in trainer.model.named_parameters()}

    decoder, batch = read_decoder(policy), batch_from(inputs)
    for parameter in decoder.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        before_BT = batch_logprobs(read_decoder(reference), batch)
    update = one_step(decoder, DPO(BETA), replace(batch, reference_logprobs_BT=before_BT), rows_at_once)
    assert update.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    assert abs(update.loss - np.log(2)) > 0.05  # policy and reference differ
    assert update.metrics.keys() == {"accuracy", "margin"}
    ours = gradients(decoder)
    for name, other in (
        ("embedding.weight", "model.embed_tokens.weight"),
        ("head.weight", "lm_head.weight"),
        ("blocks.1.attention.k.weight", "model.layers.1.self_attn.k_proj.weight"),
        ("blocks.0.feed_forward.down.weight", "model.layers.0.mlp.down_proj.weight"),
        ("norm.weight", "model.norm.weight"),
    ):
        torch.testing.assert_close(ours[name], theirs[other], rtol=1e-3, atol=1e-6)


def test_data_with_nothing_to_learn_ends_the_run(monkeypatch):
    """Rows without end would be asked for forever."""
    batch = rows()
    empty = replace(batch, weights_BT=torch.zeros(batch.ids_BT.shape))
    monkeypatch.setattr("liuli.learn.step.loop.MOST_SKIPPED", 3)
    decoder, recipe = decoder_of(), Recipe(32, 6, 6, 4096, 0.01, 0.0, 0.0, 0.0)
    training = Training(decoder, NextToken(), MuonAdamW(decoder, recipe.rates), Given(*[empty] * 4, batch), recipe, 10, CPU)
    with pytest.raises(LiuliError, match="3 consecutive batches have no supervised tokens at step 0"):
        training.update()
