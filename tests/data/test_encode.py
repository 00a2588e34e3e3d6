"""A dialogue as ids: how much each message counts, and what the assistant thought; fields that hold nothing are no loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import talking
from helpers.corpora import jsonl, write

from liuli.data.dialogues.dialogues import Dialogues
from liuli.data.dialogues.encode import encode_dialogue
from liuli.data.dialogues.layouts import convert
from liuli.data.packing.batch import IGNORED, batch_of
from liuli.data.packing.dialogue_pieces import Cuts, pieces_of_dialogues
from liuli.data.records.problem import Problem
from liuli.learn.rows.dialogue_rows import DialogueRows
from liuli.learn.step.objectives import NextToken
from liuli.model.formats.detect import read_decoder
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat

ASK, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>"
    "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = THINKING.replace("{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return talking.save(tmp_path_factory.mktemp("talking") / "model")


@pytest.fixture(scope="module")
def chat(folder) -> Chat:
    return Chat(open_tokenizer(folder), PLAIN, "a test")


def converted(*messages, **fields):
    return convert({"messages": list(messages), **fields})


def learned(chat: Chat, *messages) -> list[str]:
    """The texts of what is supervised, each with its weight."""
    found = encode_dialogue(chat, converted(*messages).messages, ())
    weights = found.weights or [1.0] * len(found.ids)
    texts, before = [], False
    for (start, end), supervised, weight in zip(found.spans, found.supervised, weights, strict=True):
        if supervised and not before:
            texts.append([weight, ""])
        if supervised:
            texts[-1][1] += found.text[start:end]
        before = supervised
    return texts


# A field that holds nothing.

EMPTY = [None, "", []]


@pytest.mark.parametrize("nothing", EMPTY, ids=str)
@pytest.mark.parametrize(
    "field", ["name", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "weight", "train", "images", "refusal"]
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_field_of_a_message_that_holds_nothing_is_no_loss(field, nothing, place):
    messages = [ASK, ANSWER]
    messages[place] = messages[place] | {field: nothing}
    assert converted(*messages).messages == (ASK, ANSWER)


@pytest.mark.parametrize("nothing", EMPTY, ids=str)
@pytest.mark.parametrize("field", ["chosen", "images", "label", "conversations", "system", "tools", "history", "id"])
def test_a_field_of_a_record_that_holds_nothing_is_no_loss(field, nothing):
    assert converted(ASK, ANSWER, **{field: nothing}).messages == (ASK, ANSWER)
    assert convert({"instruction": "a", "output": "b", "input": nothing, field: nothing}).messages == (ASK, ANSWER)
    assert convert({"question": "a", "answer": "b", field: nothing}).messages == (ASK, ANSWER)


def test_parts_and_calls_with_fields_that_hold_nothing():
    part = {"type": "text", "text": "a", "image_url": None}
    call = {"id": "", "index": None, "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = [
        {"role": "user", "content": [part]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": ""},
        ANSWER,
    ]
    found = converted(*messages).messages
    assert found[0] == ASK
    assert found[1]["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    assert found[2] == {"role": "tool", "content": ""}


def test_what_holds_something_is_still_refused():
    for field, value in (("refusal", "no"), ("images", ["x"]), ("loss", False), ("weights", 0)):
        found = converted(ASK, ANSWER | {field: value})
        assert isinstance(found, Problem)
        assert found.reason == "unknown field in a message"


# Weights.


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"weight": 0}, {"weight": 0}), ({"weight": 1}, {}), ({"weight": 1.0}, {}), ({"weight": 0.25}, {"weight": 0.25}),
        ({"train": False}, {"weight": 0}), ({"train": True}, {}), ({"train": True, "weight": 0.5}, {"weight": 0.5}),
        ({"train": False, "weight": 1}, {"weight": 0}),
    ],
    ids=str,
)  # fmt: skip
def test_weights_in_either_form(given, kept):
    found = converted(ASK, ANSWER, ASK, ANSWER | given)
    assert found.messages == (ASK, ANSWER, ASK, ANSWER | kept)
    asked = converted(ASK | {"weight": 0}, ANSWER, ASK | {"train": False}, ANSWER | given, {"role": "user", "content": "c"})
    assert asked.messages[:4] == (ASK, ANSWER, ASK, ANSWER | kept)


@pytest.mark.parametrize(
    ("ask", "answer", "reason"),
    [
        ({}, {"weight": 2}, "a weight that is not a number from 0 to 1"),
        ({}, {"weight": -0.5}, "a weight that is not a number from 0 to 1"),
        ({}, {"weight": "1"}, "a weight that is not a number from 0 to 1"),
        ({}, {"weight": True}, "a weight that is not a number from 0 to 1"),
        ({}, {"weight": float("nan")}, "a weight that is not a number from 0 to 1"),
        ({}, {"train": "yes"}, "unknown field in a message"),
        ({"weight": 1}, {}, "a weight on a message that is not the assistant's"),
        ({"train": True}, {}, "a weight on a message that is not the assistant's"),
        ({}, {"weight": 0}, "the dialogue has no answer to learn from"),
        ({}, {"reasoning_content": 3}, '"reasoning_content" of a message is not a string'),
        ({"reasoning_content": "x"}, {}, "unknown field in a message"),
        ({}, {"reasoning": "x", "reasoning_content": "y"}, "unknown field in a message"),
    ],
    ids=str,
)
def test_weights_and_reasoning_that_cannot_be(ask, answer, reason):
    found = converted(ASK | ask, ANSWER | answer)
    assert isinstance(found, Problem)
    assert found.reason == reason


def test_the_mask_follows_the_weights(chat):
    first, second, third = ({"role": "assistant", "content": text} for text in ("one", "two", "three"))
    dialogue = [ASK, first, ASK, second, ASK, third]
    end = "<|im_end|>"
    assert learned(chat, *dialogue) == [[1.0, "one" + end], [1.0, "two" + end], [1.0, "three" + end]]
    assert learned(chat, ASK, first | {"weight": 0}, ASK, second, ASK, third | {"train": False}) == [[1.0, "two" + end]]
    assert learned(chat, ASK, first | {"weight": 0.5}, ASK, second | {"weight": 0}, ASK, third) == [
        [0.5, "one" + end], [1.0, "three" + end],
    ]  # fmt: skip
    plain = encode_dialogue(chat, dialogue, ())
    weighted = encode_dialogue(chat, [ASK, first | {"weight": 0}, *dialogue[2:]], ())
    assert (plain.ids, plain.text, plain.weights) == (weighted.ids, weighted.text, None)
    assert weighted.weights is None  # nothing but 0 and 1: the mask says it


def test_weights_reach_the_loss(folder, chat, tmp_path):
    """Against a loss that is summed by hand."""
    decoder = read_decoder(folder)
    weighted = [ASK, ANSWER | {"weight": 0.25}, ASK, {"role": "assistant", "content": "cd"}]
    records = [{"messages": weighted}, {"messages": [ASK, ANSWER]}]
    dialogues = Dialogues(write(tmp_path / "a.jsonl", jsonl(*records)))
    pieces = list(pieces_of_dialogues(dialogues, chat, 64, Cuts()))
    assert pieces[1].weights is None
    batch = batch_of([[pieces[0]], [pieces[1]]], [0, 0], 64, 0)
    total = count = 0.0
    with torch.no_grad():
        logprobs = decoder(batch.ids_BT).log_softmax(-1)
        for b, piece in enumerate(pieces):
            for t in range(piece.places):
                if piece.supervised[t + 1]:
                    weight = 1.0 if piece.weights is None else float(piece.weights[t + 1])
                    total -= weight * float(logprobs[b, t, piece.ids[t + 1]])
                    count += weight
        loss = NextToken()(decoder, batch)
    assert NextToken().weight(batch) == pytest.approx(count)
    assert float(loss.total) == pytest.approx(total, rel=1e-5)
    assert count != int((batch.targets_BT != IGNORED).sum())


def test_rows_with_and_without_weights_are_joined(chat, tmp_path):
    records = [{"messages": [ASK, ANSWER | {"weight": 0.5}]}, {"messages": [ASK, ANSWER]}]
    pieces = list(pieces_of_dialogues(Dialogues(write(tmp_path / "a.jsonl", jsonl(*records))), chat, 32, Cuts()))
    one, two = (batch_of([[piece]], [0], 32, 0) for piece in pieces)
    assert two.weights_BT is None
    joined = two.joined(one)
    assert joined.weights_BT[0].eq(1).all()
    assert torch.equal(joined.weights_BT[1:], one.weights_BT)
    assert two.joined(two).weights_BT is None
    settings = [DialogueRows([piece], 32, 1, 0).cursor().settings["pieces"] for piece in pieces]
    assert settings[0] != settings[1]


def test_a_long_dialogue_is_cut_with_its_weights(chat, tmp_path):
    messages = [
        each for i in range(6) for each in (ASK, {"role": "assistant", "content": f"{i}" * 5, "weight": [0, 0.5, 1][i % 3]})
    ]
    dialogues = Dialogues(write(tmp_path / "a.jsonl", jsonl({"messages": messages})))
    pieces = list(pieces_of_dialogues(dialogues, chat, 60, Cuts()))
    assert len(pieces) > 1
    read = "".join(chat.tokenizer.decode(piece.ids[piece.supervised].tolist()) for piece in pieces)
    assert [digit for digit in "012345" if digit in read] == ["1", "2", "4", "5"]
    assert {float(w) for piece in pieces if piece.weights is not None for w in np.unique(piece.weights)} <= {0.0, 0.5, 1.0}


def test_converted_and_written_again(tmp_path):
    record = {"messages": [ASK, ANSWER | {"weight": 0, "reasoning": "r"}, ASK, ANSWER | {"train": True}]}
    (dialogue,) = Dialogues(write(tmp_path / "a.jsonl", jsonl(record)))
    again = Dialogues(write(tmp_path / "b.jsonl", jsonl(dialogue.to_json())))
    assert [each.messages for each in again] == [dialogue.messages]
    assert dialogue.messages[1] == ANSWER | {"weight": 0, "reasoning_content": "r"}


# What the assistant thought.


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_goes_to_templates_that_read_it(chat, field, name):
    chat = Chat(chat.tokenizer, THINKING.replace("reasoning_content", name), "a test")
    assert learned(chat, ASK, ANSWER | {field: "so"}) == [[1.0, "<think>so</think>b<|im_end|>"]]
    assert learned(chat, ASK, ANSWER) == [[1.0, "b<|im_end|>"]]


def test_a_template_that_only_mentions_reasoning_does_not_read_it(chat):
    chat = Chat(chat.tokenizer, "{# step by step reasoning #}Use reasoning. " + PLAIN, "a test")
    assert encode_dialogue(chat, converted(ASK, ANSWER | {"reasoning": "so"}).messages, ()).unread == 1


def test_the_template_for_tools_decides_whether_reasoning_is_read(chat):
    chat = Chat(chat.tokenizer, {"default": PLAIN, "tool_use": THINKING}, "a test")
    messages = converted(ASK, ANSWER | {"reasoning": "so"}).messages
    tool = {"type": "function", "function": {"name": "f"}}
    plain, with_tools = encode_dialogue(chat, messages, ()), encode_dialogue(chat, messages, [tool])
    assert (plain.unread, "so" in plain.text) == (1, False)
    assert (with_tools.unread, "so" in with_tools.text) == (0, True)


def test_reasoning_that_a_template_does_not_read_is_counted(chat, tmp_path):
    dialogues = Dialogues(write(tmp_path / "a.jsonl", jsonl({"messages": [ASK, ANSWER | {"reasoning": "so"}]})))
    cuts = Cuts()
    (piece,) = pieces_of_dialogues(dialogues, chat, 64, cuts)
    assert "so" not in chat.tokenizer.decode(piece.ids.tolist())
    assert list(cuts.lines(64)) == ["left out the reasoning of 1 answer: the chat template does not read reasoning_content"]
    with pytest.raises(Exception, match="does not read reasoning_content"):
        list(pieces_of_dialogues(dialogues, chat, 64, Cuts(), strict=True))
