"""Special tokens: never read out of content, always out of a prompt; the begin token once; an end token never."""

import pytest
import tokenizers
from helpers import token_samples as samples
from helpers.token_samples import only
from tokenizers import AddedToken, decoders, models, processors

from liuli.errors import LiuliError
from liuli.tokens import Tokenizer, open_tokenizer

TEXTS = ["hello", " a  b ", "今天天气真", "the\nworld", "x"]


def opened(folder, backend: tokenizers.Tokenizer, **config) -> Tokenizer:
    backend.save(str(folder / "tokenizer.json"))
    samples.write_json(folder / "tokenizer_config.json", config)
    return open_tokenizer(folder)


def unmistakable(tokenizer: Tokenizer) -> dict[str, int]:
    """The special tokens without the unknown one, which content gives too where a word is unknown."""
    return {text: id for text, id in tokenizer.specials.items() if id != tokenizer.unknown}


@only("bert")
def test_the_ids_that_everyone_knows(layout):
    ids = [101, 791, 1921, 1921, 3698, 4696]
    assert layout.tokenizer.encode("[CLS]今天天气真", prompt=True) == ids
    assert layout.tokenizer.encode("今天天气真", prompt=True) == ids
    assert layout.tokenizer.encode("今天天气真") == ids[1:]
    assert layout.tokenizer.encode("今天天气真[SEP]", prompt=True) == [*ids, 102]
    assert not {101, 102} & set(layout.tokenizer.encode("[CLS]今天天气真[SEP]"))


def test_there_are_special_tokens(layout):
    expected = {layout.begin, layout.end} - {None}
    assert expected <= set(layout.tokenizer.specials)
    assert layout.tokenizer.begin == ([layout.tokenizer.specials[layout.begin]] if layout.begin else [])


NO_CONFIGURED_END = dict.fromkeys(("qwen", "qwen-merges", "trained-bpe", "trained-char"), "<|endoftext|>")


def test_the_token_that_ends_a_document(layout):
    """Which is not always the one that ends a turn of a dialogue."""
    end = NO_CONFIGURED_END.get(layout.name, layout.end)
    assert layout.tokenizer.end == [layout.tokenizer.specials[end]]


@pytest.mark.parametrize(
    ("files", "end"),
    [
        ({}, "</s>"),
        ({"config.json": {"eos_token_id": 1}}, 1),
        ({"config.json": {"eos_token_id": 1}, "generation_config.json": {"eos_token_id": [4, 3]}}, 4),
        ({"config.json": {"eos_token_id": 1}, "generation_config.json": {"temperature": 1.0}}, 1),
        ({"config.json": {"eos_token_id": 1}, "tokenizer_config.json": {"eos_token": {"content": "<s>"}}}, "<s>"),
        ({"config.json": {"eos_token_id": 1}, "tokenizer_config.json": {"eos_token": "<new>"}}, "<new>"),
        ({"config.json": {"eos_token_id": [100_000, 5]}}, 5),  # an embedding is often larger than the vocabulary
        ({"config.json": {"eos_token_id": [-1, 100_000]}}, "</s>"),
        ({"config.json": {"eos_token_id": None}}, "</s>"),
    ],
)
def test_where_the_end_token_is_named(tmp_path, files, end):
    for name, content in files.items():
        samples.write_json(tmp_path / name, content)
    samples.byte_level().save(str(tmp_path / "tokenizer.json"))
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.end == [end if isinstance(end, int) else tokenizer.specials[end]]


def test_a_folder_may_name_its_end_by_id_alone(tmp_path):
    backend = tokenizers.Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    backend.decoder = decoders.ByteLevel()
    assert opened(tmp_path, backend).end == []
    samples.write_json(tmp_path / "config.json", {"eos_token_id": 1})
    assert open_tokenizer(tmp_path).end == [1]


@pytest.mark.parametrize("eos", ["</s>", [True], 2.0, {"id": 2}])
def test_an_end_that_is_no_id(tmp_path, eos):
    samples.byte_level().save(str(tmp_path / "tokenizer.json"))
    samples.write_json(tmp_path / "config.json", {"eos_token_id": eos})
    with pytest.raises(LiuliError, match=r"config\.json: eos_token_id must be an id or a list of ids, not"):
        open_tokenizer(tmp_path)


def test_content_never_holds_a_special_token(layout):
    ids = set(unmistakable(layout.tokenizer).values())
    for special in unmistakable(layout.tokenizer):
        for text in (special, f"hello{special}world", f"{special} {special}", f" {special}\n"):
            assert not ids & set(layout.tokenizer.encode(text)), text


