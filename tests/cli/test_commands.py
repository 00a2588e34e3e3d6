"""Every command as a person types it: what it prints, its JSON, and what a mistake gets."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from liuli import load
from liuli.cli.output import Screen

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_stories260k_tells_its_story(liuli, stories):
    """Exactly the known text, but for its last piece: 199 tokens after the begin token."""
    result = liuli("complete", stories, "", "--max-tokens", 199, "--temperature", 0)
    known = (stories / "greedy-200.txt").read_text()
    assert result.code == 0
    assert known.startswith(result.out)
    assert known.removeprefix(result.out) == " she"


def test_complete_streams_the_text_alone(liuli, tiny_folder, tiny):
    result = liuli("complete", tiny_folder, "the", "--max-tokens", 8, "--seed", 5)
    assert result.out == tiny.complete("the", max_tokens=8, seed=5).text
    assert result.err == "liuli: seed 5; Liuli's default (the folder has no sampling settings): temperature 0.8\n"


def test_complete_says_the_seed_that_it_drew(liuli, tiny_folder):
    first = liuli("complete", tiny_folder, "the", "--max-tokens", 8)
    seed = first.err.split()[2].rstrip(";")
    assert liuli("complete", tiny_folder, "the", "--max-tokens", 8, "--seed", seed).out == first.out


def test_complete_json(liuli, tiny_folder, tiny):
    words = ["--max-tokens", 6, "--seed", 5, "--top-k", 40, "--stop", "zzz"]
    result = liuli("complete", tiny_folder, "the 12", *words, "--json")
    body = json.loads(result.out)
    assert body["model"] == {"path": str(tiny_folder), "hash": tiny.hash}
    assert body["seed"] == 5
    assert body["sampling"]["top_k"] == 40
    assert body["prompt"] == {"text": "the 12", "ids": tiny.tokenizer.encode("the 12", prompt=True)}
    assert body["completion"]["finish_reason"] == "length"
    assert body["completion"]["ids"] == [step["token"]["id"] for step in body["steps"]]
    assert body["completion"]["text"] == "".join(step["text"] for step in body["steps"])
    assert [len(step["candidates"]) for step in body["steps"]] == [5] * 6


def test_step_records_keep_to_their_schema(liuli, tiny_folder):
    schema = json.loads((DOCS / "step-record.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    words = ["--max-tokens", 6, "--seed", 5, "--top-k", 3, "--steps", "--json", "--candidates", 7]
    *lines, last = liuli("complete", tiny_folder, "the 12", *words).out.splitlines()
    assert len(lines) == 6
    for line in lines:
        jsonschema.validate(json.loads(line), schema)
    assert "steps" not in json.loads(last)
    assert json.loads(last)["completion"]["ids"] == [json.loads(line)["token"]["id"] for line in lines]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(lines[0]) | {"finish_reason": "done"}, schema)


def test_steps_show_candidates_cuts_the_number_and_the_choice(liuli, stories):
    result = liuli(
        "complete", stories, "Once upon a time", "--max-tokens", 2, "--seed", 1, "--top-k", 2, "--steps", "--candidates", 3
    )
    lines = result.out.splitlines()
    assert lines[0].startswith("Each token that was kept has an interval on the line from 0 to 1")
    assert lines[1].startswith("step 1, position 5")
    assert lines[2].split() == ["model", "sampler", "interval"]
    name, bar, *rest = lines[3].split()
    assert (name, set(bar[:-1]), rest) == (",", {"█"}, ["96.88%", "98.78%", "0.0122–1.0000", "←"])
    assert lines[4].split()[-1] == "0.0000–0.0122"  # a lower id
    assert lines[5].rstrip().endswith("removed by top-k")
    assert "top-k kept 2 tokens and removed 0." in lines[6]
    assert "random number 0.1344 is in 0.0122–1.0000 → , (id 432), model 96.88%" in lines[7]
    assert "Once upon a time, there" in result.out
    assert "2 tokens, finish reason: length" in result.out


def test_greedy_steps_say_so(liuli, tiny_folder):
    result = liuli("complete", tiny_folder, "a", "--max-tokens", 1, "--temperature", 0, "--steps")
    assert "greedy →" in result.out and "1 token, finish reason: length" in result.out
    assert "interval" not in result.out and "–" not in result.out
    assert result.err == "liuli: greedy, temperature 0\n"


def test_tiny_shares_keep_the_columns_unit(liuli, stories):
    shown = liuli("complete", stories, "Once upon a time", "--max-tokens", 1, "--seed", 1, "--steps", "--candidates", 60).out
    assert " <0.01%  <0.01% " in shown and "e-" not in shown


def test_a_number_in_a_short_interval_gets_more_digits():
    from liuli.cli.step_record import print_step
    from liuli.generate.record import StepRecord, StepScores
    from liuli.tokens import Token

    screen = Screen(file=io.StringIO(), width=80)
    for number, interval in ((0.3, (0.25, 0.5)), (0.30003, (0.30001, 0.30004)), (0.2, (0.2, 0.2 + 1e-9))):
        scores = StepScores(-1.0, -1.0, 1.0, interval)
        print_step(screen, StepRecord("r", 0, 1, Token(1, "a", b"a"), "a", uniform=number, scores=scores), greedy=False)
    text = screen.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "random number 0.3000 is in 0.2500–0.5000 → a" in text
    assert "random number 0.30003 is in 0.30001–0.30004 → a" in text
    assert "random number 0.2000000 is in 0.2000000–0.2000000 → a" in text


def test_what_is_said_begins_on_a_line_of_its_own(tiny_folder):
    words = command("complete", tiny_folder, "the", "--max-tokens", 8, "--seed", 5)
    mixed = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    assert b"\nliuli: seed 5" in mixed
    assert subprocess.run(words, capture_output=True).stderr.startswith(b"liuli: ")


def test_prompt_from_standard_input(liuli, tiny_folder, tiny):
    result = liuli("complete", tiny_folder, "-", "--max-tokens", 4, "--seed", 1, "--json", stdin="今天\n".encode())
    assert json.loads(result.out)["prompt"]["text"] == "今天\n"


def test_tokenize(liuli, data):
    bert = data / "tokenizers" / "bert-base-chinese"
    body = json.loads(liuli("tokenize", bert, "[CLS]今天天气真", "--json").out)
    assert body["ids"] == [101, 791, 1921, 1921, 3698, 4696]
    assert body["tokens"][1] == {"id": 791, "text": "今", "bytes": list("今".encode()), "span": [5, 6]}
    assert "steps" not in body
    steps = liuli("tokenize", bert, "今天天气真", "--json", "--steps").out
    assert [chunk["ids"] for chunk in json.loads(steps)["steps"]] == [[791], [1921], [1921], [3698], [4696]]
    shown = liuli("tokenize", bert, "今天天气真").out
    assert "791  今" in shown
    odd = liuli("tokenize", bert, "playing·龘𪚥").out
    assert "##" in liuli("tokenize", bert, "unbelievable", "--steps").out.split("bytes (WordPiece)")[0]
    assert "<U+00B7>" in odd and "unknown" in odd and "5b 55 4e 4b 5d" not in odd
    assert "6 tokens, 5 characters, 15 bytes (WordPiece)" in shown


def test_tokenize_shows_every_merge(liuli, tiny_folder):
    shown = liuli("tokenize", tiny_folder, "the 天", "--steps").out
    assert "t + h → th  (rank 0, id 257)" in shown
    assert "th + e → the  (rank 1, id 258)" in shown
    assert "<E5><A4><A9>" not in shown
    assert "·天" in shown


def test_tokenize_needs_a_pattern_where_the_files_do_not_say_it(liuli, data):
    folder = data / "tokenizers" / "gpt2"
    refused = liuli("tokenize", folder, "hello")
    assert (refused.code, refused.out) == (2, "")
    assert "--pattern (gpt2, qwen, llama3)" in refused.err
    assert json.loads(liuli("tokenize", folder, "hello world", "--pattern", "gpt2", "--json").out)["ids"] == [31373, 995]


def test_plan(liuli, tiny_folder):
    shown = liuli("plan", "gpt3-175b").out
    assert "174.6 B" in shown
    assert "300 B tokens" in shown
    body = json.loads(liuli("plan", "gpt3-175b", "--json", "--gpu", "v100", "--utilisation", 0.3).out)
    assert body["parameters"] == 174_604_259_328
    assert body["training_tokens"] == 300e9
    assert body["this_machine"]["timed"] == "micro"  # its own blocks are too large to time
    assert " years " in next(line for line in shown.splitlines() if "on this machine, at " in line)
    assert re.search(r"about \d+ s +on this machine", liuli("plan", tiny_folder, "--tokens", "1e6").out)
    small = json.loads(liuli("plan", tiny_folder, "--json", "--tokens", "1e6").out)
    assert small["training_tokens"] == 1e6
    here = small["this_machine"]
    assert here["timed"] is None and here["hours"] == pytest.approx(1e6 / here["tokens_per_second"] / 3600)


def spoiled(tiny_folder: Path, tmp_path: Path, **files: str | bytes | None) -> Path:
    """A copy of the tiny model with some files changed or (None) gone."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.unlink() if content is None else path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


