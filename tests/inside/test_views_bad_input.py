"""What views refuse, each with one clear line: texts that do not fit, models that cannot, settings that are not used."""

import json
import shutil

import pytest
import safetensors.torch
import torch
from helpers import oracles, pairs

from liuli import LiuliError, load
from liuli.inside.tape import Tape, record
from liuli.inside.view_list import OPTIONS, VIEWS
from liuli.inside.views import MAKERS, Subject, make_all, make_view, views_with_word
from liuli.model.adapters import lora, peft_folder
from liuli.model.formats.detect import hash_model, read_decoder

READING = [name for name in VIEWS if name != "learning"]  # views of a text
HOSTILE = "\x1b[31m\x9b2J\u202eabc\u2066<script>alert(1)</script>\x00\r\u2028金"


def subject(model, name, text="the cat 金", word=None):
    other = text.replace("cat", "cot") if "cat" in text else "x" + text
    other = text.replace("abc", "abd") if name == "patching" and "abc" in text else other
    texts = (other,) if name in ("context", "patching") else ()
    word = "金" if name == "context" and word is None and "金" in text else word
    return Subject(model, text, texts=texts, word="a" if name == "patching" else word)


def refusal(name, given):
    with pytest.raises(LiuliError) as caught:
        make_view(name, given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", READING)
def test_a_text_over_the_context(tiny, name):
    message = refusal(name, subject(tiny, name, "the cat " * 40))
    assert "128" in message or "context" in message
    assert any(number in message for number in ("281", "282", "241", "201", "321", "161")) or "tokens" in message


@pytest.mark.parametrize("name", READING)
def test_gpt2_past_its_context(all_oracles, name):
    """It has no positions there."""
    assert "64" in refusal(name, subject(all_oracles["gpt2"].model, name, "the cat " * 20))


def test_the_tape_past_gpt2_s_context(all_oracles):
    with pytest.raises(LiuliError, match=r"^65 tokens do not fit the model's context of 64: give a shorter text$"):
        record(all_oracles["gpt2"].model.decoder, [1] * 65)


@pytest.mark.parametrize("name", READING)
def test_an_empty_text(tmp_path, tiny, name):
    """A model with a begin token can say what comes first; without one, there is nothing to read."""
    if name not in ("gradient", "influence", "context", "patching"):
        assert make_view(name, subject(tiny, name, "")).checks
    model = load(pairs.save_base(tmp_path / "base"))
    model.tokenizer.begin = []
    message = refusal(name, Subject(model, "", texts=("",) if name in ("context", "patching") else ()))
    assert "no tokens" in message or "empty" in message or "at least one" in message


@pytest.mark.parametrize("name", READING)
def test_a_text_of_one_character(tiny, name):
    """Two tokens with the begin token."""
    given = Subject(tiny, "a", texts=("b",) if name == "patching" else ("xa",) if name == "context" else ())
    view = make_view(name, Subject(tiny, "a", given.texts, word="a" if name in ("context", "patching") else None))
    assert all(check.ok for check in view.checks)


@pytest.mark.parametrize("name", READING)
def test_hostile_characters_are_only_text(tiny, name):
    view = make_view(name, subject(tiny, name, HOSTILE))
    assert all(check.ok for check in view.checks)
    assert json.loads(json.dumps(view.to_json(), allow_nan=False))
    if name != "compare":
        assert view.input.text == HOSTILE


@pytest.mark.parametrize("name", VIEWS)
def test_a_model_without_a_tokenizer(tiny_folder, tmp_path, name):
    folder = shutil.copytree(tiny_folder, tmp_path / "bare")
    (folder / "tokenizer.json").unlink()
    if name == "learning":
        (folder / "trace.json").write_text("{}")
    assert "contains no tokenizer" in refusal(name, subject(load(folder), name))


NAN = [
    "path",
    "vectors",
    "context",
    "attention",
    "lens",
    "candidates",
    "branches",
    "influence",
    "ablation",
    "patching",
    "gradient",
]


@pytest.mark.parametrize("tensor", ["model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight", "lm_head.weight"])
@pytest.mark.parametrize("name", NAN)
def test_weights_that_are_nan(tiny_folder, tmp_path, name, tensor):
    folder = shutil.copytree(tiny_folder, tmp_path / "nan")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors[tensor][:] = torch.nan
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    try:
        model = load(folder)
    except LiuliError:
        return  # refused even earlier
    unused = {"vectors": ("model.layers", "lm_head"), "attention": ("lm_head",)}.get(name, ())
    if tensor.startswith(unused):
        assert make_view(name, subject(model, name)).ok
        return
    message = refusal(name, subject(model, name))
    assert "NaN or infinite" in message and "--dtype fp32" in message


def test_a_view_of_an_adapter(tiny_folder, tmp_path):
    """An adapter with its own rows of tokens, as `liuli finetune --lora` makes."""
    decoder = read_decoder(tiny_folder)
    lora.add(decoder, lora.LoRASettings(rank=2, tokens=(5, 270 - 8)), seed=0)
    with torch.no_grad():
        for number, parameter in enumerate(decoder.parameters()):
            if parameter.requires_grad:
                parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(number))
    folder = tmp_path / "adapter"
    peft_folder.save(decoder, folder, str(tiny_folder), hash_model(tiny_folder))
    model = load(tiny_folder, adapter=folder)
    base = load(tiny_folder)
    for name in READING:
        view = make_view(name, subject(model, name))
        assert all(check.ok for check in view.checks), name
        if name not in ("tokens", "compare"):
            assert view.model.adapter["path"] == str(folder)
    lenses = [make_view("lens", subject(each, "lens")) for each in (model, base)]
    assert abs(lenses[0].top_logprobs - lenses[1].top_logprobs).max() > 0.1
    assert {each.name for each in make_view("gradient", subject(model, "gradient")).weights} > {"embedding.base.weight"}


