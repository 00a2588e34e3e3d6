"""`liuli extract`, and the options for schemas and grammars of complete and chat."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from helpers import talking

SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["北京", "上海"]}, "people": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def roomy(tiny_folder, tmp_path_factory) -> Path:
    """The tiny model with a context that holds a schema."""
    folder = tmp_path_factory.mktemp("roomy") / "model"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}))
    return folder


def test_extract_prints_valid_json(liuli, roomy, tmp_path):
    path = tmp_path / "city.json"
    path.write_text(json.dumps(SCHEMA))
    result = liuli("extract", roomy, "x", "--schema", path, "--seed", 1, "--max-tokens", 30)
    assert (result.code, result.err.splitlines()[-1][:13]) == (0, "liuli: seed 1"), result.err
    jsonschema.validate(json.loads(result.out), SCHEMA)


def test_a_short_schema_and_json(liuli, roomy, tiny):
    words = ["extract", roomy, "-", "--schema", "name, age int", "--seed", 2, "--max-tokens", 25, "--json"]
    body = json.loads(liuli(*words, stdin=b"x").out)
    assert set(body["document"]) == {"name", "age"}
    assert body["document"] == json.loads(body["completion"]["text"])
    assert body["model"]["hash"] == tiny.hash
    assert body["schema"]["required"] == ["name", "age"]
    assert all(0 <= step["removed"] <= 1 for step in body["steps"])
    assert body["steps"][0]["forced"]
    assert [step["index"] for step in body["steps"]] == list(range(len(body["steps"])))


def test_steps_show_what_the_grammar_removed(liuli, roomy):
    out = liuli("extract", roomy, "x", "--schema", "a int", "--seed", 2, "--max-tokens", 25, "--steps").out
    assert "grammar kept 1 token and removed " in out
    assert "forced → " in out


def test_a_chat_template_is_used(liuli, tmp_path):
    folder = talking.save(tmp_path / "model", context=1024)
    words = ["extract", folder, "你好", "--schema", "a bool", "--seed", 1, "--max-tokens", 20, "--json"]
    body = json.loads(liuli(*words).out)
    assert isinstance(body["document"]["a"], bool)
    assert "你好\n\nAnswer with JSON that follows this JSON Schema:\n{" in body["prompt"]["text"]
    assert body["prompt"]["text"] != "你好"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--schema", "a int", "--max-tokens", 3],
            "the shortest text that the schema allows has 7 tokens, but --max-tokens is only 3",
        ),
        (["--schema", "nothing.json"], "nothing.json cannot be read: no such file"),
        (["--schema", "{"], "the schema is not JSON: "),
        (["--schema", "a integer"], "the short schema gives 'a' the type 'integer'"),
        (["--schema", '{"not": {}}'], 'the schema has "not" at #, which cannot be guaranteed'),
        ([], "Missing option '--schema'"),
    ],
)
def test_mistakes(liuli, roomy, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = liuli("extract", roomy, "x", *words)
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [("--regex", "[0-9]{3}", str.isdecimal), ("--choices", "正面, 负面", lambda text: text in ("正面", "负面")),
     ("--schema", "a bool", lambda text: isinstance(json.loads(text)["a"], bool))],
)  # fmt: skip
def test_complete(liuli, tiny_folder, option, value, found):
    result = liuli("complete", tiny_folder, "x", option, value, "--seed", 3, "--max-tokens", 30)
    assert found(result.out), result


def test_complete_with_a_grammar(liuli, tiny_folder, tmp_path):
    path = tmp_path / "step.lark"
    path.write_text('start: "T: " t\nt[capture]: /[a-z]{3}/\n')
    body = json.loads(liuli("complete", tiny_folder, "x", "--grammar", path, "--seed", 3, "--json").out)
    assert body["completion"]["text"] == f"T: {body['completion']['captures']['t']}"


def test_only_one_of_them(liuli, tiny_folder):
    result = liuli("complete", tiny_folder, "x", "--regex", "a", "--choices", "b")
    assert (result.code, result.err) == (2, "liuli: --regex and --choices cannot be used together: give one of them\n")


def test_chat_replies_under_a_schema(liuli, tmp_path):
    folder = talking.save(tmp_path / "model")
    result = liuli("chat", folder, "--choices", "yes,no", "--seed", 1, stdin="你好\n你好\n".encode())
    assert [line in ("yes", "no") for line in result.out.splitlines()] == [True, True]
