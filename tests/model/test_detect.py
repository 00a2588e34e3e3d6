"""`detect.py` reads a folder and a GGUF file in the same way."""

import pytest
import torch
from helpers import families, gguf_files
from helpers.changes import change_weights

from liuli.model.formats.detect import read_config, read_decoder, stored_config


@pytest.mark.parametrize("family", ["llama2", "qwen3", "llama3"])
def test_a_folder_and_a_gguf_file_of_one_model(tmp_path, family):
    model = families.save(family, tmp_path / "folder")
    gguf_files.save_model(model, tmp_path / "model.gguf")
    tied = bool(model.config.tie_word_embeddings)
    for path in (tmp_path / "folder", tmp_path / "model.gguf"):
        assert read_config(path) == stored_config(path) == read_decoder(path).config
        assert stored_config(path).tied == tied
    ids_1T = torch.arange(40)[None]
    with torch.no_grad():
        folder, file = (read_decoder(tmp_path / name)(ids_1T) for name in ("folder", "model.gguf"))
    assert (folder - file).abs().max() < 5e-5 * folder.std()


def test_the_stored_config_of_a_head_that_is_only_said_to_be_tied(tmp_path):
    families.save("llama3", tmp_path)
    change_weights(tmp_path, lambda tensors: tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].flip(0)})
    assert read_config(tmp_path).tied
    assert not stored_config(tmp_path).tied
    assert stored_config(tmp_path) == read_decoder(tmp_path).config