MISTAKES = {
    "temperature": (["--temperature", "-0.1"], "temperature must be 0 or more, not -0.1"),
    "nan": (["--temperature", "nan"], "temperature must be 0 or more, not nan"),
    "top-p 0": (["--top-p", "0"], "--top-p must be above 0 and at most 1, not 0.0"),
    "top-p 2": (["--top-p", "2"], "--top-p must be above 0 and at most 1, not 2.0"),
    "top-k": (["--top-k", "-1"], "--top-k must be a whole number, 0 (off) or more, not -1"),
    "min-p": (["--min-p", "1.5"], "--min-p must be between 0 and 1, not 1.5"),
    "seed": (["--seed", "-4"], "--seed must be a whole number, 0 or more, not -4"),
    "no number": (["--temperature", "x"], "liuli: --temperature must be a number, not 'x'\n"),
    "no whole number": (["--seed", "x"], "liuli: --seed must be a whole number, not 'x'\n"),
    "a fraction": (["--max-tokens", "1.5"], "liuli: --max-tokens must be a whole number, not '1.5'\n"),
    "stop": (["--stop", ""], "a stop string is empty"),
    "too many": (["--max-tokens", "127"], "2 tokens and --max-tokens is 127, but the context has only 128 tokens"),
    "none": (["--max-tokens", "0"], "--max-tokens must be a whole number of at least 1, not 0"),
    "device": (["--device", "gpu"], "there is no device 'gpu'; devices here: cpu"),
    "dtype": (["--dtype", "int3"], "there is no dtype 'int3'; dtypes: fp32, bf16, fp16"),
    "pattern": (["--pattern", "x"], "there is no pre-tokenization pattern 'x'; known: gpt2, qwen, llama3"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_gets_one_line_and_code_2(liuli, tiny_folder, words, message):
    result = liuli("complete", tiny_folder, "t", *words)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("liuli: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_mistakes_in_folders(liuli, tiny_folder, tmp_path):
    weights = (tiny_folder / "model.safetensors").read_bytes()
    for files, message in [
        ({"config__json": None}, "contains no config.json"),
        ({"config__json": "{,"}, "config.json is broken: it is not valid JSON"),
        ({"model__safetensors": weights[:-9]}, "model.safetensors is broken or truncated"),
        ({"tokenizer__json": '{"model": {"type": "Unigram"}}'}, "Unigram"),
    ]:
        result = liuli("complete", spoiled(tiny_folder, tmp_path / message[:9], **files), "t")
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert result.err.count("\n") == 1


def test_a_tokenizer_larger_than_the_embedding(liuli, data, tiny_folder, tmp_path):
    folder = spoiled(tiny_folder, tmp_path, tokenizer__json=(data / "tokenizers" / "minimind" / "tokenizer.json").read_bytes())
    result = liuli("complete", folder, "t")
    assert result.code == 2
    assert "the tokenizer has 6400 ids, but the model's embedding has only 270" in result.err


def test_empty_prompt_with_no_begin_token(liuli, tiny_folder, tmp_path):
    content = json.loads((tiny_folder / "tokenizer.json").read_text()) | {"post_processor": None}
    result = liuli("complete", spoiled(tiny_folder, tmp_path, tokenizer__json=json.dumps(content)), "")
    assert result.code == 2
    assert "the prompt is empty and the tokenizer has no begin-of-text token" in result.err


def test_a_prompt_longer_than_the_context(liuli, tiny_folder):
    result = liuli("complete", tiny_folder, "x" * 300)
    assert result.code == 2
    assert "the prompt has 301 tokens, but the context has 128" in result.err


def test_text_that_is_not_utf8(liuli, tiny_folder):
    result = liuli("complete", tiny_folder, "-", stdin=b"abc\xff")
    assert result.code == 2
    assert "standard input is not UTF-8 text: byte 4 of 4 is 0xFF" in result.err
    assert "lone surrogate U+DCFF" in liuli("tokenize", tiny_folder, os.fsdecode(b"ab\xff")).err


def test_no_tokenizer(liuli, tiny_folder, tmp_path):
    result = liuli("complete", spoiled(tiny_folder, tmp_path, tokenizer__json=None), "t")
    assert result.code == 2
    assert "contains no tokenizer: add its tokenizer files" in result.err


def test_plan_mistakes(liuli):
    for words, message in [
        (["gpt5"], "there is no size, folder or file gpt5; sizes: nano"),
        (["nano", "--gpu", "abacus"], "--gpu must be one of v100, a100, h100, h200, rtx4090, not abacus"),
        (["nano", "--utilisation", 0], "--utilisation must be above 0"),
        (["nano", "--tokens", "many"], "--tokens must be a number"),
    ]:
        result = liuli("plan", *words)
        assert (result.code, result.out) == (2, "")
        assert message in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["complete", "x", "t", "--beams", "4"], "No such option: --beams"),
        (["complete", "x", "-5 degrees"], "No such option: -5; try liuli complete --help, or put -- before an argument that"),
        (["complete", "x"], "Missing argument 'PROMPT'; try liuli complete --help"),
        (["complete", "x", "t", "--seed", "abc"], "--seed must be a whole number, not "),
        (["tokenizer", "train", "x"], "Missing option '--out'; try liuli tokenizer train --help"),
        (["dream"], "No such command 'dream'; try liuli --help"),
        (["tokenize", "x", "t", "--steps=3"], "Option '--steps' does not take a value; try liuli tokenize --help"),
    ],
)
def test_a_mistake_in_the_line_itself_is_one_line(liuli, words, said):
    result = liuli(*words)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"liuli: {said}") and result.err.count("\n") == 1


