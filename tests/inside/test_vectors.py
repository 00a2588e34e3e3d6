"""Vectors: neighbours by comparing with every row, and the map by NumPy's eigenvectors."""

import numpy as np
import pytest
import torch
from helpers import oracles

from liuli import LiuliError, load
from liuli.inside.vectors import FIRST, NEIGHBOURS, vectors
from liuli.model.adapters import lora
from liuli.model.linear import Embedding

TEXT = "the gold 金"


def table_of(oracle) -> np.ndarray:
    return oracle.hf.get_input_embeddings().weight.detach().double().numpy()


def test_numbers_and_neighbours(oracle):
    view, table = vectors(oracle.model, TEXT), table_of(oracle)
    table = table[: oracle.model.tokenizer.vocab_size]
    centred = table - table.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    asked = list(dict.fromkeys(token.id for token in view.input.tokens if not token.special))
    assert view.ok and [each.token.id for each in view.vectors] == asked
    for each in view.vectors:
        token = each.token.id
        assert each.first == pytest.approx(table[token, :FIRST], abs=1e-6)
        assert each.size == pytest.approx(np.linalg.norm(table[token]), rel=1e-5)
        cosines = unit @ unit[token]
        cosines[token] = -np.inf
        best = np.sort(cosines)[::-1][:NEIGHBOURS]
        assert each.cosines == pytest.approx(best, abs=1e-5)
        assert cosines[[view.points[point].id for point in each.neighbours]] == pytest.approx(best, abs=1e-5)
        assert view.points[each.point].id == token and token not in {view.points[at].id for at in each.neighbours}


def test_the_map_is_a_principal_component_analysis(oracle):
    view = vectors(oracle.model, TEXT)
    points = table_of(oracle)[[token.id for token in view.points]]
    centred = points - points.mean(0)
    sizes, axes = np.linalg.eigh(centred.T @ centred)
    assert view.explained == pytest.approx((sizes[-1] / sizes.sum(), sizes[-2] / sizes.sum()), rel=1e-4)
    for axis in (0, 1):
        expected = centred @ axes[:, -1 - axis]
        expected *= np.sign(expected[np.abs(expected).argmax()])
        assert view.xy[:, axis] == pytest.approx(expected, abs=1e-3 * np.abs(expected).max())


def test_what_the_model_makes_of_a_row(oracle):
    """The first vectors that the model computes are the rows, times the factor, plus the vectors of the places."""
    view, ids = vectors(oracle.model, TEXT), oracle.ids(TEXT)
    begins = oracle.outputs(ids).residuals[0].double().numpy()
    found = table_of(oracle)[ids] * view.factor
    if view.adds_positions:
        found += oracle.hf.transformer.wpe.weight.detach().double().numpy()[: len(ids)]
    assert begins == pytest.approx(found, abs=1e-4)
    assert view.adds_positions == oracle.is_gpt2
    assert view.factor == pytest.approx(oracle.model.config.width**0.5 if oracle.name.startswith("gemma") else 1)


def test_a_text_with_too_many_different_tokens(tiny, monkeypatch):
    monkeypatch.setattr("liuli.inside.vectors.MOST_TOKENS", 3)
    assert vectors(tiny, "abcabc").ok
    with pytest.raises(LiuliError, match=r"^this view shows at most 3 different tokens, and the text has 4: give a shorter"):
        vectors(tiny, "abcd")


def test_in_a_large_table_all_blocks_are_compared(oracle, monkeypatch):
    whole = vectors(oracle.model, TEXT)
    monkeypatch.setattr("liuli.inside.vectors.ROWS_AT_ONCE", 7)
    in_blocks = vectors(oracle.model, TEXT)
    assert [each.neighbours for each in in_blocks.vectors] == [each.neighbours for each in whole.vectors]
    assert in_blocks.ok


def test_rows_without_a_token_are_no_neighbours(tiny):
    assert tiny.config.vocab_size > tiny.tokenizer.vocab_size
    view = vectors(tiny, "".join(map(chr, range(97, 123))))
    assert max(token.id for token in view.points) < tiny.tokenizer.vocab_size


def test_one_token_and_only_special_tokens(tiny):
    assert [each.token.text for each in vectors(tiny, "").vectors] == ["<|endoftext|>"]
    assert len(vectors(tiny, "aaa").vectors) == 1


def test_16_bits(tiny_folder):
    fp32, bf16 = vectors(load(tiny_folder), TEXT), vectors(load(tiny_folder, dtype="bf16"), TEXT)
    assert bf16.ok
    for one, other in zip(fp32.vectors, bf16.vectors, strict=True):
        assert other.size == pytest.approx(one.size, rel=1e-2)


def test_an_adapter_with_its_own_rows(tiny_folder):
    """The vectors are those that the decoder reads."""
    model = load(tiny_folder)
    token = model.tokenizer.encode("g")[0]
    lora.add(model.decoder, lora.LoRASettings(rank=2, tokens=(token,)), seed=0)
    with torch.no_grad():
        for name, parameter in model.decoder.named_parameters():
            if parameter.shape == (1, model.config.width) and "embedding" in name:
                parameter.fill_(0.25)
    assert not isinstance(model.decoder.embedding, Embedding)
    view = vectors(model, "gold")
    (own,) = [each for each in view.vectors if each.token.id == token]
    assert own.first == (0.25,) * FIRST and view.ok
    assert own.size == pytest.approx(0.25 * model.config.width**0.5)


def test_a_vocabulary_of_few_tokens(tmp_path):
    folder = oracles.save_family("llama2", tmp_path / "few")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]))
    view = vectors(load(folder), "a")
    assert view.ok and len(view.vectors[0].neighbours) == 4