def test_special_strings_in_content_stay_text(layout):
    for special in unmistakable(layout.tokenizer):
        text = layout.tokenizer.decode(layout.tokenizer.encode(f"a {special} b"))
        assert text.replace(" ", "") in (f"a{special}b", f"a{special}b".lower())  # WordPiece spaces it out, in small letters


def test_a_prompt_reads_special_tokens_between_content(layout):
    tokenizer = layout.tokenizer
    for special, id in tokenizer.specials.items():
        expected = [*tokenizer.encode("hello "), id, *tokenizer.encode("world"), id, id]
        assert tokenizer.encode(f"hello {special}world{special}{special}", prompt=True) == tokenizer.begin + expected


def test_the_begin_token_is_added_once(layout):
    tokenizer = layout.tokenizer
    for text in TEXTS:
        content = tokenizer.encode(text)
        assert tokenizer.encode(text, prompt=True) == tokenizer.begin + content
        assert tokenizer.encode((layout.begin or "") + text, prompt=True) == tokenizer.begin + content
    assert tokenizer.encode("", prompt=True) == tokenizer.begin


def test_nothing_is_ever_put_behind(layout):
    end = layout.tokenizer.specials[layout.end]
    for text in ["", *TEXTS]:
        assert end not in layout.tokenizer.encode(text)
        assert end not in layout.tokenizer.encode(text, prompt=True)


def test_decode_leaves_special_tokens_out_unless_asked(layout):
    tokenizer = layout.tokenizer
    hello = tokenizer.encode("hello")
    for special, id in unmistakable(tokenizer).items():
        ids = [id, *hello, id]
        assert tokenizer.decode(ids) == "hello"
        assert tokenizer.decode(ids, special=True) == f"{special}hello{special}"
        assert tokenizer.token(id).special
        assert tokenizer.token(id).bytes == b""


@only("minimind")
def test_added_tokens_that_are_not_special_are_text(layout):
    """MiniMind marks <think> as an added token that is no special one: models write it, content may hold it."""
    ids = layout.tokenizer.encode("<think>a</think>")
    assert (ids[0], ids[-1]) == (25, 26)
    assert layout.tokenizer.decode(ids) == "<think>a</think>"


@only("stories", "minimind", "small-bytes", "small-spaced", "small-words-json", "trained-bpe", "trained-char")
def test_prompts_are_the_librarys(layout):
    oracle = tokenizers.Tokenizer.from_file(str(layout.folder / "tokenizer.json"))
    for special in set(layout.tokenizer.specials) - {layout.begin}:
        for text in (f"hello{special}world", f" {special} {special}\n今天", f"a{special}{layout.end}a"):
            expected = layout.tokenizer.begin + oracle.encode(text, add_special_tokens=False).ids
            assert layout.tokenizer.encode(text, prompt=True) == expected, text


STRIPPED = [
    "a  <l>  b", "a  <r>  b", "a  <b>  b", "<l>", " <l> ", " <r> ", "a <l><r> b", "a <r> <l> b", "<r> <l>", "a\n\t<l>\n\tb",
    "a\u3000<b>\u3000b", "a\u00a0<b>\u0085b", "a\u200b<b>\u200bb", "a <n> b", "<b> <b>", "a  <r><b>  b", "a\x1f<l>b",
]  # fmt: skip


def stripping() -> tokenizers.Tokenizer:
    backend = samples.byte_level()
    flags = {"<l>": {"lstrip": True}, "<r>": {"rstrip": True}, "<b>": {"lstrip": True, "rstrip": True}, "<n>": {}}
    backend.add_special_tokens([AddedToken(text, **flag) for text, flag in flags.items()])
    backend.post_processor = None
    return backend


@pytest.mark.parametrize("text", STRIPPED)
def test_a_special_token_swallows_the_white_space_it_says(text, tmp_path):
    backend = stripping()
    expected = backend.encode(text).ids
    assert opened(tmp_path, backend).encode(text, prompt=True) == expected


def test_content_keeps_the_white_space_beside_a_special_string(tmp_path):
    tokenizer = opened(tmp_path, stripping())
    for text in STRIPPED:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_special_token_for_whole_words_is_read_as_a_word_only(tmp_path):
    backend = samples.byte_level()
    backend.add_special_tokens([AddedToken("MASK", single_word=True)])
    backend.post_processor = None
    expected = {text: backend.encode(text).ids for text in ("a MASK b", "MASK", "aMASKb", "MASKS", "今MASK天", "(MASK)")}
    tokenizer = opened(tmp_path, backend)
    assert {text: tokenizer.encode(text, prompt=True) for text in expected} == expected