def test_version_and_help(liuli):
    from liuli import __version__

    assert liuli("--version").out == f"liuli {__version__}\n"
    assert liuli("data", "look", "--help").code == 0 and liuli("data").code == 2
    assert "SOURCE...}" not in liuli("data", "look", "--help").out
    assert "gpt3-175b" in liuli("plan", "--help").out


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "utf-8"])
def test_a_terminal_that_lacks_characters(tiny_folder, encoding):
    env = os.environ | {"PYTHONIOENCODING": encoding}
    for words in (
        ["tokenize", tiny_folder, "天 é😀"],
        ["complete", tiny_folder, "天é", "--steps", "--max-tokens", 3],
        ["--help"],
    ):
        result = subprocess.run(command(*words), capture_output=True, env=env)
        assert result.returncode == 0 and b"Traceback" not in result.stderr, result.stderr
    result = subprocess.run(command("tokenize", tiny_folder, "天 é😀", "--json"), capture_output=True, env=env)
    assert json.loads(result.stdout.decode(encoding))["text"] == "天 é😀"


def test_a_path_that_the_system_refuses(liuli, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "secret.txt")

    monkeypatch.setattr("liuli.cli.plan.make_plan", refuse)
    assert liuli("plan", "nano").err == "liuli: secret.txt cannot be read or written: permission denied\n"


