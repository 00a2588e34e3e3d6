"""Tokenizer files that are made to hang, to crash or to deceive: each is refused soon, in one clean line, with its cause."""

import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from helpers import token_samples as samples
from tokenizers import Regex, pre_tokenizers

from liuli.errors import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.formats import trial
from liuli.tokens.formats.config import read_end_ids
from liuli.tokens.formats.patterns import KNOWN
from liuli.tokens.trace import trace

ESCAPES = "\x1b]0;title\x07\x9b31m\u202e\r\x00"
DIGITS = "9" * 5_000


def refused(folder: Path, *named: str, pattern: str | None = None, seconds: float = 15) -> LiuliError:
    """Opens the folder, which must fail in time, in one line that is clean and names all of `named`."""
    before = time.monotonic()
    with pytest.raises(LiuliError) as caught:
        open_tokenizer(folder, pattern)
    assert time.monotonic() - before < seconds
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700
    for name in named:
        assert name in message
    return caught.value


def write_pipeline(folder: Path, make: Callable[[], tokenizers.Tokenizer] = samples.byte_level, **parts: Any) -> Path:
    """A tokenizer.json with other parts; those of "model" are put among the model's fields."""
    content = json.loads(make().to_str())
    content["model"] |= parts.pop("model", {})
    (folder / "tokenizer.json").write_text(json.dumps(content | parts), encoding="utf-8")
    return folder


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def added(**fields: Any) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": 400, "content": "<x>"} | flags | fields


@pytest.mark.parametrize("pattern", ["(a+)+b", "(x+x+)+y", "(a|a)*b", "(a*)*\\1b", "(?<x>\\g<x>|a)", "(", "", "a" * 10_001])
def test_patterns_that_explode_or_are_broken(pattern, tmp_path):
    refused(write_pipeline(tmp_path, pre_tokenizer=split(pattern)), "tokenizer.json is broken")
    refused(write_pipeline(tmp_path, normalizer=replace({"Regex": pattern}, "x")), "tokenizer.json is broken")


def test_a_pattern_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("liuli.tokens.formats.tokenizer_json.TRIAL_SECONDS", 1.0)
    cubic = "a*a*b"
    refused(write_pipeline(tmp_path, pre_tokenizer=split(cubic)), "did not end within 1 s", cubic)


def test_a_foreign_pattern_that_is_fast_opens_and_cuts_as_the_library_does(tmp_path):
    """Qwen's with marks as letters, which is not among the known ones."""
    pattern = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    assert pattern not in KNOWN
    spelled = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    write_pipeline(tmp_path, pre_tokenizer={"type": "Sequence", "pretokenizers": [split(pattern), spelled]})
    tokenizer, oracle = open_tokenizer(tmp_path), tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in samples.ODD:
        if "<s>" not in text and "</s>" not in text:
            assert tokenizer.encode(text) == oracle.encode(text, add_special_tokens=False).ids


def test_known_patterns_pass_the_trial():
    for pattern in KNOWN:
        backend = pre_tokenizers.Split(Regex(pattern), "isolated")
        before = time.process_time()
        for text in trial._texts([pattern]):
            backend.pre_tokenize_str(text)
        assert time.process_time() - before < 5, pattern


def test_known_patterns_need_no_trial(tmp_path, monkeypatch):
    """They open as fast as ever: no process is started."""
    monkeypatch.setattr("liuli.tokens.sandbox.process.SandboxedProcess", None)
    for pattern in KNOWN:
        open_tokenizer(write_pipeline(tmp_path, pre_tokenizer=split(pattern)))
    for make in (samples.byte_level, samples.spaced, samples.wordpiece, lambda: samples.metaspace("always")):
        open_tokenizer(write_pipeline(tmp_path, make))


