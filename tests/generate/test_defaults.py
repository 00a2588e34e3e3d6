"""generation_config.json: what is followed does what it does in `transformers`, and all else is named; where settings are from
is true."""

import json
import logging
import shutil

import gguf
import pytest
import torch
import transformers
from helpers import gguf_files

import liuli
from liuli.errors import LiuliError
from liuli.generate.defaults import default_sampling
from liuli.generate.sampling import Sampling


@pytest.fixture
def folder(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    return tmp_path / "model"


def configure(folder, **settings) -> None:
    (folder / "generation_config.json").write_text(json.dumps(settings))


def found(folder, **settings):
    configure(folder, **settings)
    return default_sampling(folder, "the folder", 270, [0])


# What is followed.


@pytest.mark.parametrize(
    "settings_of",
    [
        lambda ids: {},
        lambda ids: {"suppress_tokens": [ids[0], ids[3], 99]},
        lambda ids: {"bad_words_ids": [[ids[0]], [ids[4]], [0]]},
        lambda ids: {"suppress_tokens": list(range(100, 269)), "repetition_penalty": 1.5},
        lambda ids: {"repetition_penalty": 1.2, "bad_words_ids": [[n] for n in range(1, 120)]},
    ],
)
def test_greedy_texts_are_those_of_transformers(folder, settings_of):
    prompt = [5, 6, 7, 8]

    def texts(**settings) -> tuple[list[int], list[int]]:
        configure(folder, do_sample=False, eos_token_id=0, pad_token_id=0, **settings)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
        expected = theirs.generate(torch.tensor([prompt]), max_new_tokens=24)[0].tolist()[len(prompt) :]
        return expected, liuli.load(folder).complete(prompt, max_tokens=24).ids

    plain, _ = texts()
    expected, ours = texts(**settings_of(plain))
    assert ours == expected
    assert (ours != plain) == bool(settings_of(plain))


def test_unwanted_ids_that_the_model_does_not_have_are_dropped_and_named(folder, caplog):
    settings = found(folder, suppress_tokens=[-1, 3, 270, 10**12], bad_words_ids=[[4], [-7], [5, 400], [6, 7]])
    assert settings.sampling.logit_bias == {3: -float("inf"), 4: -float("inf")}
    assert liuli.load(folder).complete([5], max_tokens=3, seed=1)
    path = folder / "generation_config.json"
    assert caplog.messages == [
        f"{path}: suppress_tokens [-1, 270, 1000000000000] is ignored: the model's ids are 0 to 269",
        f"{path}: bad_words_ids [-7, 400] is ignored: the model's ids are 0 to 269",
        f"{path} sets bad_words_ids = [[6, 7]], which Liuli does not support and ignores",
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"top_k": -1, "temperature": 0.5}, Sampling(temperature=0.5)),
        ({"top_k": 0, "temperature": 0.5}, Sampling(temperature=0.5)),
        ({"top_p": 0, "temperature": 0.5}, Sampling(temperature=0.5)),
        ({"top_p": 0.0, "top_k": 50.0}, Sampling(top_k=50)),
        ({"presence_penalty": 1.5, "frequency_penalty": 0.5}, Sampling(presence_penalty=1.5, frequency_penalty=0.5)),
    ],
    ids=str,
)
def test_off(folder, settings, expected):
    assert found(folder, **settings).sampling == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"top_k": -2}, "top_k must be a whole number, 0"),
        ({"top_k": True}, "top_k must be a whole number"),
        ({"top_p": -0.5}, "top_p must be above 0"),
        ({"top_p": False}, "top_p must be a number"),
        ({"suppress_tokens": 3}, "suppress_tokens must be a list of ids, not 3"),
        ({"suppress_tokens": [[3]]}, "suppress_tokens must be a list of ids"),
        ({"bad_words_ids": [3]}, "bad_words_ids must be a list of lists of ids"),
        ({"bad_words_ids": [["x"]]}, "bad_words_ids must be a list of lists of ids"),
    ],
    ids=str,
)
def test_out_of_range(folder, settings, said):
    with pytest.raises(LiuliError, match=rf"generation_config.json: {said}"):
        found(folder, **settings)