@pytest.mark.parametrize("name", [name for name in READING if name not in ("influence", "gradient")])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_16_bits(tiny_folder, name, dtype):
    model = load(tiny_folder, dtype=dtype)
    view = make_view(name, subject(model, name))
    assert all(check.ok for check in view.checks)
    json.dumps(view.to_json(), allow_nan=False)


# Models that a view compares


def test_models_of_other_tokenizers(tiny, tmp_path):
    other = load(pairs.save_base(tmp_path / "other"))
    assert make_view("tokens", Subject(tiny, "the cat", models=(other,))).ok
    (asked,) = make_view("compare", Subject(tiny, "the cat", models=(other,))).asked
    assert asked.answers[1].kl is None  # over other ids; the answers are scored as texts
    assert [score.by for score in asked.answers[0].scores] == ["ids", "text"]


def test_an_answer_is_as_long_as_the_context_allows(all_oracles):
    """A context of 64 tokens has no room for 64 more."""
    (asked,) = make_view("compare", Subject(all_oracles["gpt2"].model, "the cat sat")).asked
    read, answer = asked.answers[0].read, asked.answers[0].ids
    assert 0 < len(read) + len(answer) <= 64


# Settings that a view does not use


@pytest.mark.parametrize("name", VIEWS)
def test_what_a_view_does_not_use_is_refused(tiny, name):
    values = {
        "texts": ("b",),
        "models": (tiny,),
        "word": "",
        "layer": 0,
        "seed": 1,
        "sampling": {"top_k": 1},
        "world": object(),
    }
    for setting, value in values.items():
        if setting not in VIEWS[name].uses:
            message = refusal(name, Subject(tiny, "the cat", **{setting: value}))
            assert message.startswith(f"the view {name} does not use ")


def test_layer_0_is_a_layer(tiny):
    """0 is not "nothing given"."""
    assert refusal("lens", Subject(tiny, "the cat", layer=0)) == (
        "the view lens does not use --layer: leave it out, or choose another view"
    )
    assert make_view("attention", Subject(tiny, "the cat", layer=0)).layer == 0