@pytest.mark.parametrize(
    ("part", "step", "named"),
    [
        ("normalizer", replace({"String": ""}, "x"), "a pattern must have 1"),
        ("normalizer", replace({"String": "a"}, "x" * 257), "'content' of 'Replace' has 257 characters"),
        ("normalizer", {"type": "Sequence", "normalizers": [replace({"String": "a"}, "a" * 50)] * 10}, "times longer"),
        ("normalizer", {"type": "Replace", "content": "x"}, "a pattern must be"),
        ("normalizer", {"type": "Prepend", "prepend": "x" * 10_000_000}, "has 10,000,000 characters"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, "broken"),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8AAAA="}, "Precompiled"),
        ("normalizer", {"type": ESCAPES}, "broken"),
        ("normalizer", [], "a step of its pipeline must be an object, not []"),
        ("normalizer", {"type": "Sequence", "normalizers": {"type": "NFC"}}, "a sequence must be a list"),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 101}, "101 steps"),
        ("pre_tokenizer", {"type": "FixedLength", "length": 0}, "must be above 0"),
        ("pre_tokenizer", {"type": "FixedLength", "length": 10**400}, "broken"),
        ("pre_tokenizer", split("a") | {"pattern": {"String": "a", "Regex": "b"}}, "a pattern must be"),
        ("added_tokens", {}, "must be a list"),
        ("added_tokens", [7], "has no text"),
        ("added_tokens", [added(content="x" * 4097)], "has 4,097 characters"),
        ("added_tokens", [added(id=4294967295)], "token '<x>' must be a whole number"),
        ("added_tokens", [added(id=10**400, content=ESCAPES)], "broken"),
        ("added_tokens", [added(lstrip="yes")], "broken"),
        ("added_tokens", [added(lstrip=None)], "broken"),
        ("added_tokens", [added(lstrip=10**9)], "broken"),
    ],
)
def test_parts_that_are_out_of_bounds(part, step, named, tmp_path):
    refused(write_pipeline(tmp_path, **{part: step}), "tokenizer.json", named)


def test_sequences_that_are_too_deep(tmp_path):
    step: dict[str, Any] = {"type": "NFC"}
    for _ in range(300):
        step = {"type": "Sequence", "normalizers": [step]}
    refused(write_pipeline(tmp_path, normalizer=step), "16 levels")


@pytest.mark.parametrize(
    ("make", "fields", "named"),
    [
        (samples.wordpiece, {"max_input_chars_per_word": 10**9}, "max_input_chars_per_word"),
        (samples.wordpiece, {"max_input_chars_per_word": None}, "max_input_chars_per_word"),
        (samples.wordpiece, {"continuing_subword_prefix": "#" * 1_000_000}, "continuing_subword_prefix"),
        (samples.byte_level, {"continuing_subword_prefix": "x" * 1_000_000}, "not supported"),
        (samples.byte_level, {"continuing_subword_prefix": "xxxx", "merges": ["a b"]}, "not supported"),
        (samples.byte_level, {"end_of_word_suffix": "x" * 1_000_000}, "not supported"),
        (samples.byte_level, {"vocab": {"a": 4294967295}, "merges": []}, "10,000,000, not 4294967295"),
        (samples.byte_level, {"vocab": {"a": 10**400}, "merges": []}, "10,000,000, not 1000"),
        (samples.byte_level, {"vocab": {"a": -1}, "merges": []}, "10,000,000, not -1"),
        (samples.byte_level, {"vocab": {ESCAPES: "1"}, "merges": []}, "the id of"),
        (samples.byte_level, {"vocab": [["a", 0]]}, "no vocabulary"),
        (samples.byte_level, {"unk_token": [ESCAPES]}, "unk_token"),
        (samples.byte_level, {"unk_token": ESCAPES}, "unknown token"),
        (samples.byte_level, {"type": ESCAPES}, "are not supported"),
    ],
)
def test_models_that_are_out_of_bounds(make, fields, named, tmp_path):
    refused(write_pipeline(tmp_path, make, model=fields), "tokenizer.json", named)


