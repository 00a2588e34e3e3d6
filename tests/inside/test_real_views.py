"""The views of the two real models: their checks hold, and their numbers are those of `transformers`."""

import json

import pytest
import torch
import transformers
from helpers.oracles import Oracle
from helpers.real_models import real_model

from liuli import load
from liuli.inside.attention import attention
from liuli.inside.context import context
from liuli.inside.lens import lens
from liuli.inside.views import VIEWS, Subject, make_view
from liuli.model.formats.hugging_face import write_decoder

pytestmark = pytest.mark.slow
TEXTS = ("The capital of France is", "中国的首都是")


@pytest.fixture(scope="module", params=["qwen2.5-coder-0.5b", "gemma3-270m"])
def oracle(request, data, tmp_path_factory) -> Oracle:
    """The model of a GGUF file, and `transformers` with the same weights."""
    model = load(real_model(data, request.param))
    folder = tmp_path_factory.mktemp("real")
    write_decoder(model.decoder, folder)
    hf = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    return Oracle(request.param, hf.eval(), model)


@pytest.mark.parametrize("text", TEXTS)
def test_lens_and_attention(oracle, text):
    found = oracle.outputs(oracle.ids(text))
    logprobs = oracle.lens(found.residuals[:, -1]).double().log_softmax(-1)
    view = lens(oracle.model, text)
    assert view.ok
    assert view.top_logprobs[-1] == pytest.approx(logprobs.topk(5).values.numpy(), abs=1e-4, rel=1e-4)
    assert view.entropy[-1] == pytest.approx(-(logprobs.exp() * logprobs).sum(-1).numpy(), abs=1e-3)
    for layer in (0, oracle.model.config.layers // 2, oracle.model.config.layers - 1):
        weights = attention(oracle.model, text, layer).weights
        assert weights == pytest.approx(found.attentions[layer].numpy(), abs=1e-4)


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "learning"])
def test_every_check_holds(oracle, name):
    text = TEXTS[0]
    texts = ("The capital of Italy is",) if name in ("context", "patching") else ()
    words = {"context": "capital", "patching": " Paris"}
    view = make_view(name, Subject(oracle.model, text, texts, word=words.get(name)))
    assert all(check.ok for check in view.checks), view.checks
    json.dumps(view.to_json(), allow_nan=False)


def test_one_word_in_two_contexts(oracle):
    view = context(oracle.model, "黄金首饰", ["黄金时代", "变形金刚"], "金")
    assert view.ok
    for p in (0, 1):
        if view.same_prefix[p][0][1]:
            assert (view.difference[p, :, 0, 1] == 0).all()
        assert (view.difference[p, 1:, 0, 2] > 0).all()
