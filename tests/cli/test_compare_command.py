"""`liuli compare`: what it prints on wide and narrow terminals, its JSON, where prompts come from, what a mistake gets."""

import json
import os
import shutil
from functools import partial
from pathlib import Path

import jsonschema
import pytest
from helpers import pairs
from rich.cells import cell_len

from liuli import load
from liuli.cli.output import Screen
from liuli.model.adapters import lora, peft_folder

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/compare.schema.json").read_text(encoding="utf-8"))
WORDS = ["--seed", 3, "--max-tokens", 6]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return pairs.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def assistant(base, tmp_path_factory):
    return pairs.save_assistant(tmp_path_factory.mktemp("assistant"), base)


def dialogue(*said):
    roles = ("user", "assistant") * len(said)
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]})


def test_json_keeps_to_its_schema(liuli, base, assistant, tiny_folder):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    result = liuli("compare", base, assistant, tiny_folder, "--prompt", "小明", "--prompt", "the", *WORDS, "--json")
    body = json.loads(result.out)
    jsonschema.validate(body, SCHEMA, jsonschema.Draft202012Validator)
    assert [model["path"] for model in body["models"]] == [str(base), str(assistant), str(tiny_folder)]
    assert body["models"][0]["hash"] == load(base).hash
    assert body["body"]["same_pieces"] == [0, 0, 2]
    assert [asked["prompt"]["messages"][0]["content"] for asked in body["body"]["prompts"]] == ["小明", "the"]
    assert (body["seed"], body["max_tokens"], body["caveats"]) == (3, 6, ["prob.stage", "cmp.same_ids"])
    again = json.loads(liuli("compare", base, assistant, tiny_folder, "--prompt", "小明", *WORDS, "--json").out)
    assert again["body"]["prompts"] == body["body"]["prompts"][:1]
    answer = body["body"]["prompts"][0]["answers"][0]
    for where in (body, body["models"][0], answer, answer["scores"][0], answer["candidates"][0], body["checks"][0]):
        where["more"] = 1
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body, SCHEMA, jsonschema.Draft202012Validator)
        del where["more"]


def test_two_models_side_by_side(liuli, base, assistant):
    result = liuli("compare", base, assistant, "--prompt", "小明今天", *WORDS, "--top-k", 40)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    default = "seed 3, top-k 40; Liuli's default (the folder has no sampling settings): temperature 0.8"
    assert lines[0] == f"1  {base}, base: prompts as plain text; {default}"
    assert lines[1] == f"2  {assistant}, assistant: prompts in the folder's own template; {default}"
    body = json.loads(liuli("compare", base, assistant, "--prompt", "小明今天", *WORDS, "--top-k", 40, "--json").out)
    answers = body["body"]["prompts"][0]["answers"]
    heads = next(line for line in lines if line.startswith("model 1: "))
    assert f"model 1: {len(answers[0]['input']['ids'])} tokens read" in heads and "model 2: " in heads
    for start in ("<|endoftext|>小明今天", "model 1: answer", "model 1: most likely first"):
        line = next(line for line in lines if line.startswith(start))
        assert cell_len(line) == 120 and cell_len(line[: line.index("<|im_start|>" if "小" in start else "model 2")]) == 60
    for m in (0, 1):
        each = [f"{answers[a]['scores'][m]['nats']:.2f} ({answers[a]['scores'][m]['per_token']:.3f})" for a in (0, 1)]
        assert all(number in result.out for number in each)
    assert "nats (per token)" in result.out and "KL(1 ‖ 2), nats: " in result.out
    assert f"{answers[1]['kl']:.3f} before the first token" in result.out
    assert "the models' own (temperature 1" in result.out and "depend on the prompt format" in result.out
    assert "概率" not in result.out  # one language on a screen
    assert "self-check failed" not in result.out