def test_longer_special_strings_go_first(tmp_path):
    backend = samples.byte_level()
    backend.add_special_tokens(["<e>", "<e><e>", "<e>x"])
    backend.post_processor = None
    for text in ("<e><e>x", "<e>x<e>", "a<e><e><e>b"):
        assert opened(tmp_path, backend).encode(text, prompt=True) == backend.encode(text).ids


@pytest.mark.parametrize("scheme", ["always", "never", "first"])
def test_the_space_before_content_after_a_special_token(scheme, tmp_path):
    """`prepend_scheme: first` puts a space before the text only, not before what follows a special token."""
    backend = samples.metaspace(scheme)
    tokenizer = opened(tmp_path, backend)
    for text in ("hello", " hello", "hello</s>hello", "a</s> the", "</s>hello"):
        assert tokenizer.encode(text, prompt=True) == backend.encode(text).ids[:-1], text


@only("llama2", "small-sentencepiece")
def test_a_control_piece_typed_into_a_sentencepiece_prompt(layout):
    import sentencepiece

    oracle = sentencepiece.SentencePieceProcessor(model_file=str(layout.folder / "tokenizer.model"))
    begin, end = oracle.bos_id(), oracle.eos_id()
    typed = layout.tokenizer.encode("<s>hello</s> world", prompt=True)
    assert typed == [begin, *oracle.encode("hello"), end, *oracle.encode(" world")]
    assert layout.tokenizer.encode("<s>hello</s> world") == oracle.encode("<s>hello</s> world")
    assert layout.tokenizer.decode(typed, special=True).startswith("<s>hello</s>")


@only("small-sentencepiece")
def test_a_user_defined_piece_is_read_in_content_and_is_text(layout):
    import sentencepiece

    oracle = sentencepiece.SentencePieceProcessor(model_file=str(layout.folder / "tokenizer.model"))
    for text in ("<fix>", "a<fix>b", "<fix>a<fix>", "今天今天", "x<fix>今"):
        assert layout.tokenizer.encode(text) == oracle.encode(text)
        assert layout.tokenizer.decode(layout.tokenizer.encode(text)) == text


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("config", [{}, {"add_bos_token": True}, {"add_bos_token": False}])
def test_a_sentencepiece_model_has_its_begin_token_unless_told_otherwise(prefix, config, tmp_path):
    samples.write_sentencepiece(tmp_path, add_dummy_prefix=prefix)
    samples.write_json(tmp_path / "tokenizer_config.json", config)
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.begin == ([] if config.get("add_bos_token") is False else [1])
    assert tokenizer.decode(tokenizer.encode(" a  b", prompt=True)) == " a  b"


def test_a_sentencepiece_model_may_have_no_begin_token(tmp_path):
    samples.write_sentencepiece(tmp_path, bos_id=-1)
    assert open_tokenizer(tmp_path).begin == []


@pytest.mark.parametrize(
    ("config", "begins"),
    [
        ({"add_bos_token": True, "bos_token": "<s>"}, True),
        ({"add_bos_token": True, "bos_token": {"content": "<s>", "lstrip": False}}, True),
        ({"add_bos_token": False, "bos_token": "<s>"}, False),
        ({"bos_token": "<s>"}, False),
        ({"add_bos_token": True, "bos_token": None}, False),
    ],
)
def test_vocab_json_begins_as_the_configuration_says(config, begins, tmp_path):
    ranks = samples.small_ranks()
    samples.write_vocab_and_merges(tmp_path, ranks, samples.config_with_specials(len(ranks), "<s>", "</s>", **config))
    tokenizer = open_tokenizer(tmp_path, pattern="qwen")
    assert tokenizer.begin == [len(ranks)] * begins
    assert tokenizer.encode("the</s>", prompt=True) == [len(ranks)] * begins + tokenizer.encode("the") + [len(ranks) + 1]
    assert tokenizer.vocab_size == len(ranks) + 2


def test_vocab_json_finds_special_tokens_in_added_tokens(tmp_path):
    ranks = samples.small_ranks()
    samples.write_vocab_and_merges(tmp_path, ranks, {})
    end, start = len(ranks), len(ranks) + 1
    samples.write_json(tmp_path / "added_tokens.json", {"<|im_start|>": start, "<|im_end|>": end})
    tokenizer = open_tokenizer(tmp_path, pattern="qwen")
    assert tokenizer.encode("<|im_start|>the<|im_end|>", prompt=True) == [start, *tokenizer.encode("the"), end]
    assert tokenizer.vocab_size == len(ranks) + 2