def test_a_view_that_does_not_exist(tiny):
    assert refusal("lense", Subject(tiny, "the cat")).startswith("there is no view 'lense'; views: path, tokens, ")


def test_patching_needs_one_other_text(tiny):
    for texts in ((), ("a", "b")):
        assert "one other text" in refusal("patching", Subject(tiny, "the cat", texts=texts))


def test_all_views_and_why_the_others_cannot_be_made(tiny):
    made, refused = make_all(Subject(tiny, "the cat"))
    assert made.keys() | refused.keys() == VIEWS.keys()
    assert refused.keys() >= {"learning", "context", "patching"} and "lens" in made
    assert "not in the folder of a run" in refused["learning"]


def test_in_all_views_a_word_reaches_every_view_that_uses_it(tiny):
    """The context view uses it only if several texts contain it."""
    made, _ = make_all(Subject(tiny, "the cat", ("my cat",), word="cat"))
    alone = {name: make_view(name, Subject(tiny, "the cat", word="cat")) for name in ("lens", "influence", "ablation")}
    assert made["context"].word == "cat" and made["lens"].tracked == alone["lens"].tracked
    assert all(made[name].contrast == alone[name].contrast for name in ("influence", "ablation"))
    assert set(views_with_word(made, "cat")) >= {"context", "lens", "influence", "ablation"}
    made, _ = make_all(Subject(tiny, "the cat", ("my cat",), word="the"))
    assert made["context"].word == "cat" and "context" not in views_with_word(made, "the")
    assert (
        {"lens", "influence", "ablation"} <= set(views_with_word(made, "the")) <= {"lens", "influence", "ablation", "patching"}
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 2}, "there is no layer 2: the model has 2, 0 to 1"),
        ({"seed": -1}, "seed must be"),
        ({"sampling": {"top_p": 2.0}}, "top_p must be"),
    ],
)
def test_in_all_views_a_wrong_setting_is_an_error(tiny, settings, message):
    """Not the reason for which some view is missing."""
    with pytest.raises(LiuliError, match=message):
        make_all(Subject(tiny, "the cat", **settings))


def test_every_view_that_is_listed_can_be_made():
    assert list(MAKERS) == list(VIEWS)
    assert {setting for kind in VIEWS.values() for setting in kind.uses} == set(OPTIONS)


# The tape


def test_names_of_points(tiny):
    for wrong in ("blocks.*.weights", "residual", "blocks.x.q", "blocks.q"):
        with pytest.raises(ValueError, match="the decoder has no point"):
            Tape(wrong)
    _, tape = record(tiny.decoder, [5, 6], "blocks.1.q", "final_norm")
    assert tape["blocks.1.q"].shape == (1, 2, 4, 8)
    with pytest.raises(KeyError):
        tape["blocks.0.q"]


@pytest.mark.parametrize("name", oracles.NAMES)
def test_a_tape_changes_nothing(all_oracles, name):
    """The states are the same to the bit, with and without it, and every point is recorded exactly."""
    decoder = all_oracles[name].model.decoder
    ids = [5, 90, 12, 200, 7, 7, 31]
    with torch.inference_mode():
        alone = decoder.hidden(torch.tensor([ids]))[0]
    states, tape = record(
        decoder, ids, "embedding", "blocks.*.residual_in", "blocks.*.residual_mid", "blocks.*.feed_forward_out"
    )
    assert (states == alone).all()
    residuals = tape.residuals()
    assert len(residuals) == decoder.config.layers + 1
    assert (residuals[0] == tape["embedding"]).all()
    with torch.inference_mode():
        assert (decoder.norm(residuals[-1][0]) == states).all()


def test_without_a_tape_the_decoder_calls_nothing(tiny, monkeypatch):
    """A tap costs nothing when there is none: the function that is called at every point returns its argument, and no tensor is
    reshaped for a tap."""
    from liuli.model import decoder as module

    monkeypatch.setattr(module, "_by_rows", lambda *given: pytest.fail("a tap was made"))
    with torch.inference_mode():
        tiny.decoder.hidden(torch.tensor([[5, 6, 7]]))
