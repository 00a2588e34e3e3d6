"""The loss on replies, against `transformers` on ids that are put together by hand; and replies that are exactly right."""

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
import transformers
from helpers import talking

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.packing.dialogue_pieces import Cuts
from liuli.errors import LiuliError
from liuli.evaluate.dialogues import evaluate_dialogues, exact_replies
from liuli.generate.model import load

DIALOGUES = [
    [("user", "你好"), ("assistant", "好的。")],
    [("system", "Be kind."), ("user", "a b"), ("assistant", "Hi!"), ("user", "再见"), ("assistant", "好的。 ")],
    [("user", "x" * 40), ("assistant", "no")],
]


def message(role: str, content: str, **more) -> dict:
    return {"role": role, "content": content, **more}


def write(path, *dialogues, **fields):
    lines = [json.dumps({"messages": messages, **fields}, ensure_ascii=False) for messages in dialogues]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return talking.save(tmp_path_factory.mktemp("models") / "talking", replies=("好的。",))


@pytest.fixture(scope="module")
def random_folder(folder, tmp_path_factory):
    """The same with random weights, so that every token depends on all tokens before it."""
    other = shutil.copytree(folder, tmp_path_factory.mktemp("models") / "random")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.2)
    model.save_pretrained(other)
    return other


@pytest.fixture(scope="module")
def model(random_folder):
    return load(random_folder)


@pytest.fixture
def sources(tmp_path):
    return Dialogues(write(tmp_path / "a.jsonl", *([message(*each) for each in dialogue] for dialogue in DIALOGUES)))


def by_hand(model, dialogue):
    """The ids of ChatML, and the places of those that are supervised: of a reply's content, and <|im_end|>."""
    specials, encode = model.tokenizer.specials, model.tokenizer.encode
    ids, supervised = list[int](), list[bool]()
    for role, content in dialogue:
        parts = [
            ([specials["<|im_start|>"]], False),
            (encode(f"{role}\n"), False),
            (encode(content), role == "assistant"),
            ([specials["<|im_end|>"]], role == "assistant"),
            (encode("\n"), False),
        ]
        for some, learned in parts:
            ids += some
            supervised += [learned] * len(some)
    return ids, supervised


def test_as_transformers_computes_it(model, random_folder, sources):
    other = transformers.AutoModelForCausalLM.from_pretrained(random_folder)
    nats, tokens = 0.0, 0
    for dialogue in DIALOGUES:
        ids, supervised = by_hand(model, dialogue)
        with torch.no_grad():
            logits_TV = other(torch.tensor([ids])).logits[0, :-1].double()
        targets = [id if learned else -100 for id, learned in zip(ids[1:], supervised[1:], strict=True)]
        nats += float(F.cross_entropy(logits_TV, torch.tensor(targets), reduction="sum"))
        tokens += sum(supervised)
    found = evaluate_dialogues(model.decoder, model.chat, sources, 128, Cuts())
    assert (found.dialogues, found.replies, found.loss.tokens) == (3, 4, tokens)
    assert found.loss.nats == pytest.approx(nats, rel=1e-5)
    assert found.nats_per_reply == pytest.approx(nats / 4, rel=1e-5)
    assert found.to_json()["nats_per_token"] == pytest.approx(nats / tokens, rel=1e-5)


def test_packed_rows_change_nothing(model, sources):
    """Two dialogues fit into a row of 128 tokens, and one into a row of 100."""
    whole = evaluate_dialogues(model.decoder, model.chat, sources, 128, Cuts())
    cuts = Cuts()
    narrow = evaluate_dialogues(model.decoder, model.chat, sources, 100, cuts)
    assert (narrow.loss.nats, narrow.replies) == (pytest.approx(whole.loss.nats, rel=1e-5), 4)
    assert cuts.cut == 0


def test_a_reply_that_fits_no_row_is_left_out_and_counted(model, sources):
    cuts = Cuts()
    found = evaluate_dialogues(model.decoder, model.chat, sources, 60, cuts)
    assert (found.replies, cuts.long_answers) == (3, 1)
    with pytest.raises(LiuliError, match="no reply fits into 5 tokens together with its question"):
        evaluate_dialogues(model.decoder, model.chat, sources, 5, Cuts())


def test_a_reply_of_weight_0_is_not_predicted(model, tmp_path):
    messages = [message("user", "a"), message("assistant", "b", weight=0), message("user", "c"), message("assistant", "d")]
    found = evaluate_dialogues(model.decoder, model.chat, Dialogues(write(tmp_path / "a.jsonl", messages)), 128, Cuts())
    assert (found.replies, found.loss.tokens) == (1, 2)


def test_exact_replies(folder, sources):
    model, seen = load(folder), []
    found = exact_replies(model.decoder, model.chat, sources, lambda *each: seen.append(each))
    assert (found.asked, found.exact, found.left_out) == (3, 2, {})  # white space at the end does not count
    assert found.to_json()["share"] == pytest.approx(2 / 3)
    generated = [(done, total) for what, done, total in seen if what == "generating replies"]
    assert generated[0] == (0, 3)
    assert generated == sorted(generated)


def test_a_reply_that_goes_on_is_not_the_same(tmp_path):
    model = load(talking.save(tmp_path / "endless", endless=True))
    dialogues = Dialogues(write(tmp_path / "a.jsonl", [message("user", "x"), message("assistant", "a\x1ba\x1ba")]))
    assert exact_replies(model.decoder, model.chat, dialogues).exact == 0


def test_last_replies_that_cannot_be_compared(folder, tmp_path):
    model = load(folder)
    question, reply = message("user", "a"), message("assistant", "好的。")
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    path = write(
        tmp_path / "a.jsonl",
        [question, reply],
        [question, reply, question],
        [question, reply, question, reply | {"weight": 0}],
        [question, message("assistant", "", tool_calls=[call])],
        [question, reply | {"reasoning_content": "hm"}],
        [message("user", "x" * 200), reply],
    )
    found = exact_replies(model.decoder, model.chat, Dialogues(path))
    assert (found.asked, found.exact) == (1, 1)
    assert found.left_out == {
        "the last message is not a reply": 1,
        "the last reply has weight 0": 1,
        "the last reply has tool calls or a reasoning, which are not compared": 2,
        "the reply and its prompt do not fit the model's context of 128 tokens": 1,
    }
    with pytest.raises(LiuliError, match="there is no last reply to generate: 1 × the last message is not a reply; leave out"):
        exact_replies(model.decoder, model.chat, Dialogues(write(tmp_path / "b.jsonl", [question, reply, question])))