def test_vocab_json_refuses_added_tokens_that_leave_a_gap(tmp_path):
    """The library numbers them one after the other; another number would be another token."""
    samples.write_vocab_and_merges(tmp_path, samples.small_ranks(), {})
    samples.write_json(tmp_path / "added_tokens.json", {"<|im_end|>": 9000})
    with pytest.raises(LiuliError, match=r"'<\|im_end\|>' cannot have the id 9000"):
        open_tokenizer(tmp_path, pattern="qwen")


def test_vocab_json_takes_added_tokens_that_are_not_special_as_text(tmp_path):
    """As tokenizer.json has it: Qwen 3 marks <think> so, and a decoded answer has to show it."""
    ranks = samples.small_ranks()
    think = len(ranks)
    added = {str(think): {"content": "<think>", "special": False}}
    samples.write_vocab_and_merges(tmp_path, ranks, {"added_tokens_decoder": added})
    tokenizer = open_tokenizer(tmp_path, pattern="qwen")
    assert tokenizer.decode([think, *tokenizer.encode("the")]) == "<think>the"
    assert tokenizer.encode("<think>the") == [think, *tokenizer.encode("the")]


@pytest.mark.parametrize("name", ["added_tokens", "tokenizer_config"])
def test_sentencepiece_finds_the_special_tokens_beside_it(name, tmp_path):
    """Chat models made from Llama 2 keep <|im_end|> beside the model, with ids after its own."""
    samples.write_sentencepiece(tmp_path)
    config = samples.config_with_specials(650, "<|im_end|>")
    samples.write_json(tmp_path / f"{name}.json", {"<|im_end|>": 650} if name == "added_tokens" else config)
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.encode("a<|im_end|>", prompt=True) == [1, *tokenizer.encode("a"), 650]


@pytest.mark.parametrize("template", ["$A", "<s> $A", "<s> $A </s>", "$A </s>", "<s> </s> $A", "<s> <s> $A"])
def test_tokenizer_json_begins_as_its_post_processor_does(template, tmp_path):
    backend = samples.byte_level()
    ids = [(text, backend.token_to_id(text)) for text in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(template, f"{template} $B", ids)
    before = template.split("$A")[0].split()
    tokenizer = opened(tmp_path, backend)
    assert tokenizer.begin == [dict(ids)[text] for text in before]
    assert tokenizer.encode("the", prompt=True) == tokenizer.begin + tokenizer.encode("the")
    assert tokenizer.encode("".join(before) + "the", prompt=True) == tokenizer.begin + tokenizer.encode("the")


@pytest.mark.parametrize(
    ("config", "begins"), [({"add_bos_token": True, "bos_token": "<s>"}, True), ({"bos_token": "<s>"}, False)]
)
def test_tokenizer_json_without_a_post_processor_begins_as_configured(config, begins, tmp_path):
    backend = samples.byte_level()
    begin = [backend.token_to_id("<s>")] * begins
    backend.post_processor = None
    assert opened(tmp_path, backend, **config).begin == begin


def test_the_begin_token_of_a_vocabulary_without_latin_letters(tmp_path):
    """What the post-processor adds must not be sought with a letter that the vocabulary lacks."""
    vocab = {samples.SPELLING[byte]: byte for byte in range(0x80, 0x100)}
    backend = tokenizers.Tokenizer(models.BPE(vocab, []))
    backend.pre_tokenizer, backend.decoder = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    samples.with_specials(backend, "<s>", "</s>")
    tokenizer = opened(tmp_path, backend)
    assert tokenizer.encode("今", prompt=True) == backend.encode("今").ids[:-1]


def test_bert_takes_its_special_tokens_names_from_the_configuration(tmp_path):
    lines = [line.replace("[CLS]", "<b>").replace("[UNK]", "<u>") for line in samples.wordpiece_lines()]
    (tmp_path / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    samples.write_json(tmp_path / "tokenizer_config.json", {"cls_token": "<b>", "unk_token": "<u>", "do_lower_case": False})
    tokenizer = open_tokenizer(tmp_path)
    assert tokenizer.encode("hello", prompt=True) == [lines.index("<b>"), *tokenizer.encode("hello")]
    assert tokenizer.encode("HELLO") == [lines.index("<u>")]
    assert set(tokenizer.specials) == {"[PAD]", "<u>", "<b>", "[SEP]", "[MASK]"}
