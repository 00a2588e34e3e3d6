"""`owner/model` through huggingface_hub, against a small server on this machine."""

from pathlib import Path

import pytest
from helpers import families
from helpers.hub_server import Hub, python

from liuli.errors import LiuliError
from liuli.hub import find_model


@pytest.fixture
def published(tmp_path) -> Path:
    folder = tmp_path / "published"
    families.save("llama2", folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    for name in ("additional_chat_templates/rag.jinja", "add/x.json", "additional_chat_templates2/x.json", "onnx/x.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    (folder / "README.md").write_text("not needed")
    (folder / "pytorch_model.bin").write_bytes(b"the same weights, not needed beside safetensors")
    return folder


@pytest.fixture
def hub(published):
    hub = Hub(published, "models", "somebody/small")
    yield hub
    hub.close()


def test_the_folder_of_a_run_stands_for_its_model(tmp_path):
    (tmp_path / "model").mkdir()
    assert find_model(tmp_path) == tmp_path
    (tmp_path / "run.json").write_text("{}")
    assert find_model(tmp_path) == tmp_path / "model"
    (tmp_path / "model").rmdir()
    with pytest.raises(LiuliError, match="is a run that has no checkpoint yet, so it contains no model: resume the run"):
        find_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")  # a model with a file of that name
    assert find_model(tmp_path) == tmp_path


LOAD = """
import liuli
try:
    model = liuli.load("somebody/small")
    print(model.hash, sorted(path.name for path in model.folder.iterdir()))
except liuli.LiuliError as error:
    print("error:", error)
"""


def test_a_hub_name_is_fetched_once_and_then_found_offline(hub, published, tmp_path):
    from liuli.model.formats.detect import hash_model

    first = python(LOAD, tmp_path, hub.endpoint)
    assert first.stdout.startswith(hash_model(published)), first.stdout + first.stderr
    assert "pytorch_model.bin" not in first.stdout
    assert "README.md" not in first.stdout
    assert "'chat_template.jinja'" in first.stdout and "'additional_chat_templates'" in first.stdout
    assert not any(f"'{name}'" in first.stdout for name in ("add", "additional_chat_templates2", "onnx"))
    fetched = [path for path in hub.asked if path.startswith("GET /somebody")]
    assert any("model.safetensors" in path for path in fetched)
    again = python(LOAD, tmp_path, hub.endpoint)
    assert again.stdout == first.stdout
    assert [path for path in hub.asked if path.startswith("GET /somebody")] == fetched
    offline = python(LOAD, tmp_path, "http://127.0.0.1:9", offline=True)
    assert offline.stdout == first.stdout, offline.stderr


def test_a_bin_is_fetched_where_there_is_no_safetensors(hub, published, tmp_path):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(published / "model.safetensors"), published / "pytorch_model.bin")
    (published / "model.safetensors").unlink()
    found = python(LOAD, tmp_path, hub.endpoint)
    assert "pytorch_model.bin" in found.stdout, found.stdout + found.stderr


def test_a_tokenizer_alone_fetches_no_weights(hub, published, tmp_path):
    code = "import liuli\ntry:\n    liuli.open_tokenizer('somebody/small')\nexcept liuli.LiuliError as error:\n    print(error)"
    found = python(code, tmp_path, hub.endpoint)
    assert "somebody/small contains no tokenizer" in found.stdout, found.stderr
    assert not any("safetensors" in path or ".bin" in path for path in hub.asked)


def test_a_name_that_the_hub_does_not_have(hub, tmp_path):
    found = python(LOAD.replace("somebody/small", "nobody/nothing"), tmp_path, hub.endpoint)
    assert found.stdout.startswith("error: there is no folder nobody/nothing here, and the Hugging Face Hub has no model"), (
        found.stderr
    )
    assert found.stdout.count("\n") == 1


@pytest.mark.parametrize("offline", [True, False], ids=["told to be offline", "no network"])
def test_offline_the_error_says_so_and_how_to_use_a_folder(tmp_path, offline):
    found = python(LOAD, tmp_path, "http://127.0.0.1:9", offline=offline)
    said = "the model of that name could not be downloaded from the Hugging Face Hub"
    assert said in found.stdout, found.stdout + found.stderr
    assert "give that folder" in found.stdout
    assert found.stdout.count("\n") == 1


@pytest.mark.parametrize("name", ["nowhere", "../nowhere", "a/b/c", "./a"])
def test_names_that_are_no_hub_names(name):
    with pytest.raises(LiuliError, match="there is no folder"):
        find_model(name)


def test_a_misspelled_folder_is_corrected(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "liuli-begin" / "run").mkdir(parents=True)
    (tmp_path / "liuli-begins").mkdir()
    with pytest.raises(LiuliError, match=r"no folder liuli-begn/run here \(did you mean liuli-begin/run\?\), and the model"):
        find_model("liuli-begn/run")
    with pytest.raises(LiuliError, match=r"no folder other/run here, and the model"):
        find_model("other/run")


def test_a_folder_wins_over_a_hub_name(tmp_path, monkeypatch):
    (tmp_path / "somebody" / "small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_model("somebody/small") == Path("somebody/small")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(LiuliError, match="is a file; give the folder that contains it"):
        find_model(tmp_path / "model.safetensors")


PATHS = [
    ("nowhere", "give a model's folder, a .gguf file, or a name on the Hugging Face Hub such as owner/model"),
    ("./a/b", "give a model's folder"),
    ("../x", "give a model's folder"),
    ("/nowhere/x", "give a model's folder"),
    ("~/x", "give a model's folder"),
    ("a/b/", "give a model's folder"),
    ("a/b/c", "give a model's folder"),
    ("a//b", "give a model's folder"),
    ("模型/甲", "give a model's folder"),
    ("a\\b/c", "give a model's folder"),
    ("", "give a model's folder"),
    ("a b/c", "give a model's folder"),
    ("here/b", "here is a folder here, so this is read as a path and not as a name on the Hugging Face Hub"),
    ("a/b.gguf", "it looks like the path of a file"),
    ("a/config.JSON", "it looks like the path of a file"),
    ("a/\x00", "give a model's folder"),
    ("x" * 5000, "file name too long"),
]


@pytest.mark.parametrize(("name", "why"), PATHS, ids=[name[:12] for name, _ in PATHS])
def test_a_path_is_never_looked_up_on_the_hub(tmp_path, monkeypatch, name, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)
    monkeypatch.setattr("huggingface_hub.HfApi", None)
    with pytest.raises(LiuliError) as raised:
        find_model(name)
    said = str(raised.value)
    assert said.startswith("there is no folder ") or said.endswith(" cannot be opened: file name too long")
    assert why in str(raised.value)


def test_one_gguf_file_of_a_model_on_the_hub(hub, published, tmp_path):
    for name in ("small.Q8_0.gguf", "other.gguf", "two-00001-of-00002.gguf", "two-00002-of-00002.gguf"):
        (published / name).write_bytes(name.encode() * 200_000)
    code = "import logging, liuli.hub\nlogging.basicConfig(level='INFO', format='%(name)s: %(message)s')\n"
    code += "try:\n    print(liuli.hub.find_model({!r}).name)\nexcept liuli.LiuliError as error:\n    print(error)"

    def found(name, place="one"):
        hub.asked.clear()
        result = python(code.format(name), tmp_path / place, hub.endpoint)
        fetched = {path.rpartition("/")[2] for path in hub.asked if path.startswith("GET /somebody")}
        return result.stdout, [line for line in result.stderr.splitlines() if "liuli" in line], fetched

    said = "liuli.hub: downloading somebody/small from the Hugging Face Hub, 3 MB"
    file = "somebody/small/small.Q8_0.gguf"
    assert found(file) == ("small.Q8_0.gguf\n", [said], {"small.Q8_0.gguf"})
    assert found(file) == ("small.Q8_0.gguf\n", [], set())
    shards = {f"two-0000{i}-of-00002.gguf" for i in (1, 2)}
    assert found("somebody/small/two-00001-of-00002.gguf")[::2] == ("two-00001-of-00002.gguf\n", shards)
    lacking = (
        "there is no file somebody/small/no.gguf here, and the model somebody/small on the Hugging Face Hub has no file "
        "no.gguf: check the name of the file on the model's page\n"
    )
    assert found("somebody/small/no.gguf")[0] == lacking


COMMAND = """
import sys
from liuli.cli.app import main
sys.argv = ["liuli", {words}]
main()
"""


def liuli(words: str, tmp_path: Path, endpoint: str, offline: bool = False):
    return python(COMMAND.format(words=words), tmp_path, endpoint, offline)


def test_a_download_is_announced_and_a_cached_copy_is_not(hub, tmp_path, monkeypatch):
    said = "liuli: downloading somebody/small from the Hugging Face Hub\n"
    plan = "'plan', 'somebody/small'"
    first = liuli(plan, tmp_path, hub.endpoint)
    assert (first.returncode, first.stderr) == (0, said), first.stderr
    assert liuli(plan, tmp_path, hub.endpoint).stderr == ""
    assert liuli(plan, tmp_path, "http://127.0.0.1:9", offline=True).stderr == ""
    weights = liuli("'complete', 'somebody/small', 'a'", tmp_path, hub.endpoint)  # of which only the rest is there
    assert weights.stderr.startswith(said), weights.stderr
    assert not liuli("'complete', 'somebody/small', 'a'", tmp_path, hub.endpoint).stderr.startswith(said)
    monkeypatch.setattr("helpers.hub_server.COMMIT", "f" * 40)  # somebody has changed it
    assert liuli(plan, tmp_path, hub.endpoint).stderr == said
    nobody = liuli("'plan', 'nobody/nothing'", tmp_path, hub.endpoint)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (2, 1)


def test_the_library_announces_to_its_logger_alone(hub, tmp_path):
    quiet = python(LOAD, tmp_path, hub.endpoint)
    assert quiet.stderr == ""
    asked = "import logging, sys\nlog = logging.getLogger('liuli')\nlog.addHandler(logging.StreamHandler(sys.stdout))\n"
    told = python(f"{asked}log.setLevel('INFO')\n{LOAD}", tmp_path / "other", hub.endpoint)
    assert told.stdout.startswith("downloading somebody/small from the Hugging Face Hub\n")


def test_what_a_server_says_cannot_drive_the_terminal(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no\x1b[2J\u202e way\nat all")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    monkeypatch.setattr("huggingface_hub.HfApi.repo_info", refuse)
    with pytest.raises(LiuliError, match=r"\(no�\[2J� way\)"):
        find_model("some/model")
