"""Which tokens the files of a folder add, which are special, which have names, and their properties: as `transformers`."""

import json
import random

import pytest
import transformers
from helpers import token_samples as samples
from helpers.chat_templates import FORMS
from tokenizers import AddedToken, Tokenizer

from liuli.errors import LiuliError
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat
from liuli.tokens.chat.templates import CHATML
from liuli.tokens.trace import trace

FLAGS = ("special", "lstrip", "rstrip", "normalized", "single_word")
ORACLES = {
    "bytes": transformers.PreTrainedTokenizerFast, "spaced": transformers.PreTrainedTokenizerFast,
    "vocab.txt": transformers.BertTokenizer, "vocab.json": transformers.GPT2Tokenizer,
    "tokenizer.model": transformers.LlamaTokenizer,
}  # fmt: skip
TEXTS = [
    "hello<s>the</s>", "x [speaker1] y[speaker2]z", "<img>the<boi>", " <l> a <r>  b <n> c", "word swords word",
    "<a><b><c><d>", "<x>the<y> <pad>", "<e1>the <e2>", "<new>hi",
]  # fmt: skip


def described(*rows):
    """`added_tokens_decoder` of (id, text, the flags that are true)."""
    return {
        "added_tokens_decoder": {
            str(token_id): {"content": text} | {flag: flag in true.split() for flag in FLAGS} for token_id, text, true in rows
        }
    }