def template(ids: Any) -> dict[str, Any]:
    special = {"id": "x", "ids": ids, "tokens": []}
    single = [{"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {"x": special}}


@pytest.mark.parametrize(
    ("processor", "named"),
    [
        (template([1] * 1_000_000), "puts 1,000,000 tokens before"),
        (template(["1"]), "post-processor"),
        (template([True]), "post-processor"),
        (template(1), "post-processor"),
        (template([1]) | {"special_tokens": {}}, "post-processor"),
        ({"type": "BertProcessing", "cls": "x"}, "post-processor"),
        ({"type": "RobertaProcessing"}, "post-processor"),
        ({"type": "Sequence", "processors": 1}, "post-processor"),
        ({"single": ESCAPES}, "post-processor"),
        ([], "post-processor"),
    ],
)
def test_post_processors_that_are_broken(processor, named, tmp_path):
    refused(write_pipeline(tmp_path, post_processor=processor), named)


@pytest.mark.parametrize(("token_id", "shown"), [(4294967295, "4294967295"), (9000, "9000"), (10**400, "1000"), (-1, "-1")])
def test_a_begin_token_that_the_tokenizer_does_not_have_is_left_out(token_id, shown, tmp_path, caplog):
    tokenizer = open_tokenizer(write_pipeline(tmp_path, post_processor=template([1, token_id])))
    assert tokenizer.begin == [1]
    (message,) = caplog.messages
    assert f"the begin token {shown}" in message
    assert "is not put before prompts: the tokenizer's ids are only 0 to 310" in message and len(message) < 400


def test_a_number_of_5000_digits(tmp_path):
    write_pipeline(tmp_path, model={"vocab": {"a": 777}})
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace("777", DIGITS))
    refused(tmp_path, "tokenizer.json is broken")


def test_every_field_with_odd_values(tmp_path):
    """Whatever stands in a field: the tokenizer opens and encodes, or is refused."""
    odd = [None, -1, 10**400, "x", "", [], {}, float("inf"), True, 1.5, 10**9, ESCAPES, "\ud800", [1], {"type": "NFC"}]
    draw, messages = random.Random(3), []
    for make in (samples.byte_level, samples.spaced, samples.wordpiece, lambda: samples.metaspace("always")):
        whole = make().to_str()
        for _ in range(60):
            content = json.loads(whole)
            place, key = draw.choice(list(places(content)))
            if draw.random() < 0.8:
                place[key] = draw.choice(odd)
            else:
                del place[key]
            (tmp_path / "tokenizer.json").write_text(json.dumps(content))
            try:
                open_tokenizer(tmp_path).encode("hello 今天 </s>", prompt=True)
            except LiuliError as error:
                messages.append(str(error))
    assert len(messages) > 50 and all(message.isprintable() and len(message) < 700 for message in messages)


def places(value: Any):
    """(object or list, key) of every field, of the first few where there are many."""
    keys = list(value)[:12] if isinstance(value, dict) else range(min(3, len(value))) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def test_a_panic_while_a_text_is_encoded(tmp_path):
    """A run of more than 10 million spaces is too much for the regular expressions of the library, even for a good pattern."""
    tokenizer = open_tokenizer(write_pipeline(tmp_path, pre_tokenizer=split(r"\s*[\r\n]+|\s+(?!\S)|\s+")))
    text = " " * 10_500_000
    for act in (tokenizer.encode, lambda text: trace(tokenizer, text)):
        with pytest.raises(LiuliError, match=r"library failed on this text: .* retry-limit-in-match over") as caught:
            act(text)
        assert type(caught.value.__cause__).__name__ == "PanicException"
    assert tokenizer.encode("hello")


def test_a_panic_of_a_rank_files_pattern(tmp_path):
    samples.write_ranks(tmp_path / "a.tiktoken", samples.small_ranks())
    with pytest.raises(LiuliError, match="library failed on this text"):
        open_tokenizer(tmp_path, "qwen").encode(" " * 10_500_000)


def test_causes_are_kept(tmp_path):
    """For `LIULI_TRACEBACK=1`."""
    assert refused(write_pipeline(tmp_path, added_tokens=[added(lstrip=None)])).__cause__ is not None
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").write_bytes(b"[UNK]\n\xff\n")
    assert isinstance(refused(tmp_path, "UTF-8").__cause__, UnicodeDecodeError)


def test_a_bug_of_ours_surfaces_as_itself(tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    monkeypatch.setattr("liuli.tokens.formats.detect.open_wordpiece", broken)
    with pytest.raises(KeyError, match="a bug"):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize("layout", ["a.tiktoken", "vocab.json", "tokenizer.model"])
@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"700": {"content": "<x>", "lstrip": "yes"}}},
            '"lstrip" of token 700',
        ),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"700": {"content": "<x>", "lstrip": None}}},
            '"lstrip" of token 700',
        ),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"700": {"content": "<x>", "rstrip": 10**9}}},
            '"rstrip" of token 700',
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"700": {"content": "<x>", "special": 10**400}}}, '"special" of'),
        ("tokenizer_config.json", {"added_tokens_decoder": {"4294967295": {"content": "<x>"}}}, "is not a token id"),
        ("tokenizer_config.json", {"added_tokens_decoder": {DIGITS: {"content": "<x>"}}}, "is not a token id"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"7_0": {"content": "<x>"}}}, "'7_0' is not a token id"),
        ("tokenizer_config.json", {"added_tokens_decoder": {ESCAPES: {"content": "<x>"}}}, "is not a token id"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"700": {"content": "x" * 4097}}}, "not 4,097"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"700": {"content": "\ud800"}}}, "not valid Unicode"),
        ("added_tokens.json", {ESCAPES: 10**400}, "the id of"),
        ("added_tokens.json", {"<x>": True}, "the id of '<x>' must be"),
        ("added_tokens.json", {"": 700}, "1 to 4,096 characters"),
        ("generation_config.json", {"eos_token_id": 10**400}, "eos_token_id must be"),
        ("config.json", {"eos_token_id": [1, ESCAPES]}, "eos_token_id must be"),
    ],
)
def test_configurations_that_are_out_of_bounds(layout, name, content, named, tmp_path):
    if layout == "a.tiktoken":
        samples.write_ranks(tmp_path / layout, samples.small_ranks())
    elif layout == "vocab.json":
        samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    else:
        samples.write_sentencepiece(tmp_path)
    samples.write_json(tmp_path / name, content)
    refused(tmp_path, named, pattern=None if layout == "tokenizer.model" else "qwen")