# What is not followed.

IGNORED = {
    "no_repeat_ngram_size": 3, "typical_p": 0.9, "begin_suppress_tokens": [4], "forced_bos_token_id": 1,
    "forced_eos_token_id": 2, "num_beams": 4, "penalty_alpha": 0.6, "length_penalty": 0.8, "bad_words_ids": [[3, 4]],
    "epsilon_cutoff": 3e-4, "eta_cutoff": 1e-3, "top_h": 0.4, "min_new_tokens": 5, "max_new_tokens": 200, "max_length": 4096,
    "stop_strings": ["END"], "guidance_scale": 1.5, "sequence_bias": [[[3], 1.0]], "exponential_decay_length_penalty": [5, 1.1],
    "watermarking_config": {"bias": 2.5}, "num_return_sequences": 3, "chat_format": "chatml",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), IGNORED.items())
def test_what_is_not_followed_is_named_once(folder, caplog, name, value):
    caplog.set_level(logging.INFO, "liuli")
    for _ in range(2):
        assert found(folder, temperature=0.5, **{name: value}).sampling == Sampling(temperature=0.5)
    expected = f"{folder / 'generation_config.json'} sets {name} = {value!r}, which Liuli does not support and ignores"
    assert caplog.messages == [expected]


def test_several_are_named_on_one_line(folder, caplog):
    found(folder, no_repeat_ngram_size=3, typical_p=0.9, num_beams=1)
    assert [message.split(" sets ")[1] for message in caplog.messages] == [
        "no_repeat_ngram_size = 3, typical_p = 0.9, which Liuli does not support and ignores"
    ]


def test_the_defaults_of_transformers_and_what_changes_nothing_are_not_named(folder, caplog):
    config = transformers.GenerationConfig().to_dict() | transformers.GenerationConfig._get_default_generation_params()
    config |= {"bos_token_id": 0, "use_cache": True, "transformers_version": "5", "_from_model_config": True, "do_sample": True}
    assert found(folder, **config).sampling.temperature == 1.0
    assert not caplog.messages


def test_a_hostile_value_is_shortened_and_cleaned(folder, caplog):
    found(folder, **{"no\x1b[31mpe": "x" * 10_000})
    (message,) = caplog.messages
    assert "\x1b" not in message
    assert len(message) < len(str(folder)) + 250


# Where the settings are from.


@pytest.mark.parametrize(
    ("settings", "source", "named"),
    [
        ({}, "Liuli's default (the folder has no sampling settings)", {"temperature"}),
        ({"num_beams": 1, "top_k": None}, "Liuli's default (the folder has no sampling settings)", {"temperature"}),
        ({"typical_p": 0.9}, "Liuli's default (the folder has no supported sampling settings)", {"temperature"}),
        ({"top_p": 0.9}, "the folder's generation_config.json", {"top_p"}),
        ({"do_sample": False}, "the folder's generation_config.json", {"temperature"}),
        ({"suppress_tokens": [3]}, "the folder's generation_config.json", {"logit_bias"}),
    ],
    ids=str,
)
def test_sources(folder, settings, source, named):
    assert found(folder, **settings)[1:] == (source, named)


def test_the_source_of_a_gguf_files_settings(tmp_path):
    def add(writer: gguf.GGUFWriter) -> None:
        for name, value in settings.items():
            writer.add_float32(f"general.sampling.{name}", value)

    settings = {"top_p": 0.75}
    path = gguf_files.save_metadata(tmp_path / "a.gguf", add)
    sampling, source, named = default_sampling(path, "the file", 270, [0])
    assert (sampling, source, named) == (Sampling(top_p=0.75), "the file's metadata", {"top_p"})
    settings = {}
    path = gguf_files.save_metadata(tmp_path / "b.gguf", add)
    assert default_sampling(path, "the file", 270, [0]).source == "Liuli's default (the file has no sampling settings)"