def write_layout(folder, layout):
    """A small vocabulary in this layout, without a begin token of its own. Returns the first free id, and the cutting pattern
    to ask for."""
    if layout in ("bytes", "spaced"):
        backend = samples.byte_level() if layout == "bytes" else samples.spaced()
        backend.post_processor = None
        backend.save(str(folder / "tokenizer.json"))
        return backend.get_vocab_size(), None
    if layout == "vocab.txt":
        lines = samples.wordpiece_lines()
        (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return len(lines), None
    if layout == "tokenizer.model":
        samples.write_sentencepiece(folder)
        return 650, None
    samples.write_vocab_and_merges(folder, samples.small_ranks(), {})
    (folder / "tokenizer_config.json").unlink()
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    samples.write_json(folder / "vocab.json", vocab | {"<|endoftext|>": len(vocab)})
    return len(vocab) + 1, "gpt2"


def files_of(case, first):
    """What the configuration files say, by case; `first`: the first free id."""
    config, mapped, listed = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
    token = {"content": "<b>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
    return {
        "nothing": {},
        "map": {mapped: {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}},
        "map of objects": {mapped: {"bos_token": token}},
        "map before config": {config: {"eos_token": "<a>", "bos_token": "<b>"}, mapped: {"eos_token": "<c>"}},
        "described tokens before a map": {
            config: {"eos_token": "<a>", **described((first, "<a>", "special"))},
            mapped: {"eos_token": "<c>", "bos_token": "<d>"},
            listed: {"<x>": first + 1},
        },
        "additional": {config: {"additional_special_tokens": ["[speaker1]", "[speaker2]"]}},
        "additional of a map": {mapped: {"additional_special_tokens": ["[speaker1]", "[speaker2]"]}},
        "extra": {config: {"extra_special_tokens": ["<e1>", "<e2>"], "additional_special_tokens": ["<a>"]}},
        "extra with names": {config: {"extra_special_tokens": {"image_token": "<img>", "boi": "<boi>"}}},
        "a name of its own": {config: {"image_token": "<img>", "add_bos_token": False}},
        "added_tokens.json": {listed: {"<x>": first, "<y>": first + 1}, mapped: {"eos_token": "<y>"}},
        "properties": {
            config: {
                "bos_token": "<n>",
                **described(
                    (first, "<n>", "normalized"), (first + 1, "<l>", "special lstrip"), (first + 2, "<r>", "rstrip"),
                    (first + 3, "word", "normalized single_word"),
                ),
            }
        },
        "no token": {config: {"pad_token": None, "additional_special_tokens": None, "extra_special_tokens": []}},
        "described and additional": {
            config: {"additional_special_tokens": ["<a>", "<new>"], **described((first, "<a>", ""))}
        },
    }[case]  # fmt: skip


CASES = [
    "nothing", "map", "map of objects", "map before config", "described tokens before a map", "additional",
    "additional of a map", "extra", "extra with names", "a name of its own", "added_tokens.json", "properties", "no token",
    "described and additional",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ORACLES)
def test_tokens_and_names_are_those_of_transformers(layout, case, tmp_path):
    if (layout, case) == ("tokenizer.model", "additional of a map"):
        pytest.skip("the library's class for this layout leaves them out")
    first, pattern = write_layout(tmp_path, layout)
    for name, content in files_of(case, first).items():
        samples.write_json(tmp_path / name, content)
    theirs, ours = ORACLES[layout].from_pretrained(tmp_path), open_tokenizer(tmp_path, pattern)
    wanted = {
        token_id: (token.content, token.special, token.lstrip, token.rstrip, token.normalized, token.single_word)
        for token_id, token in theirs.added_tokens_decoder.items()
    }
    assert {
        token.id: (token.text, token.special, token.strip_left, token.strip_right, token.normalized, token.single_word)
        for token in ours.added.values()
    } == wanted
    assert ours.names == theirs.special_tokens_map
    if layout != "tokenizer.model":  # where the library puts no space after an added token, and SentencePiece does
        for text in TEXTS:
            assert ours.encoder.encode(text, special=True) == theirs.encode(text, add_special_tokens=False), text


def test_sentencepiece_puts_a_space_at_the_beginning_alone_if_the_folder_says_so(tmp_path):
    """`legacy: false` in `tokenizer_config.json`: ids as `transformers` has them, also in a chat and in the trace."""
    samples.write_sentencepiece(tmp_path)
    tokens = described((650, "<|im_start|>", "special"), (651, "<|im_end|>", "special"))
    config = {"legacy": False, "chat_template": CHATML, "eos_token": "<|im_end|>", **tokens}
    samples.write_json(tmp_path / "tokenizer_config.json", config)
    ours, theirs = open_tokenizer(tmp_path), transformers.LlamaTokenizer.from_pretrained(tmp_path)
    for text in ("hello<s>the</s> x", "<|im_start|>hello <|im_end|>", "</s>a", "a</s> b"):
        ids = theirs.encode(text, add_special_tokens=False)
        assert ours.encoder.encode(text, special=True) == ids
        assert [token_id for chunk in trace(ours, text, prompt=True) for token_id in chunk.ids] == ids
        assert ours.decode(ids, special=True) == text
    chat = Chat.open(tmp_path, ours)
    for messages in dialogues(120):
        assert chat.dialogue(messages).ids == theirs.apply_chat_template(messages, return_dict=False)
    said = chat.prompt([{"role": "user", "content": "a<|im_end|>b"}])
    assert said.count(651) == 1 and "a<|im_end|>b" in ours.decode(said)


def test_a_placeholder_of_sentencepiece_gets_the_text_that_a_file_gives_it(tmp_path):
    samples.write_sentencepiece(tmp_path, control_symbols=["<reserved>"])
    samples.write_json(tmp_path / "tokenizer_config.json", described((3, "<|im_end|>", "special")))
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.specials == {"<unk>": 0, "<s>": 1, "</s>": 2, "<|im_end|>": 3}
    assert tokenizer.encode("a<|im_end|>", prompt=True) == [1, *tokenizer.encode("a"), 3]
    samples.write_json(tmp_path / "tokenizer_config.json", described((3, "<think>", "")))
    assert open_tokenizer(tmp_path).decode([3]) == "<think>"


def test_sentencepiece_reads_a_token_for_whole_words_as_a_word_only(tmp_path):
    samples.write_sentencepiece(tmp_path)
    samples.write_json(tmp_path / "tokenizer_config.json", described((650, "MASK", "special single_word")))
    tokenizer = open_tokenizer(tmp_path)
    found = {
        text: tokenizer.encode(text, prompt=True).count(650) for text in ("MASK", "a MASK b", "MASKS MASK", "aMASK", "今MASK")
    }
    assert found == {"MASK": 1, "a MASK b": 1, "MASKS MASK": 1, "aMASK": 0, "今MASK": 0}


def test_the_begin_token_that_a_map_names_is_in_a_chat_prompt(tmp_path):
    """It was left out silently."""
    write_layout(tmp_path, "bytes")
    samples.write_json(tmp_path / "special_tokens_map.json", {"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    (tmp_path / "chat_template.jinja").write_text(FORMS["llama-2"].template, encoding="utf-8")
    chat = Chat.open(tmp_path, open_tokenizer(tmp_path))
    prompt = chat.prompt([{"role": "user", "content": "the"}])
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert prompt[0] == theirs.bos_token_id
    assert prompt == theirs.apply_chat_template([{"role": "user", "content": "the"}], return_dict=False)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("special_tokens_map.json", {"bos_token": 7}, "the token 'bos_token' must be a string"),
        ("special_tokens_map.json", {"bos_token": {"content": "<s>", "lstrip": 1}}, "\"lstrip\" of the token 'bos_token'"),
        ("tokenizer_config.json", {"eos_token": {"text": "</s>"}}, "the token 'eos_token' must be a string"),
        ("tokenizer_config.json", {"eos_token": "x" * 5000}, "1 to 4,096 characters, not 5,000"),
        ("tokenizer_config.json", {"eos_token": "\ud800"}, "is not valid Unicode"),
        ("tokenizer_config.json", {"additional_special_tokens": "<a>"}, "additional_special_tokens must be a list"),
        ("tokenizer_config.json", {"extra_special_tokens": [["<a>"]]}, "a token of extra_special_tokens must be a string"),
        ("tokenizer_config.json", {"extra_special_tokens": {"a": 7}}, "the token 'a' must be a string"),
        ("added_tokens.json", {"<x>": -1}, "the id of '<x>' must be a whole number"),
    ],
)
def test_entries_that_are_no_tokens(name, content, named, tmp_path):
    write_layout(tmp_path, "bytes")
    samples.write_json(tmp_path / name, content)
    with pytest.raises(LiuliError) as caught:
        open_tokenizer(tmp_path)
    assert named in str(caught.value) and name in str(caught.value)


# Kind of backend, properties of <s> and </s>, properties of the other control tokens.
MIXED = [
    ("spaced", "normalized", ""),
    ("spaced", "", "normalized"),
    ("spaced", "normalized rstrip", "lstrip"),
    ("spaced", "lstrip", "normalized rstrip"),
    ("spaced", "single_word", "normalized"),
    ("first", "normalized", ""),
    ("always", "", "normalized lstrip"),
    ("bytes", "lstrip rstrip", "normalized"),
    ("bytes", "single_word", "rstrip"),
    ("words", "normalized", "single_word"),
]

# Replies are not ended by a token that the tokenizer reads: see below.
UNREAD = {(*row, form) for row in MIXED for form in ("chatml", "llama-2") if "single_word" in row[1] + row[2]}
UNREAD |= {("spaced", "", "normalized", "chatml"), ("spaced", "lstrip", "normalized rstrip", "chatml")}


def with_properties(kind, ends, others, controls) -> Tokenizer:
    make = {"spaced": samples.spaced, "bytes": samples.byte_level, "words": samples.wordpiece}
    backend = samples.metaspace(kind) if kind not in make else make[kind]()
    backend.post_processor = None
    for text in controls:
        flags = (ends if text in ("<s>", "</s>") else others).split()
        backend.add_special_tokens([AddedToken(text, special=True, **{flag: flag in flags for flag in FLAGS[1:]})])
    return backend


def dialogues(count):
    draw = random.Random(11)
    words = ["小明", "今天", "hello", "the", " two  spaces", "\n", "\n\n", "3.14", "é", "😀", ".", "?", "\t", " ", "x"]
    for _ in range(count):
        messages = []
        for _ in range(draw.randint(1, 3)):
            for role in ("user", "assistant"):
                said = "".join(draw.choice(words) for _ in range(draw.randint(1, 8)))
                messages.append({"role": role, "content": said if said.strip() else "x"})
        yield messages


@pytest.mark.parametrize("form", ["chatml", "llama-2"])
@pytest.mark.parametrize(("kind", "ends", "others"), MIXED)
def test_each_added_token_has_its_own_properties(kind, ends, others, form, tmp_path):
    """What stands behind a control token begins as that token has it, not as another one does."""
    controls = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
    template = "{{ bos_token }}" + CHATML if form == "chatml" else FORMS[form].template
    with_properties(kind, ends, others, controls).save(str(tmp_path / "tokenizer.json"))
    config = {"chat_template": template, "bos_token": "<s>", "eos_token": "</s>"}
    samples.write_json(tmp_path / "tokenizer_config.json", config)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    chat = Chat.open(tmp_path, open_tokenizer(tmp_path))
    for messages in dialogues(120):
        asked = theirs.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
        assert chat.prompt(messages[:-1]) == asked
        if (kind, ends, others, form) not in UNREAD:
            encoded = chat.dialogue(messages)
            assert encoded.ids == theirs.apply_chat_template(messages, return_dict=False)
            assert sum(encoded.supervised) > 0


def test_a_token_that_its_tokenizer_does_not_read_behind_a_reply_cannot_end_it(tmp_path):
    """The normalizer puts ▁ in front of the token's text too, so it is found behind a space only."""
    with_properties("spaced", "", "normalized", ("<|im_start|>", "<|im_end|>")).save(str(tmp_path / "tokenizer.json"))
    samples.write_json(tmp_path / "tokenizer_config.json", {"chat_template": CHATML})
    with pytest.raises(LiuliError, match="does not end a reply with its stop token"):
        Chat.open(tmp_path, open_tokenizer(tmp_path)).dialogue(next(dialogues(1)))


@pytest.mark.parametrize(("kind", "ends", "others"), [row for row in MIXED if (*row, "chatml") not in UNREAD])
def test_a_typed_control_string_changes_no_other_token(kind, ends, others, tmp_path):
    """The text around it is cut as it would be without control strings, and all other ids stay."""
    controls = ("<s>", "</s>", "<|im_start|>", "<|im_end|>")
    backend = with_properties(kind, ends, others, controls)
    backend.save(str(tmp_path / "tokenizer.json"))
    config = {"chat_template": CHATML, "bos_token": "<s>", "eos_token": "</s>"}
    samples.write_json(tmp_path / "tokenizer_config.json", config)
    chat = Chat.open(tmp_path, open_tokenizer(tmp_path))
    ids = {chat.tokenizer.specials[text] for text in controls}
    quiet = [{"role": "user", "content": "the x hello"}, {"role": "assistant", "content": "y"}]
    for typed in ("<|im_end|>", "x<|im_end|>y", "<|im_start|>system\n", "<s></s>", "the <s> x"):
        messages = [quiet[0] | {"content": f"hello {typed} the"}, quiet[1]]
        said, other = chat.dialogue(messages), chat.dialogue(quiet)
        assert [token_id for token_id in said.ids if token_id in ids] == [each for each in other.ids if each in ids]
        size = next(i for i, token_id in enumerate(other.ids[1:], 1) if token_id in ids)
        assert said.ids[-(len(other.ids) - size) :] == other.ids[size:]  # from the end of the first message on
        assert said.text == other.text.replace("the x hello", f"hello {typed} the")
        covered = {place for span in said.spans for place in range(*span)}
        assert all(place in covered or character.isspace() for place, character in enumerate(said.text))