def test_a_narrow_terminal_loses_no_number(liuli, base, assistant, tiny_folder, monkeypatch):
    words = ["compare", base, assistant, tiny_folder, "--prompt", "小明", *WORDS]
    scores = json.loads(liuli(*words, "--json").out)["body"]["prompts"][0]["answers"]
    monkeypatch.setattr("liuli.cli.compare.Screen", partial(Screen, width=40))
    shown = liuli(*words).out
    starts = [line.split(":")[0] for line in shown.splitlines() if line.rstrip().endswith(" read")]
    assert starts == ["model 1", "model 2", "model 3"]  # below each other
    assert "…" not in shown
    for answer in scores:
        for score in answer["scores"]:
            assert f"{score['nats']:.2f}" in shown and f"({score['per_byte']:.3f})" in shown.replace("\n", "")


def test_other_tokenizers_are_compared_by_the_byte(liuli, base, tiny_folder):
    shown = liuli("compare", base, tiny_folder, "--prompt", "the", *WORDS).out
    assert "nats (per byte)" in shown
    assert "* The answer's text was tokenized again with the tokenizer of the scoring model." in shown
    assert "KL" not in shown


def test_one_model_and_several_prompts_stand_side_by_side(liuli, base):
    shown = liuli("compare", base, "--prompt", "小明", "--prompt", "the cat", *WORDS).out
    assert any("prompt 1: answer" in line and "prompt 2: answer" in line for line in shown.splitlines())
    assert "answer to prompt 2" in shown and "after" in shown and "KL(prompt 1 ‖ prompt 2), nats: " in shown
    assert "scored by" not in shown and "did not all read the same token ids" not in shown


def test_what_came_is_marked_and_a_stop_is_said(liuli, base):
    shown = liuli("compare", base, "--prompt", "小明", "--temperature", 0, "--max-tokens", 1).out
    first = next(line for line in shown.splitlines() if "%" in line)
    assert first.rstrip().endswith("←") and shown.count("←") == 1
    assert "prompts as plain text; greedy" in shown and "1 token (limit of --max-tokens reached); " in shown


def test_prompts_of_a_file(liuli, base, tmp_path):
    lines = tmp_path / "prompts.txt"
    lines.write_bytes("\ufeff小明\r\n\n  the cat\n".encode())
    body = json.loads(liuli("compare", base, "--prompt", "first", "--file", lines, *WORDS, "--json").out)
    prompts = [asked["prompt"] for asked in body["body"]["prompts"]]
    assert [(each["source"], each["messages"][0]["content"]) for each in prompts] == [
        ("prompt 1", "first"), (f"{lines}:1", "小明"), (f"{lines}:3", "  the cat"),
    ]  # fmt: skip


def test_dialogues_of_a_file_up_to_the_last_message_of_the_user(liuli, base, assistant, tmp_path):
    file = tmp_path / "talks.jsonl"
    file.write_text("\n".join([dialogue("a", "b", "c", "d"), dialogue("e"), '{"text": "no"}']), encoding="utf-8")
    result = liuli("compare", base, assistant, "--file", file, *WORDS, "--json")
    body = json.loads(result.out)
    prompts = [asked["prompt"] for asked in body["body"]["prompts"]]
    assert [[message["content"] for message in each["messages"]] for each in prompts] == [["a", "b", "c"], ["e"]]
    assert body["body"]["prompts"][0]["answers"][0]["input"]["text"] == "<|endoftext|>a\nb\nc"
    assert result.err.startswith("liuli: skipped 1 × ")
    assert f"prompt 2, {file}:2" in liuli("compare", base, assistant, "--file", file, *WORDS).out.replace("\n", "")