def test_end_ids_of_5000_digits(tmp_path):
    (tmp_path / "config.json").write_text(f'{{"eos_token_id": {DIGITS}}}')
    with pytest.raises(LiuliError, match="is broken"):
        read_end_ids(tmp_path, 100)


@pytest.mark.parametrize("line", [b"YQ== 4294967295", b"YQ== -1", b"YQ== 1_0", b"YQ== " + DIGITS.encode()])
def test_ranks_that_are_out_of_bounds(line, tmp_path):
    samples.write_ranks(tmp_path / "a.tiktoken", samples.small_ranks())
    with (tmp_path / "a.tiktoken").open("ab") as file:
        file.write(line)
    refused(tmp_path, f"line {len(samples.small_ranks()) + 1}", pattern="qwen")


def test_two_pieces_of_one_rank(tmp_path):
    samples.write_ranks(tmp_path / "a.tiktoken", samples.small_ranks() | {b"abc": 5})
    refused(tmp_path, "two pieces have the same rank", pattern="qwen")


@pytest.mark.parametrize(
    "content", [b"\x80" * 5_000_000, b"\x0a" + b"\xff" * 9 + b"\x01", b"\x0a\xff\xff\xff\xff\x7f", b"\x0b"]
)
def test_a_sentencepiece_file_whose_sizes_are_not_true(content, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(content)
    refused(tmp_path, "tokenizer.model is broken", seconds=2)


def piece(text: bytes, kind: int, score: float = 0.0) -> bytes:
    body = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
    return b"\x0a" + bytes([len(body)]) + body


# BPE with byte fallback; no normalization, no prefix, white space kept but escaped.
SETTINGS = b"\x12\x05\x18\x02\xa0\x02\x01" + b"\x1a\x06\x18\x00\x20\x00\x28\x01"
BYTES = b"".join(piece(b"<0x%02X>" % byte, 6) for byte in range(256))


def test_a_sentencepiece_file_made_by_hand(tmp_path):
    """What the tests of broken ones change."""
    (tmp_path / "tokenizer.model").write_bytes(piece(b"<unk>", 2) + piece(b"<s>", 3) + BYTES + piece(b"a", 1) + SETTINGS)
    assert open_tokenizer(tmp_path).encode("ab", prompt=True) == [1, 258, 2 + ord("b")]


@pytest.mark.parametrize(
    ("pieces", "settings", "named"),
    [
        (piece(b"<0x00>", 6) * 256, SETTINGS, "the same text"),
        (BYTES + piece(b"<0x00>", 1), SETTINGS, "the same text"),
        (BYTES.replace(b"<0x41>", b"<0x4g>"), SETTINGS, "is not a byte"),
        (BYTES[: len(BYTES) // 2], SETTINGS, "byte fallback"),
        (BYTES + piece(b"a", 7), SETTINGS, "the type of 'a' must be 1 to 6, not 7"),
        (BYTES + piece(b"", 1), SETTINGS, "a piece has no text"),
        (BYTES + piece(b"a", 1, float("nan")), SETTINGS, "the score of 'a'"),
        (BYTES + piece(ESCAPES.encode(), 9), SETTINGS, "must be 1 to 6, not 9"),
        (BYTES, SETTINGS[:7] + b"\x1a\x08" + SETTINGS[9:] + b"\x0a\x00", "removes"),
        (BYTES, SETTINGS + b"\x12\x06\x18\x02\xca\x02\x01a", "field 41 must be a number"),
        (BYTES + b"\x08\x01", SETTINGS, "must not be a number"),
    ],
)
def test_sentencepiece_files_that_deceive(pieces, settings, named, tmp_path):
    if "removes" in named:
        settings = b"\x12\x02\x18\x02"  # the normalizer is missing, and its default removes white space
    (tmp_path / "tokenizer.model").write_bytes(pieces + settings)
    refused(tmp_path, "tokenizer.model", named)


def test_a_begin_token_that_sentencepiece_does_not_have_is_left_out(tmp_path, caplog):
    begin = b"\x12\x08\x18\x02\xc8\x02\xff\xff\xff\x7f"
    (tmp_path / "tokenizer.model").write_bytes(BYTES + SETTINGS + begin)
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.begin == []
    assert tokenizer.encode("a", prompt=True) == tokenizer.encode("a")
    said = f"the begin token {(1 << 28) - 1} is not put before prompts: the tokenizer's ids are only 0 to 255"
    assert caplog.messages == [f"{tmp_path}: {said}"]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * b"0" + b"\nsize 7031645\n"


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "vocab.txt", "a.tiktoken", "vocab.json", "merges.txt"])
def test_a_git_lfs_pointer_in_place_of_a_file(name, tmp_path):
    if name in ("vocab.json", "merges.txt"):
        samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    (tmp_path / name).write_bytes(POINTER)
    pattern = "gpt2" if name in ("vocab.json", "merges.txt") else None
    refused(tmp_path, f"{name} is a Git LFS pointer, not the file itself: run `git lfs pull`", pattern=pattern)


def test_many_user_defined_pieces_of_sentencepiece(tmp_path):
    """They were sought one by one."""
    fixed = b"".join(piece(b"<%d>" % i, 4) for i in range(20_000))
    (tmp_path / "tokenizer.model").write_bytes(piece(b"<unk>", 2) + piece(b"<s>", 3) + BYTES + fixed + SETTINGS)
    tokenizer = open_tokenizer(tmp_path)
    before = time.process_time()
    text = "<19999><7><20000>" * 1000
    assert (
        tokenizer.encode(text)[:3] == [258 + 19_999, 258 + 7, 2 + ord("<")] and tokenizer.decode(tokenizer.encode(text)) == text
    )
    assert time.process_time() - before < 5


def test_names_of_files(tmp_path):
    name = "\x1b]0;title\x07\u202e.tiktoken"
    samples.write_ranks(tmp_path / name, samples.small_ranks())
    refused(tmp_path, "names the pre-tokenization pattern")
    (tmp_path / name).write_bytes(b"?\n")
    refused(tmp_path, "line 1", pattern="qwen")
    (tmp_path / name).write_bytes(b"YQ== 1\n")
    refused(tmp_path, "255 single bytes", pattern="qwen")
    (tmp_path / "b.tiktoken").write_bytes(b"")
    refused(tmp_path, "2 rank files", pattern="qwen")


def test_a_message_of_the_library_that_quotes_the_file(tmp_path):
    refused(write_pipeline(tmp_path, model={"merges": [["x" * 1_000_000, ESCAPES]]}), "broken", "…")
