"""Ids that a folder's own files name: impossible ones are dropped and said once, and a token without a row is no obstacle."""

import json
import logging
import shutil

import pytest
from helpers.command import liuli as run_liuli  # noqa: F401 (a fixture)

import liuli
from liuli import LiuliError
from liuli.generate.conversation import Conversation
from liuli.tokens.chat.templates import CHATML

SIZE = 270  # ids of the tiny model; 263 of its tokenizer


@pytest.fixture
def folder(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    return tmp_path / "model"


def change(path, **fields):
    body = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(body | fields), encoding="utf-8")


@pytest.mark.parametrize(
    ("generation", "config", "stops", "dropped"),
    [
        (50256, None, [], "50256"),
        (50256, 7, [7], "50256"),
        (-1, None, [], "-1"),
        ([-1, 3, 50256], None, [3], r"\[-1, 50256\]"),
        (270, 270, [], "270"),
        ([], 4, [4], None),
        (None, -1, [], "-1"),
        (269, None, [269], None),
    ],
)
def test_impossible_ids_are_dropped_and_said_once(folder, caplog, generation, config, stops, dropped):
    change(folder / "generation_config.json", eos_token_id=generation)
    change(folder / "config.json", eos_token_id=config)
    with caplog.at_level(logging.INFO, "liuli"):
        model = liuli.load(folder)
        liuli.load(folder)
    assert model.stop_ids == stops
    assert len(model.complete("the", max_tokens=2, temperature=0.0).ids) > 0
    said = [record.getMessage() for record in caplog.records if "eos_token_id" in record.getMessage()]
    if dropped is None:
        assert not said
    else:
        assert len(said) == len({*said}) == 1 + (generation == config)
        assert said[0].endswith(f"eos_token_id {dropped.replace(chr(92), '')} is ignored: the model's ids are 0 to 269")


def test_the_command_says_it(folder, run_liuli):  # noqa: F811
    change(folder / "generation_config.json", eos_token_id=50256)
    done = run_liuli("complete", folder, "the", "--max-tokens", "2", "--seed", "1")
    assert done.code == 0
    assert done.err.count("eos_token_id 50256 is ignored: the model's ids are 0 to 269") == 1


@pytest.mark.parametrize("special", [True, False])
def test_a_token_without_a_row_is_refused_only_when_it_is_used(folder, special):
    change(folder / "tokenizer_config.json", added_tokens_decoder={})
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    size = len(tokens["model"]["vocab"])
    fillers = [{"id": i, "content": f"<unused {i}>", "special": True, **flags} for i in range(size, SIZE)]
    tokens["added_tokens"] += [*fillers, {"id": SIZE, "content": "<pad>", "special": special, **flags}]
    (folder / "tokenizer.json").write_text(json.dumps(tokens), encoding="utf-8")
    change(folder / "special_tokens_map.json", pad_token="<pad>")
    model = liuli.load(folder)
    assert model.tokenizer is not None
    assert (model.tokenizer.vocab_size, model.tokenizer.missing) == (SIZE + 1, {SIZE})
    assert len(model.complete("the", max_tokens=2, temperature=0.0).ids) > 0
    with pytest.raises(LiuliError, match=r"the text uses the token '<pad>' \(id 270\), for which the model's embedding has no"):
        model.complete("a<pad>", max_tokens=1)
    with pytest.raises(LiuliError, match="the prompt contains the id 270, but the model's ids are 0 to 269"):
        model.complete([SIZE], max_tokens=1)


@pytest.mark.parametrize("how", ["post-processor", "add_bos_token"])
def test_a_begin_token_without_a_row_is_left_out(folder, caplog, how):
    """The user did not type it, so no prompt is refused because of it."""
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    size = len(tokens["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    fillers = [{"id": i, "content": f"<unused {i}>", **flags} for i in range(size, SIZE)]
    tokens["added_tokens"] += [*fillers, {"id": SIZE, "content": "<begin>", **flags}]
    tokens["post_processor"] = None
    if how == "post-processor":
        single = [{"SpecialToken": {"id": "<begin>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        special = {"<begin>": {"id": "<begin>", "ids": [SIZE], "tokens": ["<begin>"]}}
        tokens["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}
    (folder / "tokenizer.json").write_text(json.dumps(tokens), encoding="utf-8")
    change(folder / "tokenizer_config.json", bos_token="<begin>", add_bos_token=how == "add_bos_token")
    assert liuli.open_tokenizer(folder).begin == [SIZE]
    model = liuli.load(folder)
    liuli.load(folder)
    assert model.tokenizer is not None and model.tokenizer.begin == []
    assert len(model.complete("the", max_tokens=2, temperature=0.0).ids) > 0
    said = f"the begin token {SIZE} is not put before prompts: the model's embedding has no row for it"
    assert [message for message in caplog.messages if "begin" in message] == [f"{folder}: {said}"]
    with pytest.raises(LiuliError, match=r"the text uses the token '<begin>' \(id 270\)"):
        model.complete("<begin>a", max_tokens=1)


def test_an_end_token_without_a_row_is_not_used(folder):
    change(folder / "special_tokens_map.json", eos_token="<new>", pad_token="<pad>")
    tokenizer = liuli.open_tokenizer(folder)
    assert tokenizer.end == [tokenizer.specials["<new>"]] == [263]
    tokenizer.fit(263, "here")
    assert tokenizer.end == [0]  # which the model's own files name


def test_a_vocabulary_of_another_model_is_refused(folder):
    vocab = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab["model"]["vocab"] |= {f"piece {i}": i for i in range(263, 300)}
    (folder / "tokenizer.json").write_text(json.dumps(vocab), encoding="utf-8")
    with pytest.raises(LiuliError, match="the tokenizer has 300 ids, but the model's embedding has only 270 rows: give the"):
        liuli.load(folder)


def chat_model(folder, template):
    """The tiny model with a template whose control tokens are typed text to it."""
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return liuli.load(folder)


def test_a_chat_that_insists_on_a_system_message(folder):
    insists = "{% if messages[0].role != 'system' %}{{ raise_exception('a system message must come first') }}{% endif %}"
    model = chat_model(folder, insists + CHATML)
    with pytest.raises(LiuliError, match=r"the chat template needs a system message: give one \(--system\)"):
        Conversation(model)
    talk = Conversation(model, "Be brief.", max_tokens=3, seed=1)
    completion, records = talk.say("the")
    assert list(records) and len(completion.ids) > 0


def test_a_chat_whose_template_ends_no_reply(folder):
    model = chat_model(folder, "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}<think>\n")
    talk = Conversation(model, max_tokens=3, seed=1, temperature=0.0)
    completion, records = talk.say("the")
    assert list(records) and len(completion.ids) > 0
    assert model.chat.stops == (0,)  # the token that ends a document