def test_an_adapter_is_opened_over_the_base_that_it_names(liuli, base, tmp_path):
    decoder = load(base).decoder
    lora.add(decoder, lora.LoRASettings(rank=2), seed=0)
    for slot in lora.adapted(decoder).values():
        slot.active.b.data.fill_(0.3)
    peft_folder.save(decoder, tmp_path / "chat", str(base), load(base).hash)
    body = json.loads(liuli("compare", base, tmp_path / "chat", "--prompt", "小明", *WORDS, "--json").out)
    jsonschema.validate(body, SCHEMA, jsonschema.Draft202012Validator)
    assert body["models"][1]["path"] == str(base)
    assert body["models"][1]["adapter"]["path"] == str(tmp_path / "chat")
    assert body["body"]["prompts"][0]["answers"][1]["kl"] > 0
    shown = liuli("compare", base, tmp_path / "chat", "--prompt", "小明", *WORDS).out
    assert f"2  {base} with the adapter {tmp_path / 'chat'}, adapter: prompts as plain text" in shown
    config = tmp_path / "chat" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": None}))
    said = liuli("compare", tmp_path / "chat", "--prompt", "a").err
    assert '"base_model_name_or_path" is missing: add it, or merge the adapter' in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["MODEL"], "there is no prompt: give --prompt TEXT, or --file FILE"),
        (["--prompt", "a"], "Missing argument 'MODEL"),
        (["nowhere", "--prompt", "a"], "there is no folder nowhere; give a model's folder"),
        (["MODEL", "nowhere", "--prompt", "a"], "there is no folder nowhere; give a model's folder"),
        (["MODEL", "BARE", "--prompt", "a"], "BARE contains no tokenizer, so it cannot read a prompt"),
        (["MODEL", "--prompt", "a", "--prompt", "a" * 200], "prompt 2, read by MODEL: the prompt has 201 tokens, but the"),
        (["MODEL", "--prompt", "a", "--max-tokens", 127], "has 2 tokens and --max-tokens is 127, but the context has only 128"),
        (["MODEL", "--file", "EMPTY.txt"], "EMPTY.txt contains no prompt: write one prompt per line"),
        (["MODEL", "--file", "EMPTY.jsonl"], "no dialogue found in "),
        (["MODEL", "--file", "UNASKED.jsonl"], "UNASKED.jsonl:1: the dialogue has no user message: add one"),
        (["MODEL", "--file", "CALLS.jsonl"], "the dialogue has tools, and a base model reads only plain text"),
        (["MODEL", "--file", "nowhere.txt"], "there is no file nowhere.txt"),
        (["MODEL", "--file", "nowhere.jsonl"], "there is no file or folder 'nowhere.jsonl'"),
        (["MODEL", "--file", "BROKEN"], "BROKEN is not UTF-8 text: byte 2 of 2 is 0xFF"),
        (["MODEL", "--prompt", "a", "--max-tokens", 0], "--max-tokens must be a whole number of at least 1, not 0"),
        (["MODEL", "--prompt", "a", "--top-p", 2], "--top-p must be above 0 and at most 1, not 2.0"),
        (["MODEL", "--prompt", "a", "--seed", -1], "--seed must be a whole number, 0 or more, not -1"),
        (["MODEL", "--prompt", "a", "--threads", 10_000], "--threads must be from 1 to "),
        (["MODEL", "--prompt", "a", "--device", "abacus"], "there is no device 'abacus'"),
    ],
)
def test_mistakes(liuli, base, tmp_path, words, said):
    bare = tmp_path / "BARE"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(base / name, bare)
    (tmp_path / "EMPTY.txt").write_text(" \n\n")
    (tmp_path / "EMPTY.jsonl").write_text("")
    (tmp_path / "UNASKED.jsonl").write_text('{"messages": [{"role": "system", "content": "x"}]}\n')
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    (tmp_path / "CALLS.jsonl").write_text(json.dumps({"messages": [*turns, turns[0]]}) + "\n")
    (tmp_path / "BROKEN").write_bytes(b"a\xff")
    places = {"MODEL": base} | {path.name: path for path in tmp_path.iterdir()}
    result = liuli("compare", *(places.get(word, word) for word in words))
    assert (result.code, result.out) == (2, "")
    assert said in result.err.replace(str(tmp_path) + "/", "").replace(str(base), "MODEL")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("name", ["pipe", "zero", "link to a device", "maps"])
def test_a_file_that_might_never_end_is_refused_at_once(liuli, base, tmp_path, name):
    places = {"pipe": tmp_path / "pipe", "zero": Path("/dev/zero"), "maps": Path("/proc/self/maps")}
    places["link to a device"] = tmp_path / "link"
    os.mkfifo(places["pipe"])
    places["link to a device"].symlink_to("/dev/zero")
    if not places[name].exists():
        pytest.skip("this system has none")
    result = liuli("compare", base, "--file", places[name])
    assert result.code == 2
    assert result.err.startswith(f"liuli: {places[name]} is ")
    assert result.err.endswith("; write its content to a file first\n")
