"""Fine-tuning judges the ids of a folder's files as loading does: what it writes can be chatted with."""

import json
import shutil

import pytest
import transformers
from helpers import pairs
from helpers.command import liuli  # noqa: F401 (a fixture)

from liuli.errors import LiuliError
from liuli.generate.conversation import Conversation
from liuli.generate.model import load
from liuli.learn.prepare.job import Job
from liuli.learn.run.events import Note
from liuli.learn.run_stage import finetune
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat
from liuli.tokens.chat.templates import CHATML


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return pairs.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def parent(base, tmp_path):
    """A copy whose files name ids that the model does not have."""
    shutil.copytree(base, tmp_path / "parent")
    (tmp_path / "parent" / "generation_config.json").write_text(
        json.dumps(
            {
                "eos_token_id": [50256, -1, 0],
                "bos_token_id": 50256,
                "pad_token_id": -1,
                "top_k": 7,
                "suppress_tokens": [50256, 3],
                "bad_words_ids": [[50256], [3, 50256], [4]],
            }
        )
    )
    return tmp_path / "parent"


@pytest.fixture
def data(tmp_path):
    said = [("What has 小明?", "a cake"), ("去哪？", "游乐园"), ("The cat?", "sat on the mat")]
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"{i} {asked}"}, {"role": "assistant", "content": reply}]})
        for i in range(40)
        for asked, reply in said
    ]
    (tmp_path / "dialogues.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "dialogues.jsonl"


def tuned(parent, data, out, **change):
    fields = {"parent": str(parent), "sources": (str(data),), "tokens": 10 * 64 * 2, "length": 64, "rows": 2}
    return list(finetune(Job.of(**fields | {"device": "cpu", "dtype": "fp32", "threads": 1} | change), out, False, False))


@pytest.mark.parametrize("change", [{}, {"lora": 2}])
def test_impossible_ids_are_never_written_out_again(parent, data, tmp_path, change):
    tuned(parent, data, tmp_path / "run", **change)
    folder = tmp_path / "run" / ("adapter" if (tmp_path / "run" / "adapter").exists() else "model")
    written = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    chat = Chat.open(folder, open_tokenizer(folder))
    unwanted = {"suppress_tokens": [3], "bad_words_ids": [[4]]}
    assert written == {"eos_token_id": [chat.stop, 0], "top_k": 7, **unwanted}
    model = load(parent, adapter=folder) if change else load(folder)
    assert model.stop_ids == [chat.stop, 0]
    completion, records = Conversation(model, max_tokens=3, seed=1).say("the")
    assert list(records) and len(completion.ids) > 0


def test_a_merged_model_has_possible_ids(parent, data, tmp_path, liuli):  # noqa: F811
    tuned(parent, data, tmp_path / "run", lora=2)
    (tmp_path / "run" / "model" / "generation_config.json").unlink()
    assert liuli("merge", parent, tmp_path / "run" / "model", "--out", tmp_path / "merged").code == 0
    written = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    assert written == {"eos_token_id": [0], "top_k": 7, "suppress_tokens": [3], "bad_words_ids": [[4]]}


def add_pad(folder, special):
    """`<pad>` as the next id of the tokenizer, for which the model has no row."""
    body = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    size = open_tokenizer(folder).vocab_size
    pad = body["added_tokens"][0] | {"id": size, "content": "<pad>", "special": special}
    (folder / "tokenizer.json").write_text(json.dumps(body | {"added_tokens": [*body["added_tokens"], pad]}), encoding="utf-8")
    return size


@pytest.mark.parametrize("change", [{}, {"lora": 2}])
def test_a_token_without_a_row_gets_none(parent, data, tmp_path, change):
    """Nothing uses it; the embedding stays as it is, and LoRA is not refused."""
    size = add_pad(parent, special=True)
    tuned(parent, data, tmp_path / "run", **change)
    model = load(parent, adapter=tmp_path / "run" / "model") if change else load(tmp_path / "run" / "model")
    assert model.config.vocab_size == size
    assert model.tokenizer is not None and model.tokenizer.missing == {size}


def test_dialogues_that_use_a_token_without_a_row_are_named(parent, data, tmp_path):
    add_pad(parent, special=False)
    lines = data.read_text(encoding="utf-8").splitlines()
    lines[7] = json.dumps({"messages": [{"role": "user", "content": "a <pad>"}, {"role": "assistant", "content": "b"}]})
    data.write_text("\n".join(lines), encoding="utf-8")
    notes = [event.text for event in tuned(parent, data, tmp_path / "run") if isinstance(event, Note)]
    assert any("skipped 1 dialogue: the text uses the token '<pad>'" in note for note in notes)
    with pytest.raises(LiuliError, match="the text uses the token '<pad>'"):
        tuned(parent, data, tmp_path / "strict", strict=True)


def test_templates_by_name_come_along(parent, data, tmp_path):
    (parent / "additional_chat_templates").mkdir()
    default = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    (parent / "chat_template.jinja").write_text(default, encoding="utf-8")
    (parent / "additional_chat_templates" / "tool_use.jinja").write_text("tools: " + default, encoding="utf-8")
    tuned(parent, data, tmp_path / "run")
    model = tmp_path / "run" / "model"
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(model)
    assert theirs.chat_template == {"default": default, "tool_use": "tools: " + default}
    chat, messages = Chat.open(model, open_tokenizer(model)), [{"role": "user", "content": "the cat"}]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    for given in ((), tools):
        assert chat.prompt(messages, given) == theirs.apply_chat_template(messages, given or None, return_dict=False)


def test_a_template_that_insists_on_a_system_message_learns_from_dialogues_with_one(parent, data, tmp_path):
    insists = "{% if messages[0].role != 'system' %}{{ raise_exception('no system message') }}{% endif %}"
    (parent / "chat_template.jinja").write_text(insists + CHATML, encoding="utf-8")
    with pytest.raises(LiuliError, match=r"no dialogue can be used for training: .*no system message"):
        tuned(parent, data, tmp_path / "without")
    lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    lines = [{"messages": [{"role": "system", "content": "x"}, *line["messages"]]} for line in lines]
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    tuned(parent, data, tmp_path / "run")
    model = load(tmp_path / "run" / "model")
    assert Conversation(model, "x", max_tokens=2, seed=1).say("the")[0].prompt is not None


def test_tokens_of_a_conversation_in_a_layout_with_old_files(data, tmp_path):
    """`added_tokens_decoder` hides `added_tokens.json` and `special_tokens_map.json`, so what these say moves into it."""
    from helpers import token_samples as samples

    from liuli.tokens.chat.specials import make_conversational

    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {"tokenizer_class": "Qwen2Tokenizer"})
    first = len(samples.small_ranks())
    samples.write_json(tmp_path / "added_tokens.json", {"<x>": first, "<y>": first + 1})
    samples.write_json(tmp_path / "special_tokens_map.json", {"eos_token": "<y>"})
    before = open_tokenizer(tmp_path)
    tokenizer, chat, added = make_conversational(tmp_path, first + 2)
    assert added == 2 and tokenizer.names == before.names == {"eos_token": "<y>"}
    assert {text: tokenizer.added[text] for text in before.added} == before.added
    assert chat.stop == first + 3
