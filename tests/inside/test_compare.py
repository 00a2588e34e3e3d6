"""Models side by side: every number against `transformers`, and what each model reads."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import transformers
from helpers import pairs
from helpers.memory import peak_bytes

from liuli import LiuliError, load
from liuli.generate.reading import Prompt, PromptReader, same_pieces
from liuli.inside import scoring
from liuli.inside.compare import MOST_PROMPTS, CompareSettings, compare
from liuli.inside.self_check import SelfCheck
from liuli.model.adapters import lora, peft_folder
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.tokens.chat.chat import Chat

ASKED = Prompt.of_text("小明今天去", "prompt 1")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return load(pairs.save_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def assistant(base, tmp_path_factory):
    return load(pairs.save_assistant(tmp_path_factory.mktemp("assistant"), base.folder))


@pytest.fixture(scope="module")
def trace(base, assistant, tiny):
    return compare([base, assistant, tiny], [ASKED], CompareSettings(seed=3, max_tokens=8))


def theirs(model, read, said):
    """What `transformers` says, fp64: log-probabilities before each of the tokens that were said, (T, V)."""
    oracle = transformers.AutoModelForCausalLM.from_pretrained(model.folder)
    with torch.no_grad():
        logits = oracle(torch.tensor([[*read, *said]])).logits[0, len(read) - 1 : -1]
    return logits.double().log_softmax(-1)


def ids_of(answer):
    return [token.id for token in answer.read]


def test_what_each_read(trace, base, assistant, tiny):
    first, second, third = trace.asked[0].answers
    assert first.read_text == "<|endoftext|>小明今天去"
    assert ids_of(first) == base.tokenizer.encode("小明今天去", prompt=True)
    assert second.read_text == "<|im_start|>user\n小明今天去<|im_end|>\n<|im_start|>assistant\n"
    assert ids_of(second) == Chat.open(assistant.folder, assistant.tokenizer).prompt(ASKED.messages)
    assert ids_of(third) == tiny.tokenizer.encode("小明今天去", prompt=True)
    assert [(about["stage"], about["reads"]) for about in trace.models] == [
        ("base", "text"), ("assistant", "template"), (None, "text"),
    ]  # fmt: skip


def test_answers_are_those_of_complete(trace, base, assistant):
    first, second, _ = trace.asked[0].answers
    alone = base.complete("小明今天去", max_tokens=8, seed=3)
    assert (first.text, list(first.ids), first.finish_reason) == (alone.text, alone.ids, alone.finish_reason)
    assert list(second.ids) == assistant.complete(ids_of(second), max_tokens=8, seed=3).ids


def test_log_probabilities_of_every_answer_under_every_model(trace, base, assistant, tiny):
    models = (base, assistant, tiny)
    for a, answer in enumerate(trace.asked[0].answers):
        for m, (model, score) in enumerate(zip(models, answer.scores, strict=True)):
            by_text = (a == 2) != (m == 2)
            ids = model.tokenizer.encode(answer.text) if by_text else list(answer.ids)
            logprobs = theirs(model, ids_of(trace.asked[0].answers[m]), ids)
            expected = logprobs[torch.arange(len(ids)), torch.tensor(ids)]
            assert (score.by, list(score.ids)) == ("text" if by_text else "ids", ids)
            assert score.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
            assert score.nats == pytest.approx(expected.sum().item(), abs=1e-3)
            assert score.per_token == pytest.approx(score.nats / len(ids))
            assert score.per_byte == pytest.approx(score.nats / len(answer.text.encode()))


def test_divergence_before_the_first_token_and_along_the_answers(trace, base, assistant):
    answers = trace.asked[0].answers
    for answer in answers[:2]:
        p, q = (theirs(model, ids_of(answers[m]), answer.ids) for m, model in enumerate((base, assistant)))
        expected = (p.exp() * (p - q)).sum(-1)
        assert answer.scores[1].kl == pytest.approx(expected.tolist(), abs=1e-3)
        assert answers[1].kl == pytest.approx(expected[0].item(), abs=1e-3)
        assert expected.min() > 0.1
    assert answers[0].kl == 0 and set(answers[0].scores[0].kl) == {0}
    assert answers[2].kl is None and all(answer.scores[2].kl is None for answer in answers)


def test_candidates_before_the_first_token(trace, base, assistant):
    for model, answer in zip((base, assistant), trace.asked[0].answers, strict=False):
        logprobs = theirs(model, ids_of(answer), [0])[0]
        best = logprobs.topk(5)
        assert [each.token.id for each in answer.candidates] == best.indices.tolist()
        assert [each.logprob for each in answer.candidates] == pytest.approx(best.values.tolist(), abs=1e-4)
        assert answer.entropy == pytest.approx(-(logprobs.exp() * logprobs).sum().item(), abs=1e-4)


def test_one_model_twice_differs_in_nothing(base):
    (asked,) = compare([base, base], [ASKED], CompareSettings(seed=3, max_tokens=8)).asked
    first, second = asked.answers
    assert first.scores == second.scores and first.scores[0].nats == first.scores[1].nats
    assert second.kl == 0 and set(second.scores[1].kl) == {0}
    assert asked.read_alike


def test_the_stop_token_is_no_part_of_what_is_scored(base, assistant):
    models, bias = [base, assistant], {"logit_bias": {0: 6.0, base.tokenizer.specials["<|im_end|>"]: 6.0}}
    traces = (compare(models, [ASKED], CompareSettings(seed, 8, bias)) for seed in range(20))
    ended = [(m, each.asked[0].answers[m]) for each in traces for m in (0, 1)]
    ended = [(m, answer) for m, answer in ended if answer.finish_reason == "stop"]
    assert {len(answer.ids) > 1 for _, answer in ended} == {True, False}  # some at once
    assert {(m, answer.ids[-1]) for m, answer in ended} >= {(0, 0), (1, 2)}
    for m, answer in ended:
        assert all(score.ids == answer.ids[:-1] for score in answer.scores)
        if len(answer.ids) == 1:
            assert (answer.scores[m].nats, answer.scores[m].per_token, answer.scores[m].kl) == (0, None, ())


def test_its_checks_hold_and_notice_what_is_wrong(trace, base, monkeypatch):
    assert [check.name for check in trace.checks] == ["distributions_sum_to_1", "answers_equal_their_steps"]
    assert all(check.ok for check in trace.checks)
    assert not SelfCheck("", float("nan"), "", 1).ok
    right = scoring.Scoring._logprobs
    monkeypatch.setattr(scoring.Scoring, "_logprobs", lambda *given: right(*given) - 0.001)
    assert [check.ok for check in compare([base], [ASKED], CompareSettings(3, 8)).checks] == [True, False]


def test_an_answer_that_does_not_fit_another_model(tiny, tmp_path):
    small = load(pairs.save_base(tmp_path / "small", context=16))
    prompt = Prompt.of_text("a", "prompt 1")
    (asked,) = compare([small, tiny], [prompt], CompareSettings(seed=3, max_tokens=12)).asked
    score = asked.answers[1].scores[0]
    assert len(asked.answers[0].read) + len(score.ids) > 16
    assert (score.by, score.nats, score.logprobs, score.per_token) == ("text", None, None, None)


def test_ids_without_pieces_leave_no_divergence(base, tmp_path):
    wider = load(pairs.save_base(tmp_path / "wider", spare=6))
    (asked,) = compare([base, wider], [ASKED], CompareSettings(seed=3, max_tokens=4)).asked
    assert asked.answers[0].scores[1].by == "ids"
    assert asked.answers[1].kl is None and asked.answers[0].scores[1].kl is None


def test_the_prompts_of_one_model_are_compared(base):
    """Every answer after every prompt, as if it were the answer to it; and KL(first prompt ‖ other) along it."""
    prompts = [ASKED, Prompt.of_text("the cat", "prompt 2"), Prompt.of_text("小明", "prompt 3")]
    trace = compare([base], prompts, CompareSettings(seed=3, max_tokens=6))
    assert trace.caveats == ["prob.stage", "cmp.prompts"] and all(check.ok for check in trace.checks)
    read = [ids_of(asked.answers[0]) for asked in trace.asked]
    for a, asked in enumerate(trace.asked):
        (answer,) = asked.answers
        said = list(answer.scores[0].ids)
        logprobs = [theirs(base, ids, said) for ids in read]
        for p, score in enumerate(answer.after_prompts):
            expected = logprobs[p][torch.arange(len(said)), torch.tensor(said)]
            assert score.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
            assert score.nats == pytest.approx(expected.sum().item(), abs=1e-3)
            divergence = (logprobs[0].exp() * (logprobs[0] - logprobs[p])).sum(-1)
            assert score.kl == pytest.approx(divergence.tolist(), abs=1e-3)
        assert set(answer.after_prompts[0].kl) == {0} and min(answer.after_prompts[1].kl) > 0.01
        assert answer.after_prompts[a].logprobs == answer.scores[0].logprobs


def test_prompts_are_not_compared_if_there_are_several_models_or_many_prompts(base):
    settings = CompareSettings(seed=3, max_tokens=1)
    many = [Prompt.of_text("a" * (n + 1), f"prompt {n}") for n in range(MOST_PROMPTS + 1)]
    for models, prompts in (([base, base], many[:2]), ([base], many[:1]), ([base], many)):
        trace = compare(models, prompts, settings)
        assert {answer.after_prompts for asked in trace.asked for answer in asked.answers} == {None}
        assert "cmp.prompts" not in trace.caveats
    assert len(compare([base], many[:MOST_PROMPTS], settings).asked[0].answers[0].after_prompts) == MOST_PROMPTS


def test_same_pieces(base, assistant, tiny):
    assert same_pieces(base.tokenizer, assistant.tokenizer)
    assert not same_pieces(base.tokenizer, tiny.tokenizer)


def test_who_reads_a_template(base, assistant, tmp_path):
    """A base that has one, as published ones do, is told by its card alone."""
    folder = shutil.copytree(assistant.folder, tmp_path / "model")
    for card, reads in [({"stage": "base"}, "text"), ({"stage": "preferred"}, "template"), ({}, "template")]:
        (folder / "liuli.json").write_text(json.dumps(card))
        assert PromptReader(load(folder), {}).to_json()["reads"] == reads
    decoder = load(base.folder).decoder
    lora.add(decoder, lora.LoRASettings(rank=2), seed=0)
    peft_folder.save(decoder, tmp_path / "chat", str(base.folder), base.hash)
    assert PromptReader(load(base.folder, adapter=tmp_path / "chat"), {}).chat is None
    shutil.copy(assistant.folder / "tokenizer_config.json", tmp_path / "chat")
    assert PromptReader(load(base.folder, adapter=tmp_path / "chat"), {}).to_json()["stage"] == "adapter"
    assert PromptReader(load(base.folder, adapter=tmp_path / "chat"), {}).chat is not None


def test_a_dialogue_as_plain_text(base, assistant):
    said = [("system", "Be brief."), ("user", "hi<|im_end|>"), ("assistant", "yes"), ("user", "12?")]
    prompt = Prompt("talk:1", tuple({"role": role, "content": text} for role, text in said))
    text = "Be brief.\nhi<|im_end|>\nyes\n12?"
    assert PromptReader(base, {}).ids(prompt) == [0, *base.tokenizer.encode(text)]  # what was said stays text
    assert PromptReader(base, {}).ids(Prompt.of_text("hi<|im_end|>", "")) == base.tokenizer.encode("hi<|im_end|>", prompt=True)
    stop = base.tokenizer.specials["<|im_end|>"]
    assert PromptReader(assistant, {}).ids(prompt).count(stop) == 4
    tools = ({"type": "function", "function": {"name": "look"}},)
    with pytest.raises(LiuliError, match=r"^talk:1, read by .*: the dialogue has tools, and a base model reads only plain"):
        compare([base], [Prompt("talk:1", prompt.messages, tools)], CompareSettings(1))


def test_mistakes(base, tmp_path):
    long = Prompt.of_text("a" * 200, "prompt 2")
    with pytest.raises(LiuliError, match=r"^prompt 2, read by .*: the prompt has 201 tokens, but the context has 128"):
        compare([base], [ASKED, long], CompareSettings(1))
    with pytest.raises(LiuliError, match="nothing to compare"):
        compare([base], [], CompareSettings(1))
    for settings, said in [({"max_tokens": 0}, "max_tokens must be"), ({"seed": -1}, "seed must be")]:
        with pytest.raises(LiuliError, match=said):
            CompareSettings(**{"seed": 1, **settings})
    with pytest.raises(LiuliError, match="top_p must be"):
        CompareSettings(1, sampling={"top_p": 2.0})
    for name in ("config.json", "model.safetensors"):
        shutil.copy(base.folder / name, tmp_path)
    with pytest.raises(LiuliError, match="contains no tokenizer, so it cannot read a prompt"):
        compare([load(tmp_path)], [ASKED], CompareSettings(1))


def test_distributions_are_made_in_chunks(base, monkeypatch):
    """Whole answers would be (T, V) in fp64. Fewer places at once change no more than the last bits; the peak follows them."""
    long = Prompt.of_text("小明今天去", "long")
    settings = CompareSettings(seed=3, max_tokens=100, sampling={"logit_bias": {0: -100.0}})
    vocabulary = base.config.vocab_size

    def scores():
        return compare([base, base], [long], settings).asked[0].answers[0].scores[1]

    whole = scores()
    assert len(whole.ids) == 100
    monkeypatch.setattr(scoring, "NUMBERS_AT_ONCE", 7 * vocabulary)
    sizes = []
    logprobs = scoring.Scoring._logprobs
    monkeypatch.setattr(scoring.Scoring, "_logprobs", lambda self, m, x: (sizes.append(len(x)), logprobs(self, m, x))[1])
    parts = scores()
    assert max(sizes) == 7
    assert parts.logprobs == pytest.approx(whole.logprobs, abs=1e-5)
    assert parts.kl == whole.kl == (0.0,) * 100


def test_memory_does_not_grow_with_the_answer(tmp_path):
    """1,000 places × 50,000 ids in fp64 are 400 MB, and a comparison needs several such."""
    torch.manual_seed(0)
    decoder = Decoder(Config("llama", 50_000, 8, 1, 1, 1, 8, 8, 4096))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0, 0.3)
    tokenizer = SimpleNamespace(token=lambda token_id: token_id)
    reader = SimpleNamespace(model=SimpleNamespace(decoder=decoder, config=decoder.config), tokenizer=tokenizer)
    found = object.__new__(scoring.Scoring)
    found._readers, found.same, found._sums, found._gaps = [reader, reader], (0, 0), [], []
    ids = torch.randint(0, 50_000, (1000,)).tolist()
    steps = [SimpleNamespace(scores=None)] * 1000
    completion = SimpleNamespace(ids=ids, text="", steps=steps, finish_reason="length")
    scored = []
    peak = peak_bytes(lambda: scored.extend(found.scores([[1], [1]], 0, completion)))
    assert peak < 8 * 8 * scoring.NUMBERS_AT_ONCE
    assert [len(score.logprobs) for score in scored] == [1000, 1000]
    assert set(scored[1].kl) == {0.0}
    with torch.inference_mode():
        logprobs = decoder(torch.tensor([[1, *ids[:9]]]))[0].double().log_softmax(-1)
    assert scored[0].logprobs[:10] == pytest.approx([logprobs[i, ids[i]].item() for i in range(10)], abs=1e-4)