def test_every_command_has_help_of_one_line(liuli):
    shown = liuli("--help").out
    for command in ("tokenize", "complete", "plan"):
        assert f"│ {command} " in shown
        assert "--json" in liuli(command, "--help").out


def command(*words: object) -> list[str]:
    return [sys.executable, "-c", "from liuli.cli.app import main; main()", *map(str, words)]


def test_ctrl_c_ends_at_once_with_what_was_said(stories):
    """Interrupted after the first text has come: code 130, the seed is said, no traceback."""
    words = command("complete", stories, "Once", "--max-tokens", 500, "--seed", 3)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"seed 3" in err
    assert err.endswith(b"\nliuli: interrupted\n")
    assert b"Traceback" not in err


def test_a_closed_pipe_ends_quietly(stories):
    words = command("complete", stories, "Once", "--max-tokens", 500, "--steps", "--json")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.wait(timeout=60)


def test_bert_vocabulary_on_a_gpt2(liuli, data, tmp_path):
    """The article's folder: config.json, weights and vocab.txt, and a greedy loop that shows each step."""
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=21_128, n_positions=64, n_embd=16, n_layer=1, n_head=2, eos_token_id=102)
    ).save_pretrained(tmp_path)
    shutil.copy(data / "tokenizers" / "bert-base-chinese" / "vocab.txt", tmp_path)
    body = json.loads(liuli("complete", tmp_path, "今天天气真", "--max-tokens", 20, "--temperature", 0, "--json").out)
    assert body["prompt"]["ids"] == [101, 791, 1921, 1921, 3698, 4696]
    assert len(body["completion"]["ids"]) == 20
    assert load(tmp_path).stop_ids == [102]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("generation_config.json", {"eos_token_id": "x"}, "eos_token_id must be an id or a list of ids, not 'x'"),
        ("generation_config.json", {"temperature": "hot"}, "generation_config.json: temperature must be a number, not 'hot'"),
        ("generation_config.json", {"top_p": 2}, "generation_config.json: top_p must be above 0"),
        ("generation_config.json", [], "a JSON object is expected, found a list"),
        ("config.json", {"rms_norm_eps": "x"}, "rms_norm_eps must be a number above 0, not 'x'"),
        ("config.json", {"rope_parameters": {"rope_theta": "a"}}, "config.json has an invalid value (could not convert string"),
        ("config.json", {"rope_parameters": {"rope_theta": -3}}, "rope_theta must be a number above 0, not -3"),
        ("config.json", {"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false, not 'yes'"),
        ("config.json", {"model_type": ["llama"]}, "the architecture ['llama'] is not supported"),
        ("config.json", {"hidden_act": 3}, "the activation 3 is not supported"),
    ],
)
def test_settings_of_odd_types_are_named(liuli, tiny_folder, tmp_path, file, content, message):
    folder = spoiled(tiny_folder, tmp_path)
    if file == "config.json":
        content = json.loads((folder / file).read_text()) | content
    (folder / file).write_text(json.dumps(content))
    result = liuli("complete", folder, "t", "--max-tokens", 1)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_options_that_would_do_nothing_are_refused(liuli, tiny_folder):
    for words, message in [
        (["--candidates", 3], "--candidates needs --steps or --json"),
        (["--candidates", -1, "--json"], "candidates must be 0 or more"),
        (["--pattern", "gpt2"], "has its own pre-tokenizer: leave out --pattern gpt2"),
        (["--threads", 0], "--threads must be from 1 to"),
        (["--threads", 100000], "--threads must be from 1 to"),
    ]:
        result = liuli("complete", tiny_folder, "t", *words)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert result.err.count("\n") == 1


