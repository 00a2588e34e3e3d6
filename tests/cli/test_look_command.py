"""`liuli look`: every view at every width, its JSON, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import safetensors.torch
from helpers import begun, oracles, pairs, tiny
from helpers.command import liuli as liuli  # a fixture
from helpers.terminal import DRIVES
from helpers.terminal import screen as screen  # a fixture
from rich.cells import cell_len

from liuli.inside.view_list import VIEWS

TEXT, OTHER = "the gold 金 12 cat", "the cold 金 12 cat"
HOSTILE = "\x1b[2J\x9b2J\u202eabc\u2066[/b]:smile:<script>\r\b金"
MORE = {
    "tokens": ["--with-model", "base"],
    "context": ["--with-text", OTHER, "--word", "金"],
    "attention": ["--layer", 1, "--head", 2],
    "lens": ["--word", "x"],
    "candidates": ["--seed", 3, "--top-k", 5],
    "branches": ["--seed", 3, "--temperature", 1],
    "influence": ["--word", "x"],
    "ablation": ["--word", "x"],
    "patching": ["--with-text", OTHER, "--word", "a"],
    "compare": ["--with-model", "base", "--with-text", OTHER],
}
NEEDS = {"context": MORE["context"], "patching": MORE["patching"]}  # what a view cannot do without
FEW = [("path", []), ("lens", []), ("candidates", [])]  # views that need nothing but a text


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of models; within it, names are short."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "tiny").mkdir()
    tiny.save(folder / "tiny")
    pairs.save_base(folder / "base")
    bare = shutil.copytree(folder / "tiny", folder / "bare")
    (bare / "tokenizer.json").unlink()
    oracles.save_family("gpt2", folder / "gpt2")
    begun.make(folder / "begun")
    return folder


@pytest.fixture(autouse=True)
def _in_place(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))


def words_of(view, text=TEXT):
    if view == "learning":
        return ["look", "begun/run", "--view", view]
    return ["look", "tiny", text, "--view", view, *MORE.get(view, [])]


@pytest.mark.parametrize("columns", [60, 80, 160])
@pytest.mark.parametrize("view", VIEWS)
def test_no_line_is_wider_than_the_terminal(screen, view, columns):
    code, shown = screen(*words_of(view), columns=columns)
    assert code == 0, shown
    wide = [line for line in shown.splitlines() if cell_len(line.rstrip()) > columns]
    assert not wide, wide
    assert len(shown.splitlines()) > 5 and "self-check failed" not in shown and "nan" not in shown.lower().split()


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("view", [view for view in VIEWS if view != "learning"])
def test_a_long_text(screen, view, columns):
    text = "the gold 金 cat sat " * 4
    more = ["--with-text", text.replace("gold", "cold"), "--word", "a"] if view in ("context", "patching") else []
    code, shown = screen("look", "tiny", text, "--view", view, *more, columns=columns)
    assert code == 0, shown
    assert not [line for line in shown.splitlines() if cell_len(line.rstrip()) > columns]


@pytest.mark.parametrize("view", VIEWS)
def test_json(liuli, view):
    words = [word for word in words_of(view) if word not in ("--head", 2)]  # the JSON has every head
    result = liuli(*words, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["schema"] == f"{view}@1" and found["checks"] and found["body"]
    assert all(check["ok"] for check in found["checks"])


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "learning"])
def test_hostile_text_does_not_drive_the_terminal(screen, view):
    more = ["--with-text", HOSTILE.replace("b", "d"), "--word", "金"] if view in ("context", "patching") else []
    code, shown = screen("look", "tiny", HOSTILE, "--view", view, *more)
    assert code == 0, shown
    assert not DRIVES.search(shown), DRIVES.findall(shown)


@pytest.mark.parametrize("view", VIEWS)
def test_json_of_hostile_text_is_ascii_or_escaped(liuli, view):
    if view == "learning":
        pytest.skip("it reads no text")
    more = ["--with-text", HOSTILE.replace("b", "d"), "--word", "金"] if view in ("context", "patching") else []
    result = liuli("look", "tiny", HOSTILE, "--view", view, *more, "--json")
    assert result.code == 0, result.err
    assert not DRIVES.search(result.out)
    assert HOSTILE in json.dumps(json.loads(result.out), ensure_ascii=False).encode().decode() or json.loads(result.out)


def test_the_same_twice(liuli):
    """Nothing but the time of a step depends on chance."""
    for view in VIEWS:
        words = [word for word in words_of(view) if word not in ("--head", 2)]
        first, second = (json.loads(liuli(*words, "--json").out) for _ in range(2))
        for each in (first, second):
            if view == "candidates":
                each["body"]["step"] |= {"ms": 0, "request": ""}
        assert first == second, view


def test_without_a_view_all_are_listed(liuli):
    result = liuli("look", "tiny", TEXT)
    assert result.code == 0 and all(view in result.out for view in VIEWS)


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--layer", 3], "--layer"), (["--json"], "--json"), (["--seed", 0], "--seed"), (["--with-text", "a"], "--with-text")],
)
def test_without_a_view_an_option_is_refused(liuli, options, named):
    assert f"{named} needs a view: choose one with --view NAME" in refused(liuli("look", "tiny", TEXT, *options))


def test_views_are_listed_without_pytorch():
    code = "import sys; from liuli.cli.look.command import _list_views; _list_views(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_help(screen, columns):
    for flag in ("-h", "--help"):
        code, shown = screen("look", flag, columns=columns)
        assert code == 0 and "Example" in shown and all(view in shown for view in ("lens", "patching", "learning"))
        assert not [
            line for line in shown.splitlines() if cell_len(line.rstrip()) > columns and not re.match(r"\s*liuli ", line)
        ]


def test_a_text_from_standard_input(liuli):
    result = liuli("look", "tiny", "-", "--view", "tokens", "--json", stdin="the 金".encode())
    assert json.loads(result.out)["input"]["text"] == "the 金"


def refused(result):
    """The message: one line, and exit code 2."""
    assert result.code == 2, result.out
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert "Traceback" not in result.err
    return lines[0]


REFUSALS = {
    "no such view": (["look", "tiny", TEXT, "--view", "lense"], "there is no view 'lense'; views: path, tokens"),
    "no text": (["look", "tiny", "--view", "lens"], "the view lens needs a text"),
    "a text for the learning": (["look", "begun/run", TEXT, "--view", "learning"], "the view learning reads no text"),
    "no such layer": (
        ["look", "tiny", TEXT, "--view", "attention", "--layer", 2],
        "there is no layer 2: the model has 2, 0 to 1",
    ),
    "a layer below 0": (["look", "tiny", TEXT, "--view", "attention", "--layer", -1], "there is no layer -1"),
    "a layer for the lens": (["look", "tiny", TEXT, "--view", "lens", "--layer", 0], "the view lens does not use --layer"),
    "a head for the lens": (["look", "tiny", TEXT, "--view", "lens", "--head", 0], "the view lens does not use --head"),
    "a word for tokens": (["look", "tiny", TEXT, "--view", "tokens", "--word", "x"], "the view tokens does not use --word"),
    "sampling for the lens": (["look", "tiny", TEXT, "--view", "lens", "--top-k", 5], "the view lens does not use"),
    "a text for the lens": (
        ["look", "tiny", TEXT, "--view", "lens", "--with-text", OTHER],
        "the view lens does not use --with-text",
    ),
    "a model for the lens": (
        ["look", "tiny", TEXT, "--view", "lens", "--with-model", "base"],
        "the view lens does not use --with-model",
    ),
    "a model that does not exist": (
        ["look", "tiny", TEXT, "--view", "compare", "--with-model", "begun/asistant"],
        "there is no folder begun/asistant",
    ),
    "a world for the lens": (
        ["look", "tiny", TEXT, "--view", "lens", "--world", "begun/world"],
        "the view lens does not use --world",
    ),
    "a word that does not occur": (
        ["look", "tiny", TEXT, "--view", "context", "--with-text", OTHER, "--word", "dog"],
        "'dog' does not occur in",
    ),
    "one sentence": (["look", "tiny", TEXT, "--view", "context"], "give at least one more, with --with-text TEXT"),
    "texts of other lengths": (["look", "tiny", TEXT, "--view", "patching", "--with-text", "a"], "the same number of tokens"),
    "no other text": (["look", "tiny", TEXT, "--view", "patching"], "one other text"),
    "over the context": (["look", "tiny", "a" * 200, "--view", "lens"], "201 tokens do not fit the context of 128 tokens"),
    "gpt2 over its context": (["look", "gpt2", "a" * 100, "--view", "attention"], "do not fit the context of 64 tokens"),
    "no tokenizer": (["look", "bare", TEXT, "--view", "lens"], "bare contains no tokenizer, so it cannot read a text"),
    "no run": (["look", "tiny", "--view", "learning"], "is not in the folder of a run"),
    "no world": (["look", "begun/run", "--view", "learning", "--world", "tiny"], "is not the folder of a world"),
    "no model": (["look", "nowhere/at/all", TEXT, "--view", "lens"], "nowhere/at/all"),
    "16 bits for the gradient": (["look", "tiny", TEXT, "--view", "gradient", "--dtype", "bf16"], "use --dtype fp32"),
    "16 bits for influence": (["look", "tiny", TEXT, "--view", "influence", "--dtype", "bf16"], "use --dtype fp32"),
    "a setting out of range": (["look", "tiny", TEXT, "--view", "candidates", "--top-p", 2], "--top-p"),
    "a seed below 0": (["look", "tiny", TEXT, "--view", "candidates", "--seed", -1], "seed"),
    "no such dtype": (["look", "tiny", TEXT, "--view", "lens", "--dtype", "fp4"], "there is no dtype 'fp4'"),
}


@pytest.mark.parametrize(("words", "message"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["drawn", "json"])
def test_what_is_refused(liuli, words, message, form):
    assert message in refused(liuli(*words, *form))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("view", ["path", "lens", "attention", "candidates", "branches", "ablation", "patching", "context"])
def test_16_bits(screen, view, dtype):
    code, shown = screen(*words_of(view), "--dtype", dtype)
    assert code == 0 and "self-check failed" not in shown


def test_a_world_for_the_playback(liuli):
    words = ["look", "begun/run", "--view", "learning", "--world", "begun/world", "--json"]
    (prompt,) = json.loads(liuli(*words).out)["body"]["prompts"]
    assert sum(piece["probability"] for piece in prompt["truth"]) == pytest.approx(1)


def test_no_mark_for_a_token_that_does_not_follow(liuli):
    """A token whose text is the beginning of a piece, but which the tokenizer does not write there, is not true."""
    words = ["look", "begun/run", "--view", "learning", "--json"]
    body = json.loads(liuli(*words).out)["body"]
    (prompt,) = body["prompts"]
    assert sum(each["probability"] for each in prompt["true_tokens"]) == pytest.approx(1)
    assert body["world"]["of_the_run"] and body["world"]["name"].endswith("world")


def test_the_world_of_a_run_and_another_one(screen, place):
    _, shown = screen("look", "begun/run", "--view", "learning")
    assert "In the world:" in shown and "not trained on its text alone" not in shown
    shutil.copytree(place / "begun" / "world", place / "other")
    with (place / "other" / "documents.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "x"}\n')
    _, shown = screen("look", "begun/run", "--view", "learning", "--world", "other")
    shown = " ".join(shown.split())
    assert "The true shares are those of the world in other. The run was not trained on its text alone" in shown


@pytest.mark.parametrize("view", ["lens", "influence", "ablation", "patching"])
def test_which_token_a_word_means(screen, view):
    more = ["--with-text", OTHER] if view == "patching" else []
    _, shown = screen("look", "tiny", TEXT, "--view", view, "--word", "x", *more)
    assert "x is read as the token x." in shown
    _, shown = screen("look", "tiny", TEXT, "--view", view, "--word", "xyz", *more)
    assert "xyz has 3 tokens here, and only the first one is followed: x." in shown


def test_tokens_without_a_score_are_named(screen):
    _, shown = screen("look", "tiny", "a,b", "--view", "influence")
    rows = [line.split() for line in shown.splitlines() if line.count("no score") == 3]
    assert [row[0] for row in rows] == ["<|endoftext|>", ","]
    assert "No score: the first token always keeps its vector" in shown and "a comma has the neutral vector already" in shown
    _, shown = screen("look", "tiny", "ab", "--view", "influence")
    assert "a comma has the neutral vector already" not in shown


def test_what_is_replaced_first(screen):
    """Whether the difference of the logits is above its neutral value or below it."""
    for word in ("x", "y"):
        _, shown = screen("look", "tiny", TEXT, "--view", "influence", "--word", word)
        way = re.search(r"bring the difference from (\S+) to (\S+) most", " ".join(shown.split()))
        whole, neutral = map(float, way.groups())
        assert f"logits is {whole:.2f}" in shown and f"the difference is {neutral:.2f}." in " ".join(shown.split())
    assert "removed first" not in shown


def test_a_gradient_of_zero(screen, place):
    folder = shutil.copytree(place / "tiny", place / "zero")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for name in ("model.norm.weight", "lm_head.weight"):
        tensors[name][:] = 0
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    code, shown = screen("look", "zero", TEXT, "--view", "gradient")
    assert code == 0 and "The gradient is 0, so no weight moves." in shown


def test_a_model_of_16_bits_is_compared_in_16_bits(liuli):
    """--dtype is of all models: a model does not differ from itself."""
    words = ["look", "tiny", TEXT, "--view", "compare", "--with-model", "tiny", "--dtype", "bf16", "--json"]
    answers = json.loads(liuli(*words).out)["body"]["prompts"][0]["answers"]
    assert answers[1]["kl"] == 0


def test_a_text_that_looks_like_a_path_is_a_text(liuli):
    """A text and a model are given by different options, so that neither can be mistaken for the other."""
    words = ["look", "tiny", TEXT, "--view", "compare", "--with-text", "tiny", "--json"]
    found = json.loads(liuli(*words).out)
    assert len(found["models"]) == 1 and len(found["body"]["prompts"]) == 2


def test_a_head_that_does_not_exist(liuli):
    words = ["look", "tiny", TEXT, "--view", "attention", "--head", 4]
    assert "there is no head 4: a layer has 4, 0 to 3" in refused(liuli(*words))


def test_a_head_is_refused_in_json(liuli):
    words = ["look", "tiny", TEXT, "--view", "attention", "--head", 1, "--json"]
    assert "--json does not use --head, because the JSON has every head" in refused(liuli(*words))


def test_which_occurrence_of_a_word_is_shown(liuli):
    shown = liuli("look", "tiny", "it is it", "--with-text", "so it is", "--word", "it", "--view", "context").out
    assert shown.count("occurrence 1 of 2") == 1


def test_what_a_model_does_to_a_row_of_its_table(liuli):
    assert "adds the vector of the token's place" in " ".join(liuli("look", "gpt2", "a", "--view", "vectors").out.split())
    assert "Before the first layer" not in liuli("look", "tiny", "a", "--view", "vectors").out


def test_prompts_of_one_model(liuli):
    shown = liuli("look", "tiny", TEXT, "--view", "compare", "--with-text", OTHER).out
    assert "How likely each answer is after each prompt" in shown and "KL(prompt 1 ‖ prompt 2), nats: " in shown
    many = [option for n in range(8) for option in ("--with-text", "a" * (n + 1))]
    shown = liuli("look", "tiny", TEXT, "--view", "compare", *many).out
    assert "Only up to 8 prompts are compared with each other" in shown and "KL" not in shown
