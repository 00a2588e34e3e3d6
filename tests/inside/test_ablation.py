"""Ablation by hooks in `transformers`: each part's output is replaced by its mean over the plain sentences."""

import numpy as np
import pytest
import torch
from helpers.oracles import TEXT, Oracle

from liuli import LiuliError
from liuli.inside import ablation as ablation_module
from liuli.inside.ablation import ablation
from liuli.inside.baseline import SENTENCES


def means(oracle: Oracle, modules, inputs: bool = False) -> list[torch.Tensor]:
    """The mean output (or input) of every module over all tokens of the sentences but each first one, (D,)."""
    seen: list[list[torch.Tensor]] = [[] for _ in modules]
    for sentence in SENTENCES:
        ids = oracle.ids(sentence)[: oracle.model.config.context]
        with oracle.recording(modules, inputs) as found:
            oracle.logits(ids)
        for rows, x in zip(seen, found, strict=True):
            rows.append(x.reshape(len(ids), -1)[1:])
    return [torch.cat(rows).double().mean(0).float() for rows in seen]


def test_heads_attention_and_feed_forward(oracle):
    view, config = ablation(oracle.model, TEXT), oracle.model.config
    ids = list(view.input.ids)

    def contrast() -> float:
        logits = oracle.logits(ids)[-1]
        return (logits[view.contrast.target.id] - logits[view.contrast.other.id]).item()

    whole = contrast()
    assert view.ok and view.contrast.value == pytest.approx(whole, abs=1e-4)
    out = oracle.out_projections()
    for layer, (module, mean) in enumerate(zip(out, means(oracle, out, inputs=True), strict=True)):
        for head in range(config.heads):
            part = slice(head * config.head_width, (head + 1) * config.head_width)

            def without(x, part=part, mean=mean):
                x = x.clone()
                x[..., 1:, part] = mean[part]  # the first token keeps its output
                return x

            with oracle.replacing(module, without, inputs=True):
                assert view.heads[layer, head] == pytest.approx(contrast() - whole, abs=1e-3)
    for modules, changes in ((oracle.attention_outputs(), view.attention), (oracle.feed_forward_outputs(), view.feed_forward)):
        for layer, (module, mean) in enumerate(zip(modules, means(oracle, modules), strict=True)):
            with oracle.replacing(module, lambda x, mean=mean: torch.cat((x[..., :1, :], mean.expand_as(x)[..., 1:, :]), -2)):
                assert changes[layer] == pytest.approx(contrast() - whole, abs=1e-3)


def test_the_strongest_parts_have_the_largest_changes_of_either_sign(tiny):
    view = ablation(tiny, "the cat 金")
    changes = [(abs(view.heads[part]), "head", *part) for part in np.ndindex(view.heads.shape)]
    for kind, values in (("attention", view.attention), ("feed_forward", view.feed_forward)):
        changes += [(abs(value), kind, layer, None) for layer, value in enumerate(values)]
    expected = [each[1:] for each in sorted(changes, key=lambda each: -each[0])[:8]]
    assert [(part.kind, part.layer, part.head) for part in view.strongest] == expected
    assert {part.change > 0 for part in view.strongest} == {True, False}


def test_the_rows_of_one_pass_are_limited(tiny, monkeypatch):
    """With as many numbers as if all rows were read together."""
    whole, sizes = ablation(tiny, "the cat"), []
    real = ablation_module.contrasts
    monkeypatch.setattr(ablation_module, "rows_at_once", lambda ids: 3)

    def counted(decoder, ids, rows, *rest):
        sizes.append(rows)
        return real(decoder, ids, rows, *rest)

    monkeypatch.setattr(ablation_module, "contrasts", counted)
    parts = ablation(tiny, "the cat")
    assert sizes == [3, 3, 1] * 2  # 4 heads, attention, feed-forward and nothing in each of two layers
    for name in ("heads", "attention", "feed_forward"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), abs=1e-4)
    assert parts.ok


def test_a_text_that_is_too_long(tiny, monkeypatch):
    monkeypatch.setattr(ablation_module, "MOST_TOKENS", 7)
    assert len(ablation(tiny, "the cat").input.ids) == 6
    with pytest.raises(LiuliError, match=r"^the view ablation reads at most 7 tokens, and the text has 8: give a shorter"):
        ablation(tiny, "the cats!")


def test_a_model_with_an_unused_head(tmp_path):
    """A head whose values are always 0 changes nothing when it is removed."""
    import transformers
    from helpers import oracles

    from liuli import load

    folder = oracles.save_family("llama2", tmp_path / "unused")
    hf = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        hf.model.layers[1].self_attn.v_proj.weight[8:16] = 0
    hf.save_pretrained(folder)
    view = ablation(load(folder), "the cat")
    assert view.heads[1, 1] == pytest.approx(0, abs=1e-5) and abs(view.heads[1, 0]) > 1e-3


def test_bad_input(tiny):
    with pytest.raises(LiuliError, match="begin with the same token"):
        ablation(tiny, "the cat", "x", "x")
