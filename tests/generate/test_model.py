"""`liuli.load` and what it gives."""

import json
import shutil

import pytest
import torch

import liuli
from liuli.generate.sampling import Sampling
from liuli.inside.tape import Tape


def test_a_model_is_decoder_tokenizer_config_and_hash(tiny, tiny_folder):
    ids = torch.tensor([[1, 2, 3]])
    assert tiny.decoder(ids).shape == (1, 3, 270)
    assert torch.equal(tiny.decoder(ids), tiny.decoder.logits(tiny.decoder.hidden(ids)))
    assert tiny.config.vocab_size == 270
    assert len(tiny.hash) == 64
    assert tiny.tokenizer.decode(tiny.tokenizer.encode("今天")) == "今天"
    assert str(tiny.complete("the", max_tokens=5, temperature=0)) == tiny.complete("the", max_tokens=5, temperature=0).text


def test_ids_are_taken_as_they_are(tiny):
    completion = tiny.complete([5, 6], max_tokens=3, seed=1)
    assert completion.prompt_ids == [5, 6]
    assert completion.prompt == tiny.tokenizer.decode([5, 6])


def test_a_seed_makes_a_completion_again(tiny):
    drawn = tiny.complete("the", max_tokens=20, temperature=1.0)
    assert tiny.complete("the", max_tokens=20, temperature=1.0, seed=drawn.seed).ids == drawn.ids
    assert len({tuple(tiny.complete("the", max_tokens=20, temperature=1.0).ids) for _ in range(3)}) > 1


def test_the_folder_without_a_tokenizer(tiny, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    model = liuli.load(tmp_path / "model")
    assert model.tokenizer is None
    assert model.hash == tiny.hash
    assert model.complete([5], max_tokens=3, seed=1).ids == tiny.complete([5], max_tokens=3, seed=1).ids
    with pytest.raises(liuli.LiuliError, match="give the prompt as ids"):
        model.complete("text")


@pytest.mark.parametrize(
    ("config", "sampling", "stop_ids"),
    [
        ({}, Sampling(temperature=0.8), [0]),
        ({"eos_token_id": [3, 4]}, Sampling(temperature=0.8), [3, 4]),
        ({"eos_token_id": 3, "top_k": 20, "top_p": 0.8}, Sampling(top_k=20, top_p=0.8), [3]),
        ({"do_sample": True, "temperature": 0.6}, Sampling(temperature=0.6), [0]),
        ({"do_sample": False}, Sampling(temperature=0), [0]),
    ],
)
def test_generation_config_gives_the_defaults(tiny_folder, tmp_path, config, sampling, stop_ids):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(config))
    model = liuli.load(tmp_path / "model")
    assert model.sampling == sampling
    assert model.stop_ids == stop_ids
    assert model.complete("a", max_tokens=1).sampling == sampling
    assert model.complete("a", max_tokens=1, temperature=0.1).sampling.temperature == 0.1


def test_ids_that_only_the_embedding_has_can_be_a_prompt(tiny):
    """As they may be chosen: a completion's ids can always be gone on from."""
    assert tiny.tokenizer.vocab_size < tiny.config.vocab_size
    known = tiny.tokenizer.encode("the")
    completion = tiny.complete([*known, tiny.config.vocab_size - 1], max_tokens=1, seed=1)
    assert (completion.prompt, len(completion.ids)) == ("the", 1)


def test_a_stop_id_ends_a_completion(tiny):
    completion = tiny.complete("the", max_tokens=9, temperature=0, logit_bias={0: 1000.0})
    assert (completion.ids, completion.text, completion.finish_reason) == ([0], "", "stop")
    further = tiny.complete("the", max_tokens=9, temperature=0, logit_bias={5: 1000.0}, stop_ids=[5])
    assert (further.ids, further.text, further.finish_reason) == ([5], "", "stop")


def test_unknown_settings_and_devices(tiny, tiny_folder):
    with pytest.raises(
        liuli.LiuliError,
        match="there is no setting 'beams'; settings: max_tokens, seed, stop, candidates, stop_ids, grammar, schema, tap, temp",
    ):
        tiny.complete("a", beams=3)
    if not torch.cuda.is_available():
        with pytest.raises(liuli.LiuliError, match="no cuda device that PyTorch can use; devices here: cpu"):
            liuli.load(tiny_folder, device="cuda")


def test_logits_that_are_nan_stop_with_the_place(tiny_folder):
    model = liuli.load(tiny_folder)
    with torch.no_grad():
        model.decoder.norm.weight.fill_(float("nan"))
    with pytest.raises(liuli.LiuliError, match="token 0: no token can be chosen: the model's logits are NaN"):
        model.complete("a")


def test_16_bits(tiny, tiny_folder):
    model = liuli.load(tiny_folder, dtype="bf16")
    assert next(model.decoder.parameters()).dtype == torch.bfloat16
    assert len(model.complete("the", max_tokens=5, temperature=0).ids) == 5
    assert model.hash == tiny.hash


def test_completions_as_json(tiny):
    body = tiny.complete("the", max_tokens=2, seed=1, logit_bias={7: -float("inf"), 8: 1.5}).to_json()
    assert body["sampling"]["logit_bias"] == {"7": None, "8": 1.5}
    json.dumps(body, allow_nan=False)


def test_a_completion_is_its_text_and_shown_briefly(tiny):
    completion = tiny.complete("the", max_tokens=60, seed=1)
    assert str(completion) == f"{completion}" == completion.text
    assert repr(completion).startswith("Completion('") and repr(completion).endswith("60 tokens, length, seed 1)")
    assert len(repr(completion)) < 120


@pytest.mark.parametrize("prompt", [5, None, ["a"], [1.5], {"text": "a"}])
def test_prompts_that_are_none(tiny, prompt):
    with pytest.raises(liuli.LiuliError, match="a prompt must be a text or a list of ids, not"):
        tiny.complete(prompt)


def test_lengths_that_are_none(tiny):
    for length in (-10, -2, 0, 2.5):
        with pytest.raises(liuli.LiuliError, match="max_tokens must be a whole number of at least 1"):
            tiny.complete("t", max_tokens=length)


def test_a_tap_sees_what_the_engine_computes(tiny):
    tape = Tape("final_norm")
    completion, steps = tiny.stream("Once", max_tokens=1, seed=1, candidates=tiny.config.vocab_size, tap=tape)
    scores = next(steps).scores
    with torch.inference_mode():
        logprobs_V = tiny.decoder.logits(tape["final_norm"][0, -1]).float().log_softmax(-1)
    assert len(tape["final_norm"][0]) == len(completion.prompt_ids)
    for each in scores.candidates:
        assert each.logprob == pytest.approx(logprobs_V[each.token.id].item(), abs=1e-5)