def test_the_folders_own_settings_are_said(liuli, tiny_folder, tmp_path):
    folder = spoiled(tiny_folder, tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"top_k": 5, "top_p": 0.5, "repetition_penalty": 1.3}))
    told = liuli("complete", folder, "t", "--max-tokens", 1, "--seed", 1, "--temperature", 0.5).err
    assert told == (
        "liuli: seed 1, temperature 0.5; the folder's generation_config.json: top-k 5, top-p 0.5, repetition-penalty 1.3\n"
    )


def test_where_each_setting_is_from_is_said(liuli, tiny_folder, tmp_path):
    folder = spoiled(tiny_folder, tmp_path)
    settings = {"top_k": 5, "suppress_tokens": [4, 5], "typical_p": 0.9}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    told = liuli("complete", folder, "t", "--max-tokens", 1, "--seed", 1).err.splitlines()
    assert told == [
        f"liuli: {folder / 'generation_config.json'} sets typical_p = 0.9, which Liuli does not support and ignores",
        "liuli: seed 1; the folder's generation_config.json: top-k 5, logit-bias of 2 tokens; default: temperature 1",
    ]


def test_a_full_disk(tiny_folder):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a device that is always full")
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        result = subprocess.run(command("plan", "nano", "--json"), stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "cannot be written" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["complete", "owner/model", "t"],
        ["chat", "owner/model"],
        ["compare", "owner/model", "--prompt", "t"],
        ["evaluate", "owner/model", "-"],
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--device", "gpu", "there is no device 'gpu'; devices here: "),
        ("--device", "cpu:1", "there is no device 'cpu:1': this machine has only cpu:0"),
        ("--device", "cuda:-1", "there is no device 'cuda:-1'"),
        ("--threads", "0", "--threads must be from 1 to "),
        ("--threads", "99999", "--threads must be from 1 to "),
        ("--threads", "1.5", "--threads must be a whole number, not '1.5'"),
    ],
)
def test_where_to_compute_is_checked_before_a_model_is_opened(liuli, tmp_path, monkeypatch, words, option, value, message):
    """Nothing is downloaded."""
    monkeypatch.chdir(tmp_path)
    result = liuli(*words, option, value)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_gpu_that_this_machine_lacks(liuli, tiny_folder):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert (
        "this machine has no cuda:1 device that PyTorch can use; devices here: cpu"
        in liuli("complete", tiny_folder, "t", "--device", "cuda:1").err
    )
